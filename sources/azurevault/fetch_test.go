package azurevault

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/azurevault/azuretest"
	"bifrost-secrets/sources/cloudtest"
	"bifrost-secrets/sources/internal/sourcetest"
)

func TestStates(t *testing.T) {
	f := azuretest.StartFake(t)
	s := open(t, f, sourcetest.Options())
	now := time.Date(2026, 5, 4, 3, 2, 0, 0, time.UTC)
	core(s).now = func() time.Time { return now }
	for _, name := range []string{"disabled", "expired", "expires-now", "early", "in-time", "a-x2F-b"} {
		f.Put(name, "CANARY")
	}
	f.Change("disabled", false, time.Time{}, time.Time{})
	f.Change("expired", true, time.Time{}, now.Add(-time.Hour))
	f.Change("expires-now", true, time.Time{}, now)
	f.Change("early", true, now.Add(time.Hour), time.Time{})
	f.Change("in-time", true, now.Add(-time.Hour), now.Add(time.Hour))
	f.Deny("a-x2F-b")
	old := f.Newest("in-time")
	f.Put("in-time", "CANARY-2")
	for name, want := range map[string]struct {
		kind       sources.Kind
		said, hint string
	}{
		"disabled":                       {sources.Disabled, `secret "disabled" in demo.vault.azure.net is disabled`, "az keyvault secret set-attributes --vault-name demo --name disabled --enabled true"},
		"expired":                        {sources.Disabled, "expired on 2026-05-04 02:02 UTC", "az keyvault secret set --vault-name demo --name expired"},
		"expires-now":                    {sources.Disabled, "expired on 2026-05-04 03:02 UTC", "set a new value"},
		"early":                          {sources.Disabled, "is not valid before 2026-05-04 04:02 UTC", "set a new value"},
		"none":                           {sources.NotFound, "does not exist", "https://demo.vault.azure.net/secrets/none: check the name; one that was deleted can be recovered: az keyvault secret list-deleted --vault-name demo"},
		"a/b":                            {sources.Denied, `secret "a/b" in demo.vault.azure.net may not be read`, `assign the role "Key Vault Secrets User", or allow Microsoft.KeyVault/vaults/secrets/getSecret/action, on https://demo.vault.azure.net/secrets/a-x2F-b`},
		azuretest.URL + "/secrets/early": {sources.Disabled, "is not valid before", "set a new value"},
	} {
		e := sourcetest.WantKind(t, s.Fetch(t.Context(), []string{name})[name].Err, want.kind)
		if !strings.Contains(e.Message, want.said) || !strings.Contains(e.Hint, want.hint) {
			t.Errorf("%s: %s; %s", name, e.Message, e.Hint)
		}
	}
	for name, want := range map[string]string{azuretest.URL + "/secrets/in-time/" + old: "CANARY", azuretest.URL + "/secrets/in-time": "CANARY-2", "IN-TIME": "CANARY-2"} {
		if r := s.Fetch(t.Context(), []string{name})[name]; r.Err != nil || string(r.Value.Reveal()) != want {
			t.Errorf("%s: %v", name, r.Err)
		}
	}
}

// Looking at a version looks at its secret, whichever version is the newest.
func TestInspectVersion(t *testing.T) {
	f := azuretest.StartFake(t)
	f.Put("x", "CANARY")
	name := azuretest.URL + "/secrets/x/" + f.Newest("x")
	f.Put("x", "CANARY")
	item := open(t, f, sourcetest.Options()).(sources.Inspector).Inspect(t.Context(), []string{name})[name]
	if item.Err != nil || !item.Exists || item.Version == "" {
		t.Errorf("%+v", item)
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		status      int
		code, inner string
		kind        sources.Kind
		said, hint  string
	}{
		{403, "Forbidden", "ForbiddenByFirewall", sources.Denied, "may not be read from this network", "firewall"},
		{403, "Forbidden", "ForbiddenByPolicy", sources.Denied, "may not be read", "policy"},
		{403, "Forbidden", "AccessDenied", sources.Denied, "may not be read", "Key Vault Secrets User"},
		{400, "BadParameter", "", sources.BadName, "does not accept", "check the name"},
		{503, "ServiceUnavailable", "", sources.Unreachable, "the service failed", "status.azure.com"},
		{404, "VaultNotFound", "", sources.NotFound, "does not exist", "check the name"},
	} {
		f := azuretest.StartFake(t)
		f.Reject(c.status, c.code, c.inner, "It was rejected: CANARY")
		e := sourcetest.WantKind(t, open(t, f, sourcetest.Options()).Fetch(t.Context(), []string{"x"})["x"].Err, c.kind)
		if !strings.Contains(e.Message, c.said) || !strings.Contains(e.Hint, c.hint) || strings.Contains(fmt.Sprintf("%+v", e), "CANARY") {
			t.Errorf("%s %s: %v; %s", c.code, c.inner, e, e.Hint)
		}
	}
	f := azuretest.StartFake(t)
	f.Set(cloudtest.Faults{Page: cloudtest.Always})
	if e := sourcetest.WantKind(t, open(t, f, sourcetest.Options()).Ping(t.Context(), ""), sources.Unreachable); e.Code != "http status 502" {
		t.Error(e)
	}
}

func TestAttempts(t *testing.T) {
	t.Parallel()
	f := azuretest.StartFake(t)
	s := open(t, f, sourcetest.Options())
	f.Put("x", "CANARY")
	for _, faults := range []cloudtest.Faults{{Reset: 3}, {Throttle: 3}, {Fail: 3}, {Lose: 2}, {Page: 1}} {
		f.Set(faults)
		if err := s.Ping(t.Context(), "x"); err != nil {
			t.Errorf("%+v: %v", faults, err)
		}
	}
	f.Set(cloudtest.Faults{})
	slow := open(t, f, sources.Options{Getenv: os.LookupEnv, Log: sourcetest.Options().Log, CallTimeout: 400 * time.Millisecond})
	for late := time.Now().Add(sourcetest.Limit); slow.Ping(t.Context(), "x") != nil && time.Now().Before(late); {
		// On a slow machine the token may come too late.
	}
	f.Set(cloudtest.Faults{Hang: true})
	e := sourcetest.WantKind(t, slow.Ping(t.Context(), "x"), sources.Unreachable)
	if !strings.HasSuffix(e.Message, "nothing within 400ms") {
		t.Error(e)
	}
}

// The vault says how long to wait, and the SDK does as it is told.
func TestRetryAfter(t *testing.T) {
	f := azuretest.StartFake(t)
	s := open(t, f, sourcetest.Options())
	f.Put("x", "CANARY")
	f.Set(cloudtest.Faults{Throttle: 1})
	f.ThrottledFor(400 * time.Millisecond)
	began := time.Now()
	if err := s.Ping(t.Context(), "x"); err != nil || time.Since(began) < 400*time.Millisecond {
		t.Errorf("%v, after %s", err, time.Since(began))
	}
	// But not longer than is of use to anybody.
	f.Set(cloudtest.Faults{Throttle: 1})
	f.ThrottledFor(time.Hour)
	sourcetest.WantKind(t, s.Ping(t.Context(), "x"), sources.Throttled)
}

// A token that is revoked is not held until it expires.
func TestRevoked(t *testing.T) {
	f := azuretest.StartFake(t)
	s := open(t, f, sourcetest.Options())
	f.Put("x", "CANARY")
	if err := s.Ping(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	f.Revoke()
	if err := s.Ping(t.Context(), "x"); err != nil {
		t.Errorf("not signed in anew: %v", err)
	}
}

func TestLoginFails(t *testing.T) {
	f := azuretest.StartFake(t)
	names := make([]string, 100)
	for n := range names {
		names[n] = fmt.Sprint("key-", n)
	}
	for _, r := range open(t, f, sourcetest.Options(), "client_secret", "CANARY-wrong").Fetch(t.Context(), names) {
		if e := sourcetest.WantKind(t, r.Err, sources.NoLogin); e.Code != "AADSTS7000215" || strings.Contains(fmt.Sprintf("%+v", e), "CANARY") {
			t.Error(e)
		}
	}
	if f.Total() > 0 {
		t.Errorf("%d requests", f.Total())
	}
}

func TestCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(azuretest.Assertion+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	identity := map[string]string{"AZURE_TENANT_ID": azuretest.Tenant, "AZURE_FEDERATED_TOKEN_FILE": file}
	for what, c := range map[string]struct {
		set  []string
		env  map[string]string
		said string // "" for a success
	}{
		"environment": {nil, map[string]string{
			"AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential", "AZURE_TENANT_ID": azuretest.Tenant, "AZURE_CLIENT_ID": azuretest.ClientID, "AZURE_CLIENT_SECRET": azuretest.Password,
		}, ""},
		"workload identity": {[]string{"client_id", azuretest.ClientID}, identity, ""},
		"nothing":           {nil, map[string]string{"AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential"}, "no azure credentials were found"},
	} {
		t.Run(what, func(t *testing.T) {
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			f := azuretest.StartFake(t)
			f.Put("x", "CANARY")
			s, err := Backend.Open(t.Context(), sourcetest.Settings(append(c.set, "vault_url", azuretest.URL+"/")...), sourcetest.Options())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			core(s).route, core(s).retryDelay = f.Route, time.Millisecond
			err = s.Ping(t.Context(), "x")
			if c.said == "" && err != nil {
				t.Errorf("%v (%s)", err, sources.HintOf(err))
			} else if c.said != "" {
				if e := sourcetest.WantKind(t, err, sources.NoLogin); !strings.Contains(e.Message, c.said) || !strings.Contains(e.Hint, "az login") {
					t.Errorf("%v; %s", e, e.Hint)
				}
			}
		})
	}
}

// A vault of a national cloud takes the tokens of that cloud alone, and its domain says
// which it is.
func TestClouds(t *testing.T) {
	for _, host := range []string{azuretest.GovernmentHost, azuretest.ChinaHost, strings.ToUpper(azuretest.GovernmentHost) + ":443"} {
		f := azuretest.StartFake(t)
		f.Put("x", "CANARY")
		if err := open(t, f, sourcetest.Options(), "vault_url", "https://"+host).Ping(t.Context(), "x"); err != nil {
			t.Errorf("%s: %v (%s)", host, err, sources.HintOf(err))
		}
	}
	for host, want := range map[string]string{"a.b.vault.usgovcloudapi.net": "vault.usgovcloudapi.net", "vault.azure.cn": "", "x.vault.azure.net.example.com": ""} {
		if domain, authority := (&source{host: host}).cloud(); domain != want || (authority.ActiveDirectoryAuthorityHost != "") != (want != "") {
			t.Errorf("%s is of %q, %+v", host, domain, authority)
		}
	}
	t.Setenv("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/") // whoever names it knows better
	f := azuretest.StartFake(t)
	sourcetest.WantKind(t, open(t, f, sourcetest.Options(), "vault_url", "https://"+azuretest.GovernmentHost).Ping(t.Context(), "x"), sources.NoLogin)
}

// A vault of another domain must not have a token for this one.
func TestChallengeOfAnotherVault(t *testing.T) {
	f := azuretest.StartFake(t)
	s := open(t, f, sourcetest.Options(), "vault_url", "https://demo.vault.example.com")
	core(s).route = func(tr *http.Transport) {
		f.Route(tr)
		tr.TLSClientConfig.ServerName = azuretest.Host
	}
	e := sourcetest.WantKind(t, s.Ping(t.Context(), "x"), sources.Unreachable)
	if !strings.Contains(e.Message, "it wants a token for another domain than that of vault_url") || !strings.Contains(e.Hint, "NAME.vault.azure.net") || f.Given() > 0 {
		t.Errorf("%v (%s); %d tokens", e, e.Hint, f.Given())
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		want string
		set  sources.Settings
	}{
		{"has no vault_url", sourcetest.Settings()},
		{"has settings that are not known: region", sourcetest.Settings("vault_url", azuretest.URL, "region", "x")},
		{"not the address of a vault", sourcetest.Settings("vault_url", "https://")},
		{"not the address of a vault", sourcetest.Settings("vault_url", azuretest.URL+"/secrets/x")},
		{"not the address of a vault", sourcetest.Settings("vault_url", "https://user:CANARY@"+azuretest.Host)},
		{"not an https address", sourcetest.Settings("vault_url", "http://"+azuretest.Host)},
		{"client_secret is set without", sourcetest.Settings("vault_url", azuretest.URL, "client_secret", "CANARY", "client_id", azuretest.ClientID)},
		{"is not an id", sourcetest.Settings("vault_url", azuretest.URL, "tenant_id", "a b")},
	} {
		_, err := Backend.Open(t.Context(), c.set, sourcetest.Options())
		if e := sourcetest.WantKind(t, err, sources.BadSettings); !strings.Contains(e.Message, c.want) || e.Hint == "" || strings.Contains(e.Message+e.Hint, "CANARY") {
			t.Errorf("%v; %s", e, e.Hint)
		}
	}
}

// The token that the platform signs is read again when what came of the old one
// is refused. The client itself would hold it for minutes.
func TestRenewedOnDisk(t *testing.T) {
	f := azuretest.StartFake(t)
	f.Put("x", "CANARY")
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("AZURE_TENANT_ID", azuretest.Tenant)
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", file)
	t.Setenv("AZURE_CLIENT_ID", azuretest.ClientID)
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "WorkloadIdentityCredential")
	f.Sign("old")
	write("old")
	var warned []string
	o := sourcetest.Options()
	o.Warn = func(line string) { warned = append(warned, line) }
	s := open(t, f, o, "client_id", "", "client_secret", "", "tenant_id", "")
	if err := s.Ping(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	f.Sign("new")
	sourcetest.WantKind(t, s.Ping(t.Context(), "x"), sources.NoLogin)
	f.Sign("new")
	write("new")
	if err := s.Ping(t.Context(), "x"); err != nil {
		t.Errorf("%v (%s)", err, sources.HintOf(err))
	}
	f.Sign("newer")
	write("\ufeffnewer\r\n") // as an editor or a shell leaves it
	if err := s.Ping(t.Context(), "x"); err != nil || len(warned) != 1 || !strings.Contains(warned[0], "azure refused the session (Unauthorized): signed in anew") {
		t.Errorf("%v (%s), warned %q", err, sources.HintOf(err), warned)
	}
}
