package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"

	"bifrost-secrets/sources/azurevault"
	"bifrost-secrets/sources/azurevault/azuretest"
	"bifrost-secrets/sources/cloudtest"
	"bifrost-secrets/sources/gcpsecrets"
	"bifrost-secrets/sources/gcpsecrets/gcptest"

	"github.com/rogpeppe/go-internal/testscript"
)

// cloud is what a script talks to instead of GCP or Azure, through the proxy
// that the environment names: nothing else leads there.
type cloud struct {
	*cloudtest.Gate
	put   func(name, text string) // of a vault, by the name of a reference
	asked int
}

// doCloud starts a cloud of the script's own: cloud gcp, or cloud azure.
func doCloud(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "cloud name")
	dir := filepath.Join(ts.Getenv("WORK"), ".cloud")
	ts.Check(os.MkdirAll(dir, 0o700))
	var server *cloudtest.Server
	switch args[0] {
	case "gcp":
		f, err := gcptest.New(dir)
		ts.Check(err)
		server = f.Server
		ts.Setenv("GCP_CREDENTIALS", gcptest.Credentials())
		of(ts).cloud = &cloud{Gate: f.Gate, put: func(name, text string) {
			id, bad := gcpsecrets.Names.ID(name)
			if bad != nil {
				ts.Fatalf("%v", bad)
			}
			f.Put(id, []byte(text))
		}}
	case "azure":
		f, err := azuretest.New(dir)
		ts.Check(err)
		server = f.Server
		ts.Setenv("AZ_TENANT", azuretest.Tenant)
		ts.Setenv("AZ_CLIENT", azuretest.ClientID)
		ts.Setenv("AZ_SECRET", azuretest.Password)
		of(ts).cloud = &cloud{Gate: f.Gate, put: func(name, text string) {
			id, bad := azurevault.Names.ID(name)
			if bad != nil {
				ts.Fatalf("%v", bad)
			}
			f.Put(id, text)
		}}
	default:
		ts.Fatalf("unknown cloud %q", args[0])
	}
	ts.Defer(server.Close)
	for name, value := range server.Env() {
		ts.Setenv(name, value)
	}
}

// doCloudSecret stores a value as a person does: cloud-secret name text.
func doCloudSecret(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "cloud-secret name text")
	of(ts).cloud.put(args[0], args[1])
}

// doCloudFault makes the cloud misbehave, by the fields of cloudtest.Faults.
func doCloudFault(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "cloud-fault json")
	var faults cloudtest.Faults
	ts.Check(json.Unmarshal([]byte(args[0]), &faults))
	of(ts).cloud.Set(faults)
}

// doCloudRequests checks how many requests there were since it was last asked.
func doCloudRequests(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "cloud-requests number")
	c := of(ts).cloud
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := c.Total() - c.asked; got != want {
		ts.Fatalf("%d requests, want %d", got, want)
	}
	c.asked = c.Total()
}
