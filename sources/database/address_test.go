package database

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bifrost-secrets/sources"
)

// What the settings have is what pgx is told, spaces and all.
func TestSettingsAreKept(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "my certs+.pem")
	if err := os.WriteFile(ca, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a b", " a", "a+b", "a%20b", "a&b=c", `a'b\`, "é世", "a@b/c?d#e"} {
		target, err := New(Settings{Host: "h", User: name, DBName: name})
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if target.User() != name || target.Database() != name {
			t.Errorf("%q became the user %q and the database %q", name, target.User(), target.Database())
		}
	}
	if _, err := New(Settings{Host: "h", SSLRootCert: ca}); err == nil || !strings.Contains(err.Error(), "holds no certificate") {
		t.Errorf("%q: %v", ca, err)
	}
}

// FuzzInAddress holds what is found in an address against what pgx finds there, since
// it is what decides on files that the address may name.
func FuzzInAddress(f *testing.F) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "PG") {
			f.Setenv(name, "")
		}
	}
	f.Setenv("HOME", f.TempDir())
	for _, address := range []string{
		"postgres://u:p@h:1,h2:2/d?application_name=a", "postgres://u:p?x@h/d?application_name=a+b", "postgres://h/d?application_name=a&application_name=b",
		"postgresql://u:p%40@[::1?application_name=x]:1/d?%20application_name=%20b%20", "host=h application_name=a application_name='b c'", `host=h application_name=a\ b password='\'p'`,
		"host=h\vapplication_name = a\vpassword=p", `user='x'application_name=y`, `application_name='a\\b' password=p\`, "postgres:///?application_name=1&password=2", "postgres://u:@,h/d/e?user=x",
	} {
		f.Add(address)
	}
	f.Fuzz(func(t *testing.T, address string) {
		for _, key := range []string{"passfile", "service", "ssl"} {
			if strings.Contains(address, key) {
				return // pgx would read a file
			}
		}
		if _, err := (Settings{URL: secret(address)}).address(); err != nil {
			return
		}
		config, err := pgx.ParseConfig(address)
		if err != nil {
			return
		}
		if got, want := inAddress(address, "application_name"), config.RuntimeParams["application_name"]; got != want {
			t.Errorf("%q: application_name is %q, and pgx says %q", address, got, want)
		}
		if got, want := inAddress(address, "password"), config.Password; got != want {
			t.Errorf("%q: password is %q, and pgx says %q", address, got, want)
		}
	})
}

// Whatever way an address names a file, it is asked whether it may.
func TestFilesOfAnAddress(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	refused := errors.New("leads out")
	may := func(asked *[]string) func(string, string) (string, error) {
		return func(setting, path string) (string, error) {
			*asked = append(*asked, path)
			if strings.HasPrefix(path, "/allowed/") {
				return path, nil
			}
			return "", refused
		}
	}
	for _, address := range []string{
		"postgres://h/d?sslkey=/etc/x",
		"postgres://h/d?sslkey=/allowed/x&sslkey=/etc/x",
		"postgres://h:1,h:2/d?sslkey=/etc/x",
		"postgres://u:p?@h/d?sslkey=/etc/x",
		"postgres://h/d?sslkey=/allowed/../etc/x",
		"postgres://h/d?sslke%79=%20/etc/x",
		"host=h sslkey=/etc/x", "host=h sslkey=/allowed/x sslkey='/etc/x'", "host=h user='sslkey=/allowed/x' sslkey=/etc/x", `host=h sslkey=/e\tc/x`, "host=h\vsslkey\v=\v/etc/x",
		// A service file names other files, and so does what it names.
		"postgres://h/d?servicefile=/allowed/x&service=y",
	} {
		var asked []string
		if _, err := New(Settings{URL: secret(address), Path: may(&asked)}); !errors.Is(err, refused) {
			t.Errorf("%s: %v; asked for %q", address, err, asked)
		}
	}
	// The first host is not the second, and a space is not a plus.
	var asked []string
	_, _ = New(Settings{URL: secret("postgres://h:1,h:2/d?sslkey=/allowed/a+b&sslcert=/allowed/c%20d"), Path: may(&asked)})
	if want := []string{"/allowed/c d", "/allowed/a+b"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

// The password of an address is its own, however many hosts it has, and goes there.
func TestOwnPasswordOfManyHosts(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	for _, address := range []string{"postgres://u:CANARY@a:1,b:2/d", "postgres://u:CAN?ARY@a/d", "postgres://a,b/d?user=u&password=CANARY", "host=a,b user=u password=CANARY"} {
		if _, err := New(Settings{URL: secret(address), Elsewhere: "vault_store.postgres.url"}); err != nil {
			t.Errorf("%s: %v (%s)", strings.ReplaceAll(address, "CANARY", "..."), err, sources.HintOf(err))
		}
	}
	t.Setenv("PGPASSWORD", "ambient")
	for _, address := range []string{"postgres://u@a:1,b:2/d", "postgres://u@a,a/d", "host=a,b user=u"} {
		if _, err := New(Settings{URL: secret(address), Elsewhere: "vault_store.postgres.url"}); sources.KindOf(err) != sources.BadSettings {
			t.Errorf("%s: the password of the environment goes there: %v", address, err)
		}
	}
}

// A host that is silent leaves time to those behind it, and all of them are named.
func TestManyHosts(t *testing.T) {
	for address, want := range map[string]string{
		"postgres://u@a/d": "a:5432", "postgres://u@a:1,b/d": "a:1,b:5432", "host=/s,::1,c user=u dbname=d sslmode=prefer": "/s,[::1]:5432,c:5432",
	} {
		target, err := New(Settings{URL: secret(address)})
		if err != nil {
			t.Fatal(err)
		}
		if got := target.Address(); got != want {
			t.Errorf("%s leads to %s, want %s", address, got, want)
		}
		if n := time.Duration(len(hosts(target.config))); target.config.ConnectTimeout*n > connectTimeout || target.config.ConnectTimeout <= 0 {
			t.Errorf("%s: %s for each of %d hosts", address, target.config.ConnectTimeout, n)
		}
	}
	target, err := New(Settings{URL: secret("postgres://u@a,b/d?connect_timeout=7")})
	if err != nil || target.config.ConnectTimeout != 7*time.Second {
		t.Errorf("the time of the address is %s (%v)", target.config.ConnectTimeout, err)
	}
}

// Half a password, where it was not percent-encoded, is no host and no database to be
// shown.
func TestPasswordThatIsNotEncoded(t *testing.T) {
	for _, address := range []string{"postgres://u:p@CANARY/x@h:5432/d", "postgres://u:p@CANARY1/CANARY2@h/d?sslmode=disable", "host=a,u:CANARY@b user=u", "postgres://a,u:1@CANARY@b/d"} {
		_, err := New(Settings{URL: secret(address)})
		if err == nil || strings.Contains(fmt.Sprint(err, sources.HintOf(err)), "CANARY") || sources.KindOf(err) != sources.BadSettings {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := New(Settings{URL: secret("postgres://h/d%40e")}); err != nil {
		t.Error(err)
	}
}

// An address where the name of a service belongs has a password in it.
func TestAddressAsService(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("PGSERVICE", "postgres://u:CANARY@h/d")
	_, err := New(Settings{})
	wantError(t, err, sources.BadSettings, "", "the service of PGSERVICE is not in ~/.pg_service.conf")
}
