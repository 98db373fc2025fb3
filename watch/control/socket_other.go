//go:build !unix

package control

import "net"

// listenSocket is not to be had where a file's mode does not say who may
// connect.
func listenSocket(path string) (net.Listener, error) {
	return nil, &Error{Reason: "--listen unix:" + path + ": there are no private sockets on this system", Hint: "listen on " + DefaultListen + " with a token"}
}
