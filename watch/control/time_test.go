package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/watch/control/controltest"
)

// The tests in this file run on a clock of their own, over connections in
// memory.

// pipes is a listener whose connections a test makes.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// from sets the address of a connection's client.
type from struct {
	net.Conn
	ip string
}

func (f from) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(f.ip), Port: 1} }

// inMemory is a server on pipes.
type inMemory struct {
	*Server
	pipes  *pipes
	cancel context.CancelFunc
	served chan error
}

func startInMemory(t *testing.T, w Watcher, change func(*Server)) *inMemory {
	t.Helper()
	s, err := newServer(w, Options{Token: sources.NewSecret([]byte(token)), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(s)
	}
	m := &inMemory{Server: s, pipes: &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}, served: make(chan error, 1)}
	s.add(m.pipes, "pipes", overTCP, true)
	ctx, cancel := context.WithCancel(t.Context())
	m.cancel = cancel
	go func() { m.served <- s.Serve(ctx) }()
	return m
}

// stop ends the server and waits for it.
func (m *inMemory) stop(t *testing.T) {
	t.Helper()
	m.cancel()
	if err := <-m.served; err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

// call sends bytes as a client of 127.0.0.1, and returns the connection.
func (m *inMemory) call(text string) net.Conn { return m.callFrom("127.0.0.1", text) }

func (m *inMemory) callFrom(ip, text string) net.Conn {
	ours, theirs := net.Pipe()
	m.pipes.conns <- from{theirs, ip}
	go func() { _, _ = io.WriteString(ours, text) }()
	return ours
}

// code reads an answer and returns its status code, or 0 where the connection was
// closed without one.
func code(t *testing.T, c net.Conn) int {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// flushing is a flush as bytes, less what follows the headers.
func flushing(headers ...string) string {
	return "POST " + FlushPath + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + "\r\n" + strings.Join(headers, "\r\n") + "\r\n"
}

func TestSlowClients(t *testing.T) {
	for _, c := range []struct {
		name, sent string
		code       int
		after      time.Duration
	}{
		{"a slow body", flushing("Content-Length: 10\r\n") + "12345", 408, usual.read},
		{"a slow chunk", flushing("Transfer-Encoding: chunked\r\n") + "5\r\n12", 408, usual.read},
		{"a slow form", "POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\ndo=", 408, usual.read},
		{"slow headers", "POST " + FlushPath + " HTTP/1.1\r\nHost: local", 0, usual.header},
		{"nothing", "", 0, usual.header},
		{"nothing more", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 200, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := idle()
				m := startInMemory(t, w, nil)
				began := time.Now()
				conn := m.call(c.sent)
				if got := code(t, conn); got != c.code {
					t.Errorf("%d, want %d", got, c.code)
				}
				if took := time.Since(began); took < c.after || took > c.after+time.Second {
					t.Errorf("it took %v, want %v", took, c.after)
				}
				// Whatever it was, the connection ends by itself.
				_, _ = io.Copy(io.Discard, conn)
				if took := time.Since(began); took > c.after+usual.idle+time.Second {
					t.Errorf("the connection was closed after %v", took)
				}
				if flushes, _ := w.Counts(); flushes != 0 {
					t.Errorf("%d flushes", flushes)
				}
				m.stop(t)
			})
		})
	}
}

func TestBodies(t *testing.T) {
	limit := int(usual.bodyBytes)
	for _, c := range []struct {
		name, sent string
		code       int
	}{
		{"none", flushing("Content-Length: 0\r\n"), 200},
		{"some", flushing("Content-Length: 2\r\n") + "{}", 200},
		{"as large as may be", flushing(fmt.Sprintf("Content-Length: %d\r\n", limit)) + strings.Repeat("x", limit), 200},
		{"one byte more", flushing(fmt.Sprintf("Content-Length: %d\r\n", limit+1)) + strings.Repeat("x", limit+1), 413},
		{"a gigabyte, to be sent yet", flushing("Content-Length: 1073741824\r\n"), 413},
		{"of unknown length", flushing("Transfer-Encoding: chunked\r\n") + fmt.Sprintf("%x\r\n%s\r\n", limit+1, strings.Repeat("x", limit+1)), 413},
		{"a gigabyte of a stranger's", strings.Replace(flushing("Content-Length: 1073741824\r\n"), token, wrongToken, 1) + "x", 401},
		{"huge headers", flushing("X: " + strings.Repeat("x", 2*usual.headerBytes) + "\r\n"), 431},
		{"no HTTP", "hello\r\n\r\n", 400},
		{"no such length", flushing("Content-Length: -1\r\n"), 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := startInMemory(t, idle(), nil)
				conn := m.call(c.sent)
				if got := code(t, conn); got != c.code {
					t.Errorf("%d, want %d", got, c.code)
				}
				_ = conn.Close()
				m.stop(t)
			})
		})
	}
}

// A client may flush ten times a second; another one has a count of his own.
func TestFlushRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := idle()
		m := startInMemory(t, w, nil)
		flush := func(ip string) int {
			conn := m.callFrom(ip, flushing("Connection: close\r\n"))
			defer func() { _ = conn.Close() }()
			return code(t, conn)
		}
		for i := range 10 {
			if got := flush("127.0.0.1"); got != 200 {
				t.Fatalf("flush %d: %d", i, got)
			}
		}
		if got := flush("127.0.0.1"); got != 429 {
			t.Errorf("the 11th: %d", got)
		}
		if got := flush("127.0.0.2"); got != 200 {
			t.Errorf("another client: %d", got)
		}
		time.Sleep(100 * time.Millisecond)
		if got := flush("127.0.0.1"); got != 200 {
			t.Errorf("a tenth of a second later: %d", got)
		}
		if got := flush("127.0.0.1"); got != 429 {
			t.Errorf("and at once again: %d", got)
		}
		w.Wait()
		m.stop(t)
	})
}

// The counts of clients that have gone do not stay for ever.
func TestClientsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlights(flushRate)
		for i := range 10 * clientsKept {
			if _, ok := f.enter(fmt.Sprint(i)); !ok {
				t.Fatal("refused")
			}
			f.leave()
			if i%clientsKept == 0 {
				time.Sleep(time.Second)
			}
		}
		if n := len(f.clients.all); n > 2*clientsKept {
			t.Errorf("%d clients are remembered", n)
		}
	})
}

// A refresh may take longer than the client has for taking the answer.
func TestLongRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &controltest.Watcher{Refresh: func() error { time.Sleep(10 * usual.write); return nil }}
		m := startInMemory(t, w, nil)
		conn := m.call(flushing("Connection: close\r\n"))
		if got := code(t, conn); got != 200 {
			t.Errorf("%d", got)
		}
		_ = conn.Close()
		w.Wait()
		m.stop(t)
	})
}

// Who goes away is no longer waited for; the refresh goes on.
func TestClientGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &controltest.Watcher{Refresh: func() error { time.Sleep(time.Minute); return nil }}
		m := startInMemory(t, w, nil)
		conn := m.call(flushing())
		synctest.Wait()
		under := func() int {
			m.flights.mu.Lock()
			defer m.flights.mu.Unlock()
			return m.flights.running
		}
		if n := under(); n != 1 {
			t.Errorf("%d flushes are under way, want 1", n)
		}
		_ = conn.Close()
		synctest.Wait()
		if n := under(); n != 0 {
			t.Errorf("%d flushes are under way, want none", n)
		}
		w.Wait()
		if _, refreshes := w.Counts(); refreshes != 1 {
			t.Errorf("%d refreshes", refreshes)
		}
		m.stop(t)
	})
}

// At the end, a flush under way is answered if it does not take too long.
func TestShutdown(t *testing.T) {
	for _, c := range []struct {
		name     string
		takes    time.Duration
		code     int
		err      error
		min, max time.Duration
	}{
		{"soon done", usual.grace / 2, 200, nil, usual.grace / 2, usual.grace},
		{"too long", 2 * usual.grace, 0, nil, usual.grace, usual.grace + time.Second},
		{"ended with the loop", time.Millisecond, 503, context.Canceled, 0, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &controltest.Watcher{Refresh: func() error { time.Sleep(c.takes); return c.err }}
				m := startInMemory(t, w, nil)
				conn := m.call(flushing())
				synctest.Wait()
				began := time.Now()
				m.cancel()
				if got := code(t, conn); got != c.code {
					t.Errorf("%d, want %d", got, c.code)
				}
				if err := <-m.served; err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took < c.min || took > c.max {
					t.Errorf("it took %v", took)
				}
				_ = conn.Close()
				w.Wait()
			})
		})
	}
}

// A flush that nobody waits for does not outlive the server.
func TestShutdownWithFlushLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &controltest.Watcher{Refresh: func() error { time.Sleep(time.Hour); return errors.New("late") }}
		m := startInMemory(t, w, nil)
		conn := m.call(strings.Replace(flushing(), FlushPath, FlushPath+"?wait=0", 1))
		if got := code(t, conn); got != 202 {
			t.Errorf("%d", got)
		}
		began := time.Now()
		m.stop(t)
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
		w.Wait()
	})
}

// More connections than there may be wait until others end.
func TestConnectionLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startInMemory(t, idle(), func(s *Server) { s.limits.connections = 2 })
		first, second := m.call(""), m.call("")
		synctest.Wait()
		third, theirs := net.Pipe()
		go func() { m.pipes.conns <- from{theirs, "127.0.0.1"} }()
		go func() {
			_, _ = io.WriteString(third, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		}()
		synctest.Wait()
		began := time.Now()
		if got := code(t, third); got != 200 {
			t.Errorf("%d", got)
		}
		if took := time.Since(began); took != usual.header { // when the silent ones were cut off
			t.Errorf("it was answered after %v", took)
		}
		_, _, _ = first.Close(), second.Close(), third.Close()
		m.stop(t)
	})
}
