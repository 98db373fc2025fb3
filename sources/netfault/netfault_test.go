package netfault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"bifrost-secrets/sources"
)

var system = System{"gcp", Network}

func TestCauses(t *testing.T) {
	var garbled json.RawMessage
	decoding := json.Unmarshal([]byte(`{"value": CANARY}`), &garbled)
	for _, c := range []struct {
		err  error
		want string
	}{
		{&net.DNSError{Name: "h", IsNotFound: true}, `no such host as "h"`},
		{&net.DNSError{Name: "h"}, "could not be looked up"},
		{x509.UnknownAuthorityError{}, "unknown authority"},
		{x509.HostnameError{Certificate: &x509.Certificate{}}, "another host"},
		{x509.CertificateInvalidError{}, "not valid for this use"},
		{x509.CertificateInvalidError{Reason: x509.Expired, Cert: &x509.Certificate{DNSNames: []string{"vault.example"}, NotAfter: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}},
			`the certificate for "vault.example" expired on 2026-03-04 at 05:06 UTC`},
		{x509.CertificateInvalidError{Reason: x509.Expired, Cert: &x509.Certificate{Subject: pkix.Name{CommonName: "an authority"}, NotBefore: time.Date(2926, 3, 4, 5, 6, 7, 0, time.UTC)}},
			`the certificate for "an authority" is not valid before 2926-03-04 at 05:06 UTC`},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(45)}, "the certificate that we show is not accepted there: expired certificate"},
		{tls.RecordHeaderError{}, "not tls"},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(40)}, "handshake failure"},
		{&net.OpError{Op: "dial", Addr: &net.TCPAddr{Port: 1}, Err: syscall.ECONNREFUSED}, "connection refused (:1)"},
		{context.DeadlineExceeded, "nothing within 2s"},
		{&http.MaxBytesError{Limit: 7}, "more than 7 bytes"},
		{io.ErrUnexpectedEOF, "closed within the answer"},
		{&net.OpError{Op: "proxyconnect", Err: syscall.ECONNREFUSED}, "the proxy of HTTPS_PROXY"},
		{fmt.Errorf("CANARY"), "the connection failed"},
		{decoding, "cannot be read"},
	} {
		wrapped := error(&url.Error{Op: "Get", URL: "https://host.example/CANARY?x=CANARY", Err: c.err})
		if c.err == decoding {
			wrapped = c.err // what is decoded has arrived
		}
		e := system.Unreachable(wrapped, "host.example", 2*time.Second)
		if !strings.Contains(e.Message, c.want) || !strings.Contains(e.Message, "host.example") || e.Kind != sources.Unreachable {
			t.Errorf("%T: %s, want %s", c.err, e.Message, c.want)
		}
		if said := fmt.Sprintf("%+v %#v %v", e, e, errors.Unwrap(e)); strings.Contains(said, "CANARY") {
			t.Errorf("%T: the answer is quoted: %s", c.err, said)
		}
	}
}

func TestLate(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	<-ctx.Done()
	deadline, _ := ctx.Deadline()
	if e := system.Late(ctx, deadline.Add(-3*time.Second)); e.Message != "no answer from gcp within 3s" || e.Hint == "" {
		t.Error(e.Message, e.Hint)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if e := system.Late(stopped, time.Now()); e.Message != "stopped before gcp had answered" || !errors.Is(e, context.Canceled) {
		t.Error(e)
	}
}
