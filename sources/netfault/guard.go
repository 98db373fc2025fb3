package netfault

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"bifrost-secrets/sources"
)

// errElsewhere is the error for a redirect that is not followed.
var errElsewhere = errors.New("a redirect to another host")

// Elsewhere reports whether err is of such a redirect.
func Elsewhere(err error) bool { return errors.Is(err, errElsewhere) }

// Guard makes a transport safe for requests that carry credentials, and returns
// it. A redirect that leaves the host is an error before anything is sent there:
// whoever answers for the right host may not choose who else is given its tokens,
// nor whose values are taken for its own. And it speaks HTTP/1.1 alone, since
// GODEBUG=http2debug makes Go print each header and each byte that HTTP/2 carries.
// Nothing is decompressed, and the headers of an answer are bounded.
func Guard(t *http.Transport) *http.Transport {
	t.MaxResponseHeaderBytes = 256 << 10
	t.DisableCompression = true                      // a thousand bytes may stand for a million
	t.ForceAttemptHTTP2, t.TLSNextProto = false, nil // what golang.org/x/net/http2 leaves there as well
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	if t.TLSClientConfig != nil {
		t.TLSClientConfig = t.TLSClientConfig.Clone()
		t.TLSClientConfig.NextProtos = nil
	}
	// Asked for each request, and copied with the transport, as a RoundTripper
	// around it would not be: some SDKs want to see the transport itself.
	proxy := t.Proxy
	t.Proxy = func(req *http.Request) (*url.URL, error) {
		if from := req.Response; from != nil && from.Request != nil && leaves(from.Request.URL, req.URL) {
			return nil, errElsewhere
		}
		if proxy == nil {
			return nil, nil
		}
		return proxy(req)
	}
	t.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
		if resp.StatusCode != http.StatusOK {
			return proxyRefuses(resp.StatusCode)
		}
		return nil
	}
	return t
}

// proxyRefuses is the HTTP status with which a proxy does not let a connection through.
type proxyRefuses int

func (p proxyRefuses) Error() string {
	if p == http.StatusProxyAuthRequired {
		return "the proxy wants a login, which HTTPS_PROXY has before its host: http://user:password@host:port"
	}
	return fmt.Sprintf("the proxy does not let this through (http status %d)", int(p))
}

// leaves reports whether a redirect goes to another server than the one that was
// asked. The same host by https is not another one.
func leaves(from, to *url.URL) bool {
	if from.Scheme == "http" && to.Scheme == "https" && strings.EqualFold(from.Hostname(), to.Hostname()) {
		return false
	}
	return from.Scheme != to.Scheme || !strings.EqualFold(withPort(from), withPort(to))
}

// withPort returns the host of an address with its port, also where it is the
// usual one and left out.
func withPort(u *url.URL) string {
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	return u.Host
}

// Only refuses requests but those by https to one host, before anything is sent: the
// pages of a list may name any address as that of the next.
func Only(host string, next http.RoundTripper) http.RoundTripper { return only{host, next} }

type only struct {
	host string
	next http.RoundTripper
}

func (o only) RoundTrip(req *http.Request) (*http.Response, error) {
	if leaves(&url.URL{Scheme: "https", Host: o.host}, req.URL) {
		return nil, errElsewhere
	}
	return o.next.RoundTrip(req)
}

// Brief bounds what a connection of t may bring, whatever comes over it, and to
// timeout the time from what was sent last: for signing in, where the SDKs want a
// transport of net/http and its answers are short. It returns t.
func Brief(t *http.Transport, timeout time.Duration) *http.Transport {
	dial := t.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &brief{Conn: conn, timeout: timeout, left: briefly}, nil
	}
	return t
}

// briefly is more than all that a login has to say over one connection.
const briefly = 8 << 20

type brief struct {
	net.Conn
	timeout time.Duration
	left    int
}

// Write is followed by an answer. One that switches to another protocol would be waited
// for by net/http for ever.
func (b *brief) Write(p []byte) (int, error) {
	if err := b.SetReadDeadline(time.Now().Add(b.timeout)); err != nil {
		return 0, err
	}
	return b.Conn.Write(p)
}

func (b *brief) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, &http.MaxBytesError{Limit: briefly}
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// Other is the error for an answer about another secret than the one that was
// asked for: somebody between us and host has mixed up answers, or lies.
func Other(host, name string) *sources.Error {
	return sources.NewError(sources.Unreachable, fmt.Sprintf("no usable answer from %s: it is about another secret than the one asked for", host),
		Network).Of(name)
}

// Endless is the error for a list whose pages do not end.
func Endless(host string) *sources.Error {
	return sources.NewError(sources.Unreachable, fmt.Sprintf("no usable answer from %s: the pages of its list do not end", host), Network)
}
