package azurevault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
)

// The text of the SDK's errors is never shown: it holds the body of an answer.
// Messages are made of the codes and words of ours.

// deed is what is done to a secret, in the words of its failure.
type deed struct {
	action string // of Azure's access control
	done   string // it may not be, and cannot be
	writes bool
}

var (
	reading  = deed{"secrets/getSecret/action", "read", false}
	looking  = deed{"secrets/readMetadata/action", "looked at", false}
	listing  = deed{"secrets/readMetadata/action", "listed", false}
	changing = deed{"secrets/setSecret/action", "changed", true}
	deleting = deed{"secrets/delete", "deleted", true}
	purging  = deed{"secrets/purge/action", "purged", true}
)

// roles are the built-in roles that are least for a deed.
func (d deed) role() string {
	if d.writes {
		return "Key Vault Secrets Officer"
	}
	return "Key Vault Secrets User"
}

// reply is what an answer said of a failure.
type reply struct {
	status int    // HTTP; 0 where no answer came
	code   string // such as Forbidden
	inner  string // such as SecretDisabled; says more
	text   string
}

var codeForm = lazily(`^[A-Za-z][A-Za-z0-9]{0,60}$`)

func replyOf(err error) reply {
	var answer *azcore.ResponseError
	if !errors.As(err, &answer) {
		return reply{}
	}
	r := reply{status: answer.StatusCode}
	if codeForm().MatchString(answer.ErrorCode) {
		r.code = answer.ErrorCode
	}
	if answer.RawResponse == nil {
		return r
	}
	var said struct {
		Error struct {
			Message    string
			InnerError struct{ Code string }
		}
	}
	// The SDK has read the body already, and keeps it.
	if body, err := runtime.Payload(answer.RawResponse); err == nil && json.Unmarshal(body, &said) == nil {
		r.text = said.Error.Message
		if codeForm().MatchString(said.Error.InnerError.Code) {
			r.inner = said.Error.InnerError.Code
		}
	}
	return r
}

func (r reply) kind() sources.Kind {
	switch {
	case r.inner == "SecretDisabled", r.status == http.StatusForbidden && strings.Contains(r.text, "disabled secret"):
		return sources.Disabled
	case r.status == http.StatusForbidden && r.code != "":
		return sources.Denied
	case r.status == http.StatusUnauthorized && r.code != "":
		return sources.NoLogin
	case r.status == http.StatusTooManyRequests:
		return sources.Throttled
	case r.status == http.StatusNotFound && r.code != "":
		return sources.NotFound
	case r.status == http.StatusConflict && r.code != "":
		return sources.Refused
	case r.status == http.StatusBadRequest && r.code != "":
		return sources.BadName
	}
	return sources.Unreachable
}

// subject is what a message is about.
func (s *source) subject(i id) string {
	switch {
	case i.secret == "":
		return "the list of secrets in " + s.host
	case strings.HasPrefix(i.text, "https://"):
		return fmt.Sprintf("secret %q", i.text) // it names the vault itself
	}
	return fmt.Sprintf("secret %q in %s", i.text, s.host)
}

// shortName is the vault as the Azure CLI calls it.
func (s *source) shortName() string {
	name, _, _ := strings.Cut(s.host, ".")
	return name
}

// fault makes the error for i of a request that failed.
func (a *act) fault(i id, err error) *sources.Error {
	r := replyOf(err)
	var signIn *loginError
	var known *sources.Error
	switch {
	case errors.As(err, &known): // refused before
		return named(known, i.text)
	case errors.As(err, &signIn):
		return named(a.loginFault(a.ctx, a.began, signIn.err), i.text)
	case r.status == 0 && a.ctx.Err() != nil:
		return named(netfault.Late(a.ctx, a.began, system), i.text)
	case r.status == 0:
		return named(netfault.Unreachable(err, a.host, a.timeout), i.text)
	}
	if r.code == "" && r.status < 500 && r.status != http.StatusTooManyRequests {
		return named(netfault.Between(a.host, system, r.status), i.text)
	}
	e := a.answered(i, r)
	e.Name = i.text
	switch {
	case r.inner != "":
		e.Code = r.inner
	case r.code != "":
		e.Code = r.code
	default:
		e.Code = fmt.Sprintf("http status %d", r.status)
	}
	return e
}

// answered makes the error of what the vault said.
func (a *act) answered(i id, r reply) *sources.Error {
	e := &sources.Error{Kind: r.kind()}
	switch what := a.subject(i); e.Kind {
	case sources.NotFound:
		e.Message = what + " does not exist"
		e.Hint = fmt.Sprintf("it was looked for as %s: check the name; one that was deleted can be recovered: az keyvault secret list-deleted --vault-name %s", a.address(i), a.shortName())
	case sources.Disabled:
		e.Message = what + " is disabled"
		e.Hint = fmt.Sprintf("enable it: az keyvault secret set-attributes --vault-name %s --name %s --enabled true", a.shortName(), i.secret)
	case sources.Denied:
		a.denied(e, i, r)
	case sources.NoLogin:
		e.Message = "the credentials were not accepted by " + a.host
		e.Hint = "the token was revoked or is for another tenant than the vault's: run again, which signs in anew, or check tenant_id"
	case sources.Throttled:
		e.Message = fmt.Sprintf("%s was not %s: too many requests", what, a.deed.done)
		e.Hint = "wait; all callers of the vault share its limit of requests"
	case sources.Refused:
		e.Message = what + " is deleted or being deleted, and its name is not free"
		e.Hint = a.recoverHint(i)
	case sources.BadName:
		e.Message = what + ": azure does not accept the request"
		e.Hint = "check the name and the version"
		if a.deed.writes {
			e.Kind, e.Hint = sources.Refused, "check the name and the owner"
		}
	default:
		e.Message = fmt.Sprintf("%s was not %s: the service failed", what, a.deed.done)
		e.Hint = "if it goes on, see https://status.azure.com and the proxy settings"
	}
	return e
}

func (s *source) address(i id) string {
	address := s.vault + "/secrets/" + i.secret
	if i.version != "" {
		address += "/" + i.version
	}
	return address
}

func (s *source) recoverHint(i id) string {
	return fmt.Sprintf("recover it: az keyvault secret recover --vault-name %s --name %s; or purge it, or wait until it is gone", s.shortName(), i.secret)
}

func (a *act) denied(e *sources.Error, i id, r reply) {
	e.Message = fmt.Sprintf("%s may not be %s", a.subject(i), a.deed.done)
	switch r.inner {
	case "ForbiddenByFirewall", "ForbiddenByConnection":
		e.Message += " from this network"
		e.Hint = "the firewall of the vault lets in chosen networks and private endpoints alone: add this one"
	case "ForbiddenByRbac", "AccessDenied", "":
		e.Hint = fmt.Sprintf("assign the role %q, or allow Microsoft.KeyVault/vaults/%s, on %s; with access policies, the permission of that name", a.deed.role(), a.deed.action, a.address(i))
		if i.secret == "" {
			e.Hint = strings.Replace(e.Hint, a.address(i), a.vault, 1)
		}
	default:
		e.Hint = "a policy of the vault or of the subscription forbids it: see its code"
	}
}

var entraForm = lazily(`AADSTS[0-9]{4,8}`)

// loginFault makes the error for credentials that gave no token.
func (s *source) loginFault(ctx context.Context, began time.Time, err error) *sources.Error {
	var own *sources.Error
	if errors.As(err, &own) {
		return own
	}
	var failed *azidentity.AuthenticationFailedError
	answered := errors.As(err, &failed) && failed.RawResponse != nil
	switch {
	case !answered && ctx.Err() != nil:
		return netfault.Late(ctx, began, "entra id")
	case answered && (failed.RawResponse.StatusCode >= 500 || failed.RawResponse.StatusCode == http.StatusTooManyRequests):
		return &sources.Error{
			Kind: sources.Unreachable, Code: fmt.Sprintf("http status %d", failed.RawResponse.StatusCode),
			Message: "no token was given: entra id failed or had too many requests", Hint: "wait and try again",
		}
	case answered && !fromEntra(failed):
		return netfault.Between("entra id", "entra id", failed.RawResponse.StatusCode)
	case answered:
		e := noLogin("the credentials were not accepted by entra id", "check tenant_id, client_id and client_secret, and that the secret has not expired")
		// Nothing else of the text is ours to show.
		if e.Code = entraForm().FindString(err.Error()); e.Code == "" {
			e.Code = fmt.Sprintf("http status %d", failed.RawResponse.StatusCode)
		}
		if s.secret.Len() == 0 {
			e.Hint = "check the identity that the platform gives, and its federated credential"
		}
		return e
	case netfault.Silent(err):
		e := netfault.Unreachable(err, "entra id", s.timeout)
		e.Hint = "credentials are to come from there: check the network, the proxy settings and AZURE_AUTHORITY_HOST"
		return e
	case s.secret.Len() > 0:
		return noLogin("the azure credentials give no token", "check tenant_id, client_id and client_secret")
	case s.clientID != "":
		return noLogin("no azure credentials were found for the client_id", "set client_secret too, or give the workload that identity; tried workload identity, managed identity")
	}
	return noLogin("no azure credentials were found",
		"set tenant_id, client_id and client_secret, give the workload an identity, or run: az login; tried the environment, workload identity, managed identity, azure cli, azure developer cli, azure powershell")
}

// fromEntra reports whether an answer has the form of an error of Entra ID, or of
// the platform that gives an identity.
func fromEntra(err *azidentity.AuthenticationFailedError) bool {
	var said struct {
		Error json.RawMessage `json:"error"`
	}
	body, failed := runtime.Payload(err.RawResponse)
	return failed == nil && json.Unmarshal(body, &said) == nil && len(said.Error) > 0 || entraForm().MatchString(err.Error())
}

func noLogin(message, hint string) *sources.Error {
	return &sources.Error{Kind: sources.NoLogin, Message: message, Hint: hint}
}
