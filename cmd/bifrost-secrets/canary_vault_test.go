package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"bifrost-secrets/sources/hashivault/vaulttest"
)

func vaultStore(block string) string {
	return `, "config_store": {"vault_store": {"enabled": true, "type": "hashicorp-vault", "hashicorp": {` + block + `}}}`
}

func vaultEnv(url string, more ...string) []string {
	return append([]string{"VAULT_ADDR=" + url, "VAULT_MAX_RETRIES=0", "HOME=."}, more...)
}

// TestCanaryVault looks for secrets in what is said of a Vault that fails.
func TestCanaryVault(t *testing.T) {
	t.Parallel()
	a, b := canary("a"), canary("b")
	two := keysFor(vaultStore(""), "vault.a", "vault.o#b")
	for _, tt := range []struct {
		name   string
		faults vaulttest.Faults
		config string
		fine   bool
	}{
		{name: "all is well", fine: true},
		{name: "throttled", faults: vaulttest.Faults{Throttle: true}},
		{name: "sealed", faults: vaulttest.Faults{Sealed: true}},
		{name: "reset", faults: vaulttest.Faults{Reset: -1}},
		{name: "garbled", faults: vaulttest.Faults{Garble: true}},
		{name: "denied", config: keysFor(vaultStore(""), "vault.denied", "vault.a")},
		{name: "too large", config: keysFor(vaultStore(""), "vault.large", "vault.a")},
		{name: "deleted", config: keysFor(vaultStore(""), "vault.deleted", "vault.a")},
		{name: "null", config: keysFor(vaultStore(""), "vault.null", "vault.a")},
		{name: "no such secret", config: keysFor(vaultStore(""), "vault.none", "vault.a")},
		{name: "no such key", config: keysFor(vaultStore(""), "vault.o#c", "vault.a#b")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := vaulttest.StartFake(t)
			f.Put("a", a)
			f.PutDocument("secret", "o", `{"b": `+quoted(b)+`, "d": "1"}`)
			f.PutDocument("secret", "null", `{"x": null}`)
			f.Put("large", strings.Repeat(b, 60_000))
			f.Put("denied", b)
			f.Deny("secret/data/denied", "read")
			f.Put("deleted", b)
			f.Change("deleted", "delete")
			f.Set(tt.faults)
			config := tt.config
			if config == "" {
				config = two
			}
			first := 3
			if tt.fine {
				first = 0
			}
			leak{config: config, env: vaultEnv(f.URL, "VAULT_TOKEN="+vaulttest.Root), secrets: []string{a, b}, fails: !tt.fine, first: first}.try(t)
		})
	}
}

// TestCanaryVaultEcho has servers that put the secret, and the credentials, into
// every part of an answer that an error could be made of.
func TestCanaryVaultEcho(t *testing.T) {
	t.Parallel()
	token, id, secret := plainCanary("vault token"), plainCanary("vault secret id"), canary("echo")
	echo := strings.Join([]string{secret, token, id}, " ")
	inner := strings.Trim(quoted(echo), `"`)
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	servers := map[string]http.HandlerFunc{
		"a 400":                   answer(400, `{"errors": ["`+inner+`"]}`),
		"a 403":                   answer(403, `{"errors": ["1 error occurred: `+inner+`"]}`),
		"a bad token":             answer(403, `{"errors": ["bad token `+inner+`"]}`),
		"a 404":                   answer(404, `{"errors": ["namespace not found: `+inner+`"]}`),
		"a 404 with warnings":     answer(404, `{"warnings": ["`+inner+`"], "data": {"`+inner+`": "`+inner+`"}}`),
		"a 429":                   answer(429, `{"errors": ["`+inner+`"]}`),
		"a 500":                   answer(500, `{"errors": ["`+inner+`"]}`),
		"an error that is text":   answer(500, echo),
		"a page":                  answer(404, `<html>`+echo+`</html>`),
		"text":                    answer(200, echo),
		"a document that is none": answer(200, `{"auth": {"client_token": "x"}, "data": {"type": "kv", "options": {"version": "2"}, "data": "`+inner+`", "metadata": {"version": "`+inner+`"}}}`),
		"another engine":          answer(200, `{"auth": {"client_token": "x"}, "data": {"type": "pki", "data": {"`+token+`": "`+inner+`"}}}`),
		"a value that is cut":     answer(200, `{"auth": {"client_token": "x"}, "data": {"data": {"x": "`+inner),
		"an escape that is none":  answer(200, `{"data": {"data": {"x": "\q`+inner+`"}}}`),
		"a redirect": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://"+token+".invalid/"+token)
			w.WriteHeader(307)
		},
		"a status line": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("HTTP/1.1 " + echo + "\r\n\r\n"))
			_ = conn.Close()
		},
	}
	for name, handler := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(handler)
			t.Cleanup(s.Close)
			l := leak{secrets: []string{secret, token, id}, fails: true, first: 2}
			l.config, l.env = keysFor(vaultStore(""), "vault.a", "vault.b#c"), vaultEnv(s.URL, "VAULT_TOKEN="+token)
			l.try(t)
			l.config, l.env = keysFor(vaultStore(`"role_id": "env.ROLE", "secret_id": "env.SECRET"`), "vault.a"), vaultEnv(s.URL, "ROLE=x", "SECRET="+id)
			l.try(t)
		})
	}
}

// TestCanaryVaultLogin looks for the credentials in what is said of where they
// come from.
func TestCanaryVaultLogin(t *testing.T) {
	t.Parallel()
	token := plainCanary("vault token")
	f := vaulttest.StartFake(t)
	for _, l := range []leak{
		{name: "a token", env: vaultEnv(f.URL, "VAULT_TOKEN="+token)},
		{name: "a token with a control character", env: vaultEnv(f.URL, "VAULT_TOKEN="+token+"\x01")},
		{name: "a token in the block", config: keysFor(vaultStore(`"token": "`+token+`"`), "vault.a"), env: vaultEnv(f.URL)},
		{name: "a file of a login", files: map[string]string{".vault-token": token}, env: vaultEnv(f.URL)},
		{name: "a token of a pod", files: map[string]string{"pod": token}, config: keysFor(vaultStore(`"kubernetes_role": "gateway", "kubernetes_token_file": "pod"`), "vault.a"), env: vaultEnv(f.URL)},
		{name: "a password in the address", env: vaultEnv("http://user:"+token+"@127.0.0.1:1/", "VAULT_TOKEN=x")},
		{name: "an address that is no URL", env: vaultEnv("http://user:"+token+"@127.0.0.1:port/%zz", "VAULT_TOKEN=x")},
		{name: "a password in the proxy", env: vaultEnv("http://vault.invalid", "VAULT_TOKEN=x", "VAULT_PROXY_ADDR=http://user:"+token+"@127.0.0.1:1")},
		{name: "a proxy that is no URL", env: vaultEnv("http://vault.invalid", "VAULT_TOKEN=x", "VAULT_PROXY_ADDR=http://user:"+token+"@127.0.0.1:port/%zz")},
		{name: "values in the wrong variables", env: vaultEnv(f.URL, "VAULT_TOKEN=x", "VAULT_CACERT="+token, "VAULT_SKIP_VERIFY="+token)},
		{name: "a certificate that is none", env: vaultEnv(f.URL, "VAULT_TOKEN=x", "VAULT_CACERT_BYTES="+token)},
		{name: "headers that are none", env: vaultEnv(f.URL, "VAULT_TOKEN=x", "VAULT_HEADERS="+token)},
	} {
		if l.config == "" {
			l.config = keysFor(vaultStore(""), "vault.a", "vault.b")
		}
		l.secrets, l.fails, l.first = []string{token}, true, 2
		t.Run(l.name, func(t *testing.T) { t.Parallel(); l.try(t) })
	}
}
