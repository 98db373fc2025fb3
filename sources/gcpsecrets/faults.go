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

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/sources/perkey"
)

// The text of the libraries' errors is never shown: it may quote the body of an
// answer. Messages are made of the status and words of ours.

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
	statusForm     = perkey.Pattern(`^[A-Z][A-Z_]{1,40}$`)
	permissionForm = perkey.Pattern(`^[a-zA-Z]{1,40}(\.[a-zA-Z]{1,60}){1,4}$`)
	stateForm      = perkey.Pattern(`/versions/([0-9]{1,19})\] is in (DISABLED|DESTROYED) state`)
)

func replyOf(f *perkey.Failure) reply {
	r := reply{code: f.Status}
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
	_ = json.Unmarshal(f.Body, &body)
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

// fault returns the error for n of a request that failed.
func (s *source) fault(o *operation, q perkey.Request, n perkey.Name, err error) *sources.Error {
	var failure *perkey.Failure
	if !errors.As(err, &failure) {
		failure = &perkey.Failure{Err: err}
	}
	r := replyOf(failure)
	var signing *perkey.SignError
	switch {
	case r.code == 0 && o.Ctx.Err() != nil:
		return service.Late(o.Ctx, o.Began)
	case errors.As(err, &signing):
		return s.loginFault(o.Ctx, o.Began, signing.Err)
	case r.code == 0:
		return service.Unreachable(err, host, s.timeout)
	case r.status == "" && r.code < 500 && r.code != http.StatusTooManyRequests:
		return netfault.Between(host, system, r.code)
	}
	e := s.answered(q, n, r)
	if e.Code = r.status; e.Code == "" {
		e.Code = fmt.Sprintf("http status %d", r.code)
	}
	if failure.Attempts > 1 {
		e.Message += fmt.Sprintf(", after %d attempts", failure.Attempts)
	}
	return e
}

// answered returns the error of what GCP said.
func (s *source) answered(q perkey.Request, n perkey.Name, r reply) *sources.Error {
	e := s.Answer(r.kind(), q, n, system, map[sources.Kind]string{
		sources.NotFound:    fmt.Sprintf("it was looked for as %s: check the name and the project", versioned(n)),
		sources.NoLogin:     "the token was revoked or its account is gone: run again, which signs in anew, or check the credentials",
		sources.Throttled:   "wait; all callers of the project share its quota: see quotas of the secret manager api in the console",
		sources.BadName:     "check the name and the version",
		sources.Refused:     "check the name, --gateway and the policies of the organization",
		sources.Unreachable: "if it goes on, see https://status.cloud.google.com and the proxy settings",
		sources.Disabled:    "see: gcloud secrets versions list " + n.ID + " --project " + n.Project,
	})
	switch e.Kind {
	case sources.NotFound:
		e.Message += ", or has no version"
	case sources.Denied:
		s.denied(e, q, n, r)
	case sources.Disabled:
		s.disabled(e, n, r)
	}
	return e
}

func (s *source) denied(e *sources.Error, q perkey.Request, n perkey.Name, r reply) {
	on := resource(n)
	if n.ID == "" {
		on = "projects/" + s.project
	}
	permission := q.Permission
	if r.permission != "" {
		permission = r.permission
	}
	switch {
	case r.reason == "SERVICE_DISABLED":
		e.Message = "the secret manager api is not enabled in the project"
		e.Hint = "run: gcloud services enable " + host + " --project " + s.project
	case r.reason == "ACCESS_TOKEN_SCOPE_INSUFFICIENT":
		e.Message = "the access scopes of the credentials leave out secret manager"
		e.Hint = "give the machine or the node pool the scope cloud-platform, which it has from its start, or use workload identity; roles then say what may be read"
	case r.reason == "USER_PROJECT_DENIED":
		e.Message = "the project that the credentials name for quota may not be billed by them"
		e.Hint = "give them roles/serviceusage.serviceUsageConsumer in it, or name another: gcloud auth application-default set-quota-project"
	case r.reason == "BILLING_DISABLED":
		e.Message = "the project has no billing account"
		e.Hint = "run: gcloud billing projects link " + s.project + " --billing-account ACCOUNT"
	case r.reason == "SECURITY_POLICY_VIOLATED":
		e.Message += " from here: VPC Service Controls keep it in"
		e.Hint = "let the perimeter of the project admit this network or these credentials"
	case strings.Contains(r.text, "cloudkms"):
		e.Message = s.subject(n) + " is encrypted with a key that may not be used"
		e.Hint = "give the service agent of secret manager roles/cloudkms.cryptoKeyEncrypterDecrypter on the key"
	default:
		e.Message += ", or does not exist"
		e.Hint = fmt.Sprintf("allow %s on %s", permission, on)
		if permission == accessing.Permission {
			e.Hint += ", which roles/secretmanager.secretAccessor does"
		}
	}
}

func (s *source) disabled(e *sources.Error, n perkey.Name, r reply) {
	m := stateForm().FindStringSubmatch(r.text)
	which := s.subject(n)
	switch {
	case m == nil:
	case m[2] == "DISABLED":
		e.Message = fmt.Sprintf("%s: version %s%s is disabled", which, m[1], newestOf(n))
		e.Hint = fmt.Sprintf("enable it: gcloud secrets versions enable %s --secret %s --project %s; or add a newer one, or name another version in the reference", m[1], n.ID, n.Project)
	default:
		e.Message = fmt.Sprintf("%s: version %s%s is destroyed", which, m[1], newestOf(n))
		e.Hint = fmt.Sprintf("add a newer one: gcloud secrets versions add %s --project %s --data-file -; or name another version in the reference", n.ID, n.Project)
	}
}

// newestOf says why that version was read, where the reference names none.
func newestOf(n perkey.Name) string {
	if n.Version == "" || n.Version == latest {
		return ", the newest,"
	}
	return ""
}

// loginFault returns the error for credentials that gave no token.
func (s *source) loginFault(ctx context.Context, began time.Time, err error) *sources.Error {
	var refused *auth.Error
	answered := errors.As(err, &refused) && refused.Response != nil
	switch {
	case !answered && ctx.Err() != nil:
		return service.Late(ctx, began)
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
			return netfault.Between(tokens.Name, "that service", refused.Response.StatusCode)
		}
		var code string
		_ = json.Unmarshal(said.Error, &code)
		e := sources.NewError(sources.NoLogin, "the credentials were not accepted by the service for tokens", "check that the key, its service account and its project still exist, and that the clock of this machine is right")
		e.Code = fmt.Sprintf("http status %d", refused.Response.StatusCode)
		if oauthForm().MatchString(code) {
			e.Code = code
		}
		return e
	case netfault.Silent(err):
		return tokens.Unreachable(err, tokens.Name, s.timeout)
	}
	return sources.NewError(sources.NoLogin, "the gcp credentials give no token", "check the credentials file: "+formHint)
}

var oauthForm = perkey.Pattern(`^[a-z_]{1,60}$`)
