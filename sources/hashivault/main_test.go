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
	"bifrost-secrets/sources/internal/sourcetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// role are the settings that sign in to f with its AppRole, and more.
func role(f *vaulttest.Fake, more ...string) sources.Settings {
	return sourcetest.Settings(append([]string{"address", f.URL, "role_id", vaulttest.RoleID, "secret_id", vaulttest.SecretID}, more...)...)
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
	ctx, cancel := context.WithTimeout(t.Context(), sourcetest.Limit)
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

		CallTimeout: sourcetest.Limit, // a busy machine is no vault that hangs
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

// fetch asks for names.
func (o opened) fetch(t testing.TB, names ...string) map[string]sources.Result {
	t.Helper()
	return sourcetest.Fetch(t, o, names...)
}
