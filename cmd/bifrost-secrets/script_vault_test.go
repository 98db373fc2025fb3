package main

import (
	"encoding/json"
	"net/url"
	"strconv"
	"time"

	"bifrost-secrets/sources/hashivault/vaulttest"

	"github.com/rogpeppe/go-internal/testscript"
)

// doVault starts a Vault of the script's own, or does something to it:
//
//	vault start                        VAULT_ADDR and VAULT_TOKEN lead there, $HOST is how messages call it
//	vault put name '{"key": "text"}'   a document in the mount secret
//	vault change name delete           or destroy
//	vault fault '{"Sealed": true}'     by the fields of vaulttest.Faults
//	vault policy file                  for every token but the root's, which VAULT_TOKEN is no more
//	vault asked 'GET secret/data/' 2   that many requests began so
//	vault called 'GET secret/data/'    waits for the first
func doVault(ts *testscript.TestScript, neg bool, args []string) {
	usage := map[string]int{"start": 1, "put": 3, "change": 3, "fault": 2, "policy": 2, "asked": 3, "called": 2}
	if neg || len(args) == 0 || usage[args[0]] != len(args) {
		ts.Fatalf("usage: vault start|put|change|fault|policy|asked|called [argument...]")
	}
	if args[0] == "start" {
		f := vaulttest.NewFake()
		ts.Defer(f.Stop)
		of(ts).vault = f
		u, err := url.Parse(f.URL)
		ts.Check(err)
		ts.Setenv("HOST", u.Host)
		ts.Setenv("VAULT_ADDR", f.URL)
		ts.Setenv("VAULT_TOKEN", vaulttest.Root)
		return
	}
	f := of(ts).vault
	switch args[0] {
	case "put":
		f.PutDocument("secret", args[1], args[2])
	case "change":
		f.Change(args[1], args[2])
	case "fault":
		var faults vaulttest.Faults
		ts.Check(json.Unmarshal([]byte(args[1]), &faults))
		f.Set(faults)
	case "policy":
		f.SetPolicy([]byte(ts.ReadFile(args[1])))
		ts.Setenv("VAULT_TOKEN", f.Token(time.Hour, true, 0))
	case "called":
		for late := time.Now().Add(patience); f.Count(args[1]) == 0; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(late) {
				ts.Fatalf("no request began with %s", args[1])
			}
		}
	case "asked":
		want, err := strconv.Atoi(args[2])
		ts.Check(err)
		if n := f.Count(args[1]); n != want {
			ts.Fatalf("%d requests began with %s, want %d", n, args[1], want)
		}
	}
}
