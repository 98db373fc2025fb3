package gcpsecrets

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/gcpsecrets/gcptest"
)

func TestMain(m *testing.M) {
	// What these tests sign in with is their own.
	for _, name := range []string{"GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_UNIVERSE_DOMAIN", "GOOGLE_CLOUD_QUOTA_PROJECT"} {
		_ = os.Unsetenv(name)
	}
	goleak.VerifyTestMain(m)
}

// settings makes Settings of pairs of a key and a value.
func settings(pairs ...string) sources.Settings {
	set := make(sources.Settings)
	for n := 0; n < len(pairs); n += 2 {
		set[pairs[n]] = sources.NewSecret([]byte(pairs[n+1]))
	}
	return set
}

func options() sources.Options {
	return sources.Options{Getenv: os.LookupEnv, Warn: func(string) {}, Log: slog.New(slog.DiscardHandler)}
}

func core(s sources.Source) *source {
	if w, ok := s.(*store); ok {
		return w.source
	}
	return s.(*source)
}

// open makes a source of f that does not wait between attempts. set is added to
// the settings that it takes to use f.
func open(t testing.TB, f *gcptest.Fake, o sources.Options, set ...string) sources.Source {
	t.Helper()
	all := settings(append([]string{"project_id", gcptest.Project, "credentials_json", gcptest.Credentials()}, set...)...)
	s, err := Backend.Open(context.Background(), all, o)
	if err != nil {
		t.Fatal(err)
	}
	core(s).route = f.Route
	core(s).pause = time.Millisecond
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func wantKind(t testing.TB, err error, kind sources.Kind) *sources.Error {
	t.Helper()
	e, _ := err.(*sources.Error)
	if e == nil {
		t.Errorf("error %v, want one of kind %q", err, kind)
		return &sources.Error{}
	}
	if e.Kind != kind {
		t.Errorf("error of kind %q, want %q: %v", e.Kind, kind, e)
	}
	return e
}
