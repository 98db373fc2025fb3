//go:build race

package autostore

func init() { raced = true }
