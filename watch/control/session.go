package control

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// sessionLasts is how long a browser that was given a token is known at most.
	sessionLasts = time.Hour
	sessionsKept = 64
	// A client may try so many tokens at once, and then one in so long.
	guessBurst = 5
	guessEvery = 10 * time.Second
)

// session is a browser whose user has given a token.
type session struct {
	id    string
	token [sha256.Size]byte // the sum of it
	until time.Time
	said  string // what the page says once
}

// sessions are kept by the sums of their ids, so that looking one up tells nothing
// of the others by its time.
type sessions struct {
	key     [32]byte // of the marks of forms
	guesses clients

	mu  sync.Mutex
	all map[[sha256.Size]byte]*session
}

func newSessions() *sessions {
	s := &sessions{guesses: newClients(rate.Every(guessEvery), guessBurst), all: map[[sha256.Size]byte]*session{}}
	_, _ = rand.Read(s.key[:]) // it never fails: see crypto/rand
	return s
}

// cookie returns the one with a session's id, less its value. A browser takes one
// with the prefix from this very host alone, and over TLS alone. Cookies ignore ports,
// so the port in the name is what keeps the sessions of two listeners apart, as where
// those of two pods are forwarded to one machine.
func cookie(r *http.Request) *http.Cookie {
	name := "bifrost-secrets"
	if r.TLS != nil {
		name = "__Host-" + name
	}
	if _, port, err := net.SplitHostPort(r.Host); err == nil && strings.Trim(port, "0123456789") == "" {
		name += "-" + port
	}
	return &http.Cookie{Name: name, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil}
}

// mark returns what a form of a session carries, so that its request is known to
// come from a page of ours. The form that asks for a token has no session yet.
func (s *sessions) mark(session string) string {
	mac := hmac.New(sha256.New, s.key[:])
	_, _ = mac.Write([]byte(session)) // never fails
	return hex.EncodeToString(mac.Sum(nil))
}

// begin makes a session for who has given the token with a sum.
func (s *sessions) begin(token [sha256.Size]byte) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var oldest [sha256.Size]byte
	for sum, one := range s.all {
		if first := s.all[oldest]; first == nil || one.until.Before(first.until) {
			oldest = sum
		}
	}
	if len(s.all) >= sessionsKept {
		delete(s.all, oldest)
	}
	one := &session{id: rand.Text(), token: token, until: now.Add(sessionLasts)}
	s.all[sha256.Sum256([]byte(one.id))] = one
	return one
}

// of returns the session of a request, and nil where it has none. What the page is
// to say once is taken from it. All sessions end here whose hour is over, or whose
// token is none of those any more.
func (s *sessions) of(r *http.Request, right tokens) (one *session, said string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for sum, one := range s.all {
		if !one.until.After(now) || !right.hold(one.token) {
			delete(s.all, sum)
		}
	}
	for _, c := range r.CookiesNamed(cookie(r).Name) { // other programs of the host can set one too
		if one = s.all[sha256.Sum256([]byte(c.Value))]; one == nil {
			continue
		}
		if r.Method == http.MethodGet {
			said, one.said = one.said, ""
		}
		return one, said
	}
	return nil, ""
}

// say has the session's page say something once.
func (s *sessions) say(one *session, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one.said = text
}

func (s *sessions) end(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, sha256.Sum256([]byte(one.id)))
}

// guesser returns who is slowed down together: anybody with IPv6 has a network of
// addresses.
func guesser(r *http.Request) string {
	name := client(r)
	if ip, err := netip.ParseAddr(name); err == nil && ip.Unmap().Is6() {
		network, _ := ip.WithZone("").Prefix(64) // fails for a bad length alone
		return network.String()
	}
	return name
}
