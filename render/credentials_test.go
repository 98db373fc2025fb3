package render

import (
	"slices"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// The variables that open the vault are those that a block takes credentials from,
// of whichever backend, and those that its client reads by itself.
func TestCredentials(t *testing.T) {
	var backends []sources.Backend
	for _, f := range sources.Table {
		backends = append(backends, sources.Backend{Facts: f})
	}
	flags := func(kind string, set ...string) *VaultStore {
		s, err := StoreFromFlags(kind, set, backends)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	block := func(text string) *VaultStore {
		doc, err := walker.Parse("config.json", []byte(`{"config_store":{"vault_store":`+text+`}}`))
		if err != nil {
			t.Fatal(err)
		}
		s, err := StoreFromDocument(doc)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, test := range map[string]struct {
		store *VaultStore
		want  []string
	}{
		"password":   {flags("postgres", "host=env.HOST", "password=env.PGPW"), []string{"PGPASSWORD", "PGPW", "PGSSLPASSWORD"}},
		"url":        {flags("postgres", "url=env.PGURL", "identity=env.AGE"), []string{"AGE", "PGPASSWORD", "PGSSLPASSWORD", "PGURL"}},
		"token":      {flags("hashicorp-vault", "token=env.T"), []string{"T", "VAULT_TOKEN"}},
		"ambient":    {flags("hashicorp-vault"), []string{"VAULT_TOKEN"}},
		"cloud":      {flags("aws-secrets-manager", "secret_access_key=env.KEY", "region=env.REGION"), []string{"KEY"}},
		"block":      {block(`{"enabled":true,"type":"postgres","postgres":{"password":"env.PGPW"},"aws":{"session_token":"env.OLD"}}`), []string{"OLD", "PGPASSWORD", "PGPW", "PGSSLPASSWORD"}},
		"disabled":   {block(`{"enabled":false,"type":"postgres","postgres":{"password":"env.PGPW"}}`), []string{"PGPW"}},
		"other type": {block(`{"enabled":true,"type":"file","file":{"path":"/x"}}`), nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.store.Credentials(backends); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
