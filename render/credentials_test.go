package render

import (
	"slices"
	"testing"

	"bifrost-secrets/sources"
)

// The variables that credentials come from are known for the block of every
// backend, also where flags stand for it.
func TestCredentialsOfFlags(t *testing.T) {
	for block, set := range map[string][]string{
		"postgres": {"url=env.CRED", "password=env.CRED", "identity=env.CRED", "host=env.HOST"},
		"azure":    {"client_secret=env.CRED", "client_id=env.ID"},
		"file":     {"identity=env.CRED", "path=env.DIR"},
	} {
		s, err := StoreFromFlags(block, set, []sources.Backend{{Type: block, Block: block}})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Credentials(); !slices.Equal(got, []string{"CRED"}) {
			t.Errorf("%s: %v", block, got)
		}
	}
	for _, set := range []string{"url=env.CRED", "password=env.CRED", "identity=env.CRED"} {
		s, err := StoreFromFlags("postgres", []string{set}, []sources.Backend{{Type: "postgres", Block: "postgres"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Credentials(); !slices.Equal(got, []string{"CRED"}) {
			t.Errorf("%s: %v", set, got)
		}
	}
}
