package hashivault

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

	"bifrost-secrets/sources"
)

const networkHint = "check the network, the proxy settings and address in vault_store.hashicorp (or VAULT_ADDR)"

func (o *operation) unreachable(why string, err error) *sources.Error {
	return &sources.Error{
		Kind: sources.Unreachable, Message: fmt.Sprintf("no usable answer from %s: %s", o.host(), why), Hint: networkHint, Err: err,
	}
}

// hostname gives the name of the host in an address, or "".
func hostname(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Hostname()
	}
	return ""
}

// late is the error for a context that has ended.
func (o *operation) late() *sources.Error {
	e := &sources.Error{Kind: sources.Unreachable, Message: "stopped before vault had answered", Err: o.ctx.Err()}
	if deadline, ok := o.ctx.Deadline(); ok && errors.Is(o.ctx.Err(), context.DeadlineExceeded) {
		e.Message = fmt.Sprintf("no answer from vault within %s", max(0, deadline.Sub(o.began)).Round(time.Millisecond))
		e.Hint = networkHint + ", or allow more time"
	}
	return e
}

// cause says in a few words why no usable answer came. It is made of what is
// known to hold no part of an answer; net/http and encoding/json quote what they
// cannot parse. The error that goes with it is one that callers may look into.
func (o *operation) cause(err error) (string, error) {
	var dns *net.DNSError
	var op *net.OpError
	var errno syscall.Errno
	var timed net.Error
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var certificate x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &dns) && dns.Name != hostname(o.address):
		return "the address of a proxy, or of where it redirects to, could not be looked up", nil // and whose name the answer gave
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("no such host as %q", dns.Name), dns
	case errors.As(err, &dns):
		return fmt.Sprintf("the address of %q could not be looked up", dns.Name), dns
	case errors.As(err, &authority):
		return "tls: the certificate is signed by an unknown authority; VAULT_CACERT names the file of yours", nil
	case errors.As(err, &name):
		return "tls: the certificate is for another host", nil
	case errors.As(err, &certificate):
		return "tls: the certificate is not valid now or for this use", nil
	case errors.As(err, &record) || errors.Is(err, http.ErrSchemeMismatch):
		return "tls: the answer is not tls", nil
	case errors.As(err, &alert):
		return alert.Error(), nil
	case errors.As(err, &errno):
		if errors.As(err, &op) && op.Addr != nil {
			return fmt.Sprintf("%s (%s)", errno.Error(), op.Addr), errno
		}
		return errno.Error(), errno
	case errors.As(err, &timed) && timed.Timeout():
		return fmt.Sprintf("nothing within %s", o.timeout), context.DeadlineExceeded
	case errors.As(err, &tooBig):
		return fmt.Sprintf("an answer of more than %d bytes", tooBig.Limit), nil
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed within the answer", nil
	}
	return "an answer that cannot be read", nil
}
