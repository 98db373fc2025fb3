package gcpsecrets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	"google.golang.org/api/googleapi"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
)

// The text of the libraries' errors is never shown: it may quote the body of an
// answer. Messages are made of the status and words of ours.

// deed is what is done to a secret, in the words of its failure.
type deed struct {
	permission string // of IAM
	done       string // it may not be, and cannot be
	writes     bool
}

var (
	reading  = deed{"secretmanager.versions.access", "read", false}
	looking  = deed{"secretmanager.secrets.get", "looked at", false}
	listing  = deed{"secretmanager.secrets.list", "listed", false}
	creating = deed{"secretmanager.secrets.create", "created", true}
	changing = deed{"secretmanager.versions.add", "changed", true}
	deleting = deed{"secretmanager.secrets.delete", "deleted", true}
)

var kinds = map[string]sources.Kind{
	"NOT_FOUND": sources.NotFound, "PERMISSION_DENIED": sources.Denied, "UNAUTHENTICATED": sources.NoLogin,
	"RESOURCE_EXHAUSTED": sources.Throttled, "FAILED_PRECONDITION": sources.Disabled, "INVALID_ARGUMENT": sources.BadName,
	"ALREADY_EXISTS": sources.Conflict, "ABORTED": sources.Conflict, "INTERNAL": sources.Unreachable,
	"UNAVAILABLE": sources.Unreachable, "DEADLINE_EXCEEDED": sources.Unreachable, "UNKNOWN": sources.Unreachable,
}

// reply is what an answer said of a failure.
type reply struct {
	code       int    // HTTP status; 0 where no answer came
	status     string // of gRPC, such as NOT_FOUND; empty where the answer is not Google's
	text       string
	reason     string // of the ErrorInfo, such as SERVICE_DISABLED
	permission string // that is lacking
}

var (
	statusForm     = lazily(`^[A-Z][A-Z_]{1,40}$`)
	permissionForm = lazily(`^[a-zA-Z]{1,40}(\.[a-zA-Z]{1,60}){1,4}$`)
	stateForm      = lazily(`/versions/([0-9]{1,19})\] is in (DISABLED|DESTROYED) state`)
)

func replyOf(err error) reply {
	var answer *googleapi.Error
	if !errors.As(err, &answer) {
		return reply{}
	}
	r := reply{code: answer.Code}
	var body struct {
		Error struct {
			Status, Message string
			Details         []struct {
				Reason   string
				Metadata map[string]string
			}
		}
	}
	// What cannot be read is not Google's; what can in part is used so far.
	_ = json.Unmarshal([]byte(answer.Body), &body)
	if statusForm().MatchString(body.Error.Status) {
		r.status, r.text = body.Error.Status, body.Error.Message
	}
	for _, d := range body.Error.Details {
		if statusForm().MatchString(d.Reason) {
			r.reason = d.Reason
		}
		if p := d.Metadata["permission"]; permissionForm().MatchString(p) {
			r.permission = p
		}
	}
	return r
}

func (r reply) kind() sources.Kind {
	switch k, known := kinds[r.status]; {
	case known:
		return k
	case r.code == http.StatusTooManyRequests:
		return sources.Throttled
	}
	return sources.Unreachable
}

// subject is what a message is about.
func (s *source) subject(i id) string {
	switch {
	case i.secret == "":
		return "the list of secrets in project " + s.project
	case strings.HasPrefix(strings.TrimPrefix(i.text, fullPrefix), "projects/"):
		return fmt.Sprintf("secret %q", i.text) // it names the project itself
	}
	return fmt.Sprintf("secret %q in project %s", i.text, i.project)
}

// fault makes the error for i of a request that failed.
func (a *act) fault(i id, err error) *sources.Error {
	r := replyOf(err)
	var login *auth.Error
	var known *sources.Error
	switch {
	case errors.As(err, &known): // refused before
		return named(known, i.text)
	case r.code == 0 && a.ctx.Err() != nil:
		return named(netfault.Late(a.ctx, a.began, system), i.text)
	case errors.As(err, &login):
		return named(a.loginFault(a.ctx, a.began, err), i.text)
	case r.code == 0:
		return named(netfault.Unreachable(err, host, a.timeout), i.text)
	}
	if r.status == "" && r.code < 500 && r.code != http.StatusTooManyRequests {
		return named(netfault.Between(host, system, r.code), i.text)
	}
	e := a.answered(i, r)
	e.Name = i.text
	if e.Code = r.status; e.Code == "" {
		e.Code = fmt.Sprintf("http status %d", r.code)
	}
	var f *failure
	if errors.As(err, &f) && f.attempts > 1 {
		e.Message += fmt.Sprintf(", after %d attempts", f.attempts)
	}
	return e
}

// answered makes the error of what GCP said.
func (a *act) answered(i id, r reply) *sources.Error {
	e := &sources.Error{Kind: r.kind()}
	switch what := a.subject(i); e.Kind {
	case sources.NotFound:
		e.Message = what + " does not exist, or has no version"
		e.Hint = fmt.Sprintf("it was looked for as %s: check the name and the project", i.versioned())
	case sources.Denied:
		a.denied(e, i, r)
	case sources.Disabled:
		a.disabled(e, i, r)
	case sources.NoLogin:
		e.Message = "the credentials were not accepted by " + system
		e.Hint = "the token was revoked or its account is gone: run again, which signs in anew, or check the credentials"
	case sources.Throttled:
		e.Message = fmt.Sprintf("%s was not %s: too many requests", what, a.deed.done)
		e.Hint = "wait; all callers of the project share its quota: see quotas of the secret manager api in the console"
	case sources.Conflict:
		e.Message = what + " was changed by somebody else at the same moment"
		e.Hint = againHint
	case sources.BadName:
		e.Message = what + ": gcp does not accept the request"
		e.Hint = "check the name and the version"
		if a.deed.writes {
			e.Kind, e.Hint = sources.Refused, "check the name, the owner and the policies of the organization"
		}
	default:
		e.Message = fmt.Sprintf("%s was not %s: the service failed", what, a.deed.done)
		e.Hint = "if it goes on, see https://status.cloud.google.com and the proxy settings"
	}
	return e
}

const againHint = "somebody else writes there too: run again, which begins with what is there now"

func (a *act) denied(e *sources.Error, i id, r reply) {
	on := i.resource()
	if i.secret == "" {
		on = "projects/" + a.project
	}
	permission := a.deed.permission
	if r.permission != "" {
		permission = r.permission
	}
	switch {
	case r.reason == "SERVICE_DISABLED":
		e.Message = "the secret manager api is not enabled in the project"
		e.Hint = "run: gcloud services enable " + host + " --project " + a.project
	case strings.Contains(r.text, "cloudkms"):
		e.Message = a.subject(i) + " is encrypted with a key that may not be used"
		e.Hint = "give the service agent of secret manager roles/cloudkms.cryptoKeyEncrypterDecrypter on the key"
	default:
		e.Message = fmt.Sprintf("%s may not be %s, or does not exist", a.subject(i), a.deed.done)
		e.Hint = fmt.Sprintf("allow %s on %s", permission, on)
		if permission == reading.permission {
			e.Hint += ", which roles/secretmanager.secretAccessor does"
		}
	}
}

func (a *act) disabled(e *sources.Error, i id, r reply) {
	m := stateForm().FindStringSubmatch(r.text)
	which := a.subject(i)
	switch {
	case m == nil:
		e.Message = fmt.Sprintf("%s cannot be %s in its present state", which, a.deed.done)
		e.Hint = "see: gcloud secrets versions list " + i.secret + " --project " + i.project
	case m[2] == "DISABLED":
		e.Message = fmt.Sprintf("%s: version %s%s is disabled", which, m[1], i.newest())
		e.Hint = fmt.Sprintf("enable it: gcloud secrets versions enable %s --secret %s --project %s; or add a newer one, or name another version in the reference", m[1], i.secret, i.project)
	default:
		e.Message = fmt.Sprintf("%s: version %s%s is destroyed", which, m[1], i.newest())
		e.Hint = fmt.Sprintf("add a newer one: gcloud secrets versions add %s --project %s --data-file -; or name another version in the reference", i.secret, i.project)
	}
}

// newest says why that version was read, where the reference names none.
func (i id) newest() string {
	if i.version == "" || i.version == latest {
		return ", the newest,"
	}
	return ""
}

// loginFault makes the error for credentials that gave no token.
func (s *source) loginFault(ctx context.Context, began time.Time, err error) *sources.Error {
	var refused *auth.Error
	answered := errors.As(err, &refused) && refused.Response != nil
	switch {
	case !answered && ctx.Err() != nil:
		return netfault.Late(ctx, began, system)
	case answered && refused.Temporary():
		return &sources.Error{
			Kind: sources.Unreachable, Code: fmt.Sprintf("http status %d", refused.Response.StatusCode),
			Message: "no token was given: the service for tokens failed or had too many requests", Hint: "wait and try again",
		}
	case answered:
		// OAuth has a text there, and the service that lends accounts an object.
		var said struct {
			Error json.RawMessage `json:"error"`
		}
		if json.Unmarshal(refused.Body, &said) != nil || len(said.Error) == 0 {
			return netfault.Between("the service for tokens", "that service", refused.Response.StatusCode)
		}
		var code string
		_ = json.Unmarshal(said.Error, &code)
		e := noLogin("the credentials were not accepted by the service for tokens", "check that the key, its service account and its project still exist, and that the clock of this machine is right")
		e.Code = fmt.Sprintf("http status %d", refused.Response.StatusCode)
		if oauthForm().MatchString(code) {
			e.Code = code
		}
		return e
	case netfault.Silent(err):
		return netfault.Unreachable(err, "the service for tokens", s.timeout)
	}
	return noLogin("the gcp credentials give no token", "check the credentials file: "+formHint)
}

var oauthForm = lazily(`^[a-z_]{1,60}$`)
