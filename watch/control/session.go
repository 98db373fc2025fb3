package control

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
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

// cookieName returns the name of the cookie with a session's id. A browser takes
// one with the prefix from this very host alone, and over TLS alone.
func cookieName(r *http.Request) string {
	if r.TLS != nil {
		return "__Host-bifrost-secrets"
	}
	return "bifrost-secrets"
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
		if !one.until.After(now) {
			delete(s.all, sum)
		} else if first := s.all[oldest]; first == nil || one.until.Before(first.until) {
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

// of returns the session of a request, and nil where it has none, where its hour is
// over, or where its token is none of those any more. What the page is to say once
// is taken from it.
func (s *sessions) of(r *http.Request, right tokens) (one *session, said string) {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return nil, ""
	}
	sum := sha256.Sum256([]byte(cookie.Value))
	s.mu.Lock()
	defer s.mu.Unlock()
	one = s.all[sum]
	if one == nil || !one.until.After(time.Now()) || !right.hold(one.token) {
		delete(s.all, sum)
		return nil, ""
	}
	if r.Method == http.MethodGet {
		said, one.said = one.said, ""
	}
	return one, said
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
