package lint

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

var update = flag.Bool("update", false, "write the goldens anew")

// golden is a document in testdata: err/RULE-WHAT.json with what is found in it
// in err/RULE-WHAT.out, or ok/RULE-WHAT.json in which RULE finds nothing. The
// settings stand in RULE-WHAT.settings, if there are any; a name that ends
// .env.json is a document for env mode.
type golden struct{ path, rule string }

func goldens(t *testing.T, folder string) (all []golden) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", folder, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		g := golden{path: path}
		for _, r := range Rules() {
			if strings.HasPrefix(filepath.Base(path), r.ID+"-") && len(r.ID) > len(g.rule) {
				g.rule = r.ID
			}
		}
		if g.rule == "" {
			t.Errorf("%s begins with the name of no rule", path)
		}
		all = append(all, g)
	}
	return all
}

// AllBackends are all that there are, as a program hands them over.
var AllBackends = func() (all []Backend) {
	for _, f := range sources.Table {
		all = append(all, Backend{f.Type, f.Block, f.Keys, f.CheckName})
	}
	return all
}()

// found returns what is found in a document, a line a finding.
func (g golden) found(t *testing.T) (lines []string, rules map[string]bool) {
	t.Helper()
	doc, err := walker.ReadFile(g.path)
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{Backends: AllBackends, Env: strings.HasSuffix(g.path, ".env.json")}
	if text, err := os.ReadFile(strings.TrimSuffix(g.path, ".json") + ".settings"); err == nil {
		if opts.Settings, err = ParseSettings(text); err != nil {
			t.Fatalf("%s: %v", g.path, err)
		}
	}
	rules = map[string]bool{}
	for _, f := range Check(doc, opts) {
		pos := doc.Position(f.Span.Start)
		lines = append(lines, fmt.Sprintf("%d:%d: %s: %s: %s [%s]", pos.Line, pos.Column, f.Severity, f.Path, f.Message, f.Rule))
		if f.Hint != "" {
			lines = append(lines, "  hint: "+f.Hint)
		}
		if f.Fix != nil {
			lines = append(lines, "  fix: "+showFix(f.Fix))
		}
		rules[f.Rule] = true
	}
	return lines, rules
}

// showFix shows a repair that writes no more than a reference or a version.
func showFix(e *Edit) string {
	text := strings.TrimSpace(e.Text)
	if bare := strings.Trim(text, `"`); walker.Refers(bare) || len(bare) < 2 || strings.HasPrefix(text, `"version"`) {
		return text
	}
	return "yes"
}

func TestGoldens(t *testing.T) {
	bad, good := map[string]int{}, map[string]int{}
	var all sync.WaitGroup
	for _, g := range goldens(t, "err") {
		bad[g.rule]++
		// Together, so that no run may lean on another.
		all.Go(func() {
			lines, rules := g.found(t)
			if !rules[g.rule] {
				t.Errorf("%s: %s finds nothing", g.path, g.rule)
			}
			got := strings.Join(lines, "\n") + "\n"
			out := strings.TrimSuffix(g.path, ".json") + ".out"
			if *update {
				if err := os.WriteFile(out, []byte(got), 0o644); err != nil {
					t.Error(err)
				}
				return
			}
			want, err := os.ReadFile(out)
			if err != nil {
				t.Errorf("%v; write it with go test ./walker/lint -update", err)
			}
			if got != string(want) {
				t.Errorf("%s:\ngot\n%swant\n%s", g.path, got, want)
			}
		})
	}
	for _, g := range goldens(t, "ok") {
		good[g.rule]++
		all.Go(func() {
			if lines, rules := g.found(t); rules[g.rule] {
				t.Errorf("%s: %s", g.path, strings.Join(lines, "\n"))
			}
		})
	}
	all.Wait()
	for _, r := range Rules() {
		if _, err := os.Stat("rule_" + strings.ReplaceAll(r.ID, "-", "_") + ".go"); err != nil {
			t.Errorf("%s has no file of its own: %v", r.ID, err)
		}
		if bad[r.ID] < 2 || good[r.ID] < 2 {
			t.Errorf("%s has %d failing and %d passing documents; two of each are the least", r.ID, bad[r.ID], good[r.ID])
		}
	}
}
