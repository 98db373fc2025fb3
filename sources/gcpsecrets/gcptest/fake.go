// Package gcptest stands in for GCP Secret Manager in tests: an HTTP fake of
// its REST API and of the endpoint for tokens, since there is no emulator.
package gcptest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"bifrost-secrets/sources/cloudtest"
)

// The project that a Fake has, by its id and its number, and the hosts that it
// answers for.
const (
	Project = "demo-project"
	Number  = "123456789012"

	host      = "secretmanager.googleapis.com"
	tokenHost = "oauth2.googleapis.com"
)

// Fake is one project of Secret Manager. It is safe for concurrent use.
type Fake struct {
	*cloudtest.Gate
	cloudtest.Liar
	*cloudtest.Server
	cloudtest.Tokens

	mu      sync.Mutex
	secrets map[string]*secret
	etags   int
	denied  map[string]bool // ids that may not be read
	reject  string          // status of every answer, in place of the right one
	reason  string          // that goes with it
	gone    string          // a refresh token that is refused
	grants  []string        // kinds of the tokens asked for
	billed  string          // the project that pays for the newest request, where that is said
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
		Failed:    failure(http.StatusServiceUnavailable, "UNAVAILABLE", "The service is currently unavailable.", nil),
		Throttled: failure(http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Access Requests'.", nil),
	})
	f.Tokens.Prefix, f.Tokens.Gate = "ya29.token-", f.Gate
	var err error
	f.Server, err = cloudtest.New(dir, f.Before(f.Gate), host, tokenHost)
	return f, err
}

var key = sync.OnceValue(func() string {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
})

// Credentials returns the key file of a service account, as GCP hands it out.
func Credentials() string {
	b, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": Project, "private_key_id": "key-1", "private_key": key(),
		"client_email": "reader@" + Project + ".iam.gserviceaccount.com", "client_id": "1",
		"token_uri": "https://" + tokenHost + "/token",
	})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// UserCredentials returns the file that `gcloud auth application-default login` writes.
func UserCredentials() string {
	return `{"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r", "quota_project_id": "billed"}`
}

// Withdraw refuses a refresh token, and every token that was handed out so far.
func (f *Fake) Withdraw(refresh string) {
	f.Revoke()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = refresh
}

// Reject makes every answer an error of this status, such as PERMISSION_DENIED,
// with this reason, such as SERVICE_DISABLED.
func (f *Fake) Reject(status, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reject, f.reason = status, reason
}

// Grants returns the grant types of the tokens that were asked for.
func (f *Fake) Grants() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.grants...)
}

// Billed returns the project that is to pay for the newest request.
func (f *Fake) Billed() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.billed
}

// codes are the HTTP statuses that go with the statuses of gRPC.
var codes = map[string]int{
	"PERMISSION_DENIED": 403, "UNAUTHENTICATED": 401, "NOT_FOUND": 404, "FAILED_PRECONDITION": 400, "INVALID_ARGUMENT": 400,
	"ALREADY_EXISTS": 409, "ABORTED": 409, "INTERNAL": 500, "RESOURCE_EXHAUSTED": 429,
}

func failure(code int, status, message string, details map[string]any) cloudtest.Answer {
	e := map[string]any{"code": code, "status": status, "message": message}
	if details != nil {
		e["details"] = []any{details}
	}
	return cloudtest.JSON(code, map[string]any{"error": e})
}

func failed(status, format string, args ...any) cloudtest.Answer {
	return failure(codes[status], status, fmt.Sprintf(format, args...), nil)
}

// action names a request as the API's reference does.
func action(r *http.Request) string {
	path := r.URL.Path
	if r.Host == tokenHost || strings.HasPrefix(r.Host, tokenHost+":") {
		return ""
	}
	versions := strings.Contains(path, "/versions/")
	switch {
	case strings.HasSuffix(path, ":access"):
		return "AccessSecretVersion"
	case strings.HasSuffix(path, ":addVersion"):
		return "AddSecretVersion"
	case versions:
		return "GetSecretVersion"
	case r.Method == http.MethodPost:
		return "CreateSecret"
	case r.Method == http.MethodPatch:
		return "UpdateSecret"
	case r.Method == http.MethodDelete:
		return "DeleteSecret"
	case strings.HasSuffix(path, "/secrets"):
		return "ListSecrets"
	}
	return "GetSecret"
}

func (f *Fake) answer(r *http.Request, body []byte, refused bool) cloudtest.Answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	what := action(r)
	refused = f.Refused(refused)
	if what == "" {
		return f.token(body, refused)
	}
	f.billed = r.Header.Get("X-Goog-User-Project")
	switch {
	case refused || !f.Good(r.Header.Get("Authorization")):
		return failed("UNAUTHENTICATED", "Request had invalid authentication credentials.")
	case f.reject != "":
		return failure(codes[f.reject], f.reject, "It was rejected.", map[string]any{
			"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": f.reason, "domain": "googleapis.com",
		})
	}
	return f.secretManager(what, r, body)
}

// token answers for the endpoint for tokens.
func (f *Fake) token(body []byte, refused bool) cloudtest.Answer {
	form := map[string]string{}
	for pair := range strings.SplitSeq(string(body), "&") {
		name, value, _ := strings.Cut(pair, "=")
		form[name] = value
	}
	f.grants = append(f.grants, form["grant_type"])
	code := ""
	if refused || f.gone != "" && form["refresh_token"] == f.gone {
		code = "invalid_grant"
	}
	token, code := f.Give(code)
	if code != "" {
		return cloudtest.JSON(http.StatusBadRequest, map[string]string{"error": code, "error_description": "The grant is not good."})
	}
	return cloudtest.JSON(http.StatusOK, map[string]any{
		"access_token": token, "token_type": "Bearer", "expires_in": 3600,
	})
}
