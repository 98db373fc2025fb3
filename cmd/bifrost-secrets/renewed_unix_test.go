//go:build unix

package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/sources/azurevault/azuretest"
	"bifrost-secrets/sources/hashivault/vaulttest"
)

// backendOf is a backend whose login is in a file.
type backendOf struct {
	store string
	says  string // of its refusal, when a session was made anew
	put   func(value string)
	renew func() // puts another login into the file, and ends the one before
	end   func() // ends the login and leaves the file
}

var renewable = map[string]func(*testing.T, *harness) backendOf{
	"aws shared credentials file": func(t *testing.T, s *harness) backendOf {
		f := awstest.StartFake(t)
		for name, value := range f.Env() {
			if !strings.HasPrefix(name, "AWS_ACCESS_KEY") && !strings.HasPrefix(name, "AWS_SECRET") && name != "AWS_SHARED_CREDENTIALS_FILE" {
				s.env = append(s.env, name+"="+value)
			}
		}
		path, n := filepath.Join(s.dir, "credentials"), 0
		s.env = append(s.env, "AWS_SHARED_CREDENTIALS_FILE="+path)
		end := func() { f.Set(awstest.Faults{ExpireKey: fmt.Sprintf("KEY%d", n)}) }
		return backendOf{awsStore(""), "aws refused the session (ExpiredTokenException)", func(v string) { f.Put("openai", v) }, func() {
			s.write(path, fmt.Sprintf("[default]\naws_access_key_id = KEY%d\naws_secret_access_key = s\n", n+1))
			end()
			n++
		}, end}
	},
	"vault token file": func(t *testing.T, s *harness) backendOf {
		f, token := vaulttest.StartFake(t), ""
		s.env = append(s.env, vaultEnv(f.URL, "HOME="+s.dir)...)
		end := func() {
			if token != "" {
				f.Revoke(token)
			}
		}
		return backendOf{vaultStore(""), "vault refused the session (http 403)", func(v string) { f.PutDocument("secret", "openai", `{"value": "`+v+`"}`) }, func() {
			next := f.Token(0, false, 0)
			s.write(filepath.Join(s.dir, ".vault-token"), next+"\n")
			end()
			token = next
		}, end}
	},
	"azure federated token file": func(t *testing.T, s *harness) backendOf {
		f, n := azuretest.StartFake(t), 0
		for name, value := range f.Env() {
			s.env = append(s.env, name+"="+value)
		}
		path := filepath.Join(s.dir, "token")
		s.env = append(s.env, "AZURE_TENANT_ID="+azuretest.Tenant, "AZURE_CLIENT_ID="+azuretest.ClientID, "AZURE_FEDERATED_TOKEN_FILE="+path, "AZURE_TOKEN_CREDENTIALS=WorkloadIdentityCredential")
		end := func() { f.Sign(fmt.Sprintf("assertion-%d", n+1)) }
		return backendOf{`, "config_store": {"vault_store": {"enabled": true, "type": "azure-key-vault", "azure": {"vault_url": "` + azuretest.URL + `"}}}`,
			"azure refused the session (Unauthorized)", func(v string) { f.Put("openai", v) }, func() {
				s.write(path, fmt.Sprintf("assertion-%d", n+1))
				end()
				n++
			}, end}
	},
}

// A watch goes on with a login that was renewed on the disk: whatever makes it look,
// the new values are there after that one refresh, and the log says once that the
// session was made anew.
func TestWatchLoginRenewedOnDisk(t *testing.T) {
	t.Parallel()
	for name, of := range renewable {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newHarness(t)
			b := of(t, s)
			reference, last := "vault.openai", 0
			if strings.HasPrefix(name, "vault") {
				reference += "#value"
			}
			s.write(filepath.Join(s.app, "config.source.json"), keysFor(b.store, reference))
			next := func() string {
				last++
				value := fmt.Sprintf("CANARY-%d", last)
				b.put(value)
				return value
			}
			b.renew()
			next()
			start := func(options ...string) *running {
				r := s.start(append([]string{"watch", "--config", filepath.Join(s.app, "config.source.json"), "--out", filepath.Join(s.app, "config.json"),
					"--apply", "none", "--listen", "unix:" + filepath.Join(s.dir, "control")}, options...)...)
				r.logs(`"trigger":"start"`)
				return r
			}
			anew := func(r *running, want int) {
				t.Helper()
				if got := strings.Count(strings.Join(r.all, "\n"), b.says+": signed in anew"); got != want {
					t.Errorf("%d lines say that the session was made anew, want %d:\n%s", got, want, strings.Join(r.all, "\n"))
				}
			}
			has := func(value string) {
				t.Helper()
				if !strings.Contains(s.published(), `"`+value+`"`) {
					t.Errorf("%q was not published", strings.TrimPrefix(value, "CANARY-"))
				}
			}

			r := start("--interval", "1h")
			for i, trigger := range []string{"signal", "flush"} {
				b.renew()
				value := next()
				if trigger == "signal" {
					r.signal(syscall.SIGHUP)
				} else if code, _, stderr := process(t, s.dir, nil, "flush", "--address", "unix:"+filepath.Join(s.dir, "control")); code != exitDone {
					t.Errorf("the flush ended with %d: %s", code, stderr)
				}
				r.logs(`"trigger":"` + trigger + `"`)
				has(value)
				anew(r, i+1)
			}
			// The login ends first, and is renewed once somebody has seen that.
			b.end()
			r.signal(syscall.SIGHUP)
			r.logs("refresh failed")
			value := next()
			b.renew()
			r.signal(syscall.SIGHUP)
			r.logs("all is well again")
			has(value)
			r.signal(syscall.SIGTERM)
			r.ends(0)
			if log := strings.Join(r.all, "\n"); strings.Count(log, "refresh failed") != 1 {
				t.Errorf("one refresh failed, says the test; says the log:\n%s", log)
			}

			r = start("--interval", "1s")
			b.renew()
			next()
			for r.logs(`"trigger":"tick"`); !strings.Contains(s.published(), fmt.Sprintf("CANARY-%d", last)); {
				r.logs(`"trigger":"tick"`) // one may have come before the value
			}
			r.signal(syscall.SIGTERM)
			r.ends(0)
			anew(r, 1)
			has(fmt.Sprintf("CANARY-%d", last))
			if log := strings.Join(r.all, "\n"); strings.Contains(log, "refresh failed") {
				t.Errorf("a refresh failed:\n%s", log)
			}
		})
	}
}
