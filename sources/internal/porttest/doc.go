// Package porttest keeps ports of 127.0.0.1 for servers that tests start as processes,
// which they do on Unix alone.
package porttest
