package hashivault

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/cloudtest"
	"bifrost-secrets/sources/hashivault/vaulttest"
	"bifrost-secrets/sources/internal/sourcetest"
)

// issue writes a certificate that vouches for itself, and its key.
func issue(t *testing.T, name string, from, until time.Time, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: from, NotAfter: until, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A certificate that is not valid now is named with its date, and that of the
// client is read again for each connection.
func TestCertificateDates(t *testing.T) {
	f := vaulttest.StartFake(t)
	f.Put("a", "x")
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	wanted := new(atomic.Value)
	wanted.Store("client 1")
	serve := func(t *testing.T, from, until time.Time) *httptest.Server {
		issue(t, "vault of ours", from, until, file("server.pem"), file("server.key"))
		pair, err := tls.LoadX509KeyPair(file("server.pem"), file("server.key"))
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(f.Config.Handler)
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert, VerifyConnection: func(c tls.ConnectionState) error {
			if c.PeerCertificates[0].Subject.CommonName != wanted.Load() {
				return errors.New("another client")
			}
			return nil
		}}
		s.StartTLS()
		t.Cleanup(s.Close)
		return s
	}
	env := map[string]string{"VAULT_CACERT": file("server.pem"), "VAULT_CLIENT_CERT": file("client.pem"), "VAULT_CLIENT_KEY": file("client.key"), "VAULT_MAX_RETRIES": "0"}
	for name, value := range env {
		t.Setenv(name, value)
	}
	now := time.Now()
	issue(t, "client 1", now.Add(-time.Hour), now.Add(time.Hour), file("client.pem"), file("client.key"))
	server := serve(t, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2021, 3, 4, 5, 6, 0, 0, time.UTC))
	e := sourcetest.WantKind(t, open(t, sourcetest.Settings("address", server.URL, "token", vaulttest.Root), env).fetch(t, "a")["a"].Err, sources.Unreachable)
	if !strings.Contains(e.Message, `the certificate for "vault of ours" expired on 2021-03-04 at 05:06 UTC`) {
		t.Error(e)
	}
	server = serve(t, now.Add(24*time.Hour), now.Add(48*time.Hour))
	e = sourcetest.WantKind(t, open(t, sourcetest.Settings("address", server.URL, "token", vaulttest.Root), env).fetch(t, "a")["a"].Err, sources.Unreachable)
	if !strings.Contains(e.Message, `the certificate for "vault of ours" is not valid before `) {
		t.Error(e)
	}

	server = serve(t, now.Add(-time.Hour), now.Add(time.Hour))
	s := open(t, sourcetest.Settings("address", server.URL, "token", vaulttest.Root), env)
	if r := s.fetch(t, "a")["a"]; r.Err != nil {
		t.Fatal(r.Err)
	}
	wanted.Store("client 2")
	server.CloseClientConnections()
	e = sourcetest.WantKind(t, s.fetch(t, "a")["a"].Err, sources.Unreachable)
	if !strings.Contains(e.Message, "the certificate that we show is not accepted there") {
		t.Error(e)
	}
	issue(t, "client 2", now.Add(-time.Hour), now.Add(time.Hour), file("client.pem"), file("client.key"))
	if r := s.fetch(t, "a")["a"]; r.Err != nil {
		t.Error(r.Err)
	}
}

// TestAuthorityRenewed: the file of the authority is renewed while the program runs.
func TestAuthorityRenewed(t *testing.T) {
	f := vaulttest.StartFake(t)
	f.Put("a", "x")
	file := filepath.Join(t.TempDir(), "ca.pem")
	t.Setenv("VAULT_CACERT", file)
	t.Setenv("VAULT_MAX_RETRIES", "0")
	server := cloudtest.StartRenewed(t, f.Config.Handler)
	server.Save(file)
	s := open(t, sourcetest.Settings("address", server.URL, "token", vaulttest.Root), map[string]string{"VAULT_CACERT": file})
	for range 2 {
		if r := s.fetch(t, "a")["a"]; r.Err != nil {
			t.Fatal(r.Err)
		}
		server.Renew()
		for _, broken := range []string{"", "-----BEGIN CERTIFICATE-----\n"} {
			if broken != "" {
				if err := os.WriteFile(file, []byte(broken), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			e := sourcetest.WantKind(t, s.fetch(t, "a")["a"].Err, sources.Unreachable)
			if !strings.Contains(e.Message, "unknown authority") {
				t.Error(e)
			}
		}
		server.Save(file)
	}
	if r := s.fetch(t, "a")["a"]; r.Err != nil {
		t.Error(r.Err)
	}
}
