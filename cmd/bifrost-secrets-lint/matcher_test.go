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

// matcher is what makes a problem of a line, for GitHub and for VS Code.
type matcher struct {
	Owner, Severity string
	FileLocation    []string
	Pattern         pattern
}

type pattern struct {
	Regexp                                string
	File, Line, Column, Severity, Message int
}

// UnmarshalJSON takes the one pattern that GitHub has in a list.
func (p *pattern) UnmarshalJSON(text []byte) error {
	type plain pattern
	return json.Unmarshal(bytes.Trim(text, "[] \n"), (*plain)(p))
}

func decode(t *testing.T, text []byte, into any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The problem matchers make one annotation of each finding that lint prints, and none
// of what it prints beside them. A document that cannot be read is one too.
func TestGitHubMatcher(t *testing.T) {
	var file struct {
		Matchers []matcher `json:"problemMatcher"`
	}
	decode(t, read(t, "deploy/github/bifrost-secrets-matcher.json"), &file)
	matches(t, file.Matchers, "notice") // as GitHub calls a note
}

// So does that of the page for editors, in a task that runs lint.
func TestVSCodeMatcher(t *testing.T) {
	page := string(read(t, "docs/editors.md"))
	_, block, _ := strings.Cut(page, "```json\n{\n  \"version\"")
	block, _, _ = strings.Cut(block, "```")
	var file struct {
		Version string
		Tasks   []struct {
			Label, Type, Command string
			Args                 []string
			Matcher              matcher `json:"problemMatcher"`
		}
	}
	decode(t, []byte("{\"version\""+block), &file)
	task := file.Tasks[0]
	if task.Command != "bifrost-secrets" || task.Args[0] != "lint" || len(task.Args) != 2 {
		t.Errorf("the task runs %s %q", task.Command, task.Args)
	}
	matches(t, []matcher{task.Matcher}, "note")
}

// matches checks what matchers make of lint's output; note is what a note is called.
func matches(t *testing.T, matchers []matcher, note string) {
	t.Helper()
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
		severity := strings.Replace(f.Severity, "note", note, 1)
		want = append(want, fmt.Sprintf("%s %s:%d:%d: %s [%s]", severity, f.File, f.Line, f.Column, f.Message, f.Rule))
	}
	var got []string
	stdout, stderr := lint()
	for line := range strings.Lines(stdout + stderr) {
		for _, m := range matchers {
			p := m.Pattern
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
