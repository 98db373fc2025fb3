package control

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"sync"

	"bifrost-secrets/walker/regular"
)

// live is what stands in files, as of now. A file that can no longer be used
// leaves what was read before in force.
type live[T any] struct {
	what string // in log lines: "token file"
	log  *slog.Logger
	load func() (T, error)
	same func(a, b T) bool

	mu    sync.Mutex
	value T
	fault string // what was last said of the file
}

// follow reads for the first time.
func (l *live[T]) follow() error {
	var err error
	l.value, err = l.load()
	return err
}

// get reads anew. It says once, and not at each request, that a file is bad.
func (l *live[T]) get() T {
	l.mu.Lock()
	defer l.mu.Unlock()
	value, err := l.load()
	switch {
	case err != nil:
		if err.Error() != l.fault {
			l.fault = err.Error()
			l.log.Error("the "+l.what+" cannot be used; what it had before stays in force", "error", l.fault)
		}
		return l.value
	case !l.same(value, l.value):
		l.log.Info("the " + l.what + " has changed")
	case l.fault != "":
		l.log.Info("the " + l.what + " can be used again")
	}
	l.value, l.fault = value, ""
	return value
}

// certificate is a pair of a certificate and its key, with the sum of both
// files.
type certificate struct {
	pair *tls.Certificate
	sum  [sha256.Size]byte
}

// followCertificate returns nil where there are no files.
func followCertificate(cert, key string, log *slog.Logger) (*live[certificate], error) {
	if cert == "" && key == "" {
		return nil, nil
	}
	if cert == "" || key == "" {
		return nil, &Error{Reason: "--tls-cert and --tls-key need each other", Hint: "give both, or neither"}
	}
	l := &live[certificate]{
		what: "TLS certificate", log: log,
		load: func() (certificate, error) { return loadCertificate(cert, key) },
		same: func(a, b certificate) bool { return a.sum == b.sum },
	}
	return l, l.follow()
}

// certificateMost is more than any certificate or key has, in bytes.
const certificateMost = 1 << 20

func loadCertificate(cert, key string) (c certificate, err error) {
	certPEM, _, err := regular.ReadFile(cert, certificateMost)
	if err != nil {
		return c, fileError("--tls-cert "+cert, err)
	}
	keyPEM, _, err := regular.ReadFile(key, certificateMost)
	if err != nil {
		return c, fileError("--tls-key "+key, err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		// What the parser says of a key is kept back.
		return c, &Error{Reason: "--tls-cert " + cert + " and --tls-key " + key + " are no pair of a certificate and its key in PEM", Err: err}
	}
	c.pair = &pair
	sum := sha256.New()
	_, _ = sum.Write(certPEM) // never fails
	_, _ = sum.Write([]byte{0})
	_, _ = sum.Write(keyPEM)
	sum.Sum(c.sum[:0])
	return c, nil
}

// config makes TLS take the certificate of the moment for each handshake.
func config(l *live[certificate]) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return l.get().pair, nil
		},
	}
}

// fileError puts an error of the file system into words.
func fileError(what string, err error) *Error {
	e := &Error{Reason: what + " cannot be read", Err: err}
	var at *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Reason = what + " does not exist"
	case errors.Is(err, fs.ErrPermission):
		e.Reason = "no permission to read " + what
	case errors.As(err, &at):
		e.Reason += ": " + at.Err.Error()
	}
	return e
}
