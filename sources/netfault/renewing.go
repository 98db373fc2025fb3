package netfault

import (
	"crypto/x509"
	"errors"
	"net/http"
	"sync"
)

// Renewing is a RoundTripper over a transport that is made again once the other side
// shows a certificate of an authority that is not known: the files that say which
// authorities are may have been renewed since. The request, of which nothing was
// sent, is then made once more. It is safe for concurrent use.
type Renewing struct {
	mu  sync.Mutex
	now *http.Transport
	// again returns another transport, or nil where none can be made just now.
	again func() *http.Transport
}

// NewRenewing returns a Renewing over a transport.
func NewRenewing(t *http.Transport, again func() *http.Transport) *Renewing {
	return &Renewing{now: t, again: again}
}

// RoundTrip implements http.RoundTripper.
func (r *Renewing) RoundTrip(req *http.Request) (*http.Response, error) {
	t := r.transport()
	resp, err := t.RoundTrip(req)
	var authority x509.UnknownAuthorityError
	if err == nil || !errors.As(err, &authority) {
		return resp, err
	}
	next := r.renew(t)
	if next == nil {
		return nil, err
	}
	if req.Body != nil && req.Body != http.NoBody {
		if req.GetBody == nil {
			return nil, err
		}
		body, bad := req.GetBody()
		if bad != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.Body = body
	}
	return next.RoundTrip(req)
}

func (r *Renewing) transport() *http.Transport {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// renew returns a transport in place of old whose authorities are others, or nil
// where they are still the same.
func (r *Renewing) renew(old *http.Transport) *http.Transport {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now != old {
		return r.now // as another request has found already
	}
	next := r.again()
	if next == nil || roots(next).Equal(roots(old)) {
		return nil
	}
	r.now = next
	old.CloseIdleConnections()
	return next
}

// roots returns the authorities of a transport; nil are those of the system.
func roots(t *http.Transport) *x509.CertPool {
	if t.TLSClientConfig == nil {
		return nil
	}
	return t.TLSClientConfig.RootCAs
}

// CloseIdleConnections closes those of the transport.
func (r *Renewing) CloseIdleConnections() { r.transport().CloseIdleConnections() }
