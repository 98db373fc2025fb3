package cloudtest

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
)

// Renewed is an HTTPS server on 127.0.0.1 whose authority is another one now and then.
type Renewed struct {
	*httptest.Server

	t     testing.TB
	shown atomic.Pointer[tls.Certificate]
	roots []byte
}

// StartRenewed starts a server with a first authority. It is closed when the test ends.
func StartRenewed(t testing.TB, handler http.Handler) *Renewed {
	t.Helper()
	s := &Renewed{Server: httptest.NewUnstartedServer(handler), t: t}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{Certificates: []tls.Certificate{*s.shown.Load()}}, nil
	}}
	s.issue()
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// Renew has the server show a certificate of a new authority, and ends its connections.
func (s *Renewed) Renew() {
	s.t.Helper()
	s.issue()
	s.CloseClientConnections()
}

// Save writes the authority, in PEM, into a file.
func (s *Renewed) Save(path string) {
	s.t.Helper()
	if err := os.WriteFile(path, s.roots, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Renewed) issue() {
	s.t.Helper()
	roots, leaf, err := issue(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.shown.Store(&leaf)
	s.roots = roots
}
