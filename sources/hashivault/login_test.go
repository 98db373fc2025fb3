package hashivault

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/hashivault/vaulttest"
	"bifrost-secrets/sources/internal/sourcetest"
)

// write makes a file of a folder of its own.
func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Each way wins over those after it, which do not work here.
func TestOrderOfLogins(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	f.Put("a", "x")
	home, dir := t.TempDir(), t.TempDir()
	token := func() string { return f.Token(time.Hour, true, 0) }
	writeFile(t, filepath.Join(home, ".vault-token"), token()+"\n")
	writeFile(t, filepath.Join(dir, "token"), token()+"\n")
	writeFile(t, filepath.Join(dir, "pod"), vaulttest.PodToken+"\n")
	writeFile(t, filepath.Join(dir, "wrong"), "wrong")
	ways := [][]string{
		{"token", token()},
		{"role_id", vaulttest.RoleID, "secret_id", vaulttest.SecretID},
		{"kubernetes_role", vaulttest.PodRole, "kubernetes_mount", "/clusters/eu/", "kubernetes_token_file", "pod"},
		{"token_file", "token"},
		{"VAULT_TOKEN", token()},
		{"HOME", home},
	}
	wrong := map[string]string{
		"token": "wrong", "role_id": "wrong", "secret_id": "wrong", "kubernetes_role": "wrong", "kubernetes_token_file": "wrong",
		"token_file": "wrong", "VAULT_TOKEN": "wrong", "HOME": dir,
	}
	for i := range ways {
		pairs, env := []string{"address", f.URL}, map[string]string{}
		set := func(key, value string) {
			if strings.ToUpper(key) == key {
				env[key] = value
			} else {
				pairs = append(pairs, key, value)
			}
		}
		for n := 0; n < len(ways[i]); n += 2 {
			set(ways[i][n], ways[i][n+1])
		}
		for _, later := range ways[i+1:] {
			for n := 0; n < len(later); n += 2 {
				if bad := wrong[later[n]]; bad != "" {
					set(later[n], bad)
				}
			}
		}
		s := open(t, sourcetest.Settings(pairs...), env, func(o *sources.Options) { o.Dir = dir })
		r := s.fetch(t, "a")["a"]
		sourcetest.WantValue(t, r, "x")
		if t.Failed() {
			t.Fatalf("with %v", ways[i])
		}
	}
}

func TestNoLogin(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	dir := t.TempDir()
	for _, test := range []struct {
		set  sources.Settings
		env  map[string]string
		said string
	}{
		{sourcetest.Settings("address", f.URL), nil, "nothing to sign in"},
		{sourcetest.Settings("address", f.URL), map[string]string{"HOME": dir}, "nothing to sign in"},
		{sourcetest.Settings("address", f.URL, "token", "CANARY-7c1e"), nil, "does not accept the token of vault_store.hashicorp"},
		{sourcetest.Settings("address", f.URL), map[string]string{"VAULT_TOKEN": "CANARY-7c1e"}, "does not accept VAULT_TOKEN"},
		{sourcetest.Settings("address", f.URL, "token", "CANARY-7c1e\x01"), nil, "has characters that no token has"},
		{sourcetest.Settings("address", f.URL, "role_id", vaulttest.RoleID, "secret_id", "CANARY-7c1e"), nil, "does not accept the AppRole"},
		{sourcetest.Settings("address", f.URL, "kubernetes_role", vaulttest.PodRole, "kubernetes_token_file", writeFile(t, filepath.Join(dir, "pod"), "CANARY-7c1e")), nil, `does not accept the kubernetes role "gateway"`},
		{sourcetest.Settings("address", f.URL, "kubernetes_role", vaulttest.PodRole, "kubernetes_token_file", filepath.Join(dir, "none")), nil, "cannot be read from its file: no such file"},
		{sourcetest.Settings("address", f.URL, "token_file", filepath.Join(dir, "none")), nil, "cannot be read from its file: no such file"},
		{sourcetest.Settings("address", f.URL, "token_file", "hvs.CANARY-7c1e"), nil, "cannot be read from its file: no such file"}, // the token itself
		{sourcetest.Settings("address", f.URL, "kubernetes_role", vaulttest.PodRole, "kubernetes_token_file", "eyJ.CANARY-7c1e"), nil, "cannot be read from its file"},
		{sourcetest.Settings("address", f.URL, "token_file", dir), nil, "it is a directory, and only regular files are read"},
		{sourcetest.Settings("address", f.URL, "token_file", writeFile(t, filepath.Join(dir, "empty"), "\n")), nil, "it is empty"},
	} {
		s := open(t, test.set, test.env)
		e := sourcetest.WantKind(t, s.fetch(t, "a", "b")["a"].Err, sources.NoLogin)
		if !strings.Contains(e.Message, test.said) || e.Hint == "" || strings.Contains(e.Message+e.Hint+s.log.String(), "CANARY") {
			t.Errorf("said %q (%s), want %q", e.Message, e.Hint, test.said)
		}
	}
}

// What vault does not answer to signing in is asked once, and not once a name.
func TestALoginThatFailsIsTriedOnce(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	s := open(t, sourcetest.Settings("address", f.URL, "role_id", "wrong", "secret_id", "wrong"), nil)
	s.fetch(t, "a", "b", "c", "d")
	if n := f.Count("PUT auth/approle/login"); n != 1 {
		t.Errorf("%d logins", n)
	}
	s.fetch(t, "a")
	if n := f.Count("PUT auth/approle/login"); n != 2 {
		t.Errorf("%d logins after another fetch", n)
	}
}

func TestTokenFileIsReadAgain(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	f.Put("a", "x")
	first := f.Token(time.Hour, false, 0)
	file := writeFile(t, filepath.Join(t.TempDir(), "token"), first)
	s := open(t, sourcetest.Settings("address", f.URL, "token_file", file), nil)
	sourcetest.WantValue(t, s.fetch(t, "a")["a"], "x")
	f.Revoke(first)
	sourcetest.WantKind(t, s.fetch(t, "a")["a"].Err, sources.NoLogin)
	second := f.Token(time.Hour, false, 0)
	writeFile(t, file, second)
	sourcetest.WantValue(t, s.fetch(t, "a")["a"], "x")
	// It is also one that ends before anything is known of the mount.
	s.engine.Store(nil)
	f.Revoke(second)
	sourcetest.WantKind(t, s.fetch(t, "a")["a"].Err, sources.NoLogin)
	writeFile(t, file, f.Token(time.Hour, false, 0))
	sourcetest.WantValue(t, s.fetch(t, "a")["a"], "x")
}

// A policy that keeps the token out is not mistaken for a token that has ended,
// and costs one look at the token, whatever the number of names.
func TestDeniedIsNotExpired(t *testing.T) {
	t.Parallel()
	for _, self := range []bool{true, false} {
		f := vaulttest.StartFake(t)
		f.SetPolicy([]byte(`path "secret/data/open" { capabilities = ["read"] }`))
		f.Put("open", "x")
		if !self {
			f.NoSelf()
		}
		names := []string{"open", "a", "b", "c"}
		for what, set := range map[string]sources.Settings{"token": sourcetest.Settings("address", f.URL, "token", f.Token(time.Hour, true, 0)), "role": role(f)} {
			s := open(t, set, nil)
			looks, logins := f.Count("GET auth/token/lookup-self"), f.Logins()
			got := s.fetch(t, names...)
			sourcetest.WantValue(t, got["open"], "x")
			for _, name := range names[1:] {
				if e := sourcetest.WantKind(t, got[name].Err, sources.Denied); e.Hint != "allow read on secret/data/"+name+" in a policy of the token" {
					t.Errorf("%s: the hint is %q", what, e.Hint)
				}
			}
			if n := f.Count("GET auth/token/lookup-self") - looks; n > 2 {
				t.Errorf("%s: %d looks at the token", what, n)
			}
			if n := f.Logins() - logins; n > 2 {
				t.Errorf("%s: %d logins", what, n)
			}
		}
	}
}

// A token is renewed while the source is open, also where signing in again is
// not possible, and no more once it is closed.
func TestRenewal(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	f.Put("a", "x")
	f.Leases(2*time.Second, true)
	s := open(t, role(f), nil)
	sourcetest.WantValue(t, s.fetch(t, "a")["a"], "x")
	for range 2 {
		select {
		case <-f.Renewed():
		case <-time.After(sourcetest.Limit):
			t.Fatal("the token was not renewed")
		}
	}
	s.log.await(t, "vault token renewed")
	sourcetest.WantValue(t, s.fetch(t, "a")["a"], "x")
	if n := f.Logins(); n != 1 {
		t.Errorf("%d logins", n)
	}
}

// A token that cannot be renewed is replaced before it ends.
func TestEndOfALease(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	f.Put("a", "x")
	file := writeFile(t, filepath.Join(t.TempDir(), "token"), f.Token(4*time.Second, false, 0))
	s := open(t, sourcetest.Settings("address", f.URL, "token_file", file), nil)
	sourcetest.WantValue(t, s.fetch(t, "a")["a"], "x")
	writeFile(t, file, f.Token(time.Hour, false, 0))
	s.log.await(t, "vault token ends")
	looks := f.Count("GET auth/token/lookup-self")
	sourcetest.WantValue(t, s.fetch(t, "a")["a"], "x")
	if n := f.Count("GET auth/token/lookup-self") - looks; n != 1 {
		t.Errorf("%d looks at the new token", n)
	}
}

func TestNothingIsDoneAtOpening(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	s := open(t, role(f), nil)
	_, _, _ = s.Plan([]string{"a", "b"}), s.Describe(), s.Policy([]string{"a"})
	if s.client != nil || f.Count("") > 0 {
		t.Error("the client is made before it is used")
	}
	if want := "hashicorp-vault at " + strings.TrimPrefix(f.URL, "http://") + ", mount secret"; s.Describe() != want {
		t.Errorf("described as %q, want %q", s.Describe(), want)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for said, set := range map[string]sources.Settings{
		"adress":                          sourcetest.Settings("adress", "http://127.0.0.1"),
		"role_id and secret_id":           sourcetest.Settings("role_id", "x"),
		"of no use":                       sourcetest.Settings("kubernetes_mount", "x"),
		"not the path of a secrets":       sourcetest.Settings("mount_path", "a/../b"),
		"not the path of an auth":         sourcetest.Settings("kubernetes_role", "x", "kubernetes_mount", "a//b"),
		"not the address":                 sourcetest.Settings("address", "vault.example.com:8200"),
		"is not the address of a vault":   sourcetest.Settings("address", "https://u:CANARY@vault.example.com"),
		"address is not the address of a": sourcetest.Settings("address", "ftp://vault.example.com"),
	} {
		_, err := newSource(set, options(nil, new(lockedBuffer)))
		e := sourcetest.WantKind(t, err, sources.BadSettings)
		if !strings.Contains(e.Message, said) || e.Hint == "" || strings.Contains(e.Message+e.Hint, "CANARY") {
			t.Errorf("said %q (%s), want %q", e.Message, e.Hint, said)
		}
	}
	e := sourcetest.WantKind(t, open(t, sourcetest.Settings("token", "x"), nil).fetch(t, "a")["a"].Err, sources.BadSettings)
	if !strings.Contains(e.Hint, "VAULT_ADDR") {
		t.Errorf("the hint is %q", e.Hint)
	}
	for address, warned := range map[string]bool{"http://vault.example.com:8200": true, "http://127.0.0.1:1": false, "http://localhost:1": false, "http://[::1]:1": false, "https://vault.example.com": false, "unix:///run/vault.sock": false} {
		if got := open(t, sourcetest.Settings("address", address), nil).log.String() != ""; got != warned {
			t.Errorf("%s: warned %t", address, got)
		}
	}
	if got := open(t, nil, map[string]string{"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_AGENT_ADDR": "http://127.0.0.1:2"}).address; got != "http://127.0.0.1:2" {
		t.Errorf("the address is %s", got)
	}
}

// The client adds /v1 itself: an address that has it, or that a browser showed,
// is the same vault.
func TestAddressWithAPath(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	f.Put("a", "x")
	for _, path := range []string{"/v1", "/v1/", "/ui", "/ui/vault/secrets/secret/kv/list"} {
		s := open(t, sourcetest.Settings("address", f.URL+path, "token", vaulttest.Root), nil)
		if r := s.fetch(t, "a")["a"]; r.Err != nil || string(r.Value.Reveal()) != "x" {
			t.Errorf("%s: %v", path, r.Err)
		}
		if !strings.Contains(s.log.String(), "which is left out") {
			t.Errorf("%s: no warning: %s", path, s.log)
		}
	}
	s := open(t, sourcetest.Settings("address", f.URL+"/", "token", vaulttest.Root), nil)
	if s.fetch(t, "a"); strings.Contains(s.log.String(), "left out") {
		t.Error(s.log)
	}
}
