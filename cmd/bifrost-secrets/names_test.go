package main

import (
	"log/slog"
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/azurevault"
	"bifrost-secrets/sources/azurevault/azuretest"
	"bifrost-secrets/sources/gcpsecrets"
)

// What lint says offline of a name is what the backend says of it.
func TestNamesOfBackends(t *testing.T) {
	names := []string{
		"x", "a/b", "a_b", "é", "a b", "..", "a\x00b", "a\nb", "\xff", "a\x7fb", "\ufffd", "-x2F", "A-x41-",
		"projects/demo/secrets/x", "projects/demo/secrets/x/versions/3", "projects/demo/secrets/x/versions/latest", "projects/example.com:demo/secrets/x",
		"//secretmanager.googleapis.com/projects/demo/secrets/x", "//secretmanager.googleapis.com/projects/1/secrets/x/versions/3", "//secretmanager.googleapis.com/x",
		"projects/demo/secrets/a b", "projects/demo", "projects/demo/locations/europe-west1/secrets/x",
		azuretest.URL + "/secrets/x", azuretest.URL + "/secrets/x/0123456789abcdef0123456789abcdef", azuretest.URL + "/secrets/x/1", azuretest.URL + "/keys/x", "https://", "http://x",
	}
	for _, n := range []int{25, 26, 51, 52, 127, 128, 255, 256} {
		names = append(names, strings.Repeat("n", n), strings.Repeat("/", n), strings.Repeat("_", n), strings.Repeat("é", n/2))
	}
	for _, one := range []struct {
		backend sources.Backend
		key     string
		value   string
	}{{gcpsecrets.Backend, "project_id", "demo"}, {azurevault.Backend, "vault_url", azuretest.URL}} {
		s, err := one.backend.Open(t.Context(), sources.Settings{one.key: sources.NewSecret([]byte(one.value))}, sources.Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			lint, _ := one.backend.CheckName(name)
			asked := s.Plan([]string{name}).Total() == 1
			if (lint == "") != asked {
				t.Errorf("%s: %.40q (%d bytes): lint says %v, and the backend would ask for it: %v", one.backend.Type, name, len(name), lint, asked)
			}
		}
		_ = s.Close()
	}
}
