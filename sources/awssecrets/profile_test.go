package awssecrets

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets/awstest"
)

const ssoProfile = `[profile sso]
sso_session = s
sso_account_id = 123456789012
sso_role_name = reader
region = us-east-1
[sso-session s]
sso_region = us-east-1
sso_start_url = https://example.awsapps.com/start
[profile legacy]
sso_start_url = https://legacy.awsapps.com/start
sso_region = us-east-1
sso_account_id = 123456789012
sso_role_name = reader
[profile chain]
role_arn = arn:aws:iam::210987654321:role/r
source_profile = sso
[profile chain2]
role_arn = arn:aws:iam::210987654321:role/s
source_profile = chain
[profile half]
sso_session = nowhere
sso_account_id = 123456789012
sso_role_name = reader
[profile partial]
sso_session = p
sso_account_id = 123456789012
sso_role_name = reader
[sso-session p]
sso_region = us-east-1
[profile exits]
credential_process = sh -c 'echo ` + mark + `; exit 3'
[profile babbles]
credential_process = echo ` + mark + `
[profile orphan]
role_arn = arn:aws:iam::210987654321:role/r
source_profile = gone
[profile cli]
login_session = arn:aws:iam::123456789012:user/somebody
region = us-east-1
`

// What is wrong with a login that a profile of the shared config files describes.
func TestProfiles(t *testing.T) {
	f := awstest.StartFake(t)
	home := t.TempDir()
	config := filepath.Join(home, "config")
	if err := os.WriteFile(config, []byte(ssoProfile), 0o600); err != nil {
		t.Fatal(err)
	}
	write := func(t *testing.T, key string, expires time.Time) {
		sum := sha1.Sum([]byte(key))
		path := filepath.Join(home, ".aws", "sso", "cache", hex.EncodeToString(sum[:])+".json")
		text := fmt.Sprintf(`{"accessToken": %q, "expiresAt": %q}`, mark, expires.UTC().Format(time.RFC3339))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(path) })
	}
	status := 0
	portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amzn-Errortype", map[int]string{401: "UnauthorizedException", 403: "ForbiddenException", 500: "x"}[status])
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"message": "` + mark + `"}`))
	}))
	t.Cleanup(portal.Close)
	past, future := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), time.Now().Add(time.Hour)
	const legacy = "https://legacy.awsapps.com/start"
	for _, c := range []struct {
		name, profile, key string
		expires            time.Time // of the token that is kept under key
		status             int       // of the portal
		kind               sources.Kind
		message, hint      string
	}{
		{"expired", "sso", "s", past, 0, sources.NoLogin, "the SSO session of profile sso has expired, or there is none", "run: aws sso login --profile sso"},
		{"never made", "sso", "", past, 0, sources.NoLogin, "the SSO session of profile sso has expired, or there is none", "run: aws sso login --profile sso"},
		{"ended there", "sso", "s", future, 401, sources.NoLogin, "the SSO session of profile sso has expired, or there is none", "run: aws sso login --profile sso"},
		{"no such role", "sso", "s", future, 403, sources.NoLogin, "the SSO session of profile sso may not use the role reader in account 123456789012", "sso_role_name"},
		{"down", "sso", "s", future, 500, sources.Unreachable, "no usable answer from the service that aws profile sso signs in at: http status 500", "sso_region"},
		{"legacy, expired", "legacy", legacy, past, 0, sources.NoLogin, "the SSO session of profile legacy has expired, or there is none", "run: aws sso login --profile legacy"},
		{"legacy, never made", "legacy", "", past, 0, sources.NoLogin, "the SSO session of profile legacy has expired, or there is none", "run: aws sso login --profile legacy"},
		{"legacy, ended there", "legacy", legacy, future, 401, sources.NoLogin, "the SSO session of profile legacy has expired, or there is none", "run: aws sso login --profile legacy"},
		{"a role of it", "chain", "s", past, 0, sources.NoLogin, "the SSO session of profile sso has expired, or there is none", "run: aws sso login --profile sso"},
		{"a role of a role of it", "chain2", "s", past, 0, sources.NoLogin, "the SSO session of profile sso has expired, or there is none", "run: aws sso login --profile sso"},
		{"no such session", "half", "", past, 0, sources.NoLogin, `aws profile "half", or its source_profile, names an sso_session that is not in the config file`, "aws configure sso --profile half"},
		{"not complete", "partial", "", past, 0, sources.NoLogin, `the SSO settings of aws profile "partial" are not complete`, "aws configure sso --profile partial"},
		{"process, failing", "exits", "", past, 0, sources.NoLogin, `the credential_process of aws profile "exits" failed: exit status 3`, "by hand"},
		{"process, babbling", "babbles", "", past, 0, sources.NoLogin, `the credential_process of aws profile "babbles" failed: its output is not what aws wants of one`, "by hand"},
		{"no source profile", "orphan", "", past, 0, sources.NoLogin, `aws profile "gone", the source_profile of "orphan", is in none of the shared config files`, "source_profile"},
		{"no profile", "none", "", past, 0, sources.NoLogin, `aws profile "none" is in none of the shared config files`, "AWS_PROFILE"},
		{"aws login", "cli", "", past, 0, sources.NoLogin, "the login session of profile cli has expired, or there is none", "run: aws login --profile cli"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if status = c.status; c.key != "" {
				write(t, c.key, c.expires)
			}
			env := without(f.Env(), keyNames, "AWS_CONFIG_FILE", config, "AWS_PROFILE", c.profile, "HOME", home, "AWS_ENDPOINT_URL_SSO", portal.URL, "AWS_MAX_ATTEMPTS", "1")
			e := wantKind(t, open(t, env, settings()).fetch(t, "app/a")["app/a"].Err, c.kind)
			if !strings.HasPrefix(e.Message, c.message) || !strings.Contains(e.Hint, c.hint) || strings.Contains(show(e), mark) {
				t.Errorf("%s\n%s", show(e), e.Hint)
			}
			if e.Kind == sources.NoLogin && !strings.HasPrefix(e.Message, "the SSO ") {
				checkWords(t, e)
			}
		})
	}
	t.Run("keys of the environment come first", func(t *testing.T) {
		f.Put("app/a", "v")
		env := without(f.Env(), "", "AWS_CONFIG_FILE", config, "AWS_PROFILE", "sso", "HOME", home)
		wantValue(t, open(t, env, settings()).fetch(t, "app/a")["app/a"], "v")
	})
	t.Run("characters that no credential has", func(t *testing.T) {
		e := wantKind(t, open(t, without(f.Env(), "", "AWS_SESSION_TOKEN", "a\nb"+mark), settings()).fetch(t, "app/a")["app/a"].Err, sources.NoLogin)
		if !strings.Contains(e.Message, "has characters that no credential has") || strings.Contains(show(e), mark) {
			t.Error(show(e))
		}
	})
}

// A setting that may hold the credential itself, by mistake, is not repeated.
func TestPathsAreNotRepeated(t *testing.T) {
	f := awstest.StartFake(t)
	for _, pairs := range [][]string{
		{"AWS_WEB_IDENTITY_TOKEN_FILE", mark, "AWS_ROLE_ARN", mark},
		{"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", mark, "AWS_CONTAINER_CREDENTIALS_FULL_URI", f.URL + "/c"},
		{"AWS_SHARED_CREDENTIALS_FILE", mark},
	} {
		e := wantKind(t, open(t, without(f.Env(), keyNames, pairs...), settings()).fetch(t, "app/a")["app/a"].Err, sources.NoLogin)
		if strings.Contains(show(e), mark) || strings.Contains(e.Hint, mark) {
			t.Error(show(e))
		}
	}
}
