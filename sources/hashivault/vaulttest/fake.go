// Package vaulttest is a Vault for tests: an HTTP server of its own that answers
// as HashiCorp Vault and OpenBao do, and that can be made to misbehave.
package vaulttest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bifrost-secrets/sources/cloudtest"
)

// What every fake has.
const (
	Root     = "root-token" // a token that may do everything and does not end
	RoleID   = "role-0001"
	SecretID = "secret-id-0001"
	PodRole  = "gateway"       // of auth/kubernetes and auth/clusters/eu
	PodToken = "eyJ.pod.token" // of the service account that PodRole is bound to
)

// Faults is how a fake misbehaves.
type Faults struct {
	Throttle bool // every request is one too many
	Hang     bool // no request gets an answer
	Sealed   bool
	Standby  bool
	Reset    int  // so many requests end with a closed connection; -1 is all
	Garble   bool // answers are cut off
	HTML     bool // a proxy answers with a page
	Between  bool // a firewall in between says 403, as a page
	Lose     int  // so many writes are made and their answers lost
	TooLarge bool
	Upgrade  bool          // the engine is busy with becoming version 2
	Latency  time.Duration // of each answer
}

// Fake is a running server. It has the mounts secret and team/kv of version 2 and
// old of version 1, in the root namespace and in the namespace team-a.
type Fake struct {
	*httptest.Server
	cloudtest.Liar

	thief *httptest.Server

	mu       sync.Mutex
	faults   Faults
	released chan struct{} // closed when hanging requests may end
	mounts   map[string]*mount
	tokens   map[string]*token
	unknown  answer              // to a token that is not known
	policy   map[string][]string // what a token of a login may do; nil is everything
	denied   map[string][]string
	preflight,
	selfDenied bool
	ttl      time.Duration // of the tokens that logins make
	useOnce  bool          // the secret id is good for one login
	closed   bool          // no login has success
	expire   int           // answers until the present tokens are refused; -1 is never
	made     int           // tokens
	paths    []string      // of all requests
	total    int
	running  int
	most     int
	renewals chan string
	logins   int
}

// StartFake starts a server, which is stopped at the end of the test.
func StartFake(t testing.TB) *Fake {
	f := NewFake()
	t.Cleanup(f.Stop)
	return f
}

// NewFake starts a server.
func NewFake() *Fake {
	f := &Fake{
		mounts: map[string]*mount{}, tokens: map[string]*token{}, denied: map[string][]string{},
		ttl: time.Hour, expire: -1, unknown: baoUnknown, released: make(chan struct{}), renewals: make(chan string, 100),
	}
	for _, namespace := range []string{"", "team-a/"} {
		f.mounts[namespace+"secret"] = &mount{version: 2, keys: map[string]*key{}}
		f.mounts[namespace+"team/kv"] = &mount{version: 2, keys: map[string]*key{}}
		f.mounts[namespace+"old"] = &mount{version: 1, keys: map[string]*key{}}
		f.mounts[namespace+"pki"] = &mount{kind: "pki"}
	}
	f.tokens[Root] = &token{}
	f.Server = httptest.NewServer(f.Before(http.HandlerFunc(f.serve)))
	f.thief = httptest.NewServer(f.Liar.Thief(http.HandlerFunc(f.serve)))
	return f
}

// Stop ends the server and every request that hangs, also one that was sent before and
// comes only now.
func (f *Fake) Stop() {
	f.mu.Lock()
	f.faults = Faults{}
	close(f.released)
	f.released = make(chan struct{})
	f.mu.Unlock()
	for _, server := range []*httptest.Server{f.Server, f.thief} {
		server.CloseClientConnections()
		server.Close()
	}
}

// Elsewhere is the address of another host that answers as this one does.
func (f *Fake) Elsewhere() string { return f.thief.URL }

// Vault makes the fake speak of tokens as HashiCorp Vault does, and not as OpenBao.
func (f *Fake) Vault() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unknown = vaultUnknown
}

// Set makes the fake misbehave, or behave again.
func (f *Fake) Set(faults Faults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = faults
}

// answer is what a handler returns.
type answer struct {
	status   int
	data     any            // under "data"
	auth     map[string]any // under "auth"
	errors   []string
	warnings []string
}

func fail(status int, errors ...string) answer { return answer{status: status, errors: errors} }

var (
	denied = fail(403, "1 error occurred:\n\t* permission denied\n\n")
	// What is said of a token that is not known.
	baoUnknown   = fail(403, "permission denied")
	vaultUnknown = fail(403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n")
)

func (f *Fake) serve(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	kv := !strings.HasPrefix(path, "auth/") && !strings.HasPrefix(path, "sys/")
	f.mu.Lock()
	f.paths = append(f.paths, r.Method+" "+path)
	if kv {
		f.total++
		f.running++
		f.most = max(f.most, f.running)
	}
	faults, released := f.faults, f.released
	if f.faults.Reset > 0 {
		f.faults.Reset--
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if kv {
			f.running--
		}
	}()
	switch {
	case faults.Hang:
		_, _ = io.Copy(io.Discard, r.Body) // so that the server sees the end of the connection
		select {
		case <-r.Context().Done():
		case <-released:
		}
		panic(http.ErrAbortHandler)
	case faults.Reset != 0:
		panic(http.ErrAbortHandler)
	case faults.Between:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte("<html>CANARY-7c1e permission denied</html>"))
		return
	case faults.HTML:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write([]byte("<html>CANARY-7c1e</html>"))
		return
	}
	if faults.Latency > 0 {
		late := time.NewTimer(faults.Latency)
		defer late.Stop()
		select {
		case <-late.C:
		case <-released:
		}
	}
	a := f.answer(r, path)
	write := r.Method == http.MethodPut || r.Method == http.MethodPost
	f.mu.Lock()
	lost := kv && write && strings.Contains(path, "/data/") && f.faults.Lose > 0
	if lost {
		f.faults.Lose--
	}
	f.mu.Unlock()
	if lost {
		panic(http.ErrAbortHandler)
	}
	body := map[string]any{"request_id": "0"}
	switch {
	case a.errors != nil:
		body = map[string]any{"errors": a.errors}
	case a.auth != nil:
		body["auth"] = a.auth
	case a.data != nil:
		body["data"] = a.data
	case a.warnings != nil:
		body["warnings"] = a.warnings
	case a.status == http.StatusNotFound:
		body = map[string]any{"errors": []string{}}
	default:
		w.WriteHeader(http.StatusNoContent)
		return
	}
	b, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	if faults.Garble {
		b = b[:len(b)/2]
	}
	_, _ = w.Write(b)
}

func (f *Fake) answer(r *http.Request, path string) answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.faults.Throttle:
		return fail(429, "request path \"x\": rate limit quota exceeded")
	case f.faults.Sealed:
		return fail(503, "Vault is sealed")
	case f.faults.Standby:
		return fail(500, "local node not active but active cluster node not found")
	case f.faults.TooLarge && (r.Method == http.MethodPut || r.Method == http.MethodPost):
		return fail(413, "http: request body too large")
	}
	namespace := strings.Trim(r.Header.Get("X-Vault-Namespace"), "/")
	if namespace != "" {
		namespace += "/"
	}
	if f.mounts[namespace+"secret"] == nil {
		return fail(404, "namespace not found")
	}
	if f.faults.Upgrade && !strings.HasPrefix(path, "auth/") && !strings.HasPrefix(path, "sys/") {
		return fail(400, "Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period and will resume service shortly.")
	}
	if method, ok := strings.CutPrefix(path, "auth/"); ok && strings.HasSuffix(path, "/login") {
		return f.login(r, strings.TrimSuffix(method, "/login"))
	}
	text := r.Header.Get("X-Vault-Token")
	tok := f.tokens[text]
	if tok == nil || tok.ended(time.Now()) {
		return f.unknown
	}
	if strings.HasPrefix(path, "auth/token/") {
		return f.token(text, tok, strings.TrimPrefix(path, "auth/token/"))
	}
	if namespace != tok.namespace && tok.namespace != "" {
		return f.unknown
	}
	if rest, ok := strings.CutPrefix(path, "sys/internal/ui/mounts/"); ok {
		return f.mountInfo(namespace, rest)
	}
	if f.expire == 0 {
		for _, t := range f.tokens {
			t.revoked = t.text != Root
		}
		f.expire = -1
		if f.tokens[text].revoked {
			return f.unknown
		}
	}
	f.expire = max(f.expire-1, -1)
	return f.kv(r, namespace, path, tok)
}

// Expire refuses the present tokens, but Root, once so many more requests for
// secrets were answered.
func (f *Fake) Expire(after int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expire = after
}

// RefuseAll ends every token but Root, and returns no other.
func (f *Fake) RefuseAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for _, t := range f.tokens {
		t.revoked = t.text != Root
	}
}

// Requests is the number of requests for secrets and what is known of them, and
// MostAtOnce the most of them that were under way together.
func (f *Fake) Requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.total
}

// MostAtOnce is described with Requests.
func (f *Fake) MostAtOnce() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most
}

// Count is the number of requests, of any sort, whose method and path begin with
// a text: `GET sys/`.
func (f *Fake) Count(prefix string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, path := range f.paths {
		if strings.HasPrefix(path, prefix) {
			n++
		}
	}
	return n
}

// allows reports whether a token may do that to a path.
func (f *Fake) allows(t *token, capability, path string) bool {
	if slices.Contains(f.denied[path], capability) {
		return false
	}
	if f.policy == nil || t == f.tokens[Root] {
		return true
	}
	best := ""
	for rule := range f.policy {
		if head, star := strings.CutSuffix(rule, "*"); (rule == path || star && strings.HasPrefix(path, head)) && len(rule) >= len(best) {
			best = rule
		}
	}
	return slices.Contains(f.policy[best], capability)
}
