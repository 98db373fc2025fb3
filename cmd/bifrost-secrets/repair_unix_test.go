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

// What becomes of the published file is found by the next refresh and put right,
// without a restart. Where it is as it was, nothing is written.
func TestExecRepairsWhatIsPublished(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	out := filepath.Join(s.app, "config.json")
	r := s.stub()
	r.says("started CANARY-1")
	want := s.published()
	first, err := os.Stat(out)
	if err != nil {
		t.Fatal(err)
	}
	r.signal(syscall.SIGHUP)
	r.logs(`"trigger":"signal","result":"unchanged"`)
	if now, err := os.Stat(out); err != nil || !os.SameFile(first, now) || !now.ModTime().Equal(first.ModTime()) {
		t.Errorf("what was right was written: %v", err)
	}
	for name, harm := range map[string]func() error{
		"deleted": func() error { return os.Remove(out) },
		"changed": func() error {
			return os.WriteFile(out, []byte(strings.ReplaceAll(want, "CANARY-1", "CANARY-x")), 0o600)
		},
		"emptied":  func() error { return os.Truncate(out, 0) },
		"for all":  func() error { return os.Chmod(out, 0o644) },
		"replaced": func() error { return os.Rename(filepath.Join(s.secrets, "vk"), out) },
	} {
		if err := harm(); err != nil {
			t.Fatal(err)
		}
		if name == "replaced" {
			s.put("vk", "sk-bf-CANARY-1")
		}
		r.signal(syscall.SIGHUP)
		r.logs("it was restored")
		info, err := os.Stat(out)
		if err != nil || info.Mode() != 0o600 || s.published() != want {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	// Before a start too.
	if err := os.Remove(out); err != nil {
		t.Fatal(err)
	}
	r.signal(syscall.SIGUSR1)
	r.says("usr1")
	r.signal(syscall.SIGUSR2)
	r.says("usr2") // and nothing of a restart before
	s.put("openai", "CANARY-2")
	r.says("started CANARY-2")
	r.signal(syscall.SIGTERM)
	r.ends(5)
}

// A child that is restarted for new values finds its config, also where the one
// before has taken that away at its end.
func TestExecStartsWithAConfig(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	r := s.exec([]string{"--mode", "env"}, "sh", "-c",
		`trap 'rm "$APP_DIR/config.json"; exit 0' TERM; echo "has $(grep -c env.BIFROST_SECRET_ "$APP_DIR/config.json")"; while :; do sleep 1 & wait $!; done`)
	r.says("has 1")
	s.put("openai", "CANARY-2")
	r.logs("it was restored")
	r.says("has 1")
	r.signal(syscall.SIGTERM)
	r.ends(0)
}

// The last good values of an earlier life are those that were published then.
func TestLastGoodIsWhatWasPublished(t *testing.T) {
	t.Parallel()
	s, f := awsHarness(t)
	r := s.stub("--start-from-last-good", "24h")
	r.says("started CANARY-1")
	r.signal(syscall.SIGTERM)
	r.ends(5)
	f.Set(awstest.Faults{Hang: true})
	options := []string{"--start-from-last-good", "24h", "--timeout", "1s"}
	r = s.stub(options...)
	r.logs("started with the last good values")
	r.says("started CANARY-1")
	r.signal(syscall.SIGTERM)
	r.ends(5)
	out, state := filepath.Join(s.app, "config.json"), filepath.Join(s.app, "config.json.state")
	soon := time.Now().Add(time.Hour)
	if err := os.Chtimes(state, soon, soon); err != nil {
		t.Fatal(err)
	}
	r = s.stub(options...)
	r.logs("are of a time to come")
	r.ends(125)
	now := time.Now()
	if err := os.Chtimes(state, now, now); err != nil {
		t.Fatal(err)
	}
	s.write(out, strings.ReplaceAll(s.published(), "sk-bf-CANARY-1", "sk-bf-CANARY-x"))
	r = s.stub(options...)
	r.logs("is not the one that was published")
	r.ends(125)
	// A record that is damaged is not replaced in silence, and its warning says what to do.
	s.write(state, `{"encr`)
	f.Set(awstest.Faults{})
	r = s.exec(nil, "true")
	if line := r.logs("cannot be recorded as such"); !strings.Contains(line, "remove it") {
		t.Errorf("no hint: %s", line)
	}
	if line := r.logs("Bifrost ended"); !strings.Contains(line, "has to stay in the foreground") {
		t.Errorf("no hint at a command that is over at once: %s", line)
	}
	r.ends(0)
}
