package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/sources/awssecrets/awstest"
)

// writingCommands are the commands that write to a backend, as far as they take
// what they write from a config, and the one that shows what they would take.
var writingCommands = [][]string{
	{"init", "--type", "file", "--write", "--verbose"},
	{"init", "--json"},
	{"store", "--gateway", "gw", "--verbose"},
	{"store", "--gateway", "gw", "--json"},
	{"store", "--gateway", "gw", "--yes"},
	{"prune", "--gateway", "gw", "--verbose"},
	{"prune", "--gateway", "gw", "--yes", "--json", "--trash", "bin", "--trash-recipients", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"},
}

// TestCanaryStore looks for the secrets of a config in what is said of them on
// their way into a backend, and in all that is written beside the values.
func TestCanaryStore(t *testing.T) {
	t.Parallel()
	a, b, large := canary("a"), canary("b"), strings.Repeat(canary("large"), 4000)
	const store = `, "config_store": {"enabled": false, "vault_store": {"enabled": true, "type": "aws-secrets-manager", "access_mode": "read_and_write", "aws": {"region": "us-east-1"}}}`
	two := keysFor(store, a, b)
	const always = awstest.Always
	for name, tt := range map[string]struct {
		faults awstest.Faults
		config string
		before func(*awstest.Fake)
		fine   bool
	}{
		"all is well":        {fine: true},
		"creating is denied": {faults: awstest.Faults{DenyActions: []string{"CreateSecret"}}},
		"looking is denied":  {faults: awstest.Faults{DenyActions: []string{"DescribeSecret"}}},
		"500":                {faults: awstest.Faults{Fail: always}},
		"garbled":            {faults: awstest.Faults{Garble: always}},
		"reset":              {faults: awstest.Faults{Reset: always}},
		"rejected":           {faults: awstest.Faults{Reject: "InvalidRequestException"}},
		"foreign":            {before: func(f *awstest.Fake) { f.Put("bifrost/config_keys/0/value", a) }},
		"too large":          {config: keysFor(store, a, large)},
		"twice":              {config: strings.ReplaceAll(two, `"name": "1"`, `"name": "0"`)},
		"quoted":             {config: keysFor(store, `"`+a+`"`, b)},
		"a line break":       {config: keysFor(store, a+"\n", b)},
		"as a name":          {config: strings.ReplaceAll(two, `"name": "1"`, `"name": ""`), fine: true},
		"unresolved":         {config: keysFor(store, a, "vault.none"), fine: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := awstest.StartFake(t)
			if tt.before != nil {
				tt.before(f)
			}
			f.Set(tt.faults)
			config := tt.config
			if config == "" {
				config = two
			}
			dir := t.TempDir()
			write(t, filepath.Join(dir, "config.json"), config)
			write(t, filepath.Join(dir, "out.json"), config) // which is written, and the other is not
			m := marked(a, b, canary("large"), canaryID, canaryKey, canaryToken)
			for _, command := range writingCommands {
				file, writes := "config.json", command[0] == "store" && slices.Contains(command, "--yes")
				if writes {
					file = "out.json"
				}
				args := slices.Concat(command, []string{"--config", file})
				code, stdout, stderr := process(t, dir, awsEnv(f.URL), args...)
				said := strings.Join(args, " ") + "\n" + stdout + stderr
				if found := m.in([]byte(stdout + stderr)); found != "" {
					t.Errorf("a secret was printed, as %q, by %s", found, said)
				}
				if strings.Contains(stderr, "goroutine ") {
					t.Errorf("it crashed: %s", said)
				}
				if writes && (code != exitDone) == tt.fine {
					t.Errorf("ended with %d: %s", code, said)
				}
			}
			text, err := os.ReadFile(filepath.Join(dir, "config.json"))
			if err != nil || string(text) != config {
				t.Errorf("the config was touched: %v", err)
			}
			text, err = os.ReadFile(filepath.Join(dir, "out.json"))
			if !tt.fine {
				if string(text) != config {
					t.Errorf("a config was written all the same: %v", err)
				}
				return
			}
			if found := m.in(text); err != nil || found != "" {
				t.Errorf("%v, and in the config that was written there is %q", err, found)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
