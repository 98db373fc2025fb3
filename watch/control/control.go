// Package control is the HTTP server beside the loop: it takes flushes, shows
// the status, and answers probes and scrapes.
//
// # Who may ask what
//
// /healthz, /readyz and /metrics are for everybody who reaches the listener.
// POST /api/vault/flush-cache and GET /api/vault/status want a bearer token, or
// come over a unix socket, whose mode 0600 says who may connect. Where no token
// is configured they exist on a unix socket only. GET / is the status for people:
// a page that asks for a token, and then knows the browser by a session. The paths, status codes and
// members of the answers are stable.
package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/watch"

	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"
)

// Watcher is the loop, as the server needs it. It is safe for concurrent use.
type Watcher interface {
	// Flush makes a refresh, or joins the one that comes next, and returns when
	// it is done. Its error lists the failing secrets (see [render.Problems])
	// and holds nothing secret. It returns when ctx ends.
	Flush(ctx context.Context) error
	// FlushAsync asks for a refresh and returns at once.
	FlushAsync()
	// Status is what may be seen of the loop.
	Status() watch.Status
	// Ready says why it is not ready, in one line, or nil.
	Ready() error
	// Enabled reports whether a vault_store is in force.
	Enabled() bool
}

// DefaultListen is the address that is listened on unless another is named.
const DefaultListen = "127.0.0.1:9180"

// flushRate is how many flushes a second each client may make; those that join one
// under way do not count.
const flushRate = 10

// Options are the settings of a server.
type Options struct {
	// Listen are the addresses that serve everything: HOST:PORT or unix:PATH.
	Listen []string
	// ProbeListen is an address, HOST:PORT, that serves /healthz, /readyz and
	// /metrics only, over plain http. It may be empty.
	ProbeListen string
	// TokenFile has the bearer tokens, one a line; it is read at each request,
	// so that a change counts at once; to take a token back, write the file anew
	// without it. A file that is gone, or that others can read, leaves the tokens
	// before in force and an error in the log. It may be empty.
	TokenFile string
	// Token holds more tokens, as the file does. It may be the zero Secret.
	Token sources.Secret
	// TLSCert and TLSKey are PEM files for all of Listen but unix sockets. They
	// are read at each handshake. Both are named or none.
	TLSCert, TLSKey string
	// Peers returns the watchers that share a database. It is nil where they are not
	// listed anywhere.
	Peers func(ctx context.Context) ([]watch.Peer, error)
	// Metrics answers /metrics. Nil means that there is none.
	Metrics http.Handler
	// Log never gets a token. Nil means that nothing is logged.
	Log *slog.Logger

	// These are of tests; zero means flushRate and usual.
	flushRate float64
	limits    limits
}

// Error says why the server cannot be had: a setting or an address.
type Error struct {
	Reason string // lower case, no full stop
	Hint   string // what to do about it; may be empty
	Err    error  // the cause; not printed
}

// Error returns the reason.
func (e *Error) Error() string { return e.Reason }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Advice returns what to do about it.
func (e *Error) Advice() string { return e.Hint }

// ExitCode is that of wrong usage.
func (e *Error) ExitCode() int { return 2 }

// limits bound what a client can take of us.
type limits struct {
	header      time.Duration // to send the headers, and to shake hands
	read        time.Duration // to send all of a request
	write       time.Duration // to take the answer
	idle        time.Duration // between requests
	grace       time.Duration // for requests under way at the end
	headerBytes int
	bodyBytes   int64
	connections int // of each listener
}

var usual = limits{
	header: 5 * time.Second, read: 10 * time.Second, write: 10 * time.Second, idle: time.Minute, grace: 5 * time.Second,
	headerBytes: 16 << 10, bodyBytes: 4 << 10,
	// More than a thousand flushes at once are no reason to let one wait.
	connections: 1024 + 64,
}

// Server is the listeners with what answers on them.
type Server struct {
	watcher  Watcher
	opts     Options
	log      *slog.Logger
	refused  *rate.Sometimes // bounds the log lines that a stranger can cause
	tokens   *live[tokens]   // nil where none is configured
	cert     *live[certificate]
	flights  *flights
	sessions *sessions
	limits   limits
	faces    []*face

	// Requests and flushes nobody waits for live until base ends.
	base  context.Context
	end   context.CancelFunc
	mu    sync.Mutex // guards ended, after which async does not grow
	ended bool
	async sync.WaitGroup
}

// face is one listener.
type face struct {
	net.Listener
	address  string // as people are told
	kind     faceKind
	loopback bool // only programs of this machine reach it, and so do web pages in its browsers
	http     *http.Server
}

type faceKind int

const (
	overTCP faceKind = iota
	overSocket
	probes
)

// Open checks the settings, reads the tokens and the certificate, and binds all
// addresses. An error is an [*Error], and then nothing is left open.
func Open(w Watcher, opts Options) (*Server, error) {
	s, err := newServer(w, opts)
	if err != nil {
		return nil, err
	}
	if err := s.listen(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func newServer(w Watcher, opts Options) (*Server, error) {
	s := &Server{watcher: w, opts: opts, log: opts.Log, limits: cmp.Or(opts.limits, usual), refused: &rate.Sometimes{First: 5, Interval: time.Second}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.flights, s.sessions = newFlights(cmp.Or(opts.flushRate, flushRate)), newSessions()
	var err error
	if s.tokens, err = followTokens(opts.TokenFile, opts.Token, s.log); err != nil {
		return nil, err
	}
	if s.cert, err = followCertificate(opts.TLSCert, opts.TLSKey, s.log); err != nil {
		return nil, err
	}
	s.base, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Addresses are where the server listens, with the ports that it has.
func (s *Server) Addresses() []string {
	out := make([]string, len(s.faces))
	for i, f := range s.faces {
		out[i] = f.address
	}
	return out
}

// add makes a listener one of the server's.
func (s *Server) add(ln net.Listener, address string, kind faceKind, loopback bool) {
	f := &face{Listener: ln, address: address, kind: kind, loopback: loopback}
	f.http = &http.Server{
		Handler:           s.recovering(s.routes(f)),
		ReadHeaderTimeout: s.limits.header,
		ReadTimeout:       s.limits.read,
		WriteTimeout:      s.limits.write,
		IdleTimeout:       s.limits.idle,
		MaxHeaderBytes:    s.limits.headerBytes,
		// What it says is of strangers who break off, and holds no header.
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return s.base },
		// With one request a connection at a time, their number bounds the work.
		Protocols: new(http.Protocols),
	}
	f.http.Protocols.SetHTTP1(true)
	if s.limits.connections > 0 {
		f.Listener = netutil.LimitListener(f.Listener, s.limits.connections)
	}
	if kind == overTCP && s.cert != nil {
		f.http.TLSConfig = config(s.cert)
	}
	s.faces = append(s.faces, f)
}

// Serve answers until ctx ends, then lets the requests under way end, within a
// few seconds, and closes everything. It returns nil then, and an [*Error] if it
// has to stop by itself. It is called once.
func (s *Server) Serve(ctx context.Context) error {
	failed := make(chan error, len(s.faces))
	var running sync.WaitGroup
	for _, f := range s.faces {
		s.log.Info("listening", "address", f.address)
		if f.kind == overTCP && s.tokens == nil {
			s.log.Info("no token is configured, so there is neither flush nor status here", "address", f.address, "hint", "give tokens with --token-file or $"+TokenVariable+", or listen on unix:PATH too")
		}
		running.Go(func() {
			var err error
			if f.http.TLSConfig != nil {
				err = f.http.ServeTLS(f.Listener, "", "")
			} else {
				err = f.http.Serve(f.Listener)
			}
			if !errors.Is(err, http.ErrServerClosed) {
				failed <- &Error{Reason: fmt.Sprintf("%s: cannot take connections any more: %v", f.address, err), Err: err}
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.shutdown()
	running.Wait()
	return err
}

// shutdown ends every listener, politely first.
func (s *Server) shutdown() {
	patience, cancel := context.WithTimeout(context.WithoutCancel(s.base), s.limits.grace)
	defer cancel()
	var ending sync.WaitGroup
	for _, f := range s.faces {
		ending.Go(func() {
			if f.http.Shutdown(patience) != nil {
				_ = f.http.Close()
			}
		})
	}
	ending.Wait()
	s.Close()
}

// Close ends everything at once. It is for a server that is not served after
// all: Serve closes by itself.
func (s *Server) Close() {
	s.end()
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	for _, f := range s.faces {
		_ = f.http.Close()
		_ = f.Close()
	}
	s.async.Wait()
}
