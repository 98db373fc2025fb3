package main

import (
	"bifrost-secrets/render/publish"

	"github.com/rogpeppe/go-internal/testscript"
)

// doLocked runs a program while the test holds the lock of a file:
//
//	locked config.json 1 bifrost-secrets store …
func doLocked(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: locked file code program [argument...]")
	}
	unlock, err := publish.Lock(ts.MkAbs(args[0]))
	ts.Check(err)
	defer unlock()
	doExits(ts, false, args[1:])
}
