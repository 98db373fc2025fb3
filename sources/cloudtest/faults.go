package cloudtest

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Always is a count of faults that is never used up.
const Always = math.MaxInt

// Faults is how an API misbehaves. The counts are of requests still to come.
type Faults struct {
	Latency time.Duration // before any answer
	Hang    bool          // no answer, until the client gives up
	Only    string        // the faults that follow are of this action alone

	Reset    int // the connection is closed without an answer
	Fail     int // the service says that it failed
	Throttle int // the service says that there are too many requests
	Truncate int // the right answer, and the connection is closed in the middle of it
	Garble   int // the right answer with its braces taken away
	Empty    int // http status 200 and no body
	Lose     int // the request is carried out, and the connection is closed without an answer
	Page     int // http status 502 and an html page
	Between  int // http status 403 and an html page

	Expire     int  // credentials are refused after so many requests
	DenyWrites bool // nothing may be created, changed or deleted
}

// Answer is what a request is answered with.
type Answer struct {
	Status int
	Header map[string]string
	Body   []byte
}

// JSON makes an Answer of a value.
func JSON(status int, value any) Answer {
	b, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return Answer{Status: status, Body: b}
}

// API is one service, as a Gate sees it.
type API struct {
	// Action names what a request does; "" means that it is for signing in,
	// which is neither counted nor disturbed.
	Action func(r *http.Request) string
	// Answer carries a request out. refused says that its credentials have
	// expired. It is never called twice at once.
	Answer func(r *http.Request, body []byte, refused bool) Answer
	// Failed and Throttled are how the service says so.
	Failed, Throttled Answer
}

// Gate stands before an API: it counts, and misbehaves as it is told. It is
// safe for concurrent use.
type Gate struct {
	api API

	mu      sync.Mutex
	faults  Faults
	served  int // since Set
	calls   map[string]int
	now     int
	most    int
	carried sync.Mutex // held while a request is carried out
}

// NewGate makes a gate before api.
func NewGate(api API) *Gate { return &Gate{api: api, calls: map[string]int{}} }

// Set makes the API misbehave so from now on, in place of what was set before.
func (g *Gate) Set(f Faults) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults, g.served = f, 0
}

// SetThrottled changes how the service says that there are too many requests.
func (g *Gate) SetThrottled(a Answer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.api.Throttled = a
}

// DenyWrites reports whether writes are to be refused.
func (g *Gate) DenyWrites() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.faults.DenyWrites
}

// Expired reports whether credentials are refused by now.
func (g *Gate) Expired() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.faults.Expire > 0 && g.served >= g.faults.Expire
}

// Calls returns the number of requests of an action.
func (g *Gate) Calls(action string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls[action]
}

// Total returns the number of requests, without those for signing in.
func (g *Gate) Total() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, c := range g.calls {
		n += c
	}
	return n
}

// MostAtOnce returns the largest number of requests that were under way together.
func (g *Gate) MostAtOnce() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most
}

// ServeHTTP implements http.Handler.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	action := g.api.Action(r)
	if action == "" {
		g.carry(r, body, g.Expired()).send(w)
		return
	}
	f := g.begin(action)
	// Counted as answered before the client can know of it.
	reply := g.reply(f, r, body)
	g.mu.Lock()
	g.now--
	g.mu.Unlock()
	reply(w)
}

// due is the faults of one request.
type due struct {
	latency                                                                   time.Duration
	hang, reset, fail, throttle, truncate, garble, empty, lose, page, between bool
	refused                                                                   bool
	throttled                                                                 Answer
}

func (g *Gate) begin(action string) due {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls[action]++
	g.now++
	g.most = max(g.most, g.now)
	f := &g.faults
	mine := f.Only == "" || f.Only == action
	take := func(n *int) bool {
		if *n <= 0 || !mine {
			return false
		}
		if *n != Always {
			*n--
		}
		return true
	}
	d := due{
		latency: f.Latency, hang: f.Hang && mine, reset: take(&f.Reset), fail: take(&f.Fail), throttle: take(&f.Throttle), truncate: take(&f.Truncate),
		throttled: g.api.Throttled, garble: take(&f.Garble), empty: take(&f.Empty), lose: take(&f.Lose), page: take(&f.Page), between: take(&f.Between), refused: f.Expire > 0 && g.served >= f.Expire,
	}
	g.served++
	return d
}

func (g *Gate) carry(r *http.Request, body []byte, refused bool) Answer {
	g.carried.Lock()
	defer g.carried.Unlock()
	return g.api.Answer(r, body, refused)
}

func (g *Gate) reply(d due, r *http.Request, body []byte) func(http.ResponseWriter) {
	if d.latency > 0 {
		t := time.NewTimer(d.latency)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			return abort
		}
	}
	switch {
	case d.hang:
		<-r.Context().Done()
		return abort
	case d.reset:
		return abort
	case d.fail:
		return g.api.Failed.send
	case d.throttle:
		return d.throttled.send
	case d.empty:
		return Answer{Status: http.StatusOK}.send
	case d.page:
		return Answer{Status: http.StatusBadGateway, Header: map[string]string{"Content-Type": "text/html"}, Body: []byte("<html>a proxy's page</html>")}.send
	}
	if d.between {
		return Answer{Status: http.StatusForbidden, Header: map[string]string{"Content-Type": "text/html"}, Body: []byte("<html>CANARY-7c1e</html>")}.send
	}
	a := g.carry(r, body, d.refused)
	switch {
	case d.lose:
		return abort
	case d.garble:
		a.Body = []byte(strings.Trim(string(a.Body), "{}"))
	case d.truncate:
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(a.Status)
			_, _ = io.Copy(w, bytes.NewReader(a.Body[:len(a.Body)/2]))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}
	return a.send
}

func abort(http.ResponseWriter) { panic(http.ErrAbortHandler) }

func (a Answer) send(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	for key, value := range a.Header {
		w.Header().Set(key, value)
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body)
}
