//go:build unix

package watch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/render"
)

// A command is told the paths, never a value, and gets nothing of our own.
func TestCommand(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "env")
	c := &Command{Line: "env > " + out + "; cat /proc/$$/cmdline >> " + out, Out: "/app/data/config.json", Env: func() []string { return []string{"PATH=" + os.Getenv("PATH"), "KEPT=yes"} }, Timeout: 2 * time.Minute}
	u := updateOf(t, render.Inline, func(u *Update) { u.Edited = true })
	got := c.Apply(t.Context(), u)
	check(t, len(got), 3)
	for _, o := range got {
		check(t, o.State, Delivered)
	}
	content, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for _, want := range []string{
		"BIFROST_SECRETS_TRIGGER=tick\n", "BIFROST_SECRETS_COUNT=2\n", "BIFROST_SECRETS_EDITED=1\n", "BIFROST_SECRETS_OUT=/app/data/config.json\n", "KEPT=yes\n",
		"BIFROST_SECRETS_CHANGED=providers.openai.keys[0].value\ngovernance.virtual_keys[0].value\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
	for _, value := range []string{"sk-1", "sk-bf-1"} {
		if strings.Contains(text, value) {
			t.Errorf("a value was handed to the command: %q", text)
		}
	}
}

func TestCommandFails(t *testing.T) {
	for line, want := range map[string]string{
		"false":             "the command failed: exit status 1",
		"exit 7":            "the command failed: exec: \"exit\": executable file not found in $PATH", // plain words are no shell
		"(exit 7)":          "the command failed: exit status 7",
		"sleep 600 & wait":  "the command failed: not done within 100ms (--apply-timeout)",
		"sleep 600":         "the command failed: not done within 100ms (--apply-timeout)",
		"no-such-program x": "the command failed: exec: \"no-such-program\": executable file not found in $PATH",
	} {
		c := &Command{Line: line, Env: os.Environ, Timeout: 2 * time.Minute}
		if strings.Contains(want, "100ms") {
			c.Timeout = 100 * time.Millisecond
		}
		began := time.Now()
		got := c.Apply(t.Context(), updateOf(t, render.Inline, func(*Update) {}))
		check(t, len(got), 2)
		check(t, got[0].State, Failed)
		check(t, got[0].Reason, want)
		if took := time.Since(began); took > 5*time.Minute {
			t.Errorf("%s took %v", line, took)
		}
	}
}

// It is not run for what Bifrost has read or will read by itself.
func TestCommandNotRun(t *testing.T) {
	c := &Command{Line: "false", Timeout: 2 * time.Minute}
	for _, u := range []Update{
		updateOf(t, render.Inline, func(u *Update) { u.Trigger = Start }),
		updateOf(t, render.Inline, func(u *Update) { u.Trigger = Restarted }),
	} {
		for _, o := range c.Apply(t.Context(), u) {
			if o.State == Failed {
				t.Errorf("%s: %+v", u.Trigger, o)
			}
		}
	}
}

// A command that failed at the start is run again, as a retry.
func TestCommandAgain(t *testing.T) {
	out := filepath.Join(t.TempDir(), "env")
	c := &Command{Line: "env > " + out, Env: os.Environ, Timeout: 2 * time.Minute}
	for _, o := range c.Apply(t.Context(), updateOf(t, render.Inline, func(u *Update) { u.Trigger, u.Again = Start, true })) {
		check(t, o.State, Delivered)
	}
	content, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	check(t, strings.Contains(string(content), "BIFROST_SECRETS_TRIGGER=retry\n"), true)
}
