package render_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
)

// every is a source that has every secret, and in it every key that one of the
// documents asks for. What it returns suits every field.
type every struct {
	keys map[string]map[string]string // of the secrets that are used by a key
}

func valueFor(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "sk-bf-" + hex.EncodeToString(sum[:8])
}

func (e *every) add(doc *walker.Document) {
	doc.Walk(func(f *walker.Field) bool {
		if f.Ref.Fragment {
			if e.keys[f.Ref.Name] == nil {
				e.keys[f.Ref.Name] = map[string]string{}
			}
			e.keys[f.Ref.Name][f.Ref.Key] = valueFor(f.Ref.Name + "#" + f.Ref.Key)
		}
		return true
	})
}

func (e *every) text(name string) string {
	if keys := e.keys[name]; keys != nil {
		text, err := json.Marshal(keys)
		if err != nil {
			panic(err) // strings alone
		}
		return string(text)
	}
	return valueFor(name)
}

func (e *every) Fetch(_ context.Context, names []string) map[string]sources.Result {
	out := map[string]sources.Result{}
	for _, name := range names {
		out[name] = sources.Result{Value: sources.NewSecret([]byte(e.text(name)))}
	}
	return out
}

func (e *every) Plan(names []string) sources.Calls  { return sources.Calls{Single: len(names)} }
func (e *every) Ping(context.Context, string) error { return nil }
func (e *every) Describe() string                   { return "memory" }
func (e *every) Close() error                       { return nil }

// seen is what stands in a field of a rendered document.
type seen struct{ path, what, text string }

// rendered returns the fields of a document once it is rendered, and the paths of
// those whose values do not suit them. What cannot be rendered at all, since it
// is no reference, stays as it is.
func (e *every) rendered(t *testing.T, doc *walker.Document, mode render.Mode, exempt []string) (fields []seen, refused []string) {
	t.Helper()
	backend := sources.Backend{Facts: sources.Facts{Type: "memory", Block: "memory"}}
	store, err := render.StoreFromFlags(backend.Type, nil, []sources.Backend{backend})
	if err != nil {
		t.Fatal(err)
	}
	plan, _ := render.NewPlan(doc, store, render.Options{
		Mode: mode, Literal: exempt, Getenv: func(name string) (string, bool) { return valueFor("variable " + name), true },
	})
	r, err := plan.Resolve(t.Context(), e)
	var problems *render.Problems
	if errors.As(err, &problems) {
		for _, one := range problems.List {
			for _, place := range one.Places {
				refused = append(refused, place.Path)
			}
		}
		return nil, refused
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := walker.Parse("rendered", r.Document())
	if err != nil {
		t.Fatalf("what is rendered is no document: %v", err)
	}
	out.Walk(func(f *walker.Field) bool {
		text := f.Ref.String()
		if f.What != walker.Ref {
			text = f.Text()
		}
		if f.Entry != nil {
			fields = append(fields, seen{f.Path, f.What.String(), text})
		}
		return true
	})
	return fields, nil
}

// expected returns what a field holds after rendering if text stands in it.
func (e *every) expected(f *walker.Field, text string, mode render.Mode) seen {
	ref, err := walker.ParseReference(text)
	switch {
	case err != nil || ref.IsZero():
		return seen{f.Path, "literal", text}
	case ref.Scheme == walker.Env && f.Entry.Env != walker.Unsupported:
		return seen{f.Path, "reference", ref.String()}
	case ref.Scheme == walker.Env:
		return seen{f.Path, "literal", valueFor("variable " + ref.Name)}
	case mode == render.EnvMode && f.Entry.Env == walker.Supported:
		return seen{f.Path, "reference", "env." + render.EnvName(ref)}
	case ref.Fragment:
		return seen{f.Path, "literal", valueFor(ref.Name + "#" + ref.Key)}
	}
	return seen{f.Path, "literal", e.text(ref.Name)}
}

// mended reports whether a repair changes the meaning of a field, which is the
// point of it: what was meant as a reference and is none becomes that reference,
// and null becomes empty. All other repairs write the same thing in another way.
func mended(f *walker.Field, c change) bool {
	if slices.Contains(c.rules, "reference-syntax") || slices.Contains(c.rules, "null-secret") {
		return true
	}
	return slices.Contains(c.rules, "object-form") && f.What != walker.Ref && (f.What == walker.Broken || refers(written(c)))
}

// change is a repair, and the rules whose findings it repairs.
type change struct {
	lint.Edit
	rules []string
}

func refers(text string) bool {
	return strings.HasPrefix(text, "env.") || strings.HasPrefix(text, "vault.")
}

// written returns the text that a repair writes.
func written(c change) string {
	f := walker.NewField(nil, "", []byte(c.Text))
	if f.What == walker.Ref {
		return f.Ref.String()
	}
	return f.Text()
}

// checkRepair renders a document before and after its repair. Every field must
// hold the same in both, but for those that are mended: they must hold what the
// repaired text stands for. It returns how many repairs it has seen of each sort.
func checkRepair(t *testing.T, doc *walker.Document, mode render.Mode) (kept, changed int) {
	t.Helper()
	repaired := lint.Repair(doc, lint.Options{Env: mode == render.EnvMode})
	if repaired.Repaired == 0 {
		return 0, 0
	}
	e := &every{keys: map[string]map[string]string{}}
	e.add(doc)
	e.add(repaired.Document)
	var before, after []seen
	var exempt []string // of a value that does not suit them, on either side
	for {
		var refused, more []string
		before, refused = e.rendered(t, doc, mode, exempt)
		after, more = e.rendered(t, repaired.Document, mode, exempt)
		if refused = append(refused, more...); len(refused) == 0 {
			break
		}
		if slices.Contains(exempt, refused[0]) {
			t.Fatalf("%s is refused again", refused[0])
		}
		exempt = append(exempt, refused...)
	}
	at := map[int]change{}
	for _, f := range repaired.Found {
		if f.Fix != nil {
			at[f.Fix.Start] = change{*f.Fix, append(at[f.Fix.Start].rules, f.Rule)}
		}
	}
	var inside []walker.Span // the vault_store block, which is not rendered
	members := doc.Members("config_store", "vault_store")
	for _, m := range members {
		inside = append(inside, m.Value)
	}
	i := 0
	doc.Walk(func(f *walker.Field) bool {
		if f.Entry == nil || slices.ContainsFunc(inside, func(s walker.Span) bool { return s.Start <= f.Start && f.Start < s.End }) {
			return true
		}
		if i >= len(before) || i >= len(after) {
			t.Fatalf("%d fields before and %d after the repair, and %s is another\n%s", len(before), len(after), f.Path, repaired.Document.Bytes())
		}
		want, got := before[i], after[i]
		i++
		if slices.Contains(exempt, f.Path) {
			return true
		}
		if c, ok := at[f.Start]; ok && c.End == f.End {
			if mended(f, c) {
				want = e.expected(f, written(c), mode)
				changed++
			} else {
				kept++
			}
		}
		if got != want {
			t.Errorf("%s mode: %s is rendered as %s %q after the repair, want %s %q\n%s", mode, got.path, got.what, got.text, want.what, want.text, doc.Bytes())
		}
		return true
	})
	if i != len(before) || i != len(after) {
		t.Errorf("%d fields: %d before the repair and %d after\n%s", i, len(before), len(after), repaired.Document.Bytes())
	}
	return kept, changed
}

const lintCases = "../walker/lint/testdata/err/*.json"

// What lint --fix writes renders as the document did before.
func TestRepairRendersTheSame(t *testing.T) {
	files, err := filepath.Glob(lintCases)
	if err != nil {
		t.Fatal(err)
	}
	kept, changed := 0, 0
	for _, name := range files {
		doc, err := walker.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, mode := range []render.Mode{render.Inline, render.EnvMode} {
			k, c := checkRepair(t, doc, mode)
			kept, changed = kept+k, changed+c
		}
	}
	if kept < 20 || changed < 50 {
		t.Errorf("only %d fields were written in another way, and %d mended: are there no cases?", kept, changed)
	}
}

// fieldsOf returns a document with the value in fields of several sorts.
func fieldsOf(value string) []byte {
	v := walker.Quote(strings.ToValidUTF8(value, "?"))
	return []byte(strings.NewReplacer("VALUE", v, "PART", v[1:len(v)-1]).Replace(`{
  "providers": {"a": {"keys": [{"name": "a", "value": VALUE}, {"name": "b", "value": {"value": VALUE}}, {"name": "c", "value": {"value": VALUE, "env_var": VALUE}},
      {"name": "d", "value": {"ref": VALUE}}, {"name": "e", "value": {"value": "", "ref": VALUE, "type": "env"}}, {"name": "f", "value": {"value": VALUE, "type": "Vault"}},
      {"name": "g", "value": {"ref": VALUE, "type": "vault"}}, {"name": "h", "value": "\/PART"}, {"name": "i", "value": "PART\/"}, {"name": "j", "value": " PART"},
      {"name": "k", "value": null, "vertex_key_config": {"auth_credentials": {"type": VALUE}}}], "network_config": {"base_url": VALUE, "extra_headers": {"X": VALUE}}}},
  "governance": {"virtual_keys": [{"value": VALUE}]},
  "plugins": [{"name": "own", "config": {"x": [VALUE]}}, {"name": "otel", "version": 1, "config": {"headers": {"token": VALUE}}}]
}`))
}

func FuzzRepairRendersTheSame(f *testing.F) {
	files, err := filepath.Glob(lintCases)
	if err != nil || len(files) == 0 {
		f.Fatal(err, "no documents")
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, "", strings.HasSuffix(name, ".env.json"))
	}
	for _, value := range []string{"ENV.A", " vault.a#b ", "${A}", "env.a", "vault.a", "\"vault.a\"", "A", "😀", "env.vault.x"} {
		f.Add([]byte("{}"), value, false)
		f.Add([]byte("{}"), value, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, value string, env bool) {
		if value != "" {
			data = fieldsOf(value)
		}
		doc, err := walker.Parse("config.json", data)
		if err != nil {
			return
		}
		mode := render.Inline
		if env {
			mode = render.EnvMode
		}
		checkRepair(t, doc, mode)
	})
}
