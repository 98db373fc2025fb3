// Thousands of handshakes are made here, none of which a later computer may read.
//
//go:debug tlsmlkem=0

package gcpsecrets

import (
	"context"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/gcpsecrets/gcptest"
	"bifrost-secrets/sources/internal/sourcetest"
)

func TestMain(m *testing.M) {
	// What these tests sign in with is their own.
	for _, name := range []string{"GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_UNIVERSE_DOMAIN", "GOOGLE_CLOUD_QUOTA_PROJECT"} {
		_ = os.Unsetenv(name)
	}
	goleak.VerifyTestMain(m)
}

func (s *source) self() *source { return s }

// core returns what reads in a source, or in a store.
func core(s sources.Source) *source { return s.(interface{ self() *source }).self() }

// open makes a source of f that does not wait between attempts. set is added to
// the settings that it takes to use f.
func open(t testing.TB, f *gcptest.Fake, o sources.Options, set ...string) sources.Source {
	t.Helper()
	all := sourcetest.Settings(append([]string{"project_id", gcptest.Project, "credentials_json", gcptest.Credentials()}, set...)...)
	s, err := Backend.Open(context.Background(), all, o)
	if err != nil {
		t.Fatal(err)
	}
	core(s).route = f.Route
	core(s).pause = time.Millisecond
	t.Cleanup(func() { _ = s.Close() })
	return s
}
