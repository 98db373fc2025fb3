package hashivault

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/vault/api"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
)

// The text of the client's errors is never shown: it may quote the body of an
// answer, and so a value. Messages are made of the status and words of ours.

// reply gives what an answer said, if there was one: its errors as one text, to
// be searched and never shown, and the HTTP status (0, where none came).
func reply(err error) (answer *api.ResponseError, text string, status int) {
	if !errors.As(err, &answer) || isBetween(answer) {
		return answer, "", 0
	}
	return answer, strings.ToLower(strings.Join(answer.Errors, "\n")), answer.StatusCode
}

// isBetween reports whether an answer is not one of vault, which gives a list of
// errors with each refusal: a proxy or a firewall has answered.
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

// isMismatch reports whether a write was refused since another came before it.
func isMismatch(err error) bool {
	_, text, status := reply(err)
	return status == 400 && strings.Contains(text, "check-and-set parameter did not match")
}

// isUpgrading reports whether an engine is busy with becoming version 2, as a new
// one is for a moment.
func isUpgrading(text string) bool {
	return strings.Contains(text, "upgrading from non-versioned to versioned")
}

func subject(name string) string {
	if name == "" {
		return "the list of secrets"
	}
	return fmt.Sprintf("secret %q", shorten(name))
}

// fault makes the error for a request to a path, about a secret or none.
func (o *operation) fault(path, name string, err error) *sources.Error {
	said, text, status := reply(err)
	e := &sources.Error{Name: name}
	if status > 0 {
		e.Code = fmt.Sprintf("http %d", status)
	}
	what := subject(name)
	switch {
	case o.ctx.Err() != nil:
		e = o.late()
		e.Name = name
	case status == 0 && said != nil:
		e = netfault.Between(o.host(), "vault", said.StatusCode)
		e.Name = name
	case status == 0 || status >= 300 && status < 400:
		e = o.unreachable(o.cause(err))
		e.Name = name
	case saysBadToken(text) || status == 401:
		e.Kind, e.Message, e.Hint = sources.NoLogin, "vault does not accept "+o.login.what, o.login.hint
	case noNamespace(text):
		e = o.wrongNamespace(e.Code)
		e.Name = name
	case status == 403:
		e.Kind, e.Message = sources.Denied, fmt.Sprintf("%s may not be %s", what, o.deed.done)
		e.Hint = fmt.Sprintf("allow %s on %s in a policy of the token", o.deed.capability, o.policyPath(path))
	case status == 404:
		return o.notFound(name)
	case status == 413 || strings.Contains(text, "exceeds max") || strings.Contains(text, "too large"):
		e.Kind, e.Message = sources.Refused, fmt.Sprintf("%s was not %s: it is too large for this vault", what, o.deed.given)
		e.Hint = "keep what is so large in a file, or raise max_request_size and max_entry_size"
	case status == 429:
		e.Kind, e.Message = sources.Throttled, fmt.Sprintf("%s was not %s: too many requests", what, o.deed.given)
		e.Hint = "wait, or raise the rate limit quota of the vault; all callers share it"
	case status == 400 && strings.Contains(text, "http request to an https server"):
		e = o.unreachable("it speaks tls, and the address is http", nil)
		e.Name = name
	case isUpgrading(text):
		e.Kind, e.Message = sources.Unreachable, "the engine at "+o.mount+" is being upgraded to version 2"
		e.Hint = "wait until it is done; no request is answered meanwhile"
	case status == 405 || status == 400 && strings.Contains(text, "versioned"):
		e.Kind, e.Message = sources.Disabled, fmt.Sprintf("%s was not %s: the engine at %s does not know the request", what, o.deed.given, o.mount)
		e.Hint = "set mount_path in vault_store.hashicorp to a mount of the type kv"
	case status < 500:
		e.Kind, e.Message = sources.Refused, fmt.Sprintf("%s was not %s: vault does not accept the request", what, o.deed.given)
		e.Hint = "check the name, the owner, and the settings of the mount: vault read " + o.mount + "/config"
	case strings.Contains(text, "sealed"):
		e.Kind, e.Message, e.Hint = sources.Unreachable, "the vault is sealed", "unseal it: vault operator unseal"
	case status == 472 || status == 473 || strings.Contains(text, "standby") || strings.Contains(text, "not active"):
		e.Kind, e.Message, e.Hint = sources.Unreachable, "the vault that answers is a standby, without one that is active", "see vault operator members, or set address to the active one"
	default:
		e.Kind, e.Message = sources.Unreachable, fmt.Sprintf("%s was not %s: the vault failed", what, o.deed.given)
		e.Hint = "see the vault's log, and what stands between: " + o.host()
	}
	return e
}

func noNamespace(text string) bool { return strings.Contains(text, "namespace not found") }

func (o *operation) wrongNamespace(code string) *sources.Error {
	return &sources.Error{
		Kind: sources.NoLogin, Code: code, Message: "there is no namespace " + o.namespace + " in this vault",
		Hint: "check namespace in vault_store.hashicorp (or VAULT_NAMESPACE), which begins at the root",
	}
}

func (o *operation) inNamespace() string {
	if o.namespace == "" {
		return ""
	}
	return " to the namespace " + o.namespace
}

// policyPath is the path that a policy would name: a folder of a list ends with
// a slash. Namespaces have policies of their own, without their name.
func (o *operation) policyPath(path string) string {
	if o.deed == listing {
		path += "/"
	}
	return path
}

func (o *operation) notFound(name string) *sources.Error {
	e := &sources.Error{
		Kind: sources.NotFound, Name: name, Message: fmt.Sprintf("there is no secret %q in vault", shorten(name)),
		Hint: "it was looked for in the mount " + o.mount + o.inNamespace() + ": check the path, mount_path and namespace",
	}
	if rest, ok := strings.CutPrefix(name, o.mount+"/"); ok {
		e.Hint = fmt.Sprintf("a path begins below the mount: write vault.%s", shorten(strings.TrimPrefix(rest, "data/")))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.engine != nil && o.engine.unsure {
		e.Hint += "; the token sees no secrets engine there"
	}
	return e
}

// loginFault makes the error for a login that failed.
func (o *operation) loginFault(err error) *sources.Error {
	var own *sources.Error
	if errors.As(err, &own) {
		return own
	}
	_, text, status := reply(err)
	switch {
	case o.ctx.Err() != nil:
		return o.late()
	case noNamespace(text):
		return o.wrongNamespace(fmt.Sprintf("http %d", status))
	case status == 400 && !strings.Contains(text, "http request to an https") || status == 401 || status == 403 || status == 404:
		return &sources.Error{
			Kind: sources.NoLogin, Code: fmt.Sprintf("http %d", status),
			Message: "vault does not accept " + o.login.what + o.inNamespace(), Hint: o.login.hint,
		}
	case errors.Is(err, errNoAnswer) || status == 0 && strings.Contains(err.Error(), "did not return ClientToken"):
		return o.unreachable("an answer to the login without a token", nil)
	case strings.Contains(err.Error(), "non-printable characters"):
		return &sources.Error{Kind: sources.NoLogin, Message: o.login.what + " has characters that no token has", Hint: "see that it is the token itself, without quotes or control characters"}
	}
	e := o.fault("auth", "", err)
	if e.Kind == sources.Throttled || e.Kind == sources.Refused {
		e.Message = "the login was not answered: too many requests"
	} else if status >= 500 && e.Hint != "" && strings.Contains(e.Message, "the vault failed") {
		e.Message = "the login failed within the vault"
	}
	return e
}
