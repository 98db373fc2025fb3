//go:build bench

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/walker/walkertest"
)

// processors returns what a run of a program takes of the processors, which depends
// little on what else the machine does: the least of several runs.
func (b *bench) processors(runs int, env []string, name string, args ...string) time.Duration {
	least := time.Hour
	for range runs {
		cmd := exec.Command(name, args...)
		cmd.Env = env
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil {
			b.Fatalf("%s: %v\n%.2000s", filepath.Base(name), err, stderr.String())
		}
		least = min(least, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	}
	return least
}

// growth has everything that can be many twice as often: it takes twice as long, and
// not four times.
func (b *bench) growth() {
	env := b.environ(nil)
	lint := func(path string) time.Duration {
		return b.processors(7, env, b.binary+"-lint", "--fail-on", "never", path)
	}
	render := func(config, store string) time.Duration {
		args, _ := b.fileArgs(config, store)
		return b.processors(3, env, b.binary, args...)
	}
	for _, one := range []struct {
		what string
		n    int
		took func(n int) time.Duration
	}{
		{"lint with %d findings", 100_000, func(n int) time.Duration {
			return lint(b.write("config.json", walkertest.Config(walkertest.Shape{Size: 520 * n})))
		}},
		{"lint of %d files", 5000, func(n int) time.Duration {
			dir := b.TempDir()
			for i := range n {
				path := filepath.Join(dir, fmt.Sprintf("%05d.json", i))
				if err := os.WriteFile(path, tight(10), 0o600); err != nil {
					b.Fatal(err)
				}
			}
			return lint(dir)
		}},
		{"lint of %d virtual keys", 100_000, func(n int) time.Duration { return lint(b.virtualKeys(n)) }},
		{"lint of %d bytes that never become what they begin as", 100_000, func(n int) time.Duration {
			var text strings.Builder
			for i, part := range []string{"a:", "://", "sk-", "token:", "eyJaaaaaaaaa.", "http://h/?a=b,"} {
				fmt.Fprintf(&text, `%s"m%d": "%s"`, strings.Repeat(", ", min(i, 1)), i, strings.Repeat(part, n/len(part)))
			}
			return lint(b.write("config.json", []byte(`{"my": {`+text.String()+`}}`)))
		}},
		{"render of %d virtual keys", 100_000, func(n int) time.Duration {
			return render(b.virtualKeys(n), b.secretFile(1000, n/1000))
		}},
		{"render of %d fragments of one secret of 200 bytes each, up to 1 MB", 2500, func(n int) time.Duration {
			return render(b.fragments(n), b.secretFile(1, n))
		}},
		{"render of %d secrets in as many files", 5000, func(n int) time.Duration {
			dir := b.TempDir()
			for i := range n {
				path := filepath.Join(dir, walkertest.Name(i))
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					b.Fatal(err)
				}
				if err := os.WriteFile(path, fmt.Appendf(nil, `{"api_key": %q}`, valueOf(walkertest.Name(i))), 0o600); err != nil {
					b.Fatal(err)
				}
			}
			return render(b.write("config.json", tight(n)), dir)
		}},
	} {
		first, second := one.took(one.n), one.took(2*one.n)
		b.row(ratio(second, first) <= 2.2, fmt.Sprintf(one.what, one.n)+": twice as many take", "<= 2.2x", "%.2fx (%s, %s of processors)", ratio(second, first), ms(second), ms(first))
	}
	b.quota()
}

// fileArgs are those of a render from files.
func (b *bench) fileArgs(config, store string) (args []string, out string) {
	out = filepath.Join(b.TempDir(), "out.json")
	return []string{"render", "--quiet", "--config", config, "--out", out, "--vault-type", "file", "--vault-set", "path=" + store}, out
}

// virtualKeys writes a config with n virtual keys, each of which refers to a fragment
// of one of a thousand secrets.
func (b *bench) virtualKeys(n int) string {
	return b.referring(n, `{"governance": {"virtual_keys": [`, func(i int) string {
		return fmt.Sprintf(`{"id": "vk-%d", "name": "service %d", "value": "vault.team-%d#key-%d", "is_active": true}`, i, i, i%1000, i/1000)
	}, `]}}`)
}

// fragments writes a config with n references to one secret.
func (b *bench) fragments(n int) string {
	return b.referring(n, `{"providers": {"openai": {"keys": [`, func(i int) string {
		return fmt.Sprintf(`{"name": "%d", "value": "vault.team-0#key-%d", "models": ["*"], "weight": 1}`, i, i)
	}, `]}}}`)
}

func (b *bench) referring(n int, before string, one func(int) string, after string) string {
	var text strings.Builder
	text.WriteString(before)
	for i := range n {
		if i > 0 {
			text.WriteString(",\n")
		}
		text.WriteString(one(i))
	}
	text.WriteString(after)
	return b.write("config.json", []byte(text.String()))
}

// secretFile writes a file with so many secrets of so many keys.
func (b *bench) secretFile(secrets, keys int) string {
	var text strings.Builder
	for i := range secrets {
		fmt.Fprintf(&text, "%s\"team-%d\": {", []string{"{", ",\n"}[min(i, 1)], i)
		for k := range keys {
			fmt.Fprintf(&text, "%s\"key-%d\": \"sk-bf-%0180d\"", []string{"", ", "}[min(k, 1)], k, i*keys+k)
		}
		text.WriteString("}")
	}
	text.WriteString("}")
	return b.write("secrets.json", []byte(text.String()))
}

// quota has AWS answer a hundred batches a second and refuse what is beyond that.
func (b *bench) quota() {
	const secrets, a = 5000, 100 // batches a second
	f := b.fake(2 * secrets)
	took := func(n int) time.Duration {
		allowed := rate.NewLimiter(a, a/10)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".BatchGetSecretValue") && !allowed.Allow() {
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(w, `{"__type": "ThrottlingException", "message": "Rate exceeded"}`)
				return
			}
			f.ServeHTTP(w, r)
		}))
		defer server.Close()
		variables := f.Env()
		variables["AWS_ENDPOINT_URL"] = server.URL
		args, _ := b.renderArgs(b.config(n, 2))
		f.Forget()
		began := time.Now()
		b.process(b.environ(variables), b.binary, args...)
		return time.Since(began)
	}
	f.Set(awstest.Faults{Latency: 20 * time.Millisecond})
	first, second := took(secrets), took(2*secrets)
	b.row(ratio(second, first) <= 2.2, fmt.Sprintf("render of %d references to %d secrets, AWS with %d batches a second: twice as many take", 2*secrets, secrets, a),
		"<= 2.2x", "%.2fx (%s, %s)", ratio(second, first), ms(second), ms(first))
}
