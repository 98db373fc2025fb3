// Thousands of handshakes are made here, none of which a later computer may read.
//
//go:debug tlsmlkem=0

package azurevault

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/azurevault/azuretest"
	"bifrost-secrets/sources/internal/sourcetest"
)

func TestMain(m *testing.M) {
	// What these tests sign in with is their own.
	for _, one := range os.Environ() {
		if name, _, _ := strings.Cut(one, "="); strings.HasPrefix(name, "AZURE_") {
			_ = os.Unsetenv(name)
		}
	}
	goleak.VerifyTestMain(m)
}

func (s *source) self() *source { return s }

// core returns what reads in a source, or in a store.
func core(s sources.Source) *source { return s.(interface{ self() *source }).self() }

// open makes a source of f that does not wait between attempts. set is added to
// the settings that it takes to use f.
func open(t testing.TB, f *azuretest.Fake, o sources.Options, set ...string) sources.Source {
	t.Helper()
	all := sourcetest.Settings(append([]string{
		"vault_url", azuretest.URL, "tenant_id", azuretest.Tenant, "client_id", azuretest.ClientID, "client_secret", azuretest.Password,
	}, set...)...)
	s, err := Backend.Open(context.Background(), all, o)
	if err != nil {
		t.Fatal(err)
	}
	core(s).route = f.Route
	core(s).retryDelay = time.Millisecond
	t.Cleanup(func() { _ = s.Close() })
	return s
}
