//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bifrost-secrets/sources/awssecrets/awstest"
)

// In an outage the file that is there serves where that is asked for, on the first
// day that it is, and is made fresh later. A start that fails names it.
func TestExecFromLastGood(t *testing.T) {
	t.Parallel()
	s, f := awsHarness(t)
	fails := func(faults awstest.Faults, options ...string) string {
		t.Helper()
		f.Set(faults)
		timeout := "1h" // else a busy machine makes an outage of an answer
		switch {
		case faults.Status == 503:
			timeout = "2s"
		case len(options) == 0 && (faults.Reject == "ExpiredTokenException" || faults.Reject == "UnrecognizedClientException"):
			timeout = "5s" // for which a login that is refused is tried again
		}
		r := s.stub(append(options, "--timeout", timeout)...)
		r.ends(125)
		return strings.Join(r.all, "\n")
	}
	down, hint := awstest.Faults{Status: 503}, "hint: the last good values, "
	if log := fails(down); strings.Contains(log, hint) {
		t.Errorf("a hint at what is not there: %s", log)
	}
	f.Set(awstest.Faults{})
	r := s.stub() // which asks for nothing
	r.says("started CANARY-1")
	r.signal(syscall.SIGTERM)
	r.ends(5)
	state := filepath.Join(s.app, "config.json.state")
	if info, err := os.Stat(state); err != nil || info.Mode() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	old := time.Now().Add(-30 * time.Hour)
	if err := os.Chtimes(state, old, old); err != nil {
		t.Fatal(err)
	}
	if log := fails(down); !strings.Contains(log, hint+"30h0m") || !strings.Contains(log, "--start-from-last-good 31h would start Bifrost with them") {
		t.Errorf("no hint: %s", log)
	}
	if log := fails(down, "--start-from-last-good", "29h"); !strings.Contains(log, "the last good values cannot be used to start") {
		t.Errorf("too old, and: %s", log)
	}
	f.Put("openai", "CANARY-2")
	f.Set(down)
	r = s.stub("--start-from-last-good", "31h")
	r.logs("started with the last good values")
	r.says("started CANARY-1")
	f.Set(awstest.Faults{})
	r.says("started CANARY-2")
	r.signal(syscall.SIGTERM)
	r.ends(5)

	// An answer is no outage.
	gone := f.ARN("vk")
	for name, faults := range map[string]awstest.Faults{
		"denied":           {Reject: "AccessDeniedException"},
		"a refused login":  {Reject: "UnrecognizedClientException"},
		"an expired login": {Reject: "ExpiredTokenException"},
		"a deleted secret": {},
	} {
		if name == "a deleted secret" {
			f.Mark(gone, awstest.Deleted)
		}
		for _, options := range [][]string{nil, {"--start-from-last-good", "1000h"}} {
			if log := fails(faults, options...); strings.Contains(log, "last good") {
				t.Errorf("%s, %v: %s", name, options, log)
			}
		}
	}
	// Not those of another document, nor those of env mode, which has none.
	path := filepath.Join(s.app, "config.source.json")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s.write(path, string(content)+" ")
	if log := fails(down, "--start-from-last-good", "1h"); !strings.Contains(log, "the config was edited since") {
		t.Errorf("edited, and: %s", log)
	}
	if log := fails(down); strings.Contains(log, hint) {
		t.Errorf("edited, and: %s", log)
	}
	s.write(path, string(content))
	if log := fails(down); !strings.Contains(log, hint) {
		t.Errorf("no hint: %s", log)
	}
	// Nor those of another source, where that is told apart from the document.
	store := filepath.Join(s.app, "store.json")
	started := func(options ...string) {
		t.Helper()
		f.Set(awstest.Faults{})
		r := s.stub(options...)
		r.says("started CANARY-2")
		r.signal(syscall.SIGTERM)
		r.ends(5)
		f.Set(down)
		r = s.stub(append(options, "--start-from-last-good", "1h")...)
		r.logs("started with the last good values")
		r.says("started CANARY-2")
		r.signal(syscall.SIGTERM)
		r.ends(5)
	}
	another := func(options ...string) {
		t.Helper()
		if log := fails(down, append(options, "--start-from-last-good", "1h")...); !strings.Contains(log, "the vault_store is another one than when the last good values were rendered") {
			t.Errorf("%v, and: %s", options, log)
		}
	}
	f.Mark(gone, awstest.Readable)
	s.write(store, `{"type":"aws-secrets-manager"}`)
	started("--vault-store", store)
	another()
	s.write(store, `{"type":"aws-secrets-manager","aws":{"region":"us-west-1"}}`)
	another("--vault-store", store)
	if log := fails(down, "--vault-store", store); strings.Contains(log, hint) {
		t.Errorf("another vault_store, and: %s", log)
	}
	started("--vault-type", "aws-secrets-manager")
	another("--vault-type", "aws-secrets-manager", "--vault-set", "region=us-west-1")
	s.write(filepath.Join(s.app, "config.json"), `{"providers":{"openai":{"keys":[{"value":"env.BIFROST_SECRET_0"}]}}}`)
	if log := fails(down, "--start-from-last-good", "1h"); !strings.Contains(log, "is of --mode env, and holds no values") {
		t.Errorf("of env mode, and: %s", log)
	}
}

// The last good values are those that are published, also where not all of the newest
// ones could be had, and where Bifrost has rejected some.
func TestExecFromLastGoodInTrouble(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*awstest.Fake)
		says   []string
		starts string
	}{
		"partly failed": {func(f *awstest.Fake) { f.Mark(f.ARN("vk"), awstest.Deleted); f.Put("openai", "CANARY-2") }, []string{"term", "started CANARY-2 "}, "started CANARY-2 "},
		"rejected":      {func(f *awstest.Fake) { f.Put("openai", "BAD") }, []string{"term", "dies", "started CANARY-1 "}, "started CANARY-1 "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, f := awsHarness(t)
			r := s.stub()
			r.says("started CANARY-1 ")
			state := filepath.Join(s.app, "config.json.state")
			old := time.Now().Add(-20 * time.Hour)
			if err := os.Chtimes(state, old, old); err != nil {
				t.Fatal(err)
			}
			test.change(f)
			r.signal(syscall.SIGHUP)
			for _, line := range test.says {
				r.says(line)
			}
			r.signal(syscall.SIGTERM)
			r.ends(5)
			info, err := os.Stat(state)
			if err != nil {
				t.Fatal(err)
			}
			if age := time.Since(info.ModTime()); name == "partly failed" && age < 19*time.Hour {
				t.Errorf("the values are taken to be of %s ago", age)
			}
			f.Set(awstest.Faults{Status: 503})
			r = s.stub("--start-from-last-good", "24h")
			r.logs("started with the last good values")
			r.says(test.starts)
			r.signal(syscall.SIGTERM)
			r.ends(5)
		})
	}
}
