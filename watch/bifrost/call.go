package bifrost

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"syscall"

	"bifrost-secrets/watch"
)

// maxAnswer is the longest answer that is read, in bytes. A list of providers
// with a thousand keys takes about half a MiB.
const maxAnswer = 64 << 20

// fault is why something was not done: an Outcome without its path.
type fault struct {
	state  watch.State
	reason string
	hint   string
	err    error // ctx.Err() and the like
	busy   bool  // Bifrost failed in itself, which may pass at once
}

func (f *fault) outcome(path string) watch.Outcome {
	return watch.Outcome{Path: path, State: f.state, Reason: f.reason, Hint: f.hint}
}

func (f *fault) outcomes(targets []Target) []watch.Outcome {
	all := make([]watch.Outcome, len(targets))
	for i, t := range targets {
		all[i] = f.outcome(t.Path)
	}
	return all
}

// unknownShape is the fault of an answer that is not what is known of the API.
func unknownShape(place, what string) *fault {
	return &fault{
		state:  watch.RestartRequired,
		reason: fmt.Sprintf("bifrost's api has an unknown shape: %s %s", place, what),
		hint:   "restart bifrost, which reads the file",
	}
}

// perCall is what Bifrost says, in a 400, of an MCP client that has no connection
// to open anew.
const perCall = "per-call connections"

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

// refused is the fault of a status that is not 200.
func (a *answer) refused() *fault {
	f := &fault{state: watch.Failed, reason: fmt.Sprintf("bifrost answered %s %s with status %d", a.method, a.path, a.status)}
	if a.status == http.StatusForbidden && a.says("admin session", "admin authentication") {
		f.state = watch.RestartRequired
		f.reason = "bifrost takes this change from an admin who is signed in alone, and its login is switched off (status 403)"
		f.hint = "switch the login on, or restart bifrost, which reads the file"
		return f
	}
	if a.status == http.StatusBadRequest && a.says("password must") {
		f.state = watch.RestartRequired
		f.reason = "bifrost takes no such admin password by its api (status 400)"
		f.hint = "from 2.0 on it wants 12 characters or more, with an upper case and a lower case letter, a digit and another character; a restart makes it read the file"
		return f
	}
	switch a.status {
	case http.StatusInternalServerError, http.StatusServiceUnavailable:
		f.busy = true
	case http.StatusUnauthorized, http.StatusForbidden:
		f.reason = fmt.Sprintf("bifrost refuses the credentials (status %d)", a.status)
		f.hint = "was the admin password changed in the dashboard? put the new one into the document's auth_config, or where it refers to; or see the credentials that were given for bifrost's api"
	case http.StatusBadRequest, http.StatusConflict, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		f.state = watch.RestartRequired
		f.hint = "bifrost's own log says why; a restart makes it read the file"
	}
	return f
}

// send makes one call and reads the whole answer.
func (c *Client) send(whole context.Context, method, path string, body []byte, auth Auth) (*answer, *fault) {
	if c.running != nil && (body != nil || auth.Scheme != NoAuth) {
		if err := c.running(); err != nil {
			return nil, &fault{state: watch.Failed, reason: err.Error(), err: err}
		}
	}
	ctx, cancel := context.WithTimeout(whole, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, badRequest
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	switch auth.Scheme {
	case Basic:
		pair := append(append(bytes.Clone(auth.User.Reveal()), ':'), auth.Secret.Reveal()...)
		req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString(pair))
	case Bearer:
		req.Header.Set("Authorization", "Bearer "+string(auth.Secret.Reveal()))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(whole, err)
	}
	defer func() { _ = resp.Body.Close() }()
	a := &answer{method: method, path: path, status: resp.StatusCode}
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1)); err != nil {
		return nil, c.unreachable(whole, err)
	}
	if len(a.body) > maxAnswer {
		return nil, unknownShape(path, fmt.Sprintf("is longer than %d MiB", maxAnswer>>20))
	}
	return a, nil
}

var badRequest = &fault{state: watch.RestartRequired, reason: "a name in the document cannot stand in a url"}

// recognize has whoever listens answer as Bifrost does, before he is sent
// credentials or values: it keeps them from a program that has the port by chance,
// or since Bifrost has not come up yet.
func (s *session) recognize(ctx context.Context) *fault {
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
		return &fault{
			state:  watch.Failed,
			reason: "what listens at " + s.where + " does not answer /health as bifrost does, and is sent nothing",
			hint:   "see which program listens there",
		}
	}
	s.known = true
	return nil
}

// call makes a call with the credentials that work, trying those of the document
// where Bifrost refuses the others.
func (s *session) call(ctx context.Context, method, path string, body []byte) (*answer, *fault) {
	if f := s.recognize(ctx); f != nil {
		return nil, f
	}
	for _, auth := range s.logins() {
		a, f := s.send(ctx, method, path, body, auth)
		if f != nil {
			return nil, f
		}
		if a.status != http.StatusUnauthorized {
			s.adopt(auth)
			return a, nil
		}
	}
	f := (&answer{status: http.StatusUnauthorized}).refused()
	if s.admin != nil && !s.private {
		f.reason = "bifrost wants credentials, which would travel in clear to " + s.where
		f.hint = "use https, or http to 127.0.0.1 or a unix socket"
	}
	return nil, f
}

// fetch reads what stands at a path.
func (s *session) fetch(ctx context.Context, path string) (*answer, *fault) {
	a, f := s.call(ctx, http.MethodGet, path, nil)
	switch {
	case f != nil:
		return nil, f
	case a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed:
		return nil, absent("bifrost has no " + path)
	case a.status != http.StatusOK:
		return nil, a.refused()
	}
	return a, nil
}

// get reads an object of the API.
func (s *session) get(ctx context.Context, path string) (value, *fault) {
	a, f := s.fetch(ctx, path)
	if f != nil {
		return value{}, f
	}
	return parse(path, a.body)
}

// getNamed reads an object that has a name. what is the word for it.
func (s *session) getNamed(ctx context.Context, path, what, name string) (value, *fault) {
	top, f := s.get(ctx, path)
	switch {
	case f != nil && errors.Is(f.err, errAbsent):
		return top, absent(quoted("bifrost has no "+what+" that is called %s", name))
	case f == nil && !top.member("name").is(name):
		return top, unknownShape(quoted(what+" %s", name), "has another name")
	}
	return top, f
}

// absent is the fault of a thing that Bifrost does not have.
func absent(reason string) *fault {
	return &fault{state: watch.RestartRequired, reason: reason, hint: "restart bifrost, which reads the file", err: errAbsent}
}

// The causes of faults that somebody asks for.
var (
	errAbsent   = errors.New("absent")
	errNoObject = errors.New("no object")
)

// errPerCall marks the fault of opening a connection anew that is made for each
// call.
var errPerCall = errors.New("per call")

// put writes an object, or calls for something to be done.
func (s *session) put(ctx context.Context, method, path string, body []byte) *fault {
	a, f := s.call(ctx, method, path, body)
	if f != nil {
		return f
	}
	if a.status == http.StatusBadRequest && a.says(perCall) {
		return &fault{state: watch.RestartRequired, reason: "there is no connection to open anew", err: errPerCall}
	}
	if a.status != http.StatusOK {
		return a.refused()
	}
	// A server that does not know the path answers with the page of its
	// dashboard, and status 200.
	if !json.Valid(a.body) {
		return unknownShape(path, "is no json")
	}
	return nil
}

// unreachable is the fault of a call that had no answer. It is made of what is
// known to hold no part of an answer; net/http quotes what it cannot parse.
func (c *Client) unreachable(whole context.Context, err error) *fault {
	f := &fault{state: watch.Failed, hint: "is bifrost running there?"}
	var dns *net.DNSError
	var errno syscall.Errno
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var timed net.Error
	why := "the connection failed"
	switch {
	case whole.Err() != nil:
		why, f.hint, f.err = "stopped before the answer came", "", whole.Err()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timed) && timed.Timeout():
		why, f.err = fmt.Sprintf("nothing within %s", c.timeout), context.DeadlineExceeded
		f.hint = "bifrost waits up to 15s for a provider that does not answer: look at the provider, or allow more time"
	case errors.As(err, &dns):
		why = "the name cannot be resolved"
	case errors.As(err, &errno):
		why = errno.Error()
	case errors.As(err, &unknown):
		why = "tls: the certificate is signed by an unknown authority"
	case errors.As(err, &hostname):
		why = "tls: the certificate is for another host"
	case errors.As(err, &invalid):
		why = "tls: the certificate is not valid now or for this use"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		why = "tls: the answer is not tls"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		why = "the connection was closed within the answer"
	}
	f.reason = fmt.Sprintf("no usable answer from bifrost at %s: %s", c.where, why)
	return f
}
