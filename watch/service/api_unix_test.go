//go:build unix

package service

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	management "bifrost-secrets/watch/bifrost"
)

// The API is where Bifrost's own arguments, or those of its image, say.
func TestAPIAddress(t *testing.T) {
	for _, one := range []struct {
		url, port string
		args      []string
		want      string
	}{
		{"", "", nil, "http://127.0.0.1:8080"},
		{"", "9000", nil, "http://127.0.0.1:9000"},
		{"", "9000", []string{"/app/main", "-app-dir", "/app/data", "-port", "9001"}, "http://127.0.0.1:9001"},
		{"", "", []string{"/app/main", "--port=9002", "-host", "0.0.0.0"}, "http://127.0.0.1:9002"},
		{"", "", []string{"/app/main", "-port"}, "http://127.0.0.1:8080"},
		{"", "", []string{"port", "9003"}, "http://127.0.0.1:8080"},
		{"unix:/run/bifrost", "9000", []string{"/app/main", "-port", "1"}, "unix:/run/bifrost"},
	} {
		a := API{URL: one.url}
		env := map[string]string{}
		if one.port != "" {
			env["APP_PORT"] = one.port
		}
		if got := a.address(env, one.args); got != one.want {
			t.Errorf("%+v: %s", one, got)
		}
	}
}

func TestAPIAuth(t *testing.T) {
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	auth, err := (&API{TokenFile: file("admin:pass:word\n")}).auth()
	if err != nil || auth.Scheme != management.Basic || string(auth.User.Reveal()) != "admin" || string(auth.Secret.Reveal()) != "pass:word" {
		t.Errorf("basic: %v %v", auth, err)
	}
	auth, err = (&API{TokenFile: file("token\r\n")}).auth()
	if err != nil || auth.Scheme != management.Bearer || string(auth.Secret.Reveal()) != "token" {
		t.Errorf("bearer: %v %v", auth, err)
	}
	if auth, err = (&API{}).auth(); err != nil || auth.Scheme != management.NoAuth {
		t.Errorf("none: %v %v", auth, err)
	}
	// It is looked at as --token-file is, and read anew.
	open := file("admin:pass")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	changing := file("admin:one")
	d := &runner{Host: &Host{Log: slog.New(slog.DiscardHandler)}, o: &Options{Bifrost: API{TokenFile: changing}}}
	first, err := d.o.Bifrost.auth()
	if err != nil {
		t.Fatal(err)
	}
	login := d.login(first)
	for _, content := range []string{"admin:two", "\n"} { // a broken one leaves what was there
		if err := os.WriteFile(changing, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := login(); string(got.Secret.Reveal()) != "two" {
			t.Errorf("after %q it is not two", content)
		}
	}
	for name, a := range map[string]API{
		"open token": {TokenFile: open}, "empty": {TokenFile: file("\n")},
		"no file": {TokenFile: "/nowhere"},
	} {
		var own *Error
		if _, err := a.auth(); !errors.As(err, &own) || own.Code != ExitUsage {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is ours does not reach Bifrost, and what only looks like it does.
func TestOwnVariables(t *testing.T) {
	for name, want := range map[string]bool{
		"BIFROST_SECRETS_TOKEN": true, "BIFROST_SECRETS_": true, "NOTIFY_SOCKET": true, "MY_ROLE_SECRET": true,
		"BIFROST_SECRET_0123": false, "BIFROST_ENCRYPTION_KEY": false, "PATH": false, "APP_DIR": false, "MY_ROLE": false,
	} {
		if got := isOwn(name, []string{"MY_ROLE_SECRET"}); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
