// Package netfault says of a request without a usable answer why that is so, in
// words that cannot hold a part of an answer: net/http and the decoders of the
// client libraries quote what they cannot parse.
package netfault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"bifrost-secrets/sources"
)

// System is who is asked, as the errors of its requests name it.
type System struct {
	Name string // `gcp secret manager`
	Hint string // what to check where no usable answer comes: often [Network]
}

// Network is what to check where nothing else is known.
const Network = "check the network and the proxy settings"

// Late is the error for a context that has ended before the system had answered.
// began is when the waiting did.
func (s System) Late(ctx context.Context, began time.Time) *sources.Error {
	e := &sources.Error{Kind: sources.Unreachable, Message: "stopped before " + s.Name + " had answered", Err: ctx.Err()}
	if deadline, ok := ctx.Deadline(); ok && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		e.Message = fmt.Sprintf("no answer from %s within %s", s.Name, max(0, deadline.Sub(began)).Round(time.Millisecond))
		e.Hint = s.Hint + ", or allow more time"
	}
	return e
}

// Unreachable is the error for a request that no usable answer came to. host is
// who was asked, where err does not say so itself; timeout is that of one attempt.
func (s System) Unreachable(err error, host string, timeout time.Duration) *sources.Error {
	var sent *url.Error
	if errors.As(err, &sent) && !Elsewhere(err) { // whose host the answer named
		if u, err := url.Parse(sent.URL); err == nil && u.Host != "" {
			host = u.Host
		}
	}
	return s.NoAnswer(host, Cause(err, timeout), err)
}

// NoAnswer is the error for no usable answer from a host, of which why says more.
// err, which may be nil, is not shown.
func (s System) NoAnswer(host, why string, err error) *sources.Error {
	return &sources.Error{Kind: sources.Unreachable, Message: fmt.Sprintf("no usable answer from %s: %s", host, why), Hint: s.Hint, Err: Safe(err)}
}

// Safe returns the part of err that callers may look into: never an error that can
// hold a part of an answer.
func Safe(err error) error {
	var dns *net.DNSError
	var errno syscall.Errno
	switch {
	case errors.As(err, &dns):
		return dns
	case errors.As(err, &errno):
		return errno
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	}
	return nil
}

// Silent reports whether err is of a connection, and not of an answer.
func Silent(err error) bool {
	var timed net.Error
	var errno syscall.Errno
	return errors.As(err, &timed) || errors.As(err, &errno) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Cause says in a few words why no usable answer came.
func Cause(err error, timeout time.Duration) string {
	var dns *net.DNSError
	var op *net.OpError
	var errno syscall.Errno
	var timed net.Error
	var tooBig *http.MaxBytesError
	var sent *url.Error
	var proxy proxyRefuses
	untrusted := TLS(err)
	switch {
	case errors.As(err, &proxy):
		return proxy.Error()
	case errors.Is(err, errSwitched):
		return "it switches to another protocol"
	case Elsewhere(err):
		return "it redirects or leads to another host, which is not followed"
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return "the proxy of HTTPS_PROXY cannot be reached"
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("no such host as %q", dns.Name)
	case errors.As(err, &dns):
		return fmt.Sprintf("the address of %q could not be looked up", dns.Name)
	case untrusted != "":
		return untrusted
	case errors.As(err, &errno):
		if errors.As(err, &op) && op.Addr != nil {
			return fmt.Sprintf("%s (%s)", errno.Error(), op.Addr)
		}
		return errno.Error()
	case errors.As(err, &timed) && timed.Timeout() || errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("nothing within %s", timeout)
	case errors.As(err, &tooBig):
		return fmt.Sprintf("an answer of more than %d bytes", tooBig.Limit)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed within the answer"
	case errors.As(err, &sent): // net/http has no type for the rest, such as a proxy that refuses
		return "the connection failed"
	}
	return "an answer that cannot be read"
}

// TLS says why there is no connection by TLS, or returns "" for any other error.
func TLS(err error) string {
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var certificate x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &authority):
		return "tls: the certificate is signed by an unknown authority"
	case errors.As(err, &hostname):
		return "tls: the certificate is for another host"
	case errors.As(err, &certificate):
		if when := outdated(certificate, time.Now()); when != "" {
			return "tls: " + when
		}
		return "tls: the certificate is not valid for this use"
	case errors.As(err, &record) || errors.Is(err, http.ErrSchemeMismatch):
		return "tls: the answer is not tls"
	case errors.As(err, &op) && op.Op == "remote error": // an alert of TLS, whose words are those of crypto/tls
		if why := op.Err.Error(); strings.Contains(why, "certificate") {
			return "tls: the certificate that we show is not accepted there: " + strings.TrimPrefix(why, "tls: ")
		}
		return op.Err.Error()
	}
	return ""
}

// outdated says which certificate is not valid now, and when it was or will be,
// or returns "" where an invalid one is so for another reason.
func outdated(err x509.CertificateInvalidError, now time.Time) string {
	c := err.Cert
	if c == nil || err.Reason != x509.Expired {
		return ""
	}
	name := c.Subject.CommonName
	if len(c.DNSNames) > 0 {
		name = c.DNSNames[0]
	}
	if len(name) > 100 {
		name = strings.ToValidUTF8(name[:100], "") + "..."
	}
	const minute = "2006-01-02 at 15:04 MST"
	if now.Before(c.NotBefore) {
		return fmt.Sprintf("the certificate for %q is not valid before %s", name, c.NotBefore.UTC().Format(minute))
	}
	return fmt.Sprintf("the certificate for %q expired on %s", name, c.NotAfter.UTC().Format(minute))
}

// Between is the error for an answer with this HTTP status from host that does
// not have the form of system's errors: something else has answered.
func Between(host, system string, status int) *sources.Error {
	return &sources.Error{
		Kind: sources.Unreachable, Code: fmt.Sprintf("http status %d", status),
		Message: fmt.Sprintf("no usable answer from %s: what answered is not %s, but something in between, such as a proxy or a firewall", host, system),
		Hint:    "check HTTPS_PROXY and NO_PROXY, and what the proxy or firewall lets through",
	}
}

// Limited bounds the bodies of answers to most bytes, and refuses those of another
// protocol.
func Limited(next http.RoundTripper, most int64) http.RoundTripper { return limited{next, most} }

type limited struct {
	next http.RoundTripper
	most int64
}

func (l limited) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := Settled(l.next.RoundTrip(req))
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, l.most)
	}
	return resp, err
}

// errSwitched is the error for an answer that nobody asked for.
var errSwitched = errors.New("a switch to another protocol")

// Settled refuses an answer that switches to another protocol: net/http leaves its
// connection to who reads from it, whatever ends meanwhile. It takes and returns what
// a RoundTrip does.
func Settled(resp *http.Response, err error) (*http.Response, error) {
	if err == nil && resp.StatusCode == http.StatusSwitchingProtocols {
		_ = resp.Body.Close()
		return nil, errSwitched
	}
	return resp, err
}

// Transport makes the transport of a client whose every attempt may take
// timeout, with atOnce requests under way. Proxies and authorities are those of
// the environment; it is guarded.
func Transport(timeout time.Duration, atOnce int) *http.Transport {
	return Guard(&http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}).DialContext,
		MaxIdleConnsPerHost:   2 * atOnce,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   timeout,
		ResponseHeaderTimeout: timeout,
	})
}
