package lint

import (
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/walkertest"
)

func parse(t testing.TB, text string) *walker.Document {
	t.Helper()
	d, err := walker.Parse("config.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRepair(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"nothing to do", `{"providers": {}}`, `{"providers": {}}`},
		{"wrong case", `{"encryption_key": "ENV.KEY"}`, `{"encryption_key": "env.KEY"}`},
		{"space", `{"encryption_key":  " env.KEY\t" }`, `{"encryption_key":  "env.KEY" }`},
		{"an escaped slash", `{"encryption_key": "vault.kv\/key"}`, `{"encryption_key": "vault.kv/key"}`},
		{"two rules one after the other", `{"encryption_key": " vault.kv\/key"}`, `{"encryption_key": "vault.kv/key"}`},
		{"a null", `{"providers": {"openai": {"keys": [{"name": "a", "value": null}]}}}`, `{"providers": {"openai": {"keys": [{"name": "a", "value": ""}]}}}`},
		{"an object over lines, CRLF", "{\r\n\"encryption_key\": {\r\n\"ref\": \"env.KEY\"\r\n}\r\n}\r\n", "{\r\n\"encryption_key\": \"env.KEY\"\r\n}\r\n"},
		{
			"a plugin's version",
			`{"plugins": [{"name": "maxim", "enabled": true, "config": {"api_key": "env.K"}}]}`,
			`{"plugins": [{"version": 2, "name": "maxim", "enabled": true, "config": {"api_key": "env.K"}}]}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := parse(t, tt.in)
			r := Repair(in, Options{})
			if got := string(r.Document.Bytes()); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
			if string(in.Bytes()) != tt.in {
				t.Error("the document itself was changed")
			}
			check(t, in, r)
		})
	}
}

// check holds what must be true of every repair, by going over its rounds.
func check(t testing.TB, in *walker.Document, r Result) {
	t.Helper()
	doc, repaired := in, 0
	for {
		findings := Check(doc, Options{})
		edits, n := choose(len(doc.Bytes()), findings)
		if n == 0 {
			break
		}
		repaired += n
		next, err := walker.Parse("f", splice(doc.Bytes(), edits))
		if err != nil {
			t.Fatal(err)
		}
		same(t, doc, next, findings)
		doc = next
	}
	if string(doc.Bytes()) != string(r.Document.Bytes()) || repaired != r.Repaired {
		t.Errorf("%d repairs make\n%q\nand not the %d of\n%q", repaired, doc.Bytes(), r.Repaired, r.Document.Bytes())
	}
	for _, f := range r.Findings {
		if f.Fix != nil {
			t.Errorf("a repair of %s is left at %s", f.Rule, f.Path)
		}
	}
}

// same makes sure that every field means what it meant, but where it is the very
// meaning that a rule repairs.
func same(t testing.TB, in, out *walker.Document, findings []Finding) {
	t.Helper()
	was, is := fields(in), fields(out)
	if len(was) != len(is) {
		t.Fatalf("%d fields became %d", len(was), len(is))
	}
	for i := range was {
		a, b := &was[i], &is[i]
		meant := a.Path == b.Path && a.What == b.What && a.Ref == b.Ref && (a.What == walker.Ref || a.Text() == b.Text())
		if !meant && !slices.ContainsFunc(findings, func(f Finding) bool {
			return f.Fix != nil && f.Fix.Start <= a.End && a.Start <= f.Fix.End && (f.Rule == "reference-syntax" || f.Rule == "null-secret")
		}) {
			t.Errorf("%s was %s %s and became %s %s %s", a.Path, a.What, a.Ref, b.Path, b.What, b.Ref)
		}
	}
}

func fields(d *walker.Document) (all []walker.Field) {
	d.Walk(func(f *walker.Field) bool {
		all = append(all, *f)
		return true
	})
	return all
}

// Repairs that rules do not make today: they overlap, meet, and lie outside.
func TestFixOverlaps(t *testing.T) {
	doc := parse(t, `{"a": "0123456789"}`)
	finding := func(rule string, start, end int, text string) Finding {
		return Finding{Rule: rule, Fix: &Edit{Span: walker.Span{Start: start, End: end}, Text: text}}
	}
	for _, tt := range []struct {
		name     string
		findings []Finding
		want     string
	}{
		{"none", []Finding{{Rule: "x"}}, `{"a": "0123456789"}`},
		{"out of order", []Finding{finding("x", 10, 11, "Y"), finding("x", 7, 8, "X")}, `{"a": "X12Y456789"}`},
		{"the same place twice", []Finding{finding("x", 7, 8, "X"), finding("y", 7, 8, "Y")}, `{"a": "X123456789"}`},
		{"overlapping", []Finding{finding("x", 7, 10, "X"), finding("y", 9, 12, "Y")}, `{"a": "X3456789"}`},
		{"neighbours", []Finding{finding("x", 7, 10, "X"), finding("y", 10, 12, "Y")}, `{"a": "XY56789"}`},
		{"an insertion before a replacement", []Finding{finding("x", 7, 8, "X"), finding("y", 7, 7, "Y")}, `{"a": "YX123456789"}`},
		{"two insertions at one place", []Finding{finding("x", 7, 7, "X"), finding("y", 7, 7, "Y")}, `{"a": "X0123456789"}`},
		{"outside", []Finding{finding("x", -1, 2, "X"), finding("x", 5, 2, "X"), finding("x", 5, 200, "X")}, `{"a": "0123456789"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			edits, _ := choose(len(doc.Bytes()), tt.findings)
			if got := string(splice(doc.Bytes(), edits)); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func FuzzRepair(f *testing.F) {
	f.Add([]byte(`{"encryption_key": " Vault.kv\/key"}`))
	f.Add([]byte(`{"plugins": [{"name": "x", "version": 1, "config": {"a": {"ref": "env.X"}, "api_key": "${K}"}}], "plugins": []}`))
	f.Add([]byte("{\"providers\": {\"a\": {\"keys\": [{\"value\": {\r\n\"ref\": \"env.X\"}}, {\"value\": null}, {\"value\": \"\\ud83d\\ude00\"}]}}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := walker.Parse("f", data)
		if err != nil {
			return
		}
		r := Repair(doc, Options{})
		check(t, doc, r)
		if again := Repair(r.Document, Options{}); again.Repaired > 0 {
			t.Errorf("a second repair changes %q to %q", r.Document.Bytes(), again.Document.Bytes())
		}
	})
}

// A document in which every value wants a repair.
func BenchmarkRepair(b *testing.B) {
	text := walkertest.Config(walkertest.Shape{Size: 10 << 20, References: 1 << 20, Secrets: 1000})
	doc, err := walker.Parse("c", []byte(strings.ReplaceAll(string(text), `"vault.`, `"Vault.`)))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if r := Repair(doc, Options{}); r.Repaired < 10000 {
			b.Fatal(r.Repaired)
		}
	}
}
