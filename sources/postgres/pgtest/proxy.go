package pgtest

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Proxy stands between a client and a [Server], and misbehaves as told.
type Proxy struct {
	Port uint16 // on 127.0.0.1

	server string
	all    sync.WaitGroup
	listen net.Listener

	mu      sync.Mutex
	changed chan struct{} // closed and made anew with each change of mode
	mode    mode
	conns   map[net.Conn]bool
}

type mode int

const (
	pass mode = iota
	hang
	broken
	pooler
)

// Proxy starts a proxy that passes everything on, until the test ends.
func (s *Server) Proxy(tb testing.TB) *Proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{
		Port: uint16(l.Addr().(*net.TCPAddr).Port), server: net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port))),
		listen: l, changed: make(chan struct{}), conns: map[net.Conn]bool{},
	}
	p.all.Go(p.accept)
	tb.Cleanup(func() {
		_ = l.Close()
		p.Break()
		p.all.Wait()
	})
	return p
}

// Pass makes it pass everything on, over new connections.
func (p *Proxy) Pass() { p.set(pass) }

// Hang makes it take everything in and pass nothing on.
func (p *Proxy) Hang() { p.set(hang) }

// Pool makes it a pooler in transaction mode, as far as LISTEN goes: no
// notification reaches a client. Connections have to be without TLS.
func (p *Proxy) Pool() { p.set(pooler) }

// Break closes all connections, and new ones at once.
func (p *Proxy) Break() {
	p.set(broken)
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
}

func (p *Proxy) set(m mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) now() (mode, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode, p.changed
}

// keep remembers a connection, or closes it if there are to be none.
func (p *Proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == broken {
		_ = conn.Close()
		return false
	}
	p.conns[conn] = true
	return true
}

func (p *Proxy) accept() {
	for {
		client, err := p.listen.Accept()
		if err != nil {
			return
		}
		if !p.keep(client) {
			continue
		}
		p.all.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil || !p.keep(server) {
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() {
		defer server.Close()
		p.copy(server, client)
	})
	both.Go(func() {
		defer client.Close()
		if m, _ := p.now(); m == pooler {
			_ = withoutNotifications(client, server)
			return
		}
		p.copy(client, server)
	})
	both.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, client)
	delete(p.conns, server)
}

// copy passes on what comes, but nothing while the proxy hangs.
func (p *Proxy) copy(to, from net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		for {
			m, changed := p.now()
			if m != hang {
				break
			}
			<-changed
		}
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// withoutNotifications passes the server's messages on: a byte that tells the
// type, the length, which counts itself, and the rest.
func withoutNotifications(to, from net.Conn) error {
	head := make([]byte, 5)
	for {
		if _, err := io.ReadFull(from, head); err != nil {
			return err
		}
		n := int64(binary.BigEndian.Uint32(head[1:])) - 4
		if n < 0 {
			return errors.New("this is not PostgreSQL's protocol")
		}
		var into io.Writer = to
		if head[0] == 'A' {
			into = io.Discard
		}
		if _, err := into.Write(head); err != nil {
			return err
		}
		if _, err := io.CopyN(into, from, n); err != nil {
			return err
		}
	}
}
