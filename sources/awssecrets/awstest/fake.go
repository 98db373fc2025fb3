package awstest

import (
	"bytes"
	"io"
	"log"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"bifrost-secrets/sources/cloudtest"
)

// Always is a count of faults that is never used up.
const Always = math.MaxInt

// Faults is how a Fake misbehaves. The counts are of requests still to come, of
// any action where none is named.
type Faults struct {
	Latency time.Duration // before any answer

	Hang     bool   // no answer, until Set or Close
	Only     string // the counts that follow are of this action alone
	Reset    int    // the connection is reset
	Fail     int    // http status 500
	Throttle int    // ThrottlingException
	Truncate int    // the right answer, and the connection is closed in the middle of it
	Garble   int    // the right answer with its braces taken away
	Empty    int    // http status 200 and no body

	Expire    int    // ExpiredTokenException for every request after so many of them
	ExpireKey string // only for those that are signed with this access key or session token, and also for Expire 0

	Reject      string   // every request is answered with this error code
	DenyActions []string // AccessDeniedException for these

	Status int // every request is answered with this http status and an html page

	DenyBatch     bool   // AccessDeniedException for BatchGetSecretValue
	NoBatch       bool   // UnknownOperationException for BatchGetSecretValue
	RejectBatch   string // this error code for BatchGetSecretValue
	ThrottleBatch int    // ThrottlingException for BatchGetSecretValue
	FailBatch     int    // http status 500 for BatchGetSecretValue

	PageSize    int           // the most secrets in one page of a batch; 0 for no pages
	RepeatToken bool          // the pages never end and always have the same token
	LeaveOut    []string      // ids that a batch neither answers nor names as errors
	RejectSTS   string        // this error code for AssumeRole and AssumeRoleWithWebIdentity
	RoleFor     time.Duration // how long the session of a role lasts; 0 for an hour
	RejectFor   string        // only where the request has this text: an access key, the token of a web identity
}

// Fake is an HTTP server that answers for Secrets Manager, and for as much of
// STS and the instance metadata as signing in takes. Where emulators are wrong
// it is right: a batch of more than 20 is refused, and what is wrong with one
// secret does not fail the others. It is safe for concurrent use.
type Fake struct {
	// URL is where it listens: http://127.0.0.1:PORT. Set by Start.
	URL string

	cloudtest.Liar

	server *http.Server
	thief  *httptest.Server
	done   chan struct{}

	mu       sync.Mutex
	faults   Faults
	served   int           // requests since Set
	release  chan struct{} // closed to end a Hang
	secrets  map[string]*secret
	held     map[string]<-chan struct{} // by id or action
	called   chan struct{}              // closed and made anew with each request
	versions int
	roles    int // assumed so far: their session tokens are role-1, role-2, ...
	meter    meter
}

// meter counts requests.
type meter struct {
	calls      map[string]int
	ids        map[string]int
	now, most  int
	done, trip int
}

// NewFake makes a Fake without secrets. It does not listen yet.
func NewFake() *Fake {
	return &Fake{
		release: make(chan struct{}), called: make(chan struct{}), done: make(chan struct{}),
		secrets: make(map[string]*secret), held: make(map[string]<-chan struct{}),
		meter: meter{calls: make(map[string]int), ids: make(map[string]int)},
	}
}

// StartFake starts a Fake that is closed when the test ends.
func StartFake(tb testing.TB) *Fake {
	tb.Helper()
	f := NewFake()
	if err := f.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(f.Close)
	return f
}

// Start begins to listen on a free port of the loopback interface.
func (f *Fake) Start() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	f.URL = "http://" + l.Addr().String()
	f.thief = httptest.NewServer(f.Liar.Thief(f))
	f.server = &http.Server{Handler: f.Before(f), ErrorLog: log.New(io.Discard, "", 0)}
	go func() {
		defer close(f.done)
		_ = f.server.Serve(l)
	}()
	return nil
}

// Close ends the server and every connection to it.
func (f *Fake) Close() {
	f.Set(Faults{})
	_ = f.server.Close()
	f.thief.CloseClientConnections()
	f.thief.Close()
	<-f.done
}

// Elsewhere is the address of another host that answers as this one does.
func (f *Fake) Elsewhere() string { return f.thief.URL }

// Env returns the environment of a process that is to use f.
func (f *Fake) Env() map[string]string { return env(f.URL) }

// Set makes f misbehave so from now on, in place of what was set before.
// Requests that hang go on.
func (f *Fake) Set(faults Faults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults, f.served = faults, 0
	close(f.release)
	f.release = make(chan struct{})
}

// ResetRoles makes role-1 the session token of the next role that is assumed.
func (f *Fake) ResetRoles() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.roles = 0
}

// Hold keeps requests that ask for a secret by this id, or for this action,
// without an answer until the channel is closed.
func (f *Fake) Hold(what string, until <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held[what] = until
}

// Called returns a channel that is closed when the next request comes in.
func (f *Fake) Called() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.called
}

// Calls returns the number of requests of an action, such as GetSecretValue,
// AssumeRole or InstanceMetadata, since the start or Forget.
func (f *Fake) Calls(action string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.meter.calls[action]
}

// Total returns the number of requests of all actions.
func (f *Fake) Total() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.meter.calls {
		n += c
	}
	return n
}

// Asked returns how often each id was asked for, in batches and singly.
func (f *Fake) Asked() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.meter.ids)
}

// MostAtOnce returns the largest number of requests that were under way together.
func (f *Fake) MostAtOnce() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.meter.most
}

// RoundTrips returns the length of the longest chain of requests each of which
// came after the one before it was answered: with latency, the time that all of
// them took, in units of one.
func (f *Fake) RoundTrips() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.meter.trip
}

// Forget sets all counts to zero.
func (f *Fake) Forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.meter = meter{calls: make(map[string]int), ids: make(map[string]int), now: f.meter.now}
}

func (f *Fake) begin(action string) (trip int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := &f.meter
	m.calls[action]++
	close(f.called)
	f.called = make(chan struct{})
	m.now++
	m.most = max(m.most, m.now)
	trip = m.done + 1
	m.trip = max(m.trip, trip)
	return trip
}

func (f *Fake) end(trip int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.meter.now--
	f.meter.done = max(f.meter.done, trip)
}

// ServeHTTP implements http.Handler.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	action := actionOf(r, body)
	trip := f.begin(action)
	reply := f.delay(action, r, body)
	if reply == nil {
		reply = f.answer(action, r, body)
	}
	// Counted as answered before the client can know of it, so that what the
	// client sends next comes after it.
	f.end(trip)
	reply(w)
}

// delay waits as f is set to. It returns the reply that stands for no answer, where
// f is set to have none, else nil.
func (f *Fake) delay(action string, r *http.Request, body []byte) reply {
	f.mu.Lock()
	latency, hang, release := f.faults.Latency, f.faults.Hang, f.release
	denied := f.faults.DenyBatch && action == "BatchGetSecretValue" // before anything is looked up
	var hold <-chan struct{}
	for what, until := range f.held {
		if what == action || !denied && bytes.Contains(body, []byte(`"`+what+`"`)) {
			hold = until
		}
	}
	f.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return abort
		}
	}
	if latency > 0 {
		t := time.NewTimer(latency)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			return abort
		}
	}
	if hang {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return abort
	}
	return nil
}

// answer makes the answer to one request, or the fault that is due.
func (f *Fake) answer(action string, r *http.Request, body []byte) reply {
	f.mu.Lock()
	defer f.mu.Unlock()
	due := func(n *int) bool {
		if *n <= 0 || f.faults.Only != "" && f.faults.Only != action {
			return false
		}
		if *n != Always {
			*n--
		}
		return true
	}
	batch := action == "BatchGetSecretValue"
	switch b := &f.faults; {
	case action == "InstanceMetadata":
		return metadata(r)
	case strings.HasPrefix(action, "AssumeRole"):
		return f.assumeRole(action, r, body)
	case due(&b.Reset):
		return reset
	case due(&b.Fail) || batch && due(&b.FailBatch):
		return fault(http.StatusInternalServerError, "InternalServiceError", "An error occurred on the server side.")
	case due(&b.Throttle) || batch && due(&b.ThrottleBatch):
		return fault(http.StatusBadRequest, "ThrottlingException", "Rate exceeded")
	case b.ExpireKey == "" && b.Expire > 0 && f.served >= b.Expire,
		b.ExpireKey != "" && f.served >= b.Expire && (r.Header.Get("X-Amz-Security-Token") == b.ExpireKey || strings.Contains(r.Header.Get("Authorization"), "Credential="+b.ExpireKey+"/")):
		return fault(http.StatusBadRequest, "ExpiredTokenException", "The security token included in the request is expired")
	case b.Status != 0:
		return page(b.Status)
	case b.Reject != "":
		return fault(http.StatusBadRequest, b.Reject, "The request was rejected.")
	case batch && b.DenyBatch:
		return fault(http.StatusBadRequest, "AccessDeniedException", denial("BatchGetSecretValue", "*"))
	case batch && b.NoBatch:
		return fault(http.StatusBadRequest, "UnknownOperationException", "")
	case batch && b.RejectBatch != "":
		return fault(http.StatusBadRequest, b.RejectBatch, "The batch was rejected.")
	case !strings.Contains(r.Header.Get("Authorization"), "/secretsmanager/aws4_request"):
		return fault(http.StatusBadRequest, "MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	f.served++
	answer := f.secretsManager(action, signer(r), body)
	switch b := &f.faults; {
	case due(&b.Empty):
		return sent(http.StatusOK, nil)
	case due(&b.Truncate):
		return truncated(answer)
	case due(&b.Garble):
		return sent(http.StatusOK, []byte(strings.Trim(string(answer.body), "{}")))
	}
	return sent(answer.status, answer.body)
}
