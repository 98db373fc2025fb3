// Package azuretest stands in for Azure Key Vault in tests: an HTTP fake of a
// vault and of Entra ID, since there is no emulator.
package azuretest

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"bifrost-secrets/sources/cloudtest"
)

// The vault that a Fake has, and who may sign in.
const (
	Host     = "demo.vault.azure.net"
	URL      = "https://" + Host
	Tenant   = "72f988bf-0000-0000-0000-2d7cd011db47"
	ClientID = "11111111-2222-3333-4444-555555555555"
	Password = "s3cret-of-the-app"
	// Assertion is what a platform signs for its workload.
	Assertion = "federated-token"

	loginHost = "login.microsoftonline.com"
	// The same of other clouds.
	GovernmentHost, governmentLogin = "demo.vault.usgovcloudapi.net", "login.microsoftonline.us"
	ChinaHost, chinaLogin           = "demo.vault.azure.cn", "login.chinacloudapi.cn"
	// Where the client asks which hosts belong together.
	discoveryHost = "login.microsoft.com"
)

// Fake is one vault. It is safe for concurrent use.
type Fake struct {
	*cloudtest.Gate
	cloudtest.Liar
	*cloudtest.Server
	cloudtest.Tokens

	mu        sync.Mutex
	secrets   map[string]*secret // by name in lower case
	versions  int
	assertion string          // what a platform signs now; Assertion where it is empty
	denied    map[string]bool // names that may not be read
	reject    *cloudtest.Answer
	protected bool // from purges
	slow      int  // requests that a deletion takes
}

// StartFake starts a Fake that is closed when the test ends.
func StartFake(tb testing.TB) *Fake {
	tb.Helper()
	f, err := New(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(f.Close)
	return f
}

// New starts a Fake, which keeps what its clients need in dir.
func New(dir string) (*Fake, error) {
	f := &Fake{secrets: map[string]*secret{}, denied: map[string]bool{}}
	f.Gate = cloudtest.NewGate(cloudtest.API{
		Action: action, Answer: f.answer,
		Failed:    failed(http.StatusInternalServerError, "InternalServerError", "", "An internal error occurred."),
		Throttled: throttled(),
	})
	f.Tokens.Prefix, f.Tokens.Gate = "eyJ.token-", f.Gate
	var err error
	f.Server, err = cloudtest.New(dir, f.Before(f.Gate), Host, loginHost, discoveryHost, GovernmentHost, governmentLogin, ChinaHost, chinaLogin)
	return f, err
}

// ThrottledFor makes the answers to too many requests say how long to wait.
func (f *Fake) ThrottledFor(d time.Duration) {
	a := throttled()
	a.Header = map[string]string{"retry-after-ms": fmt.Sprint(d.Milliseconds())}
	f.SetThrottled(a)
}

func throttled() cloudtest.Answer {
	return failed(http.StatusTooManyRequests, "Throttled", "", "Request was not processed because too many requests were received.")
}

// Sign makes the assertion of the platform another, and refuses every token that
// was handed out so far.
func (f *Fake) Sign(assertion string) {
	f.Revoke()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.assertion = assertion
}

// Reject makes every answer this error.
func (f *Fake) Reject(status int, code, inner, message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := failed(status, code, inner, message)
	f.reject = &a
}

// Protect makes the vault one with purge protection.
func (f *Fake) Protect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.protected = true
}

// Slow makes every deletion from now on take n requests to be seen.
func (f *Fake) Slow(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slow = n
}

func failed(status int, code, inner, message string) cloudtest.Answer {
	e := map[string]any{"code": code, "message": message}
	if inner != "" {
		e["innererror"] = map[string]string{"code": inner}
	}
	return cloudtest.JSON(status, map[string]any{"error": e})
}

func isLogin(r *http.Request) bool { return strings.HasPrefix(r.Host, "login.") }

// action names a request as the client does.
func action(r *http.Request) string {
	if isLogin(r) || r.Header.Get("Authorization") == "" {
		return "" // for signing in: a challenge is a part of it
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	deleted := parts[0] == "deletedsecrets"
	switch {
	case deleted && len(parts) == 1:
		return "ListDeletedSecretProperties"
	case deleted && r.Method == http.MethodDelete:
		return "PurgeDeletedSecret"
	case deleted:
		return "GetDeletedSecret"
	case len(parts) == 1:
		return "ListSecretProperties"
	case r.Method == http.MethodPut:
		return "SetSecret"
	case r.Method == http.MethodDelete:
		return "DeleteSecret"
	case len(parts) == 3 && parts[2] == "versions":
		return "ListSecretPropertiesVersions"
	}
	return "GetSecret"
}

func (f *Fake) answer(r *http.Request, body []byte, refused bool) cloudtest.Answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	refused = f.Refused(refused)
	if isLogin(r) {
		return f.entra(r, body, refused)
	}
	if refused || !f.Good(r.Header.Get("Authorization")) {
		a := failed(http.StatusUnauthorized, "Unauthorized", "", "[TokenExpired] Error validating token: S2S12086")
		domain, login := "vault.azure.net", loginHost
		for host, of := range domains {
			if strings.HasSuffix(strings.TrimSuffix(r.Host, ":443"), "."+of) {
				domain, login = of, host
			}
		}
		a.Header = map[string]string{"WWW-Authenticate": fmt.Sprintf(`Bearer authorization="https://%s/%s", resource="https://%s"`, login, Tenant, domain)}
		return a
	}
	if f.reject != nil {
		return *f.reject
	}
	if r.URL.Query().Get("api-version") == "" {
		return failed(http.StatusBadRequest, "BadParameter", "", "api-version must be specified")
	}
	return f.vault(action(r), r, body)
}

// domains are those of the vaults for which a host gives tokens.
var domains = map[string]string{loginHost: "vault.azure.net", governmentLogin: "vault.usgovcloudapi.net", chinaLogin: "vault.azure.cn"}

// entra answers for signing in.
func (f *Fake) entra(r *http.Request, body []byte, refused bool) cloudtest.Answer {
	host := r.Host
	if u, err := url.Parse(r.URL.Query().Get("authorization_endpoint")); err == nil && u.Host != "" {
		host = u.Host // that is to be discovered
	}
	authority := "https://" + host + "/" + Tenant
	switch {
	case strings.HasSuffix(r.URL.Path, "/discovery/instance"):
		return cloudtest.JSON(http.StatusOK, map[string]any{
			"tenant_discovery_endpoint": authority + "/v2.0/.well-known/openid-configuration", "api-version": "1.1",
			"metadata": []any{map[string]any{"preferred_network": host, "preferred_cache": host, "aliases": []string{host}}},
		})
	case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
		return cloudtest.JSON(http.StatusOK, map[string]string{
			"token_endpoint": authority + "/oauth2/v2.0/token", "authorization_endpoint": authority + "/oauth2/v2.0/authorize", "issuer": authority + "/v2.0",
		})
	}
	form, err := url.ParseQuery(string(body))
	code := ""
	if err != nil || refused || form.Get("client_id") != ClientID ||
		form.Get("client_secret") != Password && form.Get("client_assertion") != cmp.Or(f.assertion, Assertion) {
		code = "invalid_client"
	}
	if code == "" && !strings.Contains(form.Get("scope"), "https://"+domains[host]+"/.default") {
		return cloudtest.JSON(http.StatusBadRequest, map[string]string{"error": "invalid_scope"})
	}
	token, code := f.Give(code)
	if code != "" {
		return cloudtest.JSON(http.StatusUnauthorized, map[string]any{
			"error": code, "error_description": "AADSTS7000215: Invalid client secret provided for app.", "error_codes": []int{7000215},
		})
	}
	return cloudtest.JSON(http.StatusOK, map[string]any{
		"access_token": token, "token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599,
	})
}

// retention is how many days a deleted secret can be recovered.
const retention = 7

func (s *secret) purgedAt() time.Time { return s.deleted.AddDate(0, 0, retention) }
