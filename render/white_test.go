package render

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets"
	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/sources/azurevault"
	"bifrost-secrets/sources/gcpsecrets"
	"bifrost-secrets/sources/hashivault"
	"bifrost-secrets/sources/postgres"
)

// White space at the ends of what opens a backend is left out, with a warning
// that names the variable or the member and shows no value.
func TestWhiteSpaceAroundCredentials(t *testing.T) {
	const canary = "CANARY-7c1e"
	f := awstest.StartFake(t)
	f.Put("a", "v")
	ends := []string{"\n", "\r\n", "\t", " ", "\u00a0", "\ufeff", "\u200b"}
	for _, c := range []struct {
		backend sources.Backend
		block   string
		env     map[string]string // with white space after each value
	}{
		{awssecrets.Backend, `"aws": {}`, map[string]string{"AWS_ACCESS_KEY_ID": canary, "AWS_SECRET_ACCESS_KEY": canary, "AWS_SESSION_TOKEN": canary, "AWS_REGION": "us-east-1"}},
		{awssecrets.Backend, `"aws": {"access_key_id": "env.A", "secret_access_key": "env.B", "session_token": "env.C", "region": "env.D"}`,
			map[string]string{"A": canary, "B": canary, "C": canary, "D": "us-east-1"}},
		{gcpsecrets.Backend, `"gcp": {"project_id": "env.A", "credentials_json": "env.B"}`, map[string]string{"A": "my-project", "B": "/" + canary}},
		{gcpsecrets.Backend, `"gcp": {"project_id": "my-project"}`, map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": "/" + canary}},
		{azurevault.Backend, `"azure": {"vault_url": "env.A", "tenant_id": "env.B", "client_id": "env.C", "client_secret": "env.D"}`,
			map[string]string{"A": "https://v.vault.azure.net", "B": "t", "C": "c", "D": canary}},
		{azurevault.Backend, `"azure": {"vault_url": "https://v.vault.azure.net"}`, map[string]string{"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": canary}},
		{hashivault.Backend, `"hashicorp": {"address": "env.A", "role_id": "env.B", "secret_id": "env.C"}`, map[string]string{"A": "http://127.0.0.1:8200", "B": "r", "C": canary}},
		{hashivault.Backend, `"hashicorp": {}`, map[string]string{"VAULT_ADDR": "http://127.0.0.1:8200", "VAULT_TOKEN": canary}},
		{awssecrets.Backend, `"aws": {}`, map[string]string{"AWS_REGION": awstest.Region, "AWS_ACCESS_KEY_ID": "AKIAI44QH8DHBEXAMPLE", "AWS_SECRET_ACCESS_KEY": canary,
			"AWS_MAX_ATTEMPTS": "2", "AWS_EC2_METADATA_DISABLED": "true", "AWS_USE_FIPS_ENDPOINT": "false", "AWS_DEFAULTS_MODE": "standard", "NO_PROXY": "127.0.0.1", "SSL_CERT_DIR": "/nowhere"}},
		{hashivault.Backend, `"hashicorp": {}`, map[string]string{"VAULT_ADDR": "http://127.0.0.1:8200", "VAULT_TOKEN": canary, "VAULT_MAX_RETRIES": "1", "VAULT_CLIENT_TIMEOUT": "5s", "VAULT_RATE_LIMIT": "10", "HTTPS_PROXY": "http://127.0.0.1:1"}},
		{postgres.Backend, `"postgres": {"url": "env.A", "password": "env.B"}`, map[string]string{"A": "postgres://u@127.0.0.1:1/db", "B": canary}},
		{postgres.Backend, `"postgres": {}`, map[string]string{"PGHOST": "127.0.0.1", "PGPASSWORD": canary}},
	} {
		for _, end := range ends {
			t.Run(fmt.Sprintf("%s %s %q", c.backend.Type, c.block, end), func(t *testing.T) {
				env := without(f.Env(), "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
				for name, text := range c.env {
					env[name] = end + text + end
				}
				awstest.Setenv(t, env)
				var warned []string
				var got sources.Settings
				spy := c.backend
				spy.Open = func(ctx context.Context, set sources.Settings, opts sources.Options) (sources.Source, error) {
					got = set
					return c.backend.Open(ctx, set, opts)
				}
				s, err := storeOf(t, `{"enabled": true, "type": "`+c.backend.Type+`", `+c.block+`}`).Open(t.Context(), []sources.Backend{spy},
					sources.Options{Getenv: os.LookupEnv, Log: slog.New(slog.DiscardHandler), Warn: func(line string) { warned = append(warned, line) }})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				all := strings.Join(warned, "\n")
				if strings.Contains(all, canary) || len(warned) != len(c.env) {
					t.Errorf("%d warnings for %d names:\n%s", len(warned), len(c.env), all)
				}
				for name, text := range c.env {
					if !strings.Contains(all, "variable "+name) || !strings.Contains(all, "white space") {
						t.Errorf("no warning names %s:\n%s", name, all)
					}
					if len(name) > 1 && os.Getenv(name) != text {
						t.Errorf("the client sees %s with %d bytes, want %d", name, len(os.Getenv(name)), len(text))
					}
				}
				for key, value := range got {
					if text := string(value.Reveal()); text != sources.Trim(text) {
						t.Errorf("%s has white space at an end", key)
					}
				}
				if c.backend.Block == "aws" {
					if r := s.Fetch(t.Context(), []string{"a"})["a"]; r.Err != nil {
						t.Error(r.Err)
					}
				}
			})
		}
	}
}

func without(env map[string]string, names ...string) map[string]string {
	for name := range env {
		if slices.Contains(names, name) {
			delete(env, name)
		}
	}
	return env
}
