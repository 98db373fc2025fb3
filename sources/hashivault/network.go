package hashivault

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
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
	e := netfault.Late(o.ctx, o.began, "vault")
	if e.Hint != "" {
		e.Hint = networkHint + ", or allow more time"
	}
	return e
}

// cause says in a few words why no usable answer came. The error that goes with
// it is one that callers may look into.
func (o *operation) cause(err error) (string, error) {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.Name != hostname(o.address) {
		return "the address of a proxy, or of where it redirects to, could not be looked up", nil // and whose name the answer gave
	}
	why := netfault.Cause(err, o.timeout)
	if netfault.Elsewhere(err) {
		why += "; where a standby does so, give the address of the active node or of what stands before all"
	}
	var authority x509.UnknownAuthorityError
	if errors.As(err, &authority) {
		why += "; VAULT_CACERT names the file of yours"
	}
	return why, netfault.Safe(err)
}
