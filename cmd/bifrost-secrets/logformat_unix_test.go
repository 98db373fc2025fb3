//go:build unix

package main

import (
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// All that goes to the standard error has one form in one run: what is wrong with
// the flags, the log, and what ends it.
func TestLogFormat(t *testing.T) {
	t.Parallel()
	type life struct {
		args []string
		code int
	}
	lives := func(s *harness) []life {
		config, out := filepath.Join(s.app, "config.source.json"), filepath.Join(s.dir, "out.json")
		return []life{
			{[]string{"exec", "--app-dir", s.app, "--listen", "none", "--vault-type", "file", "--vault-set", "path=" + s.app, "--", "true"}, 125}, // nothing resolves
			{[]string{"exec", "--app-dir", s.app, "--listen", "none", "--verbose", "--", "true"}, 0},
			{[]string{"exec", "--app-dir", s.app, "--nope", "--", "true"}, 125},
			{[]string{"exec", "--app-dir", s.app, "--listen", "none", "--", "./is-not-there"}, 127},
			{[]string{"watch", "--config", config, "--listen", "nonsense", "--out", out}, 2},
			{[]string{"render", "--config", config, "--out", out, "--vault-type", "file", "--vault-set", "path=" + s.app, "--verbose"}, 1},
			{[]string{"render", "--config", config, "--out", out}, 0},
			{[]string{"rendre"}, 2},
		}
	}
	form := func(line string) string {
		switch {
		case json.Valid([]byte(line)):
			return "json"
		case strings.HasPrefix(line, "time=") && strings.Contains(line, " level="):
			return "text"
		}
		return "people"
	}
	for name, how := range map[string]struct {
		flags []string
		env   string
		want  []string // of the daemons once they log, and of the others
	}{
		"unless said":        {nil, "", []string{"json", "people"}},
		"json":               {[]string{"--log-format", "json"}, "", []string{"json", "json"}},
		"json, by =":         {[]string{"--log-format=json"}, "", []string{"json", "json"}},
		"text":               {[]string{"--log-format", "text"}, "", []string{"text", "people"}},
		"json by variable":   {nil, "json", []string{"json", "json"}},
		"text by variable":   {nil, "text", []string{"text", "people"}},
		"the flag before it": {[]string{"--log-format", "text"}, "json", []string{"text", "people"}},
	} {
		s := newHarness(t)
		if how.env != "" {
			s.env = append(s.env, "BIFROST_SECRETS_LOG_FORMAT="+how.env)
		}
		for _, one := range lives(s) {
			r := s.start(append(append([]string{one.args[0]}, how.flags...), one.args[1:]...)...)
			r.ends(one.code)
			if len(r.all) == 0 && one.code != 0 {
				t.Errorf("%s: %v says nothing", name, one.args)
			}
			for _, line := range r.all {
				if got := form(line); got != form(r.all[0]) || got != how.want[0] && got != how.want[1] {
					t.Errorf("%s: %v is %s, and not like the first line, or not %v: %s", name, one.args, got, how.want, line)
				}
			}
		}
	}
	for _, args := range [][]string{{"--log-format", "xml"}, nil} {
		s := newHarness(t)
		if args == nil {
			s.env = append(s.env, "BIFROST_SECRETS_LOG_FORMAT=xml")
		}
		for _, one := range lives(s)[1:2] {
			r := s.start(append(append([]string{one.args[0]}, args...), one.args[1:]...)...)
			r.ends(125)
			if log := strings.Join(r.all, "\n"); !strings.Contains(log, "must be text or json") {
				t.Errorf("log: %s", log)
			}
		}
	}
}

// A line has no hint where there is nothing to say.
func TestLogWithoutHint(t *testing.T) {
	for _, format := range []logFormat{textLog, jsonLog} {
		for hint, want := range map[string]bool{"": false, "run again": true} {
			var line strings.Builder
			slog.New((&program{}).handler(&line, format)).Warn("it failed", "reason", "", "hint", hint)
			if got := line.String(); strings.Contains(got, "hint") != want || !strings.Contains(got, "reason") {
				t.Errorf("%s, with the hint %q: %s", format, hint, got)
			}
		}
	}
}

// Text is no log of a terminal alone: what ends a run of it is a line of it.
func TestLogFormatFatal(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	s.put("vk", "no virtual key")
	r := s.stub("--log-format", "text")
	r.logs("level=ERROR")
	r.ends(125)
	s.put("vk", "sk-bf-CANARY-1")
	r = s.stub("--log-format", "text")
	r.says("started")
	r.signal(syscall.SIGTERM)
	r.logs(`msg="SIGTERM came`)
	r.ends(5)
}
