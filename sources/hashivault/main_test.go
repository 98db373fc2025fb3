package hashivault

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/hashivault/vaulttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testLimit is the deadline of what is to succeed or to fail at once.
const testLimit = 2 * time.Minute

// settings makes Settings of pairs of a key and a value.
func settings(pairs ...string) sources.Settings {
	set := make(sources.Settings)
	for n := 0; n < len(pairs); n += 2 {
		set[pairs[n]] = sources.NewSecret([]byte(pairs[n+1]))
	}
	return set
}

// role are the settings that sign in to f with its AppRole, and more.
func role(f *vaulttest.Fake, more ...string) sources.Settings {
	return settings(append([]string{"address", f.URL, "role_id", vaulttest.RoleID, "secret_id", vaulttest.SecretID}, more...)...)
}

// opened is a source with what it logged and warned of.
type opened struct {
	*source
	log *lockedBuffer
}

// lockedBuffer is a log that can be waited for.
type lockedBuffer struct {
	mu    sync.Mutex
	b     bytes.Buffer
	grown chan struct{} // closed and made anew with each line
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.grown != nil {
		close(l.grown)
	}
	l.grown = make(chan struct{})
	return l.b.Write(p)
}

// await waits until the log has a text.
func (l *lockedBuffer) await(t testing.TB, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	defer cancel()
	for {
		l.mu.Lock()
		found, grown := strings.Contains(l.b.String(), text), l.grown
		l.mu.Unlock()
		if found {
			return
		}
		select {
		case <-grown:
		case <-ctx.Done():
			t.Fatalf("the log never had %q:\n%s", text, l)
		}
	}
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// environment looks variables up in a map.
func environment(env map[string]string) func(string) (string, bool) {
	env = maps.Clone(env)
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}

func options(env map[string]string, log *lockedBuffer) sources.Options {
	return sources.Options{
		Getenv: environment(env),
		Warn:   func(s string) { fmt.Fprintln(log, s) },
		Log:    slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// open makes a source that does not wait between attempts.
func open(t testing.TB, set sources.Settings, env map[string]string, change ...func(*sources.Options)) opened {
	t.Helper()
	log := &lockedBuffer{grown: make(chan struct{})}
	opts := options(env, log)
	for _, c := range change {
		c(&opts)
	}
	s, err := newSource(set, opts)
	if err != nil {
		t.Fatal(err)
	}
	s.wait = 2 * time.Millisecond
	t.Cleanup(func() { _ = s.Close() })
	return opened{s, log}
}

// fetch asks for names, and checks that there is an answer for each and no other.
func (o opened) fetch(t testing.TB, names ...string) map[string]sources.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	defer cancel()
	got := o.Fetch(ctx, names)
	if len(got) != len(names) {
		t.Errorf("%d answers for %d names", len(got), len(names))
	}
	for _, name := range names {
		if r, ok := got[name]; !ok {
			t.Errorf("no answer for %q", name)
		} else if e, ok := r.Err.(*sources.Error); ok && e.Name != name {
			t.Errorf("the error for %q has the name %q: %v", name, e.Name, e)
		}
	}
	return got
}

func wantValue(t testing.TB, r sources.Result, want string) {
	t.Helper()
	if r.Err != nil {
		t.Errorf("error %v (%s), want a value", r.Err, sources.HintOf(r.Err))
	} else if got := string(r.Value.Reveal()); got != want {
		t.Errorf("value %q, want %q", got, want)
	}
}

func wantKind(t testing.TB, err error, kind sources.Kind) *sources.Error {
	t.Helper()
	e, _ := err.(*sources.Error)
	if e == nil {
		t.Errorf("error %v, want one of kind %q", err, kind)
		return &sources.Error{}
	}
	if e.Kind != kind {
		t.Errorf("error of kind %q, want %q: %v (%s)", e.Kind, kind, e, e.Hint)
	}
	return e
}
