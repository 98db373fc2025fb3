package gcpsecrets

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/sources/perkey"
)

const scope = "https://www.googleapis.com/auth/cloud-platform"

// session is what a source has once it has signed in.
type session struct {
	http      *perkey.HTTP
	creds     *auth.Credentials
	transport *http.Transport
}

func (s *session) close() { s.transport.CloseIdleConnections() }

// signIn returns a session with a token that is good now. Asking for one before
// the requests makes a failure to sign in one failure, and not one for each
// secret.
func (s *source) signIn(ctx context.Context, began time.Time, current *session) (*session, *sources.Error) {
	var refused *sources.Error
	if current != nil {
		if refused = s.token(ctx, began, current); refused == nil || refused.Kind != sources.NoLogin {
			return current, refused
		}
		// They may be others by now, those of a file for one.
		current.close()
	}
	next, fault := s.newSession(ctx, began)
	if fault == nil {
		fault = s.token(ctx, began, next)
	}
	if fault != nil {
		return nil, fault
	}
	if refused != nil {
		s.warn(sources.SignedInAnew("gcp", refused))
	}
	return next, nil
}

func (s *source) token(ctx context.Context, began time.Time, sess *session) *sources.Error {
	if _, err := sess.creds.Token(ctx); err != nil {
		return s.loginFault(ctx, began, err)
	}
	return nil
}

// silent keeps the libraries from logging: GOOGLE_SDK_GO_LOGGING_LEVEL would
// make them print answers, and so values.
var silent = slog.New(slog.DiscardHandler)

func (s *source) newSession(ctx context.Context, began time.Time) (*session, *sources.Error) {
	transport := netfault.Transport(s.timeout, perkey.AtOnce)
	if s.route != nil {
		s.route(transport)
	}
	creds, fault := s.detect(ctx, began, &http.Client{Transport: netfault.Limited(transport, 1<<20), Timeout: s.timeout})
	if fault != nil {
		return nil, fault
	}
	billed, err := creds.QuotaProjectID(ctx)
	if err != nil {
		return nil, s.loginFault(ctx, began, err)
	}
	return &session{
		creds: creds, transport: transport,
		http: &perkey.HTTP{
			Client: &http.Client{
				Transport: netfault.Only(host, netfault.Limited(transport, maxAnswer)), Timeout: s.timeout,
				// A token is for one host only.
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			},
			Sign:  func(req *http.Request) error { return sign(req, creds, billed) },
			Pause: s.pause,
		},
	}, nil
}

// sign puts the token of credentials into a request, and the project that pays
// for it where that is another.
func sign(req *http.Request, creds *auth.Credentials, billed string) error {
	token, err := creds.Token(req.Context())
	if err != nil {
		return err
	}
	// The metadata server would be asked for the domain, and has no token for
	// another.
	if token.MetadataString("auth.google.tokenSource") != "compute-metadata" {
		if domain, err := creds.UniverseDomain(req.Context()); err != nil || domain != "googleapis.com" {
			return perkey.NoLogin("the gcp credentials are for another cloud than googleapis.com", "take credentials without universe_domain")
		}
	}
	req.Header.Set("Authorization", cmp.Or(token.Type, "Bearer")+" "+token.Value)
	if billed != "" {
		req.Header.Set("X-Goog-User-Project", billed)
	}
	return nil
}

// detect finds the credentials. Looking for a metadata server takes no context,
// so it is left behind when ctx ends; it ends by itself.
func (s *source) detect(ctx context.Context, began time.Time, client *http.Client) (*auth.Credentials, *sources.Error) {
	opts := &credentials.DetectOptions{Scopes: []string{scope}, Client: client, DisableAsyncRefresh: true, Logger: silent}
	if s.credentials.Len() > 0 {
		return s.given(opts)
	}
	if fault := checkDefault(); fault != nil {
		return nil, fault
	}
	type found struct {
		creds *auth.Credentials
		err   error
	}
	done := make(chan found, 1)
	go func() {
		creds, err := credentials.DetectDefault(opts)
		done <- found{creds, err}
	}()
	select {
	case f := <-done:
		if f.err != nil {
			return nil, noDefault(f.err)
		}
		return f.creds, nil
	case <-ctx.Done():
		return nil, netfault.Late(ctx, began, system)
	}
}

// credentialsMost is more than any file of credentials has, in bytes.
const credentialsMost = 1 << 20

// checkDefault refuses a file that the library would read by itself, whatever it
// is.
func checkDefault() *sources.Error {
	paths := []string{os.Getenv("GOOGLE_APPLICATION_CREDENTIALS")}
	if paths[0] == "" {
		home, _ := os.UserHomeDir()
		paths = []string{
			filepath.Join(home, ".config", "gcloud", "application_default_credentials.json"),
			filepath.Join(os.Getenv("APPDATA"), "gcloud", "application_default_credentials.json"),
		}
	}
	for _, path := range paths {
		var at *fs.PathError
		if path != "" && errors.As(sources.CheckFile(path, credentialsMost), &at) {
			return perkey.NoLogin(fmt.Sprintf("the gcp credentials in %s cannot be read: %v", path, at.Err), formHint)
		}
		if fault := checkSubject(path); fault != nil {
			return fault
		}
	}
	return nil
}

// checkSubject refuses credentials of workload identity federation whose token
// is in what is no file.
func checkSubject(path string) *sources.Error {
	text, _, err := sources.ReadFile(path, credentialsMost)
	if err != nil {
		return nil // the library says so
	}
	var form struct {
		Source struct {
			File string `json:"file"`
		} `json:"credential_source"`
	}
	if json.Unmarshal(text, &form) != nil || form.Source.File == "" {
		return nil
	}
	var at *fs.PathError
	if errors.As(sources.CheckFile(form.Source.File, credentialsMost), &at) {
		return perkey.NoLogin(fmt.Sprintf("the token in %s cannot be read: %v", form.Source.File, at.Err), formHint)
	}
	return nil
}

// noDefault is the error for an environment without credentials. The text of
// err is not shown: it may quote a file. Nor is the variable: people have set it
// to what the file was to hold.
func noDefault(err error) *sources.Error {
	e := perkey.NoLogin("no gcp credentials were found",
		"set credentials_json or GOOGLE_APPLICATION_CREDENTIALS, or run: gcloud auth application-default login; on gcp, give the workload a service account")
	var path *fs.PathError
	file := os.Getenv("GOOGLE_APPLICATION_CREDENTIALS")
	switch {
	case errors.As(err, &path):
		e.Message = "the file that GOOGLE_APPLICATION_CREDENTIALS names cannot be read: " + path.Err.Error()
		e.Hint = "check the path, and who may read it"
	case file != "":
		e.Message = "the file that GOOGLE_APPLICATION_CREDENTIALS names is not a credentials file of gcp"
		e.Hint = formHint
	}
	return e
}

const formHint = "it is the JSON file that gcp hands out for a service account, for a user or for workload identity federation"

// given returns the credentials of the setting.
func (s *source) given(opts *credentials.DetectOptions) (*auth.Credentials, *sources.Error) {
	text := s.credentials.Reveal()
	where := "credentials_json"
	path, err := s.path()
	if err != nil {
		return nil, perkey.NoLogin(err.Error(), sources.HintOf(err))
	}
	if path != "" {
		b, _, err := sources.ReadFile(path, credentialsMost)
		if err != nil {
			e := perkey.NoLogin("credentials_json is neither JSON nor the path of a file that can be read", "check the path, and who may read it")
			// What is there may as well be the credentials in another form.
			if sources.CheckFile(path, credentialsMost) != nil {
				e.Message = "the path that credentials_json names is no regular file, or a very large one"
			} else if strings.HasSuffix(path, ".json") {
				e.Message = "the file that credentials_json names cannot be read"
			}
			return nil, e
		}
		text, where = b, "the file that credentials_json names"
	}
	var form struct {
		Type credentials.CredType `json:"type"`
	}
	if err := json.Unmarshal(text, &form); err != nil {
		return nil, perkey.NoLogin(where+" is not JSON", formHint)
	}
	if bad := elsewhere(text); bad != "" {
		return nil, perkey.NoLogin(bad+" of "+where+" is no address of googleapis.com", "what signs in goes to google alone: take the file as gcp hands it out")
	}
	creds, err := credentials.NewCredentialsFromJSON(form.Type, text, opts)
	if err != nil {
		return nil, perkey.NoLogin(where+" is not a credentials file of gcp that can be used", formHint)
	}
	return creds, nil
}
