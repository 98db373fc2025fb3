//go:build bench

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bifrost-secrets/walker/walkertest"
)

// write puts a file into a new directory.
func (b *bench) write(name string, text []byte) string {
	path := filepath.Join(b.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// start compares the start of the programs with that of one that does nothing: what
// every container, every commit and every probe waits for.
func (b *bench) start() {
	const runs = 60
	env := b.environ(nil)
	small := b.write("small.json", walkertest.Config(walkertest.Shape{Size: 1500, References: 1, Secrets: 1}))
	out := filepath.Join(b.TempDir(), "out.json")
	commands := []struct {
		what, goal string
		most       float64
		args       []string
	}{
		{"version", "<= 5.5x (aim: 2.5x)", 5.5, []string{b.binary, "version"}},
		{"bifrost-secrets-lint of a small file", "<= 2x", 2, []string{b.binary + "-lint", "--fail-on", "never", small}},
		{"bifrost-secrets lint of it", "<= 6x (aim: 2x)", 6, []string{b.binary, "lint", "--fail-on", "never", small}},
		{"render of the demo, fsync included", "<= 8x (aim: 4x)", 8, []string{b.binary, "render", "--quiet", "--config", "../../testdata/demo/config.json", "--out", out}},
	}
	works := []func(){func() { b.process(env, b.hello) }}
	for _, c := range commands {
		works = append(works, func() {
			_ = os.Remove(out)
			b.process(env, c.args[0], c.args[1:]...)
		})
	}
	took := pairs(runs, works...)
	for i, c := range commands {
		var ratios []float64
		for run, d := range took[i+1] {
			ratios = append(ratios, ratio(d, took[0][run]))
		}
		slices.Sort(ratios)
		middle := ratios[runs/2]
		b.row(middle <= c.most, c.what+": of a program that prints hello", c.goal, "%.2fx (%s, %s; medians of %d pairs)", middle, ms(middleOf(took[i+1])), ms(middleOf(took[0])), runs)
	}
}

func middleOf(all []time.Duration) time.Duration { return median(slices.Sorted(slices.Values(all))) }

// pairs runs works one after the other, so often, and returns the times of each in
// the order of the runs: those at the same place were taken together. The first
// runs are left out.
func pairs(times int, works ...func()) [][]time.Duration {
	took := make([][]time.Duration, len(works))
	for run := range times + 3 {
		for i, work := range works {
			began := time.Now()
			work()
			if d := time.Since(began); run >= 3 {
				took[i] = append(took[i], d)
			}
		}
	}
	return took
}

// installed copies programs into a folder of their own, as everybody has them who did
// not build them, and returns the first: from the small pieces in which the page cache
// has what a linker wrote, a program takes a quarter longer to start.
func (b *bench) installed(programs ...string) string {
	dir := b.TempDir()
	for _, from := range programs {
		text, err := os.ReadFile(from)
		if err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(from)), text, 0o700); err != nil {
			b.Fatal(err)
		}
	}
	return filepath.Join(dir, filepath.Base(programs[0]))
}

// buildHello builds what others are compared with, as `make build` builds ours.
func (b *bench) buildHello() string {
	dir := b.TempDir()
	for name, text := range map[string]string{"go.mod": "module hello\n", "main.go": "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", "hello", ".")
	build.Dir, build.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "hello")
}

// real measures what real configs cost, the process included.
func (b *bench) real() {
	const secrets, runs = 40, 15
	f := b.fake(secrets)
	env := b.environ(f.Env())
	vals, none := b.vals()
	for _, one := range []struct {
		what         string
		text         []byte
		render, lint float64 // the most
	}{
		{"5 KB", tight(secrets), 4, 3}, // of which a reference takes most
		{"100 KB", walkertest.Config(walkertest.Shape{Size: 100e3, References: 100, Secrets: secrets}), 4.5, 4.5},
		{"1 MB", walkertest.Config(walkertest.Shape{Size: 1e6, References: 1000, Secrets: secrets}), 7, 15},
	} {
		path := b.write("config.json", one.text)
		args, out := b.renderArgs(path)
		took := fastest(runs,
			func() { b.process(env, b.hello) },
			func() { b.process(env, b.binary, "version") },
			func() { b.process(env, b.binary, args...) },
			func() { b.process(env, b.binary+"-lint", "--fail-on", "never", path) })
		hello, version, render, lint := took[0], took[1], took[2], took[3]
		what := fmt.Sprintf("%s, %d secrets", one.what, secrets)
		b.row(ratio(render, version) <= one.render, "render "+what+", AWS at 0 ms: of version", fmt.Sprintf("<= %.1fx", one.render), "%.2fx (%s, %s)", ratio(render, version), ms(render), ms(version))
		b.row(ratio(lint, hello) <= one.lint, "lint "+what+": of hello", fmt.Sprintf("<= %.1fx", one.lint), "%.2fx (%s, %s)", ratio(lint, hello), ms(lint), ms(hello))
		if vals == "" {
			b.unmeasured("render "+what+": faster than vals eval", ">= 5x", none)
			continue
		}
		var answer []byte
		theirs := b.valsConfig(path)
		slow := fastest(3, func() { answer = b.process(env, vals, "eval", "-s", "-o", "json", "-f", theirs) })
		b.row(ratio(slow[0], render) >= 5, "render "+what+": faster than vals eval", ">= 5x", "%.1fx (%s, %s)", ratio(slow[0], render), ms(render), ms(slow[0]))
		b.sameValues(out, answer)
	}
}

// tight is a config with little beside its references, one to each secret.
func tight(secrets int) []byte {
	var keys []string
	for i := range secrets {
		keys = append(keys, fmt.Sprintf(`{"name": "key-%02d", "value": "vault.%s#api_key", "models": ["*"], "weight": 1}`, i, walkertest.Name(i)))
	}
	return []byte("{\"providers\": {\"openai\": {\"keys\": [\n  " + strings.Join(keys, ",\n  ") + "\n]}}}\n")
}
