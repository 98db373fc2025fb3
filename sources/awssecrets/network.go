package awssecrets

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
	"syscall"
	"time"

	smithyhttp "github.com/aws/smithy-go/transport/http"

	"bifrost-secrets/sources"
)

func unreachable(host, why string, err error) *sources.Error {
	return &sources.Error{
		Kind:    sources.Unreachable,
		Message: fmt.Sprintf("no usable answer from %s: %s", host, why),
		Hint:    "check the network, the proxy settings and AWS_ENDPOINT_URL",
		Err:     safe(err),
	}
}

// late is the error for a context that has ended. began is when the waiting did.
func late(ctx context.Context, began time.Time) *sources.Error {
	e := &sources.Error{Kind: sources.Unreachable, Message: "stopped before aws had answered", Err: ctx.Err()}
	if deadline, ok := ctx.Deadline(); ok && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		e.Message = fmt.Sprintf("no answer from aws within %s", max(0, deadline.Sub(began)).Round(time.Millisecond))
		e.Hint = "check the network, the proxy settings and AWS_ENDPOINT_URL, or allow more time"
	}
	return e
}

// safe gives the part of err that callers may look into: never an error that
// can hold a part of an answer.
func safe(err error) error {
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

// hostOf gives the host that a failed request went to, or "".
func hostOf(err error) string {
	var sent *url.Error
	if errors.As(err, &sent) {
		if u, err := url.Parse(sent.URL); err == nil {
			return u.Host
		}
	}
	var answered *smithyhttp.ResponseError
	if errors.As(err, &answered) && answered.Response != nil && answered.Response.Response != nil &&
		answered.Response.Request != nil {
		return answered.Response.Request.URL.Host
	}
	return ""
}

// cause says in a few words why no usable answer came. It is made of what is
// known to hold no part of an answer; net/http quotes what it cannot parse.
func cause(err error, timeout time.Duration) string {
	var dns *net.DNSError
	var op *net.OpError
	var errno syscall.Errno
	var timed net.Error
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var certificate x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("no such host as %q", dns.Name)
	case errors.As(err, &dns):
		return fmt.Sprintf("the address of %q could not be looked up", dns.Name)
	case errors.As(err, &authority):
		return "tls: the certificate is signed by an unknown authority"
	case errors.As(err, &hostname):
		return "tls: the certificate is for another host"
	case errors.As(err, &certificate):
		return "tls: the certificate is not valid now or for this use"
	case errors.As(err, &record) || errors.Is(err, http.ErrSchemeMismatch):
		return "tls: the answer is not tls"
	case errors.As(err, &alert):
		return alert.Error()
	case errors.As(err, &errno):
		if errors.As(err, &op) && op.Addr != nil {
			return fmt.Sprintf("%s (%s)", errno.Error(), op.Addr)
		}
		return errno.Error()
	case errors.As(err, &timed) && timed.Timeout():
		return fmt.Sprintf("nothing within %s", timeout)
	case errors.As(err, &tooBig):
		return fmt.Sprintf("an answer of more than %d bytes", tooBig.Limit)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed within the answer"
	case isGarbled(err):
		return "an answer that cannot be read"
	}
	return "the connection failed"
}
