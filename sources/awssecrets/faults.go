package awssecrets

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/sources/perkey"
)

// The text of the SDK's errors is never shown: it may quote the body of an
// answer, and so a value. Messages are made of the error code and words of ours.

// kinds tells what the error codes of Secrets Manager and STS mean. Throttling
// has a list of its own in the SDK.
var kinds = map[string]sources.Kind{
	"ResourceNotFoundException": sources.NotFound,
	"AccessDeniedException":     sources.Denied,
	"AccessDenied":              sources.Denied,
	"UnauthorizedOperation":     sources.Denied,
	"InvalidRequestException":   sources.Disabled,

	"ExpiredTokenException":                sources.NoLogin,
	"ExpiredToken":                         sources.NoLogin,
	"RequestExpired":                       sources.NoLogin,
	"UnrecognizedClientException":          sources.NoLogin,
	"InvalidClientTokenId":                 sources.NoLogin,
	"InvalidAccessKeyId":                   sources.NoLogin,
	"MissingAuthenticationToken":           sources.NoLogin,
	"MissingAuthenticationTokenException":  sources.NoLogin,
	"InvalidSignatureException":            sources.NoLogin,
	"SignatureDoesNotMatch":                sources.NoLogin,
	"IncompleteSignature":                  sources.NoLogin,
	"IncompleteSignatureException":         sources.NoLogin,
	"RequestTimeTooSkewed":                 sources.NoLogin,
	"AuthFailure":                          sources.NoLogin,
	"OptInRequired":                        sources.NoLogin,
	"InternalServiceError":                 sources.Unreachable,
	"InternalServiceErrorException":        sources.Unreachable,
	"InternalServerError":                  sources.Unreachable,
	"InternalFailure":                      sources.Unreachable,
	"ServiceUnavailable":                   sources.Unreachable,
	"ServiceUnavailableException":          sources.Unreachable,
	"RequestTimeout":                       sources.Unreachable,
	"RequestTimeoutException":              sources.Unreachable,
	"TooManyRequests":                      sources.Throttled,
	"ValidationException":                  sources.BadName,
	"ValidationError":                      sources.BadName,
	"InvalidParameterException":            sources.BadName,
	"InvalidParameterValue":                sources.BadName,
	"LimitExceededException":               sources.Refused,
	"EncryptionFailure":                    sources.Denied,
	"DecryptionFailure":                    sources.Denied,
	"DecryptionFailureException":           sources.Denied,
	"KMSAccessDeniedException":             sources.Denied,
	"KMSDisabledException":                 sources.Denied,
	"KMSInvalidStateException":             sources.Denied,
	"KMSNotFoundException":                 sources.Denied,
	"PublicPolicyException":                sources.Disabled,
	"PreconditionNotMetException":          sources.Disabled,
	"ResourcePolicyUnsatisfiableException": sources.Denied,
}

// noSuchAction holds the codes of a backend, or a proxy before it, that does
// not know an action.
var noSuchAction = map[string]bool{
	"UnknownOperationException": true, "UnknownOperation": true, "InvalidAction": true,
	"UnsupportedOperation": true, "UnsupportedOperationException": true, "NotImplemented": true,
}

var (
	codeForm      = perkey.Pattern(`^[A-Za-z][A-Za-z0-9.]{0,79}$`)
	principalForm = perkey.Pattern(`^User: (arn:[A-Za-z0-9:/_+=,.@-]{1,400}) is not authorized`)
	actionForm    = perkey.Pattern(`perform: (secretsmanager:[A-Za-z]{1,60})`)
	// A user or a secret may have kms in its name; these do not come of one.
	kmsForm = perkey.Pattern(`Access to KMS|KMS key|perform: kms:`)
)

// reply returns what an answer said, if there was one: the code of the error ("",
// where it named none), its text, and the HTTP status (0, where none came).
func reply(err error) (code, text string, status int) {
	var answer interface{ HTTPStatusCode() int }
	if errors.As(err, &answer) {
		status = answer.HTTPStatusCode()
	}
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() != "UnknownError" { // the SDK's word for none
		code, text = api.ErrorCode(), api.ErrorMessage()
	}
	return code, text, status
}

// kindOf says what a code means, and a status only where there is no code.
func kindOf(code string, status int) sources.Kind {
	_, throttled := retry.DefaultThrottleErrorCodes[code]
	switch k := kinds[code]; {
	case k != "":
		return k
	case throttled || code == "" && status == http.StatusTooManyRequests:
		return sources.Throttled
	case status >= 500:
		return sources.Unreachable
	case code != "":
		return sources.Disabled
	}
	return sources.Unreachable // an answer without a code is not one of aws
}

// isKMS reports whether an access denial is about the key of a secret.
func isKMS(code, text string) bool {
	return strings.HasPrefix(code, "KMS") || strings.HasPrefix(code, "Decryption") || strings.HasPrefix(code, "Encryption") || kmsForm().MatchString(text)
}

// judge says what the failure of a batch means for batches.
func (f *regional) judge(err error) verdict {
	code, text, status := reply(err)
	var signIn *perkey.SignError
	if errors.As(err, &signIn) || f.Ctx.Err() != nil {
		return failed
	}
	if noSuchAction[code] || code == "" && (status == http.StatusNotFound || status == http.StatusNotImplemented) {
		return refused
	}
	switch kindOf(code, status) {
	case sources.Denied:
		if isKMS(code, text) {
			return unclear // one secret's key
		}
		return refused
	case sources.NoLogin, sources.Unreachable:
		return failed // asking singly would only double the load
	}
	return unclear
}

func requestOf(action, done, given string, writes bool) perkey.Request {
	return perkey.Request{Method: action, Permission: "secretsmanager:" + action, Done: done, Given: given, Writes: writes}
}

var (
	reading  = requestOf("GetSecretValue", "read", "given", false)
	looking  = requestOf("DescribeSecret", "looked at", "shown", false)
	listing  = requestOf("ListSecrets", "read", "given", false)
	creating = requestOf("CreateSecret", "created", "created", true)
	changing = requestOf("PutSecretValue", "changed", "changed", true)
	tagging  = requestOf("TagResource", "changed", "changed", true)
	deleting = requestOf("DeleteSecret", "deleted", "deleted", true)
	batching = perkey.Request{Method: "BatchGetSecretValue", Batch: true, Permission: reading.Permission, Done: reading.Done, Given: reading.Given}
)

// fault makes the error for i of a request that failed.
func (f *regional) fault(r perkey.Request, i id, err error) *sources.Error {
	var signIn *perkey.SignError
	var known *sources.Error
	if errors.As(err, &known) { // refused before
		return known.Of(i.text)
	}
	if errors.As(err, &signIn) {
		e := f.loginFault(f.Ctx, f.Began, signIn.Err)
		e.Name = i.text
		return e
	}
	code, text, status := reply(err)
	host := cmp.Or(hostOf(err), f.host())
	switch {
	case code == "" && status >= 300 && status < 500 && kindOf(code, status) == sources.Unreachable:
		e := system.NoAnswer(host, fmt.Sprintf("http status %d without an error code of aws", status), nil)
		e.Hint = "something in between has answered, such as a proxy or a firewall: check HTTPS_PROXY, NO_PROXY and AWS_ENDPOINT_URL"
		e.Name = i.text
		return e
	case code != "" || status >= 300:
		e := f.apiFault(r, i, code, text, status)
		if n := attempts(err); n > 1 {
			e.Message += fmt.Sprintf(", after %d attempts", n)
		}
		return e
	case f.Ctx.Err() != nil:
		return f.Late(i.key())
	}
	return system.Unreachable(err, host, f.timeout).Of(i.text)
}

func attempts(err error) int {
	var spent *retry.MaxAttemptsError
	if errors.As(err, &spent) {
		return spent.Attempt
	}
	return 1
}

func (f *regional) host() string { return "secrets manager in " + f.region }

// subject is what a message is about.
func (s *source) subject(n perkey.Name) string {
	switch region := s.knownRegion(); {
	case n.ID == "":
		return "the list of secrets in " + region
	case n.Project != "":
		return fmt.Sprintf("secret %q", n.Text) // it names the region itself
	default:
		return fmt.Sprintf("secret %q in %s", n.Text, region)
	}
}

// apiFault makes the error for i of what the backend answered.
func (f *regional) apiFault(r perkey.Request, i id, code, text string, status int) *sources.Error {
	kind := kindOf(code, status)
	e := f.Answer(kind, r, i.key(), f.host(), map[sources.Kind]string{
		sources.NotFound:    f.lookedIn(i),
		sources.NoLogin:     rejected(code),
		sources.Throttled:   "wait; all callers of the account in the region share its request quota",
		sources.Refused:     "check the name, vault_store.aws.kms_key_id and --gateway",
		sources.Unreachable: "if it goes on, see the AWS health dashboard and AWS_ENDPOINT_URL",
	})
	e.Name = i.text
	if codeForm().MatchString(code) {
		e.Code = code
	} else if code == "" && status > 0 {
		e.Code = fmt.Sprintf("http status %d", status)
	}
	what := f.subject(i.key())
	switch {
	case kind == sources.NotFound && strings.Contains(text, "staging label"):
		return f.noValue(i, e.Code)
	case kind == sources.Denied:
		f.denied(e, r, i, code, text)
	case code == "InvalidRequestException" && strings.Contains(text, "delet"): // "marked for deletion", "scheduled for deletion", "marked deleted"
		e.Message = what + " is scheduled for deletion"
		e.Hint = fmt.Sprintf("restore it: aws secretsmanager restore-secret --secret-id %s --region %s", i.text, f.region)
	case kind == sources.Refused:
		e.Message = fmt.Sprintf("%s was not %s: the account has as many secrets or versions as aws allows it", what, r.Given)
		e.Hint = "ask AWS for a larger quota, or delete what is not needed"
	case e.Kind == sources.Refused:
		e.Message = fmt.Sprintf("%s was not %s: aws does not accept the request", what, r.Given)
	case kind == sources.BadName:
		e.Message = what + ": the name was not accepted"
	}
	return e
}

func (f *regional) noValue(i id, code string) *sources.Error {
	return &sources.Error{
		Kind: sources.Disabled, Name: i.text, Code: code,
		Message: f.subject(i.key()) + " has no value",
		Hint:    fmt.Sprintf("give it one: aws secretsmanager put-secret-value --secret-id %s --region %s", i.text, f.region),
	}
}

// lookedIn says where a secret was looked for, as far as that is known.
func (f *regional) lookedIn(i id) string {
	account := i.account
	if account == "" {
		f.mu.Lock()
		account = f.account
		f.mu.Unlock()
	}
	if account == "" {
		return fmt.Sprintf("it was looked for in %s, in the account of the credentials: check the name, vault_store.aws.region and the account", f.region)
	}
	return fmt.Sprintf("it was looked for in %s, in account %s: check the name, vault_store.aws.region and the account", f.region, account)
}

func (f *regional) denied(e *sources.Error, r perkey.Request, i id, code, text string) {
	if isKMS(code, text) {
		e.Message = f.subject(i.key()) + " cannot be decrypted with its kms key"
		e.Hint = "allow kms:Decrypt on that key, in the policy of the role and in that of the key, and see that the key is enabled"
		if r.Writes {
			e.Message = f.subject(i.key()) + " cannot be encrypted with its kms key"
			e.Hint = strings.Replace(e.Hint, "kms:Decrypt", "kms:GenerateDataKey and kms:Decrypt", 1) + "; a new secret takes vault_store.aws.kms_key_id"
		}
		return
	}
	if m := principalForm().FindStringSubmatch(text); m != nil {
		e.Message += " by " + m[1]
	}
	f.mu.Lock()
	account := f.account
	f.mu.Unlock()
	action := r.Permission
	if m := actionForm().FindStringSubmatch(text); m != nil {
		action = m[1] // tags want a permission of their own
	}
	e.Hint = fmt.Sprintf("allow %s on %s", action, i.resource(f.region, account))
	if i.text == "" {
		e.Hint = "allow secretsmanager:ListSecrets on *, or name a secret to read instead"
	}
	if strings.Contains(text, "explicit deny") {
		e.Hint = "a policy denies it explicitly, which no permission outweighs; otherwise " + e.Hint
	}
}

// rejected says what to do about credentials that were not accepted.
func rejected(code string) string {
	switch code {
	case "ExpiredTokenException", "ExpiredToken", "RequestExpired":
		return "the session has expired: get new credentials; a session_token in vault_store.aws does not renew itself"
	case "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature", "IncompleteSignatureException", "RequestTimeTooSkewed":
		return "check the secret access key, and that the clock of this machine is right"
	}
	return "check that the access key exists, is active and belongs to this partition, and that a session token goes with it"
}

var system = netfault.System{Name: "aws", Hint: "check the network, the proxy settings and AWS_ENDPOINT_URL"}

// hostOf returns the host that has answered, or "".
func hostOf(err error) string {
	var answered *smithyhttp.ResponseError
	if errors.As(err, &answered) && answered.Response != nil && answered.Response.Response != nil &&
		answered.Response.Request != nil {
		return answered.Response.Request.URL.Host
	}
	return ""
}
