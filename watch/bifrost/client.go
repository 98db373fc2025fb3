// Package bifrost is a client of Bifrost's management API: it makes a running
// Bifrost take new values of the fields that it takes live, and tells of each
// what became of it.
//
// The API has no way to change one value alone: an object is read, changed in
// the one place and written back whole, since what is left out is reset. What
// is known of the API was observed with the versions of releases.tsv; where an
// answer has another shape than theirs, nothing is written.
package bifrost

import (
	"cmp"
	"context"
	"errors"
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
	"bifrost-secrets/watch"
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

// Options say where the API is and how to speak to it. Only the URL is needed.
type Options struct {
	// URL is where Bifrost listens: http://127.0.0.1:8080, https://host, or
	// unix:/path of a socket. A path in it stands before those of the API.
	URL string
	// PlainHTTP allows values to go over plain http to another machine. What one
	// signs in with never does.
	PlainHTTP bool
	// Login returns what to sign in with as of now, and is asked at the beginning of
	// each operation.
	Login func() Auth
	// Running says why no Bifrost is running, where that is known: then neither
	// credentials nor values are sent to what listens in its place.
	Running func() error
	// HTTPClient is used in place of one of our own, which takes no proxy; not for
	// a socket, and not by a Lookout.
	HTTPClient *http.Client
	// Dial makes connections in place of [net.Dialer.DialContext].
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Concurrency is how many objects are written side by side; 4 unless given.
	// Each PUT of a provider or a key makes Bifrost ask the provider for its
	// models with every key that it has.
	Concurrency int
	// Timeout is the deadline of each call; 20s unless given. Bifrost itself waits
	// 15s for a provider that does not answer.
	Timeout      time.Duration
	ApplyTimeout time.Duration // the deadline of each Apply; a minute unless given
	Starts       bool          // this process starts Bifrost: then Apply waits for it
	Log          *slog.Logger
}

// Client speaks to one Bifrost. It is safe for concurrent use; operations on
// values come after each other.
type Client struct {
	o       Options
	base    string // of every URL, without a slash at its end
	where   string // how messages call it
	private bool   // credentials may travel
	http    *http.Client

	operation chan struct{}                   // full while values are looked at or written
	doc       atomic.Pointer[walker.Document] // the newest; nil at first

	mu      sync.Mutex
	auth    Auth               // what has worked last
	login   Auth               // what Login has returned last
	found   string             // the version that was logged last
	current run                // the one that was given all values, or those that did not fail; 0 where it is not known
	owed    int                // how many values there were when Bifrost was not there to be given all; 0 where it was, -1 at first
	pushed  map[string]*pushed // by path: what Bifrost was last given
}

// private is what to do where values or credentials would travel unencrypted.
const private = "use https, or http to 127.0.0.1 or a unix socket"

// New makes a client. Values and credentials travel over https, a unix socket, or
// plain http to the loopback: with others it fails, but for values where PlainHTTP
// allows them. Every error is an *Error.
func New(o Options) (*Client, error) {
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	o.Concurrency, o.Timeout, o.ApplyTimeout = cmp.Or(o.Concurrency, 4), cmp.Or(o.Timeout, 20*time.Second), cmp.Or(o.ApplyTimeout, time.Minute)
	if o.Login == nil {
		o.Login = func() Auth { return Auth{} }
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	c := &Client{o: o, operation: make(chan struct{}, 1), pushed: map[string]*pushed{}, owed: -1}
	if err := c.address(); err != nil {
		return nil, err
	}
	c.login = o.Login()
	c.auth = c.login
	switch {
	case c.private:
	case c.auth.Scheme != NoAuth:
		return nil, &Error{Reason: "credentials for bifrost's api would travel unencrypted to " + c.where, Hint: private}
	case !o.PlainHTTP:
		return nil, &Error{Reason: "new values would travel unencrypted to " + c.where, Hint: private, Err: ErrInClear}
	}
	own := http.Client{Transport: netfault.Guard(&http.Transport{DialContext: c.o.Dial, MaxIdleConnsPerHost: o.Concurrency, IdleConnTimeout: time.Second})} // an open connection can hold up a Bifrost that is to stop
	if o.HTTPClient != nil && !strings.HasPrefix(o.URL, "unix:") {
		own = *o.HTTPClient
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http = &own
	return c, nil
}

// address takes the URL apart. It is not repeated in errors: there may be a
// password in it.
func (c *Client) address() error {
	bad := func(why string) error {
		return &Error{Reason: "the address of bifrost's api " + why, Hint: "write http://127.0.0.1:8080, https://host or unix:/path"}
	}
	if socket, is := strings.CutPrefix(c.o.URL, "unix:"); is {
		if socket == "" {
			return bad("names no socket")
		}
		c.base, c.where, c.private = "http://bifrost", c.o.URL, true
		dial := c.o.Dial
		c.o.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, "unix", socket) }
		return nil
	}
	u, err := url.Parse(c.o.URL)
	switch {
	case err != nil:
		return bad("cannot be read")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return bad("is no http, https or unix one")
	case u.User != nil:
		return bad("has credentials in it")
	case u.RawQuery != "" || u.Fragment != "":
		return bad("has a query or a fragment")
	}
	c.where = u.Scheme + "://" + u.Host
	c.base = strings.TrimRight(u.String(), "/")
	ip := net.ParseIP(u.Hostname())
	c.private = u.Scheme == "https" || u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Where returns the address for messages. c may be nil: then it is empty.
func (c *Client) Where() string {
	if c == nil {
		return ""
	}
	return c.where
}

// Ping asks once whether Bifrost is healthy. Every error is an *Error.
func (c *Client) Ping(ctx context.Context) error { return c.ping(ctx).orNil() }

func (c *Client) ping(ctx context.Context) *Error {
	a, f := c.send(ctx, http.MethodGet, "/health", nil, Auth{})
	if f == nil && a.status != http.StatusOK {
		f = a.refused()
	}
	return f
}

// Wait asks until Bifrost is healthy or ctx ends; then it returns the error of the
// last try.
func (c *Client) Wait(ctx context.Context) error { return c.wait(ctx).orNil() }

func (c *Client) wait(ctx context.Context) *Error {
	pause := watch.Backoff{First: 40 * time.Millisecond, Most: 500 * time.Millisecond}
	for {
		f := c.ping(ctx)
		if f == nil {
			return nil
		}
		select {
		case <-time.After(pause.Next()):
		case <-ctx.Done():
			f.Err = errors.Join(ctx.Err(), f.Err)
			return f
		}
	}
}

// Version returns what Bifrost says of itself, such as v1.4.19. doc is the
// rendered document, or nil, for credentials. Every error is an *Error.
func (c *Client) Version(ctx context.Context, doc *walker.Document) (string, error) {
	v, f := c.session(doc).version(ctx)
	if f == nil {
		c.mu.Lock()
		c.found = cmp.Or(c.found, v)
		c.mu.Unlock()
	}
	return v, f.orNil()
}

// Found returns the version that Bifrost was found to have last, and nothing where
// that is not known. c may be nil.
func (c *Client) Found() string {
	if c == nil {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.found
}

// foundVersion logs the version of Bifrost where it is another one than before, and
// whether it is newer than all that were run.
func (c *Client) foundVersion(version string) {
	c.mu.Lock()
	before := c.found
	c.found = version
	c.mu.Unlock()
	switch newer, than := Newer(version); {
	case version == before || version == "":
	case newer:
		c.o.Log.Warn("this Bifrost is newer than every version that bifrost-secrets was run with; where its API is not as known, nothing is written", "version", version, "newest_run", than)
	default:
		c.o.Log.Info("found Bifrost", "version", version)
	}
}
