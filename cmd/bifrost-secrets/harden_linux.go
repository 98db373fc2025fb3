package main

import "golang.org/x/sys/unix"

// harden keeps the memory of this process, which holds secrets, out of core
// files and away from other processes of the same user. A child does not
// inherit it. It can fail on no Linux that Go runs on, and the work goes on in
// any case.
func harden() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
