// Package cloudtest stands in for the hosts of a cloud: a proxy on the loopback
// interface that answers for them itself, over TLS with an authority of its
// own. A program is made to use it as any proxy is, by HTTPS_PROXY and
// SSL_CERT_FILE, so that the real client, its addresses and its certificates
// are what is tested.
package cloudtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Server is the proxy. It is safe for concurrent use.
type Server struct {
	// Proxy is where it listens, and Roots what its certificates are signed by.
	Proxy *url.URL
	Roots *x509.CertPool

	caFile string
	outer  *http.Server
	inner  *http.Server
	conns  chan net.Conn
	done   sync.WaitGroup
	closed chan struct{}
}

// New starts a server that answers for hosts. It keeps the certificate of its
// authority in dir.
func New(dir string, handler http.Handler, hosts ...string) (*Server, error) {
	pemRoots, certificate, err := issue(append(hosts, Elsewhere))
	if err != nil {
		return nil, err
	}
	s := &Server{Roots: x509.NewCertPool(), caFile: filepath.Join(dir, "ca.pem"), conns: make(chan net.Conn), closed: make(chan struct{})}
	s.Roots.AppendCertsFromPEM(pemRoots)
	if err := os.WriteFile(s.caFile, pemRoots, 0o600); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.Proxy = &url.URL{Scheme: "http", Host: l.Addr().String()}
	quiet := log.New(io.Discard, "", 0)
	s.outer = &http.Server{Handler: http.HandlerFunc(s.connect), ErrorLog: quiet}
	s.inner = &http.Server{Handler: handler, ErrorLog: quiet}
	s.done.Go(func() { _ = s.outer.Serve(l) })
	s.done.Go(func() {
		_ = s.inner.Serve(tls.NewListener(tunnels{s}, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"}}))
	})
	return s, nil
}

// Close ends the server and every connection to it.
func (s *Server) Close() {
	close(s.closed)
	_ = s.outer.Close()
	_ = s.inner.Close()
	s.done.Wait()
}

// Env returns the environment of a process that is to use s.
func (s *Server) Env() map[string]string {
	return map[string]string{"HTTPS_PROXY": s.Proxy.String(), "NO_PROXY": "", "SSL_CERT_FILE": s.caFile}
}

// Route makes a transport use s, for tests that start many: net/http reads the
// environment only once in a process.
func (s *Server) Route(t *http.Transport) {
	refuse := t.Proxy // which may not like where a redirect leads
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		if refuse != nil {
			if _, err := refuse(r); err != nil {
				return nil, err
			}
		}
		return s.Proxy, nil
	}
	t.TLSClientConfig = &tls.Config{RootCAs: s.Roots}
}

// connect opens a tunnel, and is at its other end.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "only for tunnels", http.StatusMethodNotAllowed)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		_ = conn.Close()
		return
	}
	select {
	case s.conns <- conn:
	case <-s.closed:
		_ = conn.Close()
	}
}

// tunnels is the listener of what comes through the tunnels.
type tunnels struct{ *Server }

func (t tunnels) Accept() (net.Conn, error) {
	select {
	case conn := <-t.conns:
		return conn, nil
	case <-t.closed:
		return nil, net.ErrClosed
	}
}

func (t tunnels) Close() error   { return nil }
func (t tunnels) Addr() net.Addr { return &net.TCPAddr{} }

// issue makes an authority, in PEM, and a certificate of it for hosts and for
// 127.0.0.1.
func issue(hosts []string) (roots []byte, leaf tls.Certificate, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, leaf, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, leaf, err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "cloudtest"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, leaf, err
	}
	host := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "cloudtest host"}, DNSNames: hosts, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, host, ca, &key.PublicKey, caKey)
	if err != nil {
		return nil, leaf, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
