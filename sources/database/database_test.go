package database

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/postgres/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.M{M: m}) }

func secret(text string) sources.Secret { return sources.NewSecret([]byte(text)) }

// settings are those of the superuser of d.
func settings(d *pgtest.Database) Settings {
	return Settings{Host: d.Host, Port: fmt.Sprint(d.Port), User: pgtest.Superuser, Password: secret(d.Password), DBName: d.Name}
}

func TestPasswords(t *testing.T) {
	d := pgtest.Shared(t).Database(t)
	for _, password := range []string{
		"plain", "with space", " spaces around ", "'quoted'", `in"ner`, `back\slash`, `ends\`, `'`, "a=b&c#d%41/e?f@g:h",
		"pässwörd 世", `x' host='evil.example' y=\'`, "$1 ${HOME} `id`",
	} {
		t.Run(password, func(t *testing.T) {
			role := d.Role(t, password)
			s := settings(d)
			s.User, s.Password = role, secret(password)
			target, err := New(s)
			if err != nil {
				t.Fatal(err)
			}
			if err := target.Ping(t.Context()); err != nil {
				t.Error(err)
			}
			pool, err := target.Pool(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			if err := pool.Ping(t.Context()); err != nil {
				t.Error(err)
			}
			// The same in a URL, and beside one.
			for _, s := range []Settings{
				{URL: secret(d.As(role, password))},
				{URL: secret(fmt.Sprintf("postgres://%s@%s:%d/%s", role, d.Host, d.Port, d.Name)), Password: secret(password)},
				{URL: secret(fmt.Sprintf("host=%s port=%d user=%s dbname=%s", d.Host, d.Port, role, d.Name)), Password: secret(password)},
			} {
				target, err := New(s)
				if err != nil {
					t.Fatal(err)
				}
				if err := target.Ping(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestPasswordCommand(t *testing.T) {
	d := pgtest.Shared(t).Database(t)
	s := settings(d)
	s.Password = secret("wrong")
	asked := 0
	s.PasswordCommand = func(context.Context) (sources.Secret, error) {
		asked++
		return secret(d.Password), nil
	}
	target, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := target.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times for 2 connections", asked)
	}
	failed := &sources.Error{Kind: sources.NoLogin, Message: "the command failed"}
	s.PasswordCommand = func(context.Context) (sources.Secret, error) { return sources.Secret{}, failed }
	if target, err = New(s); err != nil {
		t.Fatal(err)
	}
	if err := target.Ping(t.Context()); !errors.Is(err, failed) {
		t.Error(err)
	}
}

// listen returns the port of a listener that does with each connection what f does.
func listen(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f(conn)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}

func TestExplain(t *testing.T) {
	const canary = `CANARY pass'wörd\`
	d := pgtest.Shared(t).Database(t)
	role := d.Role(t, canary)
	tlsOnly := d.Role(t, canary, "GRANT tls_only TO %s")
	// Two connections are those that pgtest keeps, to "postgres" and to plain.
	noTLS := pgtest.Start(t, pgtest.Options{NoTLS: true, Config: []string{"max_connections=7", "superuser_reserved_connections=3"}})
	plain := noTLS.Database(t)
	expired := pgtest.Start(t, pgtest.Options{Expired: true}).Database(t)
	var held []net.Conn
	t.Cleanup(func() {
		for _, conn := range held {
			_ = conn.Close()
		}
	})
	hanging := listen(t, func(conn net.Conn) { held = append(held, conn) }) // which ends before that
	web := listen(t, func(conn net.Conn) { _, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); _ = conn.Close() })
	closed := listen(t, func(conn net.Conn) { _ = conn.Close() })
	change := func(d *pgtest.Database, f func(*Settings)) Settings {
		s := settings(d)
		f(&s)
		return s
	}
	tests := []struct {
		name     string
		settings Settings
		kind     sources.Kind
		code     string
		parts    []string
	}{
		{"refused", change(d, func(s *Settings) { s.Port = "1" }), sources.Unreachable, "", []string{"127.0.0.1:1 refuses connections"}},
		{"no host", change(d, func(s *Settings) { s.Host = "nowhere.invalid" }), sources.Unreachable, "", []string{`"nowhere.invalid" of PostgreSQL is not known`}},
		{"no socket", change(d, func(s *Settings) { s.Host = "/nowhere" }), sources.Unreachable, "", []string{"/nowhere: there is no socket"}},
		{"hanging", change(d, func(s *Settings) { s.Port = hanging }), sources.Unreachable, "", []string{"no answer from"}},
		{"not PostgreSQL", change(d, func(s *Settings) { s.Port, s.SSLMode = web, "disable" }), sources.Unreachable, "", []string{"does not speak"}},
		{"closes", change(d, func(s *Settings) { s.Port = closed }), sources.Unreachable, "", []string{"was lost"}},
		{"wrong password", change(d, func(s *Settings) { s.User, s.Password = role, secret(canary+"x") }), sources.NoLogin, "28P01", []string{"refuses the password of", role}},
		{"no password", change(d, func(s *Settings) { s.User, s.Password = role, secret("") }), sources.NoLogin, "28P01", []string{"wants a password of", "none is set"}},
		{"no such user", change(d, func(s *Settings) { s.User, s.Password = "nobody-here", secret(canary) }), sources.NoLogin, "28P01", []string{`"nobody-here"`}},
		{"no such database", change(d, func(s *Settings) { s.DBName = "nothing" }), sources.Unreachable, "3D000", []string{`no database "nothing"`}},
		{"TLS wanted there", change(d, func(s *Settings) { s.User, s.Password, s.SSLMode = tlsOnly, secret(canary), "disable" }), sources.NoLogin, "28000", []string{"does not let", "ssl_mode require"}},
		{"TLS wanted here", change(plain, func(s *Settings) { s.SSLMode = "require" }), sources.Unreachable, "", []string{"knows no TLS"}},
		{"unknown authority", change(d, func(s *Settings) { s.SSLMode, s.SSLRootCert = "verify-full", pgtest.OtherCA(t) }), sources.Unreachable, "", []string{"signed by an unknown authority"}},
		{"other name", change(d, func(s *Settings) { s.Host, s.SSLMode, s.SSLRootCert = "127.0.0.2", "verify-full", d.CAFile }), sources.Unreachable, "", nil},
		{"expired", change(expired, func(s *Settings) { s.SSLMode, s.SSLRootCert = "verify-full", expired.CAFile }), sources.Unreachable, "", []string{"the certificate for ", "expired on 20"}},
		{"another role of the server", Settings{URL: secret(d.URL() + "?target_session_attrs=standby")}, sources.Unreachable, "", []string{"is not what target_session_attrs asks for", "fails over"}},
		{"another role, and nobody", Settings{URL: secret(strings.Replace(d.URL(), d.Host+":", "127.0.0.1:1,"+d.Host+":", 1) + "?target_session_attrs=standby")}, sources.Unreachable, "", []string{"127.0.0.1:1,", "target_session_attrs"}},
		{"no channel binding", Settings{URL: secret(d.URL() + "?sslmode=disable&channel_binding=require")}, sources.NoLogin, "", []string{"channel_binding or require_auth"}},
		{"another authentication", Settings{URL: secret(d.URL() + "?require_auth=password")}, sources.NoLogin, "", []string{"channel_binding or require_auth"}},
		{"not let in by a URL", Settings{URL: secret(d.As(role, "CANARY"))}, sources.NoLogin, "28P01", []string{role}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			target, err := New(test.settings)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			if test.name == "hanging" {
				ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
			}
			defer cancel()
			wantError(t, target.Ping(ctx), test.kind, test.code, test.parts...)
			pool, err := target.Pool(ctx, 1)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			wantError(t, target.Explain(pool.Ping(ctx)), test.kind, test.code, test.parts...)
		})
	}
	t.Run("certificate for other names", func(t *testing.T) {
		// The address is right and the name is not: ours is for localhost.
		s := settings(d)
		s.Host, s.SSLMode, s.SSLRootCert = "db.example", "verify-full", d.CAFile
		target, err := New(s)
		if err != nil {
			t.Fatal(err)
		}
		target.config.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
		wantError(t, target.Ping(t.Context()), sources.Unreachable, "", "the certificate is for another host")
	})
	t.Run("full", func(t *testing.T) {
		role := plain.Role(t, canary)
		s := settings(plain)
		s.User, s.Password = role, secret(canary)
		target, err := New(s)
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < 2; {
			conn, err := target.Connect(t.Context())
			if sources.KindOf(err) == sources.Throttled && t.Context().Err() == nil {
				continue // what another test left is still being closed there
			}
			if err != nil {
				t.Fatal(err)
			}
			defer Close(conn)
			n++
		}
		wantError(t, target.Ping(t.Context()), sources.Throttled, "53300", "no connection left")
	})
	t.Run("ended", func(t *testing.T) {
		target, err := New(settings(d))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := target.As("victim").Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer Close(conn)
		d.Terminate(t, "victim")
		_, err = conn.Exec(t.Context(), "SELECT 1")
		wantError(t, target.Explain(err), sources.Unreachable, "57P01", "ended the connection")
		_, err = conn.Exec(t.Context(), "SELECT 1")
		wantError(t, target.Explain(err), sources.Unreachable, "", "was closed")
	})
}

// wantError checks an error, and that neither it nor what it wraps shows a
// password.
func wantError(t *testing.T, err error, kind sources.Kind, code string, parts ...string) {
	t.Helper()
	var e *sources.Error
	if !errors.As(err, &e) {
		t.Errorf("%v is no *sources.Error", err)
		return
	}
	if e.Kind != kind || e.Code != code {
		t.Errorf("kind %q, code %q, want %q and %q: %v", e.Kind, e.Code, kind, code, err)
	}
	for _, part := range parts {
		if !strings.Contains(e.Message+e.Hint, part) {
			t.Errorf("%q (%q) does not say %q", e.Message, e.Hint, part)
		}
	}
	for next := err; next != nil; next = errors.Unwrap(next) {
		if said := fmt.Sprintf("%v %+v %#v", next, next, next); strings.Contains(said, "CANARY") || strings.Contains(said, "wörd") || strings.Contains(said, "pg test") {
			t.Errorf("the password got out: %s", said)
		}
	}
}

func TestSettings(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		settings Settings
		part     string
	}{
		"both":         {Settings{URL: secret("postgres://u:CANARY@h/d"), Host: "h"}, "url is set beside"},
		"other scheme": {Settings{URL: secret("mysql://u:CANARY@h/d")}, "is not an address of PostgreSQL"},
		"no address":   {Settings{URL: secret("CANARY")}, "is not an address of PostgreSQL"},
		"raw password": {Settings{URL: secret("postgres://u:CANARY port CA%zz x@h/d")}, "url cannot be read"},
		"url mode":     {Settings{URL: secret("postgres://u:CANARY@h/d?sslmode=on")}, "sslmode"},
		"url port":     {Settings{URL: secret("postgres://u:CANARY@h:99999/d")}, "port"},
		"keywords":     {Settings{URL: secret("host=h password='CANARY")}, "url cannot be read"},
		"mode":         {Settings{SSLMode: "on"}, "ssl_mode is none"},
		"port":         {Settings{Port: "x"}, "port is no number"},
		"port 0":       {Settings{Port: "0"}, "port is no number"},
		"url as host":  {Settings{Host: "postgres://u:CANARY@h/d"}, "host is not the name of a host"},
		"user in host": {Settings{Host: "u:CANARY@h"}, "host is not the name of a host"},
		"query":        {Settings{Host: "h?password=CANARY"}, "host is not the name of a host"},
		"keyword":      {Settings{Host: "password=CANARY"}, "host is not the name of a host"},
		"two words":    {Settings{Host: "h CANARY"}, "host is not the name of a host"},
		"url's host":   {Settings{URL: secret("host=u:CANARY@h user=u")}, "host is not the name of a host"},
		"no file":      {Settings{SSLMode: "verify-full", SSLRootCert: empty + ".none"}, "it does not exist"},
		"empty file":   {Settings{SSLMode: "verify-full", SSLRootCert: empty}, "holds no certificate"},
		"url file":     {Settings{URL: secret("postgres://u:CANARY@h/d?sslmode=verify-full&sslrootcert=/none")}, "ssl_root_cert: it does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(test.settings)
			wantError(t, err, sources.BadSettings, "", test.part)
			if sources.HintOf(err) == "" {
				t.Error("no hint")
			}
		})
	}
	target, err := New(Settings{Host: "::1", Port: "7", User: "u", DBName: "d"})
	if err != nil {
		t.Fatal(err)
	}
	if got := target.Describe(); got != "d on [::1]:7" {
		t.Error(got)
	}
}

// A service that cannot be used is named, and so is its file; nothing else of it is.
func TestServiceThatIsNotThere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "services")
	const body = "[other]\nhost=h\npassword=CANARY\n"
	for name, test := range map[string]struct {
		text     string
		settings Settings
		hint     string
	}{
		"missing":       {body, Settings{}, "check PGSERVICE and PGSERVICEFILE"},
		"missing, url":  {body, Settings{URL: secret("service=app")}, "check PGSERVICE and PGSERVICEFILE"},
		"a mark before": {"\ufeff[app]\nhost=h\n", Settings{}, "the file of PGSERVICEFILE begins with a byte order mark"},
		"UTF-16":        {"\xff\xfe[\x00a\x00p\x00p\x00]\x00", Settings{}, "the file of PGSERVICEFILE is in UTF-16"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PGSERVICE", "app")
			t.Setenv("PGSERVICEFILE", file)
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := New(test.settings)
			wantError(t, err, sources.BadSettings, "", `the service "app" of PostgreSQL is not in the file of PGSERVICEFILE`)
			if !strings.HasPrefix(sources.HintOf(err), test.hint) || strings.Contains(err.Error()+sources.HintOf(err), "CANARY") {
				t.Errorf("%v; %s", err, sources.HintOf(err))
			}
		})
	}
}
