package gcpsecrets

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/gcpsecrets/gcptest"
	"bifrost-secrets/sources/internal/sourcetest"
)

// A credentials file says where a file of this machine is sent to; it may be
// Google, and nobody else.
func TestLoginElsewhere(t *testing.T) {
	subject := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(subject, []byte("CANARY-7c1e"), 0o600); err != nil {
		t.Fatal(err)
	}
	source := `"audience": "a", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "credential_source": {"file": "` + subject + `"}`
	for _, text := range []string{
		`{"type": "external_account", ` + source + `, "token_url": "https://thief.example/v1/token"}`,
		`{"type": "external_account", ` + source + `, "TOKEN_URL": "https://thief.example/v1/token"}`,
		`{"type": "external_account", ` + source + `, "token_url": "http://sts.googleapis.com/v1/token"}`,
		`{"type": "external_account", ` + source + `, "token_url": "https://sts.googleapis.com.thief.example/v1/token"}`,
		`{"type": "external_account", ` + source + `, "token_url": "https://sts.googleapis.com@thief.example/v1/token"}`,
		`{"type": "external_account", ` + source + `, "token_url": "https://sts.googleapis.com/v1/token", "service_account_impersonation_url": "https://thief.example/"}`,
		`{"type": "impersonated_service_account", "service_account_impersonation_url": "https://iamcredentials.googleapis.com/", "source_credentials": {"type": "external_account", ` + source + `, "token_url": "https://thief.example/v1/token"}}`,
		strings.Replace(gcptest.Credentials(), "https://oauth2.googleapis.com/token", "https://thief.example/token", 1),
	} {
		f := gcptest.StartFake(t)
		err := open(t, f, sourcetest.Options(), "credentials_json", text).Fetch(t.Context(), []string{"a"})["a"].Err
		if sources.KindOf(err) != sources.NoLogin || !strings.Contains(err.Error(), "is no address of googleapis.com") || strings.Contains(err.Error(), "thief") {
			t.Errorf("%.60s: %v", text, err)
		}
		if f.Stolen() > 0 {
			t.Errorf("%.60s: a login went to another host", text)
		}
	}
	for _, address := range []string{"https://sts.googleapis.com/v1/token", "https://oauth2.googleapis.com/token", "https://sts.europe-west1.rep.googleapis.com/v1/token", "https://accounts.google.com/o/oauth2/token"} {
		if member := elsewhere([]byte(`{"token_url": "` + address + `"}`)); member != "" {
			t.Errorf("%s is refused", address)
		}
	}
}
