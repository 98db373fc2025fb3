package pgtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// certify makes an authority and a certificate of it for 127.0.0.1 and
// localhost.
func (s *Server) certify(expired bool) error {
	ca, caKey, err := authority()
	if err != nil {
		return err
	}
	if err := s.write(s.CAFile, encode("CERTIFICATE", ca.Raw)); err != nil {
		return err
	}
	if err := os.Chmod(s.CAFile, 0o644); err != nil { // public
		return err
	}
	if err := os.Chmod(s.dir, 0o711); err != nil { // so that a process of another user finds it
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ends := time.Now().Add(24 * time.Hour)
	if expired {
		ends = time.Now().Add(-24 * time.Hour)
	}
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: ends.Add(-72 * time.Hour), NotAfter: ends,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := s.write(filepath.Join(s.dir, "server.pem"), encode("CERTIFICATE", raw)); err != nil {
		return err
	}
	return s.write(filepath.Join(s.dir, "server.key"), encode("PRIVATE KEY", der))
}

func authority() (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pgtest authority"},
		NotBefore: time.Now().Add(-100 * time.Hour), NotAfter: time.Now().Add(100 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "pgtest authority"}}, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(raw)
	return cert, key, err
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// OtherCA writes the certificate of an authority that has signed nothing, and
// returns its path.
func OtherCA(tb testing.TB) string {
	tb.Helper()
	ca, _, err := authority()
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(tb.TempDir(), "other-ca.pem")
	if err := os.WriteFile(path, []byte(encode("CERTIFICATE", ca.Raw)), 0o644); err != nil {
		tb.Fatal(err)
	}
	return path
}
