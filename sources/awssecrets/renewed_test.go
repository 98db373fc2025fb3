package awssecrets

import (
	"cmp"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets/awstest"
)

// Whatever a session came of, once it is refused the next fetch has what is on
// the disk by then. Only what was refused is asked for twice.
func TestRenewedOnDisk(t *testing.T) {
	const role = "arn:aws:iam::210987654321:role/r"
	f := awstest.StartFake(t)
	f.Put("app/a", "v")
	f.PutIn("210987654321", awstest.Region, "app/a", "v")
	dir := t.TempDir()
	write := func(name, format string, args ...any) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// What returns credentials for a token that a file has: a container's, and SSO.
	wrong := ""
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("Authorization") + r.Header.Get("X-Amz-Sso_bearer_token")
		if token == wrong {
			w.Header().Set("X-Amzn-Errortype", "UnauthorizedException")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/federation") {
			_, _ = fmt.Fprintf(w, `{"roleCredentials": {"accessKeyId": "KEY", "secretAccessKey": "b", "sessionToken": "of-%s", "expiration": 4102444800000}}`, token)
			return
		}
		_, _ = fmt.Fprintf(w, `{"AccessKeyId": "KEY", "SecretAccessKey": "b", "Token": "of-%s", "Expiration": "2999-01-01T00:00:00Z"}`, token)
	}))
	t.Cleanup(service.Close)
	sum := sha1.Sum([]byte("s"))
	sso := filepath.Join(".aws", "sso", "cache", hex.EncodeToString(sum[:])+".json")
	keys := func(n int) {
		write("credentials", "[default]\naws_access_key_id = KEY%d\naws_secret_access_key = s\n", n)
	}
	shared := []string{"AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "credentials")}
	for _, c := range []struct {
		name    string
		set     sources.Settings
		env     []string
		write   func(n int)
		expired string // the session of the first write
		sts     string // what STS refuses then
	}{
		{"shared credentials file", settings(), shared, keys, "KEY1", ""},
		{"a role with the keys of it", settings("role_arn", role), shared, keys, "role-1", "KEY1/"},
		{"a profile with a role", settings(), append([]string{"AWS_PROFILE", "p", "AWS_CONFIG_FILE",
			write("config", "[profile p]\nrole_arn = %s\nsource_profile = default\n[profile sso]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n"+
				"[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://x.example\n[profile process]\ncredential_process = cat %s\n", role, filepath.Join(dir, "process"))}, shared...),
			keys, "role-1", "KEY1/"},
		{"web identity", settings(), []string{"AWS_WEB_IDENTITY_TOKEN_FILE", filepath.Join(dir, "jwt"), "AWS_ROLE_ARN", role},
			func(n int) { write("jwt", "token%d", n) }, "role-1", "token1"},
		{"container", settings(), []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI", service.URL + "/c", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", filepath.Join(dir, "container")},
			func(n int) { write("container", "token%d", n) }, "of-token1", ""},
		{"SSO", settings(), []string{"AWS_PROFILE", "sso", "AWS_CONFIG_FILE", filepath.Join(dir, "config"), "AWS_ENDPOINT_URL_SSO", service.URL},
			func(n int) { write(sso, `{"accessToken": "token%d", "expiresAt": "2999-01-01T00:00:00Z"}`, n) }, "of-token1", ""},
		{"credential_process", settings(), []string{"AWS_PROFILE", "process", "AWS_CONFIG_FILE", filepath.Join(dir, "config")},
			func(n int) {
				write("process", `{"Version": 1, "AccessKeyId": "KEY%d", "SecretAccessKey": "s"}`, n)
			}, "KEY1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.Set(awstest.Faults{})
			f.ResetRoles()
			wrong = ""
			c.write(1)
			s := open(t, without(f.Env(), keyNames, append([]string{"HOME", dir, "AWS_ENDPOINT_URL_STS", f.URL}, c.env...)...), c.set)
			wantValue(t, s.fetch(t, "app/a")["app/a"], "v")
			f.Forget()
			f.Set(awstest.Faults{ExpireKey: c.expired, RejectSTS: "ExpiredToken", RejectFor: cmp.Or(c.sts, "nothing")})
			wrong = "token1"
			// Nothing was renewed yet: one request that is refused, and no more.
			e := wantKind(t, s.fetch(t, "app/a")["app/a"].Err, sources.NoLogin)
			if n := f.Calls("GetSecretValue"); n != 1 {
				t.Errorf("%d requests with a dead session, want 1: %v", n, e)
			}
			f.Forget()
			c.write(2)
			wantValue(t, s.fetch(t, "app/a")["app/a"], "v")
			if n := f.Calls("GetSecretValue"); n > 2 {
				t.Errorf("%d requests, want 2 at most", n)
			}
			if n := strings.Count(s.log.String(), "signed in anew"); n > 1 {
				t.Errorf("said %d times that it signed in anew:\n%s", n, s.log)
			}
			f.Forget()
			wantValue(t, s.fetch(t, "app/a")["app/a"], "v")
			if f.Total() != 1 {
				t.Errorf("%d requests afterwards, want 1", f.Total())
			}
		})
	}
}
