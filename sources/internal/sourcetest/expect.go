package sourcetest

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"bifrost-secrets/sources"
)

// Limit is the deadline of what is to succeed or to fail at once: it guards against
// hanging for ever.
const Limit = 2 * time.Minute

// Settings returns the settings of pairs of a key and a value.
func Settings(pairs ...string) sources.Settings {
	set := make(sources.Settings)
	for n := 0; n < len(pairs); n += 2 {
		set[pairs[n]] = sources.NewSecret([]byte(pairs[n+1]))
	}
	return set
}

// Options returns those of a source with the environment of the process, of which
// nobody hears anything.
func Options() sources.Options {
	return sources.Options{Getenv: os.LookupEnv, Warn: func(string) {}, Log: slog.New(slog.DiscardHandler), CallTimeout: Limit}
}

// Put returns a write for a gateway, which expects a version.
func Put(name, value, expect string) sources.Write {
	return sources.Write{
		Name: name, Value: sources.NewSecret([]byte(value)), Expect: expect, Token: sources.NewToken(),
		Mark: sources.Mark{Owner: "gateway", Path: "providers.openai.keys[0].value"},
	}
}

// Fetch asks for names, and checks that there is an answer for each and no other.
func Fetch(t testing.TB, s sources.Source, names ...string) map[string]sources.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Limit)
	defer cancel()
	got := s.Fetch(ctx, names)
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

// WantValue checks that a result has that value.
func WantValue(t testing.TB, r sources.Result, want string) {
	t.Helper()
	if r.Err != nil {
		t.Errorf("error %v (%s), want a value", r.Err, sources.HintOf(r.Err))
	} else if got := string(r.Value.Reveal()); got != want {
		t.Errorf("value %q, want %q", got, want)
	}
}

// WantKind checks that an error is of that kind, and returns it.
func WantKind(t testing.TB, err error, kind sources.Kind) *sources.Error {
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
