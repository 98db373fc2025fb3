// Package bifrost is a client of Bifrost's management API: it makes a running
// Bifrost take new values of the fields that it takes live, and tells of each
// what became of it.
//
// The API has no way to change one value alone: an object is read, changed in
// the one place and written back whole, since what is left out is reset. What
// is known of the API was observed with Bifrost 1.4.19 and 1.5; where an answer
// has another shape than those, nothing is written.
package bifrost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/walker"
)

// Scheme tells how to sign in to the API.
type Scheme uint8

// The ways to sign in.
const (
	NoAuth Scheme = iota // nothing is sent, but for the admin credentials of the document where Bifrost wants some
	Basic                // a user and a password
	Bearer               // a token
)

// Auth is what to sign in with.
type Auth struct {
	Scheme Scheme
	User   sources.Secret // of Basic
	Secret sources.Secret // the password, or the token
}

// Options say where the API is and how to speak to it.
type Options struct {
	// URL is where Bifrost listens: http://127.0.0.1:8080, https://host, or
	// unix:/path of a socket. A path in it stands before those of the API.
	URL  string
	Auth Auth
	// PlainHTTP allows values to go over plain http to another machine. What one
	// signs in with never does.
	PlainHTTP bool
	// Login gives what to sign in with as of now, in place of Auth, and is asked at
	// the beginning of each operation. It may be nil.
	Login func() Auth
	// Running says why no Bifrost is running, where that is known: then neither
	// credentials nor values are sent to what listens in its place. It may be nil.
	Running func() error
	// HTTPClient is used in place of one of our own, which takes no proxy; not for
	// a socket, and not by a Lookout.
	HTTPClient *http.Client
	// Concurrency is how many objects are written side by side; 4 unless given.
	// Each PUT of a provider or a key makes Bifrost ask the provider for its
	// models with every key that it has.
	Concurrency int
	// Dial makes connections in place of [net.Dialer.DialContext]. It may be nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeout is the deadline of each call; 20s unless given. Bifrost itself waits
	// 15s for a provider that does not answer.
	Timeout time.Duration
	// ApplyTimeout is the deadline of each Apply; a minute unless given.
	ApplyTimeout time.Duration
	// Starts says that this process starts Bifrost: then Apply waits for it.
	Starts bool
	Log    *slog.Logger // may be nil
}

const (
	defaultConcurrency = 4
	defaultTimeout     = 20 * time.Second
	defaultApply       = time.Minute
)

// Error says why the API cannot be used. It holds no value and no part of an
// answer.
type Error struct {
	Reason string
	Hint   string
	Err    error // the cause, for errors.Is; not printed
}

// ErrInClear is the cause of the [Error] for an address that Options.PlainHTTP
// would allow.
var ErrInClear = errors.New("in clear")

// Error gives the reason.
func (e *Error) Error() string { return e.Reason }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Client speaks to one Bifrost. It is safe for concurrent use; operations on
// values come after each other.
type Client struct {
	base        string // of every URL, without a slash at its end
	where       string // how messages call it
	login       func() Auth
	running     func() error
	private     bool // credentials may travel
	http        *http.Client
	dial        func(ctx context.Context, network, address string) (net.Conn, error)
	timeout     time.Duration
	concurrency int

	applyTimeout time.Duration
	starts       bool
	log          *slog.Logger

	operation chan struct{}                   // full while a Push, Verify or Converge is under way
	doc       atomic.Pointer[walker.Document] // the newest; nil at first
	reached   atomic.Bool                     // it was there when it was last to be given all values

	mu      sync.Mutex
	auth    Auth              // what has worked last
	given   Auth              // what login gave last
	found   string            // the version that was told of last
	current run               // the one that was given all values, or those that did not fail; 0 where it is not known
	owed    int               // how many values failed together, since Bifrost was not there; 0 where it was
	pushed  map[string]pushed // by path: what Bifrost was last given
	// unfinished are the paths whose last write came to no good end, which Bifrost
	// may have all the same, with what it had before.
	unfinished map[string]likeness
}

// New makes a client. Values and credentials travel over https, a unix socket, or
// plain http to the loopback: with others it fails, but for values where PlainHTTP
// allows them. Every error is an *Error.
func New(o Options) (*Client, error) {
	c := &Client{
		http: o.HTTPClient, timeout: o.Timeout, concurrency: o.Concurrency,
		auth: o.Auth, given: o.Auth, login: o.Login, running: o.Running, pushed: map[string]pushed{}, unfinished: map[string]likeness{},
		applyTimeout: o.ApplyTimeout, starts: o.Starts, log: o.Log, operation: make(chan struct{}, 1),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.applyTimeout <= 0 {
		c.applyTimeout = defaultApply
	}
	if c.timeout <= 0 {
		c.timeout = defaultTimeout
	}
	if c.concurrency <= 0 {
		c.concurrency = defaultConcurrency
	}
	if c.dial = o.Dial; c.dial == nil {
		c.dial = new(net.Dialer).DialContext
	}
	socket, isSocket := strings.CutPrefix(o.URL, "unix:")
	if isSocket {
		if socket == "" {
			return nil, badURL("names no socket")
		}
		c.base, c.where, c.private = "http://bifrost", o.URL, true
		dial := c.dial
		c.dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, "unix", socket) }
	} else if err := c.address(o.URL); err != nil {
		return nil, err
	}
	if o.Auth.Scheme != NoAuth && !c.private {
		return nil, &Error{
			Reason: "credentials for bifrost's api would travel in clear to " + c.where,
			Hint:   "use https, or http to 127.0.0.1 or a unix socket",
		}
	}
	if !c.private && !o.PlainHTTP {
		return nil, &Error{Reason: "new values would travel in clear to " + c.where, Hint: "use https, or http to 127.0.0.1 or a unix socket", Err: ErrInClear}
	}
	if c.http == nil || isSocket {
		c.http = &http.Client{Transport: netfault.Guard(&http.Transport{DialContext: c.dial, MaxIdleConnsPerHost: c.concurrency, IdleConnTimeout: time.Second})} // an open connection can hold up a Bifrost that is to stop
	}
	own := *c.http
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http = &own
	return c, nil
}

func badURL(why string) *Error {
	return &Error{Reason: "the address of bifrost's api " + why, Hint: "write http://127.0.0.1:8080, https://host or unix:/path"}
}

// address takes the URL apart. It is not repeated in errors: there may be a
// password in it.
func (c *Client) address(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return badURL("cannot be read")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return badURL("is no http, https or unix one")
	case u.User != nil:
		return badURL("has credentials in it")
	case u.RawQuery != "" || u.Fragment != "":
		return badURL("has a query or a fragment")
	}
	c.where = u.Scheme + "://" + u.Host
	c.base = strings.TrimRight(u.String(), "/")
	ip := net.ParseIP(u.Hostname())
	c.private = u.Scheme == "https" || u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return nil
}

// Close gives idle connections back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Where returns the address for messages. c may be nil: then it is empty.
func (c *Client) Where() string {
	if c == nil {
		return ""
	}
	return c.where
}

// Ping asks once whether Bifrost is healthy. Every error is an *Error.
func (c *Client) Ping(ctx context.Context) error {
	a, f := c.send(ctx, http.MethodGet, "/health", nil, Auth{})
	if f == nil && a.status != http.StatusOK {
		f = a.refused()
	}
	if f != nil {
		return &Error{Reason: f.reason, Hint: f.hint, Err: f.err}
	}
	return nil
}

// Wait asks until Bifrost is healthy or ctx ends; then it gives the error of the
// last try.
func (c *Client) Wait(ctx context.Context) error {
	const first, longest = 20 * time.Millisecond, 500 * time.Millisecond
	for pause := first; ; pause = min(2*pause, longest) {
		err := c.Ping(ctx)
		if err == nil {
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			var e *Error
			if errors.As(err, &e) {
				e.Err = errors.Join(ctx.Err(), e.Err)
			}
			return err
		}
	}
}

// Version gives what Bifrost says of itself, such as v1.4.19. doc is the
// rendered document, or nil, for credentials. Every error is an *Error.
func (c *Client) Version(ctx context.Context, doc *walker.Document) (string, error) {
	s := c.session(doc)
	v, f := s.version(ctx)
	if f != nil {
		return "", &Error{Reason: f.reason, Hint: f.hint, Err: f.err}
	}
	return v, nil
}

// foundVersion logs the version of Bifrost where it is another one than before, and
// whether it is newer than all that were run.
func (c *Client) foundVersion(version string) {
	c.mu.Lock()
	told := c.found == version
	c.found = version
	c.mu.Unlock()
	if told || version == "" {
		return
	}
	if newer, than := Newer(version); newer {
		c.log.Warn("this Bifrost is newer than every version that bifrost-secrets was run with; where its API is not as known, nothing is written", "version", version, "newest_run", than)
		return
	}
	c.log.Info("found Bifrost", "version", version)
}

func (s *session) version(ctx context.Context) (v string, f *fault) {
	const path = "/api/version"
	a, f := s.fetch(ctx, path)
	if f != nil {
		return "", f
	}
	if json.Unmarshal(a.body, &v) != nil || len(v) > 64 || strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", unknownShape(path, "is no version")
	}
	return v, nil
}

// session is one operation: a client with the credentials that it may try.
type session struct {
	*Client
	doc   *walker.Document
	admin *adminLogin // of the document; nil where it has none
	known bool        // what answers has answered as Bifrost does
}

func (c *Client) session(doc *walker.Document) *session {
	s := &session{Client: c, doc: doc}
	if doc != nil {
		c.doc.Store(doc)
		s.admin = readAdmin(doc)
	}
	if c.login != nil {
		c.mu.Lock()
		if now := c.login(); !now.equal(c.given) {
			c.auth, c.given = now, now
		}
		c.mu.Unlock()
	}
	return s
}

// logins gives what to sign in with, in the order to try.
func (s *session) logins() []Auth {
	s.mu.Lock()
	current := s.auth
	s.mu.Unlock()
	if s.admin == nil || !s.private {
		return []Auth{current}
	}
	if current.Scheme == NoAuth {
		return []Auth{s.admin.auth(), current}
	}
	return []Auth{current, s.admin.auth()}
}

func (a Auth) equal(b Auth) bool {
	return a.Scheme == b.Scheme && bytes.Equal(a.User.Reveal(), b.User.Reveal()) && bytes.Equal(a.Secret.Reveal(), b.Secret.Reveal())
}

func (c *Client) adopt(a Auth) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.auth = a
}

func quoted(format, name string) string { return fmt.Sprintf(format, walker.Quote(name)) }
