//go:build !unix

package main

import (
	"os"
	"syscall"
)

var fatalToWriters = []os.Signal{syscall.SIGPIPE}
