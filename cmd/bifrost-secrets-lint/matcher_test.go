package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The problem matchers make one annotation of each finding that lint prints, and none
// of what it prints beside them. A document that cannot be read is one too.
func TestGitHubMatcher(t *testing.T) {
	text, err := os.ReadFile("../../deploy/github/bifrost-secrets-matcher.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Matchers []struct {
			Owner, Severity string
			Pattern         []struct {
				Regexp                                string
				File, Line, Column, Severity, Message int
			}
		} `json:"problemMatcher"`
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		t.Fatal(err)
	}
	broken := t.TempDir() + "/broken.json"
	if err := os.WriteFile(broken, []byte("{\"encryption_key\": \"x\",\n}"), 0o600); err != nil {
		t.Fatal(err)
	}
	lint := func(args ...string) (stdout, stderr string) {
		var out, errs bytes.Buffer
		run(append(args, "--fail-on", "note", "../../walker/lint/testdata/err", broken), strings.NewReader(""), &out, &errs, nil)
		return out.String(), errs.String()
	}
	report, _ := lint("--json")
	var findings []struct {
		File, Rule, Severity, Message string
		Line, Column                  int
	}
	if err := json.Unmarshal([]byte(report), &findings); err != nil || len(findings) < 200 {
		t.Fatalf("%d findings: %v", len(findings), err)
	}
	want := []string{fmt.Sprintf("error %s:1:23: a comma after the last element", broken)}
	for _, f := range findings {
		severity := strings.Replace(f.Severity, "note", "notice", 1) // as GitHub calls it
		want = append(want, fmt.Sprintf("%s %s:%d:%d: %s [%s]", severity, f.File, f.Line, f.Column, f.Message, f.Rule))
	}
	var got []string
	stdout, stderr := lint()
	for line := range strings.Lines(stdout + stderr) {
		for _, m := range file.Matchers {
			p := m.Pattern[0]
			if at := regexp.MustCompile(p.Regexp).FindStringSubmatch(strings.TrimSuffix(line, "\n")); at != nil {
				severity := m.Severity
				if p.Severity > 0 {
					severity = at[p.Severity]
				}
				got = append(got, fmt.Sprintf("%s %s:%s:%s: %s", severity, at[p.File], at[p.Line], at[p.Column], at[p.Message]))
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("annotations:\n%s\n\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
