package awssecrets

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/walker/regular"
)

// sharedProfile reads the profile that is in use from the shared config files.
func (s *source) sharedProfile() (config.SharedConfig, error) {
	if err := s.checkShared(); err != nil {
		return config.SharedConfig{}, err
	}
	return config.LoadSharedConfigProfile(context.Background(), s.profile(), func(o *config.LoadSharedConfigOptions) {
		// As LoadDefaultConfig does; this function does not know the variables.
		if v, _ := s.getenv("AWS_CONFIG_FILE"); v != "" {
			o.ConfigFiles = []string{v}
		}
		if v, _ := s.getenv("AWS_SHARED_CREDENTIALS_FILE"); v != "" {
			o.CredentialsFiles = []string{v}
		}
	})
}

// signsIn returns the profile that the credentials come from: that in use, or the
// one at the end of its chain of source_profile. It returns nil where it is not a
// profile that they come from.
func (s *source) signsIn() *config.SharedConfig {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"} { // which come before
		if v, _ := s.getenv(name); v != "" {
			return nil
		}
	}
	shared, err := s.sharedProfile()
	if err != nil || s.key.Len() > 0 {
		return nil
	}
	p := &shared
	for p.Source != nil {
		p = p.Source
	}
	return p
}

// profileFault makes the error for a profile that gave no credentials, where it
// is one that a person or a program signs in for. err is what the SDK says, and
// service and status are those of an answer to it.
func (s *source) profileFault(service string, status int, err error) *sources.Error {
	p := s.signsIn()
	if p == nil {
		return nil
	}
	sso := p.SSOSession != nil || p.SSOStartURL != ""
	var process *processcreds.ProviderError
	switch {
	case (sso || p.LoginSession != "") && service != "" && (isSilent(err) || status >= 500 || status == http.StatusTooManyRequests):
		why := netfault.Cause(err, s.timeout)
		if status > 0 {
			why = fmt.Sprintf("http status %d", status)
		}
		e := system.NoAnswer("the service that aws profile "+p.Profile+" signs in at", why, err)
		e.Hint = "check the network, the proxy settings and sso_region"
		return e
	case sso && service == "SSO" && status != 0 && status != http.StatusUnauthorized:
		return sources.NewError(sources.NoLogin, fmt.Sprintf("the SSO session of profile %s may not use the role %s in account %s", p.Profile, p.SSORoleName, p.SSOAccountID),
			"check sso_role_name and sso_account_id, and that the role is assigned to who signed in")
	case sso:
		return sources.NewError(sources.NoLogin, fmt.Sprintf("the SSO session of profile %s has expired, or there is none", p.Profile), "run: aws sso login --profile "+p.Profile)
	case p.LoginSession != "":
		return sources.NewError(sources.NoLogin, fmt.Sprintf("the login session of profile %s has expired, or there is none", p.Profile), "run: aws login --profile "+p.Profile)
	case errors.As(err, &process):
		e := sources.NewError(sources.NoLogin, fmt.Sprintf("the credential_process of aws profile %q failed", p.Profile), "run the command by hand and see what it says")
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			e.Message += ": " + exit.String() // the state of the process, and no output
		} else {
			e.Message += ": its output is not what aws wants of one"
		}
		return e
	}
	return nil
}

// ssoIncomplete makes the error for a profile whose settings of SSO the SDK
// refuses, or returns nil where they are not the reason.
func (s *source) ssoIncomplete(err error) *sources.Error {
	if strings.Contains(err.Error(), "SSO session section") { // the SDK has no type for it
		return sources.NewError(sources.NoLogin, fmt.Sprintf("aws profile %q, or its source_profile, names an sso_session that is not in the config file", s.profile()),
			"run: aws configure sso --profile "+s.profile())
	}
	p := s.signsIn()
	if p == nil || p.SSOSessionName == "" && p.SSOStartURL == "" {
		return nil
	}
	return sources.NewError(sources.NoLogin, fmt.Sprintf("the SSO settings of aws profile %q are not complete, or contradict each other", p.Profile),
		"run: aws configure sso --profile "+p.Profile)
}

// fileMost is more than any file of settings or credentials has, in bytes.
const fileMost = 4 << 20

// shared returns the paths of the shared config files.
func (s *source) shared() []string {
	text := func(name string) string { v, _ := s.getenv(name); return v }
	return []string{
		cmp.Or(text("AWS_CONFIG_FILE"), config.DefaultSharedConfigFilename()),
		cmp.Or(text("AWS_SHARED_CREDENTIALS_FILE"), config.DefaultSharedCredentialsFilename()),
	}
}

// checkShared refuses shared config files that the SDK would read by itself,
// whatever they are. The error is a *fs.PathError, as that of checkFiles.
func (s *source) checkShared() error { return checkAll(s.shared()) }

// marked says of a shared config file that it begins with a byte order mark, or is in
// UTF-16: the SDK then does not see its first section, or none. It returns "" where
// no file is so.
func (s *source) marked() string {
	for _, path := range s.shared() {
		switch data, _, err := regular.ReadFile(path, fileMost); {
		case err != nil:
		case bytes.HasPrefix(data, []byte("\ufeff")):
			return s.fileOf(path) + " begins with a byte order mark, which hides its first section: save it without"
		case bytes.IndexByte(data, 0) >= 0:
			return s.fileOf(path) + " is in UTF-16, or no text: save it as UTF-8"
		}
	}
	return ""
}

// checkFiles is checkShared for all files that the SDK reads.
func (s *source) checkFiles() error {
	var paths []string
	for _, name := range []string{"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CA_BUNDLE"} {
		path, _ := s.getenv(name)
		paths = append(paths, path)
	}
	if err := checkAll(paths); err != nil {
		return err
	}
	if err := s.checkShared(); err != nil {
		return err
	}
	profile, err := s.sharedProfile()
	if err != nil {
		return nil // loading says so, where it matters
	}
	paths = []string{profile.CustomCABundle}
	for p := &profile; p != nil; p = p.Source {
		paths = append(paths, p.WebIdentityTokenFile)
	}
	return checkAll(paths)
}

func checkAll(paths []string) error {
	for _, path := range paths {
		if path == "" {
			continue
		}
		if err := regular.CheckFile(path, fileMost); err != nil {
			return err
		}
	}
	return nil
}
