package awssecrets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/walker/regular"
)

// isGarbled reports whether an answer came that the SDK could not read.
func isGarbled(err error) bool {
	var garbled *smithy.DeserializationError
	return errors.As(err, &garbled)
}

// isSilent reports whether err is of a request that no usable answer came to.
func isSilent(err error) bool {
	var unsent *smithyhttp.RequestSendError
	return errors.As(err, &unsent) || isGarbled(err)
}

// requested returns the service and the action of the innermost request in err:
// a request for a secret may have had to sign in first.
func requested(err error) (service, action string) {
	var op *smithy.OperationError
	for errors.As(err, &op) {
		service, action, err = op.ServiceID, op.OperationName, op.Err
	}
	return service, action
}

// configFault makes the error for environment or shared config that the SDK
// cannot use. The SDK's text is not shown: it may quote a line with a key.
func (s *source) configFault(ctx context.Context, began time.Time, err error) *sources.Error {
	if ctx.Err() != nil {
		return system.Late(ctx, began)
	}
	e := sources.NewError(sources.NoLogin, "the aws settings of the environment and the shared config files cannot be used",
		"check the AWS_ variables, and the files with `aws configure list`")
	var profile config.SharedConfigProfileNotExistError
	var file config.SharedConfigLoadError
	var role config.SharedConfigAssumeRoleError
	var path *fs.PathError
	switch {
	case errors.As(err, &profile):
		e.Message = fmt.Sprintf("aws profile %q is in none of the shared config files", profile.Profile)
		e.Hint = "check AWS_PROFILE, AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE"
		if profile.Profile != s.profile() {
			e.Message = fmt.Sprintf("aws profile %q, the source_profile of %q, is in none of the shared config files", profile.Profile, s.profile())
			e.Hint = "check source_profile, AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE"
		}
		e.Hint = cmp.Or(s.marked(), e.Hint)
	case errors.As(err, &path):
		e.Message = fmt.Sprintf("%s, which the aws settings name, cannot be read: %v", s.fileOf(path.Path), path.Err)
	case errors.As(err, &file):
		e.Message = fmt.Sprintf("shared config file %s cannot be used", file.Filename)
	case errors.As(err, &role):
		e.Message = fmt.Sprintf("aws profile %q names a role that cannot be used", role.Profile)
		e.Hint = "see that its source_profile exists and gives credentials, or set credential_source"
	default:
		if sso := s.ssoIncomplete(err); sso != nil {
			return sso
		}
	}
	return e
}

// fileOf names a file. One with a credential is named by the variable that its
// path stands in: somebody may have set that to what the file was to hold.
func (s *source) fileOf(path string) string {
	for _, name := range sources.AWS.Variables {
		v, ok := s.getenv(name)
		switch {
		case !ok || v != path:
		case name == "AWS_CA_BUNDLE" || name == "AWS_CONFIG_FILE":
			return "file " + path
		default:
			return "the file of " + name
		}
	}
	return "a file"
}

// loginFault makes the error for credentials that could not be had.
func (s *source) loginFault(ctx context.Context, began time.Time, err error) *sources.Error {
	service, action := requested(err)
	code, _, status := reply(err)
	answered := service == "STS" && (code != "" || status >= 300)
	if ctx.Err() != nil && !answered {
		return system.Late(ctx, began)
	}
	switch {
	case errors.Is(err, errUnprintable):
		return sources.NewError(sources.NoLogin, "the access key or the session token for aws has characters that no credential has",
			"see that each is the text itself: one line, without blanks")
	case answered:
		return s.roleFault(action, code, status)
	case service == "STS" && isSilent(err):
		e := system.Unreachable(err, cmp.Or(hostOf(err), "sts"), s.timeout)
		e.Hint = "credentials are to come from sts: check the network, the proxy settings and AWS_ENDPOINT_URL_STS"
		return e
	}
	if e := s.profileFault(service, status, err); e != nil {
		return e
	}
	return sources.NewError(sources.NoLogin, "no aws credentials were found", "give the process a role, or set access_key_id and secret_access_key; tried "+s.tried(err))
}

// roleFault makes the error for a role that STS did not give.
func (s *source) roleFault(action, code string, status int) *sources.Error {
	e := &sources.Error{Kind: sources.NoLogin, Hint: rejected(code)}
	if codeForm().MatchString(code) {
		e.Code = code
	}
	kind := kindOf(code, status)
	if code == "" && status < 500 && kind == sources.Unreachable {
		return netfault.Between("sts", "sts", status)
	}
	role, _ := s.getenv("AWS_ROLE_ARN")
	if !roleForm().MatchString(role) {
		role = "of the web identity"
	}
	if action == "AssumeRole" {
		role = cmp.Or(s.role, fmt.Sprintf("of aws profile %q", s.profile()))
	}
	e.Message = fmt.Sprintf("role %s cannot be assumed", role)
	switch {
	case kind == sources.Throttled || kind == sources.Unreachable:
		e.Kind = kind
		e.Message = fmt.Sprintf("role %s was not given: sts failed or had too many requests", role)
		e.Hint = "wait and try again"
	case action == "AssumeRoleWithWebIdentity" && strings.HasPrefix(code, "ExpiredToken"):
		e.Message = fmt.Sprintf("the web identity token for role %s has expired", role)
		e.Hint = "see that what writes the token file still renews it, and that the clock of this machine is right"
	case action == "AssumeRoleWithWebIdentity":
		e.Hint = "check that the trust policy of the role names the identity provider and the service account, and that the token file is current"
	case kind == sources.Denied:
		e.Hint = "allow sts:AssumeRole on it, and let its trust policy name who asks"
	}
	return e
}

// tried lists the links of the SDK's chain of credentials with what is known of
// each. err is why the last of them gave none.
func (s *source) tried(err error) string {
	text := func(name string) string { v, _ := s.getenv(name); return v }
	// state says how a link stands: not in use, or in use and without result.
	state := func(used bool, unused, tokenFile string) string {
		switch {
		case !used:
			return unused
		case tokenFile != "" && !readable(tokenFile): // the SDK tells it as text only
			return s.fileOf(tokenFile) + " cannot be read"
		case isSilent(err):
			return netfault.Cause(err, s.timeout)
		}
		return "gave none"
	}
	env := "AWS_ACCESS_KEY_ID is not set"
	if text("AWS_ACCESS_KEY_ID") != "" {
		env = "AWS_SECRET_ACCESS_KEY is not set"
	}
	token := text("AWS_WEB_IDENTITY_TOKEN_FILE")
	web := token != ""
	container := !web && text("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")+text("AWS_CONTAINER_CREDENTIALS_FULL_URI") != ""
	return strings.Join([]string{
		"the environment (" + env + ")",
		"web identity (" + state(web, "AWS_WEB_IDENTITY_TOKEN_FILE is not set", token) + ")",
		"the shared config files (" + cmp.Or(s.marked(), fmt.Sprintf("nothing for profile %q", s.profile())) + ")",
		"the container (" + state(container, "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set", text("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")) + ")",
		"the instance metadata (" + s.metadata(state(!container && !web, "not asked", "")) + ")",
	}, ", ")
}

func readable(path string) bool {
	f, _, err := regular.OpenFile(regular.Anywhere{}, path)
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}

// metadata says how the instance metadata stands: switched off, or as given.
func (s *source) metadata(state string) string {
	if v, _ := s.getenv("AWS_EC2_METADATA_DISABLED"); strings.EqualFold(v, "true") {
		return "disabled by AWS_EC2_METADATA_DISABLED"
	}
	return state
}

// noRegion is the error for names without a region.
func (s *source) noRegion() *sources.Error {
	return sources.NewError(sources.BadSettings, "no region is set for aws-secrets-manager",
		fmt.Sprintf("set vault_store.aws.region or AWS_REGION; tried also AWS_DEFAULT_REGION, the shared config files (profile %q) and the instance metadata (%s)",
			s.profile(), s.metadata("no answer")))
}
