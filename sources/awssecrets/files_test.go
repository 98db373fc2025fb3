package awssecrets

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets/awstest"
)

// TestMarksInFiles: an editor, a shell or Windows leaves white space and marks in the
// files of a login, which no credential has.
func TestMarksInFiles(t *testing.T) {
	f := awstest.StartFake(t)
	const role = "arn:aws:iam::210987654321:role/reader"
	f.Put("app/a", "v")
	f.PutIn("210987654321", awstest.Region, "app/a", "v")
	f.Set(awstest.Faults{ExpireKey: "nothing", RejectSTS: "InvalidIdentityToken", RejectFor: "token%0A"})
	container := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "token" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(`{"AccessKeyId": "a", "SecretAccessKey": "b", "Token": "c", "Expiration": "2999-01-01T00:00:00Z"}`))
	}))
	t.Cleanup(container.Close)
	for name, c := range map[string]struct {
		text string
		env  []string
	}{
		"web identity":    {"token\n", []string{"AWS_ROLE_ARN", role, "AWS_WEB_IDENTITY_TOKEN_FILE", "FILE", "AWS_ENDPOINT_URL_STS", f.URL}},
		"container":       {"token\r\n", []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI", container.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "FILE"}},
		"container, mark": {"\ufefftoken\n", []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI", container.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "FILE"}},
		"windows":         {"[default]\r\naws_access_key_id = KEY\r\naws_secret_access_key = s\r\n", []string{"AWS_SHARED_CREDENTIALS_FILE", "FILE"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			for i, v := range c.env {
				if v == "FILE" {
					c.env[i] = path
				}
			}
			r := open(t, without(f.Env(), keyNames, c.env...), settings()).fetch(t, "app/a")["app/a"]
			wantValue(t, r, "v")
		})
	}

	// The SDK itself reads the shared files.
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("\ufeff[default]\naws_access_key_id = INFILE\naws_secret_access_key = s\n[p]\nregion = x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, env := range [][]string{
		{"AWS_SHARED_CREDENTIALS_FILE", path},
		{"AWS_SHARED_CREDENTIALS_FILE", path, "AWS_PROFILE", "q"},
		{"AWS_CONFIG_FILE", path, "AWS_PROFILE", "q"},
	} {
		e := wantKind(t, open(t, without(f.Env(), keyNames, env...), settings()).fetch(t, "app/a")["app/a"].Err, sources.NoLogin)
		if !strings.Contains(e.Hint, "begins with a byte order mark") || strings.Contains(show(e), "INFILE") {
			t.Error(show(e))
		}
	}

	if err := os.WriteFile(path, []byte("\xff\xfe[\x00d\x00]\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := wantKind(t, open(t, without(f.Env(), keyNames, "AWS_SHARED_CREDENTIALS_FILE", path), settings()).fetch(t, "app/a")["app/a"].Err, sources.NoLogin)
	if !strings.Contains(e.Hint, "the file of AWS_SHARED_CREDENTIALS_FILE is in UTF-16") {
		t.Error(show(e))
	}
}
