package control

import (
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"

	"golang.org/x/time/rate"
)

// message is the body of a success, spelt as Bifrost Enterprise does.
type message struct {
	Message string `json:"message"`
	// What the refresh has brought and Bifrost does not have yet; Enterprise has no
	// such members.
	RestartRequired int `json:"restart_required,omitempty"`
	NotApplied      int `json:"not_applied,omitempty"`
}

// failing is one reason why a refresh did not succeed.
type failing struct {
	Secret    string       `json:"secret,omitempty"` // its name in the backend
	Reference string       `json:"reference,omitempty"`
	Reason    string       `json:"reason"`
	Hint      string       `json:"hint,omitempty"`
	Code      string       `json:"code,omitempty"` // the backend's own
	Kind      sources.Kind `json:"kind,omitempty"`
	Fields    []string     `json:"fields,omitempty"` // the JSON paths that are left with an earlier value
}

// flush makes a refresh and answers with what came of it.
func (s *Server) flush(w http.ResponseWriter, r *http.Request) {
	wait := true
	if text := r.URL.Query().Get("wait"); text != "" {
		var err error
		if wait, err = strconv.ParseBool(text); err != nil {
			s.refuse(w, r, http.StatusBadRequest, "wait is true or false", "")
			return
		}
	}
	code := s.drain(w, r)
	s.extend(w) // a slow body has used it up
	if code != 0 {
		w.Header().Set("Connection", "close")
		s.refuse(w, r, code, map[int]string{
			http.StatusRequestEntityTooLarge: "the body is too large: a flush needs none",
			http.StatusRequestTimeout:        "the body came too slowly: a flush needs none",
			http.StatusBadRequest:            "the body was cut short: a flush needs none",
		}[code], "")
		return
	}
	if !s.watcher.Enabled() {
		s.refuse(w, r, http.StatusBadRequest, render.NotEnabled, "")
		return
	}
	joined, ok := s.flights.enter(client(r))
	if !ok {
		w.Header().Set("Retry-After", "1")
		s.refuse(w, r, http.StatusTooManyRequests, "too many flushes", "wait a second")
		return
	}
	if !wait {
		s.flushLater(joined)
		answer(w, http.StatusAccepted, message{Message: "vault cache flush requested"})
		return
	}
	err := s.refresh(w, r)
	switch {
	case err == nil && !s.watcher.Enabled(): // the first refresh has shown it
		s.refuse(w, r, http.StatusBadRequest, render.NotEnabled, "")
	case err == nil:
		now := s.watcher.Status()
		answer(w, http.StatusOK, message{"vault cache flushed", now.RestartRequired, now.NotApplied})
	case errors.Is(err, context.Canceled) && r.Context().Err() == nil, s.base.Err() != nil:
		fail(w, http.StatusServiceUnavailable, "the refresh was not finished: the program is ending", "")
	case r.Context().Err() != nil: // nobody is there to be answered
	default:
		answer(w, http.StatusBadGateway, explain(err))
	}
}

// refresh makes the refresh of a flush that was entered, and leaves. However long that
// takes, the client has its time for the answer.
func (s *Server) refresh(w http.ResponseWriter, r *http.Request) error {
	defer s.flights.leave()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	began := time.Now()
	err := s.watcher.Flush(r.Context())
	s.log.Debug("flushed over HTTP", "client", client(r), "took", time.Since(began), "ok", err == nil)
	s.extend(w)
	return err
}

// flushLater makes the refresh that nobody waits for. The flight ends with it,
// so that flushes in the meantime count as joining it.
func (s *Server) flushLater(joined bool) {
	if joined {
		s.watcher.FlushAsync()
		s.flights.leave()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		s.flights.leave()
		return
	}
	s.async.Go(func() {
		defer s.flights.leave()
		_ = s.watcher.Flush(s.base) // the loop itself tells of what fails
	})
}

// explain puts a failed refresh into an answer.
func explain(err error) problem {
	var all *render.Problems
	if !errors.As(err, &all) {
		return problem{Error: "the refresh failed: " + oneLine(err.Error()), Hint: sources.HintOf(err), Secrets: []failing{}}
	}
	p := problem{Error: "the refresh failed"}
	for i := range all.List {
		one := &all.List[i]
		f := failing{Secret: one.ShownSecret(), Reference: one.Reference, Reason: one.Reason, Hint: one.Hint, Code: one.Code, Kind: one.Kind}
		for _, place := range one.Places {
			f.Fields = append(f.Fields, place.Path)
		}
		p.Secrets = append(p.Secrets, f)
	}
	return p
}

// bodyFault returns the status code for an error of reading a body.
func bodyFault(err error) int {
	var large *http.MaxBytesError
	var network net.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge
	case errors.As(err, &network) && network.Timeout():
		return http.StatusRequestTimeout
	}
	return http.StatusBadRequest
}

// flights are the flushes that somebody waits for. One that comes while others
// are under way costs nothing, since the loop makes one refresh of them; the
// first is bounded by a rate.
type flights struct {
	mu      sync.Mutex
	running int
	clients clients // only those whom a token was right for
}

func newFlights(perSecond float64) *flights {
	return &flights{clients: newClients(rate.Limit(perSecond), max(1, int(math.Ceil(perSecond))))}
}

// enter counts a flush in, unless it must be refused. Who enters leaves.
func (f *flights) enter(client string) (joined, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	joined = f.running > 0
	if !joined && !f.clients.allow(client) {
		return false, false
	}
	f.running++
	return joined, true
}

func (f *flights) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running--
}

// clients bounds how often each client may do something.
type clients struct {
	limit rate.Limit
	burst int

	mu  *sync.Mutex
	all map[string]*rate.Limiter
}

// clientsKept bounds the memory of clients that have not asked lately.
const clientsKept = 1024

func newClients(limit rate.Limit, burst int) clients {
	return clients{limit: limit, burst: burst, mu: new(sync.Mutex), all: map[string]*rate.Limiter{}}
}

// allow reports whether client may now. New ones may not while too many others have
// asked lately.
func (c *clients) allow(client string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) >= clientsKept {
		for name, l := range c.all {
			if l.Tokens() >= float64(c.burst) { // as good as new
				delete(c.all, name)
			}
		}
	}
	l := c.all[client]
	if l == nil {
		if len(c.all) >= clientsKept {
			return false
		}
		l = rate.NewLimiter(c.limit, c.burst)
		c.all[client] = l
	}
	return l.Allow()
}
