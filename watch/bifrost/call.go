package bifrost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
)

// maxAnswer is the longest answer that is read, in bytes. A list of providers
// with a thousand keys takes about half a MiB.
const maxAnswer = 64 << 20

// longest returns how many bytes of an answer are read: few where whoever listens has
// yet to show that it is Bifrost.
func longest(path string) int {
	if path == "/health" || path == "/api/version" {
		return 1 << 20
	}
	return maxAnswer
}

// Error is why something was not done: why the API cannot be used, or what becomes of
// a value. It holds no value and no part of an answer.
type Error struct {
	Reason string
	Hint   string
	Err    error // the cause, for errors.Is; not printed

	state watch.State // of the value
	busy  bool        // Bifrost failed in itself, which may pass at once
}

// Error returns the reason.
func (e *Error) Error() string { return e.Reason }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func (e *Error) orNil() error {
	if e == nil {
		return nil
	}
	return e
}

// The causes of errors that somebody asks for.
var (
	// ErrInClear is that of an address that Options.PlainHTTP would allow.
	ErrInClear = errors.New("unencrypted")

	errAbsent  = errors.New("absent")   // Bifrost does not have the path
	errOther   = errors.New("other")    // the answer is to something else
	errPerCall = errors.New("per call") // there is no connection to open again
)

func (e *Error) outcome(path string) watch.Outcome {
	return watch.Outcome{Path: path, State: e.state, Reason: e.Reason, Hint: e.Hint}
}

const restartIt = "restart bifrost, which reads the file"

// noWay is the error of what the API does not take.
func noWay(reason, hint string) *Error {
	return &Error{state: watch.RestartRequired, Reason: reason, Hint: hint}
}

// later is the error of what may go well at another time.
func later(reason, hint string) *Error {
	return &Error{state: watch.Failed, Reason: reason, Hint: hint}
}

// unknownShape is the error of an answer that is not what is known of the API.
func unknownShape(place, what string) *Error {
	return noWay(fmt.Sprintf("bifrost's api has an unknown shape: %s %s", place, what), restartIt)
}

// other is unknownShape for what may be no answer to that question at all.
func other(place, what string) *Error {
	f := unknownShape(place, what)
	f.Err = errOther
	return f
}

// says reports whether one of some words stands in a refusal, which is not shown.
func (a *answer) says(words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return bytes.Contains(a.body, []byte(w)) })
}

// answer is what came back. Its body is never shown: it may echo values.
type answer struct {
	method, path string
	status       int
	body         []byte
}

// refused is the error of a status that is not 200.
func (a *answer) refused() *Error {
	f := &Error{state: watch.Failed, Reason: fmt.Sprintf("bifrost answered %s %s with status %d", a.method, a.path, a.status)}
	switch {
	case a.status == http.StatusForbidden && a.says("admin session", "admin authentication"):
		f.state = watch.RestartRequired
		f.Reason = "bifrost takes this change from an admin who is signed in alone, and its login is switched off (status 403)"
		f.Hint = "switch the login on, or restart bifrost, which reads the file"
	case a.status == http.StatusBadRequest && a.says("password must"):
		f.state = watch.RestartRequired
		f.Reason = "bifrost takes no such admin password by its api (status 400)"
		f.Hint = "from 2.0 on it wants 12 characters or more, with an upper case and a lower case letter, a digit and another character; a restart makes it read the file"
	case a.status == http.StatusInternalServerError || a.status == http.StatusServiceUnavailable:
		f.busy = true
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		f.Reason = fmt.Sprintf("bifrost refuses the credentials (status %d)", a.status)
		f.Hint = "was the admin password changed in the dashboard? put the new one into the document's auth_config, or where it refers to; or see the credentials that were given for bifrost's api"
	case slices.Contains([]int{http.StatusBadRequest, http.StatusConflict, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity}, a.status):
		f.state = watch.RestartRequired
		f.Hint = "bifrost's own log says why; a restart makes it read the file"
	}
	return f
}

// send makes one call and reads the whole answer.
func (c *Client) send(whole context.Context, method, path string, body []byte, auth Auth) (*answer, *Error) {
	if c.o.Running != nil && (body != nil || auth.Scheme != NoAuth) {
		if err := c.o.Running(); err != nil {
			return nil, &Error{state: watch.Failed, Reason: err.Error(), Err: err}
		}
	}
	ctx, cancel := context.WithTimeout(whole, c.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, noWay("a name in the document cannot stand in a url", "")
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	switch auth.Scheme {
	case Basic:
		req.SetBasicAuth(string(auth.User.Reveal()), string(auth.Secret.Reveal()))
	case Bearer:
		req.Header.Set("Authorization", "Bearer "+string(auth.Secret.Reveal()))
	}
	resp, err := netfault.Settled(c.http.Do(req))
	if err != nil {
		return nil, c.unreachable(whole, err)
	}
	defer func() { _ = resp.Body.Close() }()
	a := &answer{method: method, path: path, status: resp.StatusCode}
	most := longest(path)
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, int64(most)+1)); err != nil {
		return nil, c.unreachable(whole, err)
	}
	if len(a.body) > most {
		return nil, unknownShape(path, fmt.Sprintf("is longer than %d MiB", most>>20))
	}
	return a, nil
}

// session is one operation: a client with the credentials that it may try.
type session struct {
	*Client
	admin *Auth // of the document; nil where it has none
	known bool  // what answers has answered as Bifrost does
}

// session begins an operation. doc is the rendered document, or nil.
func (c *Client) session(doc *walker.Document) *session {
	s := &session{Client: c}
	if doc != nil {
		c.doc.Store(doc)
		s.admin = readAdmin(doc)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.o.Login(); !now.equal(c.login) {
		c.auth, c.login = now, now
	}
	return s
}

func (a Auth) equal(b Auth) bool {
	return a.Scheme == b.Scheme && bytes.Equal(a.User.Reveal(), b.User.Reveal()) && bytes.Equal(a.Secret.Reveal(), b.Secret.Reveal())
}

// logins returns what to sign in with, in the order to try.
func (s *session) logins() []Auth {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.admin == nil || !s.private:
		return []Auth{s.auth}
	case s.auth.Scheme == NoAuth:
		return []Auth{*s.admin, s.auth}
	}
	return []Auth{s.auth, *s.admin}
}

// recognize has whatever listens answer as Bifrost does, before it is sent
// credentials or values: it keeps them from a program that has the port by chance,
// or since Bifrost has not come up yet.
func (s *session) recognize(ctx context.Context) *Error {
	if s.known {
		return nil
	}
	a, f := s.send(ctx, http.MethodGet, "/health", nil, Auth{})
	if f != nil {
		return f
	}
	if a.status >= http.StatusInternalServerError { // its database may be away
		return a.refused()
	}
	health, _ := parse("/health", a.body)
	if _, ok := health.member("status").text(); a.status != http.StatusOK || !ok {
		return later("what listens at "+s.where+" does not answer /health as bifrost does, and is sent nothing", "see which program listens there")
	}
	s.known = true
	return nil
}

// call makes a call with the credentials that work, trying those of the document
// where Bifrost refuses the others.
func (s *session) call(ctx context.Context, method, path string, body []byte) (*answer, *Error) {
	if f := s.recognize(ctx); f != nil {
		return nil, f
	}
	for _, auth := range s.logins() {
		a, f := s.send(ctx, method, path, body, auth)
		if f != nil {
			return nil, f
		}
		if a.status != http.StatusUnauthorized {
			s.mu.Lock()
			s.auth = auth
			s.mu.Unlock()
			return a, nil
		}
	}
	f := (&answer{status: http.StatusUnauthorized}).refused()
	if s.admin != nil && !s.private {
		f.Reason, f.Hint = "bifrost wants credentials, which would travel unencrypted to "+s.where, private
	}
	return nil, f
}

// fetch reads what stands at a path.
func (s *session) fetch(ctx context.Context, path string) (*answer, *Error) {
	a, f := s.call(ctx, http.MethodGet, path, nil)
	switch {
	case f != nil:
		return nil, f
	case a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed:
		return nil, &Error{state: watch.RestartRequired, Reason: "bifrost has no " + path, Hint: restartIt, Err: errAbsent}
	case a.status != http.StatusOK:
		return nil, a.refused()
	}
	return a, nil
}

// get reads an object of the API.
func (s *session) get(ctx context.Context, path string) (value, *Error) {
	a, f := s.fetch(ctx, path)
	if f != nil {
		return value{}, f
	}
	return parse(path, a.body)
}

// getNamed reads an object that has a name. what is the word for it.
func (s *session) getNamed(ctx context.Context, path, what, name string) (value, *Error) {
	top, f := s.get(ctx, path)
	switch {
	case f != nil && errors.Is(f.Err, errAbsent):
		return top, absent(what, name)
	case f == nil && !top.member("name").is(name):
		return top, unknownShape(quoted(what+" %s", name), "has another name")
	}
	return top, f
}

// absent is the error of an object that Bifrost does not have.
func absent(what, name string) *Error {
	return noWay(quoted("bifrost has no "+what+" that is called %s", name), restartIt)
}

// put writes an object, or calls for something to be done.
func (s *session) put(ctx context.Context, method, path string, body []byte) *Error {
	a, f := s.call(ctx, method, path, body)
	switch {
	case f != nil:
		return f
	case a.status == http.StatusBadRequest && a.says("per-call connections"): // an MCP client that has none to open anew
		return &Error{state: watch.RestartRequired, Reason: "there is no connection to open again", Err: errPerCall}
	case a.status != http.StatusOK:
		return a.refused()
	case !json.Valid(a.body): // a path that is not known is answered with the page of the dashboard, and status 200
		return unknownShape(path, "is no json")
	}
	return nil
}

// unreachable is the error of a call that had no answer.
func (c *Client) unreachable(whole context.Context, err error) *Error {
	f := later("", "is bifrost running there?")
	var timed net.Error
	why := netfault.Cause(err, c.o.Timeout)
	switch {
	case whole.Err() != nil:
		why, f.Hint, f.Err = "stopped before the answer came", "", whole.Err()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timed) && timed.Timeout():
		f.Err, f.Hint = context.DeadlineExceeded, "bifrost waits up to 15s for a provider that does not answer: look at the provider, or allow more time"
	}
	f.Reason = fmt.Sprintf("no usable answer from bifrost at %s: %s", c.where, why)
	return f
}

func (s *session) version(ctx context.Context) (v string, f *Error) {
	a, f := s.fetch(ctx, "/api/version")
	if f != nil {
		return "", f
	}
	if json.Unmarshal(a.body, &v) != nil || len(v) > 64 || strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", unknownShape("/api/version", "is no version")
	}
	return v, nil
}

func quoted(format, name string) string { return fmt.Sprintf(format, walker.Quote(name)) }
