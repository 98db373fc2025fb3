//go:build bench

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/walker/walkertest"
)

// environ returns the environment of a child: what it needs to run, and env.
func (b *bench) environ(env map[string]string) []string {
	out := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.TempDir()}
	for name, v := range env {
		out = append(out, name+"="+v)
	}
	return out
}

// process runs a program to its end and returns its standard output.
func (b *bench) process(env []string, name string, args ...string) []byte {
	cmd := exec.Command(name, args...)
	cmd.Env = env
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		b.Fatalf("%s: %v\n%s", filepath.Base(name), err, exit.Stderr)
	}
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// fake starts an AWS with n secrets.
func (b *bench) fake(n int) *awstest.Fake {
	f := awstest.StartFake(b)
	for i := range n {
		name := walkertest.Name(i)
		f.Put(name, fmt.Sprintf(`{"api_key": %q}`, valueOf(name)))
	}
	return f
}

// config writes a document that refers to each of n secrets, so often.
func (b *bench) config(n, often int) string {
	path := filepath.Join(b.TempDir(), "config.json")
	doc := walkertest.Config(walkertest.Shape{Size: 520 * n * often, References: n * often, Secrets: n})
	if err := os.WriteFile(path, doc, 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// renderArgs are those of a render from AWS.
func (b *bench) renderArgs(config string) (args []string, out string) {
	out = filepath.Join(b.TempDir(), "out.json")
	return []string{"render", "--quiet", "--vault-type", "aws-secrets-manager", "--config", config, "--out", out}, out
}

// requests counts what a render asks of AWS.
func (b *bench) requests() {
	const often = 3 // references to each secret
	numbers := []int{1, 2, 20, 21, 200, 1000}
	f := b.fake(numbers[len(numbers)-1])
	env := b.environ(f.Env())
	for _, way := range []struct {
		what   string
		goal   string
		faults awstest.Faults
		single func(n int) int // the requests that each number of secrets must take
		others int             // the refused batches that are allowed beside them
	}{
		{what: "batch allowed", goal: "= secrets / 20, rounded up", single: func(n int) int { return (n + 19) / 20 }},
		{what: "batch denied", goal: "= secrets, and <= 3 refused", faults: awstest.Faults{DenyBatch: true}, single: func(n int) int { return n }, others: 3},
	} {
		var shown []string
		exact := true
		for _, n := range numbers {
			args, _ := b.renderArgs(b.config(n, often))
			f.Set(way.faults)
			f.Forget()
			b.process(env, b.binary, args...)
			refused, total := 0, f.Total()
			if way.faults.DenyBatch {
				refused = f.Calls("BatchGetSecretValue")
			}
			text := strconv.Itoa(total - refused)
			if refused > 0 {
				text += "+" + strconv.Itoa(refused)
			}
			shown = append(shown, text)
			if total-refused != way.single(n) || refused > way.others {
				exact = false
				b.Errorf("%s: %d secrets take %d batches and %d single requests, %d in all",
					way.what, n, f.Calls("BatchGetSecretValue"), f.Calls("GetSecretValue"), total)
			}
		}
		b.row(exact, fmt.Sprintf("requests to AWS, %s: %s secrets", way.what, strings.Trim(strings.Join(strings.Fields(fmt.Sprint(numbers)), ", "), "[]")),
			way.goal, "%s", strings.Join(shown, ", "))
	}
}

// latency measures whole renders against an AWS that takes its time.
func (b *bench) latency() {
	const secrets, trip = 200, 20 * time.Millisecond
	f := b.fake(secrets)
	f.Set(awstest.Faults{Latency: trip})
	env := b.environ(f.Env())
	config := b.config(secrets, 5)
	one, _ := b.renderArgs(b.config(1, 1))
	all, out := b.renderArgs(config)
	took := fastest(10,
		func() { b.process(env, b.binary, one...) },
		func() { b.process(env, b.binary, all...) })
	b.row(took[1]-took[0] <= 3*trip, fmt.Sprintf("whole render of %d references to %d secrets, AWS at 20 ms: beyond that of one", 5*secrets, secrets),
		"<= 3 round trips", "%.1f (%s, %s)", ratio(took[1]-took[0], trip), ms(took[1]), ms(took[0]))

	what, goal := "the same references: faster than vals eval", ">= 30x"
	vals, none := b.vals()
	if vals == "" {
		b.unmeasured(what, goal, none)
		return
	}
	theirs := b.valsConfig(config)
	var answer []byte
	f.Forget()
	const runs = 3
	slow := fastest(runs,
		func() { b.process(env, b.binary, all...) },
		func() { answer = b.process(env, vals, "eval", "-s", "-o", "json", "-f", theirs) })
	ours := min(took[1], slow[0])
	b.row(ratio(slow[1], ours) >= 30, what, goal, "%.1fx (%s, %s; it makes %d calls)", ratio(slow[1], ours), ms(ours), ms(slow[1]), f.Calls("GetSecretValue")/runs)
	b.sameValues(out, answer)
}

// vals returns the program of the others, or why there is none.
func (b *bench) vals() (path, none string) {
	if path = os.Getenv("VALS_BIN"); path == "" {
		path, _ = exec.LookPath("vals")
	}
	return path, "vals is not on the PATH"
}

// valsConfig writes the document at path with its references as vals spells
// them, so that both programs read as much.
func (b *bench) valsConfig(path string) string {
	doc, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	text := strings.ReplaceAll(string(doc), `"vault.`, `"ref+awssecrets://`)
	text = strings.ReplaceAll(text, "#api_key", "?region="+awstest.Region+"#/api_key")
	path = filepath.Join(b.TempDir(), "vals.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// sameValues checks that our file and the answer of vals are one document.
func (b *bench) sameValues(path string, answer []byte) {
	ours, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	var x, y any
	if err := errors.Join(json.Unmarshal(ours, &x), json.Unmarshal(answer, &y)); err != nil {
		b.Fatal(err)
	}
	if !reflect.DeepEqual(x, y) {
		b.Error("vals gives another document")
	}
}

// small measures the program itself.
func (b *bench) small() {
	info, err := os.Stat(b.binary)
	if err != nil {
		b.Fatal(err)
	}
	b.row(info.Size() <= 27e6, "binary, stripped", "<= 27 MB", "%s", mb(int(info.Size())))

	const runs = 20
	env := b.environ(nil)
	out := filepath.Join(b.TempDir(), "out.json")
	took := inTurn(runs,
		func() { b.process(env, b.binary, "version") },
		func() {
			if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) {
				b.Fatal(err)
			}
			b.process(env, b.binary, "render", "--quiet", "--config", "../../testdata/demo/config.json", "--out", out)
		})
	version, demo := took[0], took[1]
	b.row(version[0] <= 20*time.Millisecond, "version", "<= 20 ms", "%s (median %s)", ms(version[0]), ms(median(version)))
	most := 0
	for range runs {
		most = max(most, b.memoryOf(env, "version"))
	}
	if most == 0 {
		b.unmeasured("version: memory", "<= 30 MB", "there is no /proc here")
	} else {
		b.row(most <= 30e6, "version: memory, the most of 20 runs", "<= 30 MB", "%s", mb(most))
	}
	b.row(demo[0] <= 40*time.Millisecond, "render of the demo, fsync included", "<= 40 ms", "%s (median %s)", ms(demo[0]), ms(median(demo)))
}

// memoryOf returns the peak memory of a run of the binary, looking again and
// again until it has ended: the last look is some microseconds before that. The
// rusage would not do: it begins at the size of this process.
func (b *bench) memoryOf(env []string, args ...string) int {
	cmd := exec.Command(b.binary, args...)
	cmd.Env = env
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	most := 0
	for n := peak(strconv.Itoa(cmd.Process.Pid)); n > 0; n = peak(strconv.Itoa(cmd.Process.Pid)) {
		most = n
	}
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	return most
}
