package bifrosttest

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// Wire is the way to a Bifrost, in memory, so that within testing/synctest its time
// is the test's: nothing of it waits for the network.
type Wire struct {
	// Handler is what answers.
	Handler http.Handler
	Idle    time.Duration // the server closes an idle connection after so long
	Single  bool          // and each one after its answer

	mu     sync.Mutex
	down   bool          // nobody listens
	slow   time.Duration // a dial takes
	server *http.Server
	at     *listener
	open   []net.Conn // our ends
}

// Start has the server listen, as it is set then.
func (w *Wire) Start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.start()
}

func (w *Wire) start() {
	w.down, w.at = false, &listener{conns: make(chan net.Conn), done: make(chan struct{})}
	w.server = &http.Server{Handler: w.Handler, IdleTimeout: w.Idle, ErrorLog: log.New(io.Discard, "", 0)}
	w.server.SetKeepAlivesEnabled(!w.Single)
	go func(s *http.Server, l net.Listener) { _ = s.Serve(l) }(w.server, w.at)
}

// Stop ends it: nobody listens any more, and every connection breaks.
func (w *Wire) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = true
	_ = w.server.Close()
}

// Change has it listen as it is set by then: every connection breaks, and no dial
// finds that nobody listens, as between a Stop and a Start.
func (w *Wire) Change(then func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.server.Close()
	then()
	w.start()
}

// Dial makes a connection; it is an Options.Dial.
func (w *Wire) Dial(context.Context, string, string) (net.Conn, error) {
	w.mu.Lock()
	slow := w.slow
	w.mu.Unlock()
	time.Sleep(slow)
	ours, theirs := net.Pipe()
	for {
		w.mu.Lock()
		down, at := w.down, w.at
		w.mu.Unlock()
		if down {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		}
		select {
		case at.conns <- theirs:
			w.mu.Lock()
			w.open = append(w.open, theirs)
			w.mu.Unlock()
			return ours, nil
		case <-at.done: // it was stopped or changed just now
		}
	}
}

// Slows has each later Dial take so long.
func (w *Wire) Slows(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slow = d
}

// Cut ends every connection, as a router does that forgets them.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		_ = c.Close()
	}
	w.open = nil
}

type listener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *listener) Close() error { l.once.Do(func() { close(l.done) }); return nil }
func (*listener) Addr() net.Addr { return &net.UnixAddr{Name: "wire", Net: "unix"} }
