package lint

import (
	"strings"
	"testing"

	"bifrost-secrets/walker"
)

// What the environment has need not stand in the document. An environment that
// is not known has nothing.
func TestEnvironment(t *testing.T) {
	doc, err := walker.Parse("config.json", []byte(`{"providers":{"o":{"keys":[{"name":"o","value":"vault.o"}]}},"source_of_truth":"split",
		"config_store":{"type":"postgres","vault_store":{"enabled":true,"type":"aws-secrets-manager"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"": "encryption-key vault-store", "HOME": "encryption-key vault-store", "AWS_REGION": "encryption-key", "AWS_DEFAULT_REGION": "encryption-key", "BIFROST_ENCRYPTION_KEY": "vault-store",
	} {
		opts := Options{Backends: AllBackends, Getenv: func(asked string) (string, bool) { return "set", asked == name }}
		if name == "" {
			opts.Getenv = nil
		}
		var got []string
		for _, f := range Check(doc, opts) {
			got = append(got, f.Rule)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("with %q: got %q, want %q", name, got, want)
		}
	}
}
