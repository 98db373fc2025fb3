package azurevault

import (
	"cmp"
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
	"bifrost-secrets/sources/perkey"
)

// The text of the SDK's errors is never shown: it holds the body of an answer.
// Messages are made of the codes and words of ours.

// role is the built-in role that is least for a request.
func role(r perkey.Request) string {
	if r.Writes {
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

var codeForm = perkey.Pattern(`^[A-Za-z][A-Za-z0-9]{0,60}$`)

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

// fault returns the error for n of a request that failed.
func (s *source) fault(o *operation, q perkey.Request, n perkey.Name, err error) *sources.Error {
	r := replyOf(err)
	var signIn *perkey.SignError
	switch {
	case errors.As(err, &signIn):
		return s.loginFault(o.Ctx, o.Began, signIn.Err)
	case r.status == 0 && o.Ctx.Err() != nil:
		return service.Late(o.Ctx, o.Began)
	case strings.HasPrefix(err.Error(), "challenge resource"): // the SDK has no type for it
		e := service.NoAnswer(s.host, "it wants a token for another domain than that of vault_url", nil)
		e.Hint = "vault_url is the address that the vault itself has, https://NAME.vault.azure.net, also over a private endpoint"
		return e
	case r.status == 0:
		return service.Unreachable(err, s.host, s.timeout)
	case r.code == "" && r.status < 500 && r.status != http.StatusTooManyRequests:
		return netfault.Between(s.host, system, r.status)
	}
	e := s.answered(q, n, r)
	e.Code = cmp.Or(r.inner, r.code, fmt.Sprintf("http status %d", r.status))
	return e
}

// answered returns the error of what the vault said.
func (s *source) answered(q perkey.Request, n perkey.Name, r reply) *sources.Error {
	e := s.Answer(r.kind(), q, n, s.host, map[sources.Kind]string{
		sources.NotFound:    fmt.Sprintf("it was looked for as %s: check the name; one that was deleted can be recovered: az keyvault secret list-deleted --vault-name %s", s.address(n), s.shortName()),
		sources.Disabled:    fmt.Sprintf("enable it: az keyvault secret set-attributes --vault-name %s --name %s --enabled true", s.shortName(), n.ID),
		sources.NoLogin:     "the token was revoked or is for another tenant than the vault's: run again, which signs in anew, or check tenant_id",
		sources.Throttled:   "wait; all callers of the vault share its limit of requests",
		sources.BadName:     "check the name and the version",
		sources.Refused:     "check the name and --gateway",
		sources.Unreachable: "if it goes on, see https://status.azure.com and the proxy settings",
	})
	switch {
	case e.Kind == sources.Disabled:
		e.Message = s.subject(n) + " is disabled"
	case e.Kind == sources.Denied:
		s.denied(e, q, n, r)
	case r.status == http.StatusConflict:
		e.Message, e.Hint = s.subject(n)+" is deleted or being deleted, and its name is not free", s.recoverHint(n)
	}
	return e
}

func (s *source) recoverHint(n perkey.Name) string {
	return fmt.Sprintf("recover it: az keyvault secret recover --vault-name %s --name %s; or purge it, or wait until it is gone", s.shortName(), n.ID)
}

func (s *source) denied(e *sources.Error, q perkey.Request, n perkey.Name, r reply) {
	switch r.inner {
	case "ForbiddenByFirewall", "ForbiddenByConnection":
		e.Message += " from this network"
		e.Hint = "the firewall of the vault lets in chosen networks and private endpoints alone: add this one"
	case "ForbiddenByRbac", "AccessDenied", "":
		e.Hint = fmt.Sprintf("assign the role %q, or allow Microsoft.KeyVault/vaults/%s, on %s; with access policies, the permission of that name", role(q), q.Permission, s.address(n))
	default:
		e.Hint = "a policy of the vault or of the subscription forbids it: see its code"
	}
}

var entraForm = perkey.Pattern(`AADSTS[0-9]{4,8}`)

// loginFault returns the error for credentials that gave no token.
func (s *source) loginFault(ctx context.Context, began time.Time, err error) *sources.Error {
	var own *sources.Error
	if errors.As(err, &own) {
		return own
	}
	var failed *azidentity.AuthenticationFailedError
	answered := errors.As(err, &failed) && failed.RawResponse != nil
	switch {
	case !answered && ctx.Err() != nil:
		return netfault.System{Name: entra.Name, Hint: netfault.Network}.Late(ctx, began)
	case answered && (failed.RawResponse.StatusCode >= 500 || failed.RawResponse.StatusCode == http.StatusTooManyRequests):
		return &sources.Error{
			Kind: sources.Unreachable, Code: fmt.Sprintf("http status %d", failed.RawResponse.StatusCode),
			Message: "no token was given: entra id failed or had too many requests", Hint: "wait and try again",
		}
	case answered && !fromEntra(failed):
		return netfault.Between(entra.Name, entra.Name, failed.RawResponse.StatusCode)
	case answered:
		e := sources.NewError(sources.NoLogin, "the credentials were not accepted by entra id", "check tenant_id, client_id and client_secret, and that the secret has not expired")
		// Nothing else of the text is ours to show.
		if e.Code = entraForm().FindString(err.Error()); e.Code == "" {
			e.Code = fmt.Sprintf("http status %d", failed.RawResponse.StatusCode)
		}
		if s.secret.Len() == 0 {
			e.Hint = "check the identity that the platform gives, and its federated credential"
		}
		return e
	case netfault.Silent(err):
		return entra.Unreachable(err, entra.Name, s.timeout)
	case s.secret.Len() > 0:
		return sources.NewError(sources.NoLogin, "the azure credentials give no token", "check tenant_id, client_id and client_secret")
	case s.clientID != "":
		return sources.NewError(sources.NoLogin, "no azure credentials were found for the client_id", "set client_secret too, or give the workload that identity; tried workload identity, managed identity")
	}
	return sources.NewError(sources.NoLogin, "no azure credentials were found",
		"set tenant_id, client_id and client_secret, give the workload an identity, or run: az login; tried the environment, workload identity, managed identity, azure cli, azure developer cli, azure powershell")
}

// fromEntra reports whether an answer has the form of an error of Entra ID, or of
// the platform that has an identity.
func fromEntra(err *azidentity.AuthenticationFailedError) bool {
	var said struct {
		Error json.RawMessage `json:"error"`
	}
	body, failed := runtime.Payload(err.RawResponse)
	return failed == nil && json.Unmarshal(body, &said) == nil && len(said.Error) > 0 || entraForm().MatchString(err.Error())
}
