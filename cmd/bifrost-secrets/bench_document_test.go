//go:build bench

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
	"bifrost-secrets/walker/walkertest"

	"github.com/tidwall/gjson"
)

// walking measures the walk over a document, validation included. What it is compared
// with is a quarter faster or slower from build to build, by where the linker puts its
// innermost loop.
func (b *bench) walking() {
	doc := walkertest.Config(walkertest.Shape{Size: 10 << 20, References: 20_000, Secrets: 1000})
	fields := 0
	took := cheapest(15,
		func() {
			d, err := walker.Parse("config.json", doc)
			if err != nil {
				b.Fatal(err)
			}
			fields = 0
			d.Walk(func(*walker.Field) bool { fields++; return true })
		},
		func() {
			if !gjson.ValidBytes(doc) {
				b.Fatal("not valid")
			}
		},
		func() {
			var v any
			if err := json.Unmarshal(doc, &v); err != nil {
				b.Fatal(err)
			}
		})
	if fields < 20_000 {
		b.Errorf("the walk met %d fields", fields)
	}
	walk, valid, decode := took[0], took[1], took[2]
	what := fmt.Sprintf("check and walk %s, %d fields", mb(len(doc)), fields)
	b.row(ratio(walk, valid) <= 1.8, what+": time of gjson.ValidBytes", "<= 1.8x", "%.2fx (%s, %s of processors)", ratio(walk, valid), ms(walk), ms(valid))
	b.row(ratio(decode, walk) >= 4, what+": faster than json.Unmarshal", ">= 4x", "%.2fx (%s, %s of processors)", ratio(decode, walk), ms(walk), ms(decode))
}

// linting measures lint, the walk included: of a document of references, and of one
// with a finding in each record.
func (b *bench) linting() {
	for _, one := range []struct {
		what       string
		references int
		most       float64
	}{{"of references", 1 << 20, 9}, {"of plain text", 0, 10}} {
		text := walkertest.Config(walkertest.Shape{Size: 10 << 20, References: one.references, Secrets: 1000})
		findings := 0
		took := cheapest(9,
			func() {
				doc, err := walker.Parse("config.json", text)
				if err != nil {
					b.Fatal(err)
				}
				findings = len(lint.Check(doc, lint.Options{}))
			},
			func() { gjson.ValidBytes(text) })
		b.row(ratio(took[0], took[1]) <= one.most, fmt.Sprintf("lint %s %s, %d findings: time of gjson.ValidBytes", mb(len(text)), one.what, findings),
			fmt.Sprintf("<= %.0fx", one.most), "%.2fx (%s, %s of processors)", ratio(took[0], took[1]), ms(took[0]), ms(took[1]))
	}
}

// valueOf returns the value of a secret. It has what the strictest of the fields
// wants: a virtual key begins like this.
func valueOf(name string) string { return "sk-bf-" + name + "-0123456789abcdefghijklmnop" }

// inMemory is a source that has an answer for every name.
type inMemory struct{}

func (inMemory) Fetch(_ context.Context, names []string) map[string]sources.Result {
	out := make(map[string]sources.Result, len(names))
	for _, name := range names {
		out[name] = sources.Result{Value: sources.NewSecret(fmt.Appendf(nil, `{"api_key": %q}`, valueOf(name))), Version: "1"}
	}
	return out
}

func (inMemory) Plan(names []string) sources.Calls  { return sources.Calls{Single: len(names)} }
func (inMemory) Ping(context.Context, string) error { return nil }
func (inMemory) Describe() string                   { return "memory" }
func (inMemory) Close() error                       { return nil }

// resolved does all of a render but the fetch and the publishing.
func resolved(tb testing.TB, doc *walker.Document) []byte {
	store, err := render.StoreFromFlags("aws-secrets-manager", nil, backends)
	if err != nil {
		tb.Fatal(err)
	}
	none := func(string) (string, bool) { return "", false }
	plan, err := render.NewPlan(doc, store, render.Options{Mode: render.Inline, Getenv: none})
	if err != nil {
		tb.Fatal(err)
	}
	r, err := plan.Resolve(context.Background(), inMemory{})
	if err != nil {
		tb.Fatal(err)
	}
	return r.Document()
}

// naive renders a document as one would without much thought. The values are
// at hand, which spares it the work of finding and fetching them.
func naive(tb testing.TB, doc []byte, values map[string]string) []byte {
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		tb.Fatal(err)
	}
	out, err := json.Marshal(replaced(v, values))
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func replaced(v any, values map[string]string) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			v[name] = replaced(member, values)
		}
	case []any:
		for i, element := range v {
			v[i] = replaced(element, values)
		}
	case string:
		if strings.HasPrefix(v, "vault.") {
			return values[v]
		}
	}
	return v
}

// rendering measures a render, fetch and fsync aside. Each run is a process of
// its own, as every render of the program is, and starts without a heap.
func (b *bench) rendering() {
	const size, references, secrets = 50 << 20, 100_000, 1000
	write := func(name string, times int) (string, int) {
		path := filepath.Join(b.TempDir(), name)
		doc := walkertest.Config(walkertest.Shape{Size: times * size, References: times * references, Secrets: secrets})
		if err := os.WriteFile(path, doc, 0o600); err != nil {
			b.Fatal(err)
		}
		return path, len(doc)
	}
	path, length := write("one.json", 1)
	twice, _ := write("two.json", 2)
	b.sameRendering(path, secrets)

	var ours, double, simple, file []outcome
	for range 9 {
		ours = append(ours, b.child(path, "bytes", secrets))
		double = append(double, b.child(twice, "bytes", secrets))
		simple = append(simple, b.child(path, "naive", secrets))
		file = append(file, b.child(path, "file", secrets))
	}
	one, two, other, whole := least(ours), least(double), least(simple), least(file)
	what := fmt.Sprintf("render %s, %d references, %d secrets", mb(length), references, secrets)
	r := ratio(other.Spent, one.Spent)
	b.row(r >= 7, what+": faster than decode, replace, encode", ">= 7x", "%.1fx (%s, %s of processors; %.1fx by the clock, %s, %s)",
		r, ms(one.Spent), ms(other.Spent), ratio(other.Took, one.Took), ms(one.Took), ms(other.Took))
	r = float64(whole.Memory) / float64(length)
	if whole.Memory == 0 {
		b.unmeasured(what+": peak memory", "<= 3x the document", "there is no /proc here")
	} else {
		b.row(r <= 3, what+": peak memory", "<= 3x the document", "%.2fx (%s; the other way %s)", r, mb(whole.Memory), mb(other.Memory))
	}
	r = ratio(two.Spent, one.Spent)
	b.row(r <= 2.2, what+": twice of all takes", "<= 2.2x", "%.2fx (%s of processors)", r, ms(two.Spent))
}

// outcome is what a child tells of its run.
type outcome struct {
	Took   time.Duration // without reading the file
	Spent  time.Duration // of the processors, in that time
	Memory int           // the peak, beyond that of the process before; reading the file included
}

// least returns the shortest time and the smallest memory of several runs.
func least(all []outcome) outcome {
	out := all[0]
	for _, a := range all[1:] {
		out.Took, out.Spent, out.Memory = min(out.Took, a.Took), min(out.Spent, a.Spent), min(out.Memory, a.Memory)
	}
	return out
}

// references returns the value of each reference in a document of walkertest's.
func references(secrets int) map[string]string {
	out := map[string]string{}
	for i := range secrets {
		name := walkertest.Name(i)
		out["vault."+name+"#api_key"] = valueOf(name)
	}
	return out
}

// sameRendering checks that the two ways of rendering mean the same document: a
// fast wrong answer is worth nothing.
func (b *bench) sameRendering(path string, secrets int) {
	doc, err := walker.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(resolved(b, doc), &v); err != nil {
		b.Fatal(err)
	}
	ours, err := json.Marshal(v)
	if err != nil {
		b.Fatal(err)
	}
	if !bytes.Equal(ours, naive(b, doc.Bytes(), references(secrets))) {
		b.Fatal("the two ways of rendering give different documents")
	}
}

// childTask tells TestBenchChild what to do: a way to render ("bytes", "naive",
// or "file", which is bytes read by the walker itself), the number of secrets
// and the file.
const childTask = "BIFROST_BENCH_TASK"

// child renders the file in a process of its own.
func (b *bench) child(path, way string, secrets int) (a outcome) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestBenchChild$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", childTask, way, secrets, path))
	out, err := cmd.CombinedOutput()
	if _, serr := fmt.Sscan(string(out), &a.Took, &a.Spent, &a.Memory); err != nil || serr != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return a
}

// TestBenchChild is the process that child starts.
func TestBenchChild(t *testing.T) {
	task := strings.SplitN(os.Getenv(childTask), " ", 3)
	if len(task) < 3 {
		t.Skip("this is a part of TestBench")
	}
	secrets, err := strconv.Atoi(task[1])
	if err != nil {
		t.Fatal(err)
	}
	path := task[2]
	values := references(secrets)
	before := peak("self")
	var took, spent time.Duration
	var in, out []byte
	if task[0] == "file" {
		doc, err := walker.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		in, out = doc.Bytes(), resolved(t, doc)
	} else {
		if in, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		began, had := time.Now(), processorTime()
		if task[0] == "naive" {
			out = naive(t, in, values)
		} else {
			out = parsedAndRendered(t, in)
		}
		took, spent = time.Since(began), processorTime()-had
	}
	fmt.Println(int64(took), int64(spent), peak("self")-before)
	runtime.KeepAlive(in) // as the program keeps both until the file is written
	runtime.KeepAlive(out)
}

func parsedAndRendered(tb testing.TB, data []byte) []byte {
	doc, err := walker.Parse("config.json", data)
	if err != nil {
		tb.Fatal(err)
	}
	return resolved(tb, doc)
}
