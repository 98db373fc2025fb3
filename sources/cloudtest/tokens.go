package cloudtest

import (
	"fmt"
	"strings"
	"sync"
)

// Tokens are the access tokens that a cloud has handed out: which of them it still
// takes, and whether it hands out more. It is safe for concurrent use.
type Tokens struct {
	Prefix string // of each
	Gate   *Gate

	mu      sync.Mutex
	given   int
	revoked int    // tokens up to this one are refused
	ends    bool   // those that were handed out so far are refused once the gate says so
	closed  bool   // no token is good, and none is handed out
	login   string // the error of the endpoint for tokens
}

// Revoke refuses every token that was handed out so far.
func (t *Tokens) Revoke() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.revoked = t.given
}

// RefuseAll refuses every token, and hands out none.
func (t *Tokens) RefuseAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// Expire refuses the tokens that were handed out so far once so many requests
// were answered. Others are good.
func (t *Tokens) Expire(after int) {
	if after == 0 {
		t.Revoke()
		return
	}
	t.mu.Lock()
	t.ends = true
	t.mu.Unlock()
	t.Gate.Set(Faults{Expire: after})
}

// RejectLogins makes the endpoint for tokens answer with an error of OAuth, such
// as invalid_grant; "" makes it right again.
func (t *Tokens) RejectLogins(code string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.login = code
}

// Given returns the number of tokens handed out.
func (t *Tokens) Given() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.given
}

// Refused is asked for each request, of which the gate says refused. It reports
// whether no token is good for it.
func (t *Tokens) Refused(refused bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	refused = refused || t.closed
	if t.ends && refused {
		t.ends, t.revoked = false, t.given
		t.Gate.Set(Faults{})
	}
	return refused
}

// Good reports whether an Authorization header has a token that is taken.
func (t *Tokens) Good(authorization string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	var n int
	text, bearer := strings.CutPrefix(authorization, "Bearer "+t.Prefix)
	_, err := fmt.Sscanf(text, "%d", &n)
	return bearer && err == nil && n > t.revoked && n <= t.given
}

// Give hands out a token, or returns the error of OAuth that keeps it from that:
// code, where the request for it is not good.
func (t *Tokens) Give(code string) (token, failed string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if code == "" {
		code = t.login
	}
	if code != "" {
		return "", code
	}
	t.given++
	return fmt.Sprint(t.Prefix, t.given), ""
}
