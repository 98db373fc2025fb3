package main

import (
	"github.com/rogpeppe/go-internal/testscript"
)

// doLocked runs a program while another holds the lock of a file:
//
//	locked config.json 1 bifrost-secrets store …
func doLocked(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: locked file code program [argument...]")
	}
	f, err := lockFile(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	doExits(ts, false, args[1:])
}
