package render

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets"
	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/sources/azurevault"
	"bifrost-secrets/sources/file"
	"bifrost-secrets/sources/gcpsecrets"
	"bifrost-secrets/sources/hashivault"
	"bifrost-secrets/sources/postgres"
)

// A setting that holds a credential, or was set to one in place of the path of
// its file, is repeated in no error, hint, warning or description.
func TestSettingsAreNotRepeated(t *testing.T) {
	const canary = "CANARY7c1e"
	f := awstest.StartFake(t)
	for _, c := range []struct {
		backend sources.Backend
		base    map[string]string // what it takes to get to the setting
		keys    string            // those that may hold a credential
	}{
		{awssecrets.Backend, map[string]string{"access_key_id": "a", "secret_access_key": "b"}, "access_key_id secret_access_key session_token role_arn region"},
		{gcpsecrets.Backend, map[string]string{"project_id": "my-project"}, "credentials_json"},
		{azurevault.Backend, map[string]string{"vault_url": "https://demo.vault.invalid", "tenant_id": "t", "client_id": "c", "client_secret": "s"}, "vault_url client_secret"},
		{hashivault.Backend, map[string]string{"address": "http://127.0.0.1:1"}, "address token token_file"},
		{hashivault.Backend, map[string]string{"address": "http://127.0.0.1:1", "role_id": "r", "secret_id": "s"}, "role_id secret_id"},
		{hashivault.Backend, map[string]string{"address": "http://127.0.0.1:1", "kubernetes_role": "r"}, "kubernetes_token_file"},
		{postgres.Backend, map[string]string{"host": "127.0.0.1", "port": "1", "identity": "key.txt"}, "port password identity recipients ssl_mode ssl_root_cert"},
		{postgres.Backend, map[string]string{"identity": "key.txt"}, "url"},
		{file.Backend, map[string]string{"path": t.TempDir()}, "identity recipients"},
	} {
		for key := range strings.FieldsSeq(c.keys) {
			for _, value := range []string{
				canary, "/" + canary, canary + "/x.json", "https://user:" + canary + "@127.0.0.1:1", "postgres://user:" + canary + "@127.0.0.1:1/db", "user:" + canary + "@127.0.0.1",
				"AGE-SECRET-KEY-1" + canary, `{"private_key": "` + canary + `"}`, canary + "\x01", "host=127.0.0.1 port=1 password=" + canary,
			} {
				t.Run(c.backend.Block+"."+key+" "+fmt.Sprintf("%q", value), func(t *testing.T) {
					env := f.Env()
					env["VAULT_MAX_RETRIES"], env["AWS_MAX_ATTEMPTS"], env["HOME"] = "0", "1", t.TempDir()
					awstest.Setenv(t, env)
					set := sources.Settings{}
					for _, k := range slices.Collect(maps.Keys(c.base)) {
						set[k] = sources.NewSecret([]byte(c.base[k]))
					}
					set[key] = sources.NewSecret([]byte(value))
					var said strings.Builder
					hear := func(err error) {
						for ; err != nil; err = errors.Unwrap(err) {
							fmt.Fprintf(&said, "%v %+v %#v %s\n", err, err, err, sources.HintOf(err))
						}
					}
					s, err := c.backend.Open(t.Context(), set, sources.Options{
						Getenv: os.LookupEnv, Log: slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug})),
						Warn: func(line string) { said.WriteString(line) }, CallTimeout: time.Second, Dir: "/",
					})
					hear(err)
					if err == nil {
						ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
						defer cancel()
						hear(s.Fetch(ctx, []string{"a"})["a"].Err)
						said.WriteString(s.Describe())
						_ = s.Close()
					}
					if text := said.String(); strings.Contains(strings.ToLower(text), strings.ToLower(canary)) {
						t.Errorf("it is repeated: %s", text)
					}
				})
			}
		}
	}
}
