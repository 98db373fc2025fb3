package hashivault

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/sources/perkey"
)

// The text of the client's errors is never shown: it may quote the body of an
// answer, and so a value. Messages are made of the status and words of ours.

// reply returns what an answer said, if there was one: its errors as one text, to
// be searched and never shown, and the HTTP status (0, where none came).
func reply(err error) (answer *api.ResponseError, text string, status int) {
	if !errors.As(err, &answer) || isBetween(answer) {
		return answer, "", 0
	}
	return answer, strings.ToLower(strings.Join(answer.Errors, "\n")), answer.StatusCode
}

// isBetween reports whether an answer is not one of vault, which has a list of
// errors in each refusal: a proxy or a firewall has answered.
func isBetween(answer *api.ResponseError) bool {
	switch status := answer.StatusCode; {
	case status < 400 || status >= 500 || status == 413 || status == 429:
		return false
	case answer.RawError:
		return !strings.Contains(strings.ToLower(strings.Join(answer.Errors, "")), "http request to an https server")
	default:
		return len(answer.Errors) == 0 && (status == 401 || status == 403)
	}
}

// isBadToken reports whether a 403 to a request that every token may make is
// about the token as such. Vault has words for that; OpenBao, and Vault of old,
// leave out the list that comes with a denial by policy.
func isBadToken(text string) bool {
	return strings.TrimSpace(text) == "permission denied" || saysBadToken(text)
}

func saysBadToken(text string) bool {
	for _, words := range []string{"bad token", "invalid token", "missing client token"} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

// isUpgrading reports whether an engine is busy with becoming version 2, as a new
// one is for a moment.
func isUpgrading(text string) bool {
	return strings.Contains(text, "upgrading from non-versioned to versioned")
}

func subject(n perkey.Name) string {
	if n.ID == "" {
		return "the list of secrets"
	}
	return fmt.Sprintf("secret %q", sources.Shorten(n.ID))
}

// fault returns the error for a request to a path, about a secret or none.
func (s *source) fault(ctx context.Context, began time.Time, r request, path string, n perkey.Name, err error) *sources.Error {
	said, text, status := reply(err)
	e := &sources.Error{}
	if status > 0 {
		e.Code = fmt.Sprintf("http %d", status)
	}
	what := subject(n)
	switch {
	case ctx.Err() != nil:
		return service.Late(ctx, began)
	case status == 0 && said != nil:
		return netfault.Between(s.host(), "vault", said.StatusCode)
	case errors.Is(err, errNotVault):
		return netfault.Between(s.host(), "vault", http.StatusNotFound)
	case status == 0 || status >= 300 && status < 400:
		return s.unreachable(s.cause(err))
	case saysBadToken(text) || status == 401:
		e.Kind, e.Message, e.Hint = sources.NoLogin, "vault does not accept "+s.login.what, s.login.hint
	case noNamespace(text):
		return s.wrongNamespace(e.Code)
	case status == 403:
		e.Kind, e.Message = sources.Denied, fmt.Sprintf("%s may not be %s", what, r.Done)
		e.Hint = fmt.Sprintf("allow %s on %s in a policy of the token", r.Permission, s.policyPath(r, path))
	case status == 404:
		return s.notFound(n)
	case status == 413 || strings.Contains(text, "exceeds max") || strings.Contains(text, "too large"):
		e.Kind, e.Message = sources.Refused, fmt.Sprintf("%s was not %s: it is too large for this vault", what, r.Given)
		e.Hint = "keep what is so large in a file, or raise max_request_size and max_entry_size"
	case status == 429:
		e.Kind, e.Message = sources.Throttled, fmt.Sprintf("%s was not %s: too many requests", what, r.Given)
		e.Hint = "wait, or raise the rate limit quota of the vault; all callers share it"
	case status == 400 && strings.Contains(text, "check-and-set parameter did not match"):
		return s.Subject(n).Conflict("was changed by somebody else at the same moment")
	case status == 400 && strings.Contains(text, "http request to an https server"):
		return s.unreachable("it speaks tls, and the address is http", nil)
	case isUpgrading(text):
		e.Kind, e.Message = sources.Unreachable, "the engine at "+s.mount+" is being upgraded to version 2"
		e.Hint = "wait until it is done; no request is answered meanwhile"
	case status == 405 || status == 400 && strings.Contains(text, "versioned"):
		e.Kind, e.Message = sources.Disabled, fmt.Sprintf("%s was not %s: the engine at %s does not know the request", what, r.Given, s.mount)
		e.Hint = "set mount_path in vault_store.hashicorp to a mount of the type kv"
	case status < 500:
		e.Kind, e.Message = sources.Refused, fmt.Sprintf("%s was not %s: vault does not accept the request", what, r.Given)
		e.Hint = "check the name, --gateway, and the settings of the mount: vault read " + s.mount + "/config"
	case strings.Contains(text, "sealed"):
		e.Kind, e.Message, e.Hint = sources.Unreachable, "the vault is sealed", "unseal it: vault operator unseal"
	case status == 472 || status == 473 || strings.Contains(text, "standby") || strings.Contains(text, "not active"):
		e.Kind, e.Message, e.Hint = sources.Unreachable, "the vault that answers is a standby, without one that is active", "see vault operator members, or set address to the active one"
	default:
		e.Kind, e.Message = sources.Unreachable, fmt.Sprintf("%s was not %s: the vault failed", what, r.Given)
		e.Hint = "see the vault's log, and what stands between: " + s.host()
	}
	return e
}

func noNamespace(text string) bool { return strings.Contains(text, "namespace not found") }

func (s *source) wrongNamespace(code string) *sources.Error {
	return &sources.Error{
		Kind: sources.NoLogin, Code: code, Message: "there is no namespace " + s.namespace + " in this vault",
		Hint: "check namespace in vault_store.hashicorp (or VAULT_NAMESPACE), which begins at the root",
	}
}

func (s *source) inNamespace() string {
	if s.namespace == "" {
		return ""
	}
	return " to the namespace " + s.namespace
}

// policyPath is the path that a policy would name: a folder of a list ends with
// a slash. Namespaces have policies of their own, without their name.
func (s *source) policyPath(r request, path string) string {
	if r.Method == listing.Method {
		path += "/"
	}
	return path
}

func (s *source) notFound(n perkey.Name) *sources.Error {
	e := &sources.Error{
		Kind: sources.NotFound, Message: fmt.Sprintf("there is no secret %q in vault", sources.Shorten(n.ID)),
		Hint: "it was looked for in the mount " + s.mount + s.inNamespace() + ": check the path, mount_path and namespace",
	}
	if rest, ok := strings.CutPrefix(n.ID, s.mount+"/"); ok {
		e.Hint = fmt.Sprintf("a path begins below the mount: write vault.%s", sources.Shorten(strings.TrimPrefix(rest, "data/")))
	}
	if engine := s.engine.Load(); engine != nil && engine.unsure {
		e.Hint += "; the token sees no secrets engine there"
	}
	return e
}

// loginFault returns the error for a login that failed.
func (s *source) loginFault(ctx context.Context, began time.Time, err error) *sources.Error {
	var own *sources.Error
	if errors.As(err, &own) {
		return own
	}
	_, text, status := reply(err)
	switch {
	case ctx.Err() != nil:
		return service.Late(ctx, began)
	case noNamespace(text):
		return s.wrongNamespace(fmt.Sprintf("http %d", status))
	case status == 400 && !strings.Contains(text, "http request to an https") || status == 401 || status == 403 || status == 404:
		e := sources.NewError(sources.NoLogin, "vault does not accept "+s.login.what+s.inNamespace(), s.login.hint)
		e.Code = fmt.Sprintf("http %d", status)
		return e
	case errors.Is(err, errNoAnswer):
		return s.unreachable("an answer to the login without a token", nil)
	case strings.Contains(err.Error(), "non-printable characters"):
		return sources.NewError(sources.NoLogin, s.login.what+" has characters that no token has", "see that it is the token itself, without quotes or control characters")
	}
	e := s.fault(ctx, began, request{Request: perkey.Request{Given: "answered"}}, "auth", perkey.Name{}, err)
	if e.Kind == sources.Throttled || e.Kind == sources.Refused {
		e.Message = "the login was not answered: too many requests"
	} else if status >= 500 && e.Hint != "" && strings.Contains(e.Message, "the vault failed") {
		e.Message = "the login failed within the vault"
	}
	return e
}

var service = netfault.System{Name: "vault", Hint: "check the network, the proxy settings and address in vault_store.hashicorp (or VAULT_ADDR)"}

// unreachable is the error for no usable answer, of which why says more.
func (s *source) unreachable(why string, err error) *sources.Error {
	return service.NoAnswer(s.host(), why, err)
}

// cause says in a few words why no usable answer came. The error that goes with
// it is one that callers may look into.
func (s *source) cause(err error) (string, error) {
	var dns *net.DNSError
	if u, bad := url.Parse(s.address); errors.As(err, &dns) && (bad != nil || dns.Name != u.Hostname()) {
		return "the address of a proxy, or of where it redirects to, could not be looked up", nil // and whose name the answer had
	}
	why := netfault.Cause(err, s.timeout)
	if netfault.Elsewhere(err) {
		why += "; where a standby does so, give the address of the active node or of what stands before all"
	}
	var authority x509.UnknownAuthorityError
	if errors.As(err, &authority) {
		why += "; VAULT_CACERT names the file of yours"
	}
	return why, err
}
