package walker_test

import (
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/walker"
)

func TestNearest(t *testing.T) {
	types := []string{"aws-secrets-manager", "azure-key-vault", "file", "gcp-secret-manager", "hashicorp-vault", "postgres"}
	settings := []string{"access_key_id", "kms_key_id", "region", "role_arn", "secret_access_key", "session_token"}
	for _, c := range []struct {
		name  string
		words []string
		want  string
	}{
		{"aws", types, "aws-secrets-manager"}, {"AWS_Secrets_Manager", types, "aws-secrets-manager"}, {"gcp-secrets-manager", types, "gcp-secret-manager"},
		{"hashicorp", types, "hashicorp-vault"}, {"vault", types, "azure-key-vault hashicorp-vault"}, {"postgresql", types, "postgres"}, {"File", types, "file"},
		{"regoin", settings, "region"}, {"accessKeyId", settings, "access_key_id"}, {"secret_key", settings, ""}, {"kms_key", settings, "kms_key_id"},
		{"s3", types, ""}, {"", types, ""}, {"x", types, ""}, {"kubernetes", types, ""}, {strings.Repeat("a", 1<<20), types, ""},
	} {
		if got := walker.Nearest(c.name, c.words); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%.40q is near %q, want %q", c.name, got, c.want)
		}
	}
	if got, want := walker.KnownHint("hashicorp", types[4:]), `did you mean "hashicorp-vault"? known are hashicorp-vault, postgres`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
