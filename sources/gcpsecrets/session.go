package gcpsecrets

import (
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
	"cloud.google.com/go/auth/httptransport"
	"google.golang.org/api/option"
	"google.golang.org/api/secretmanager/v1"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
)

const scope = "https://www.googleapis.com/auth/cloud-platform"

// session is what a source has once it has signed in.
type session struct {
	secrets   *secretmanager.ProjectsSecretsService
	creds     *auth.Credentials
	transport *http.Transport
}

func (s *session) close() { s.transport.CloseIdleConnections() }

// signIn gives the session with a token that is good now. Asking for one before
// the requests makes a failure to sign in one failure, and not one for each
// secret.
func (s *source) signIn(ctx context.Context) (*session, *sources.Error) {
	began := time.Now()
	select {
	case s.signing <- struct{}{}:
		defer func() { <-s.signing }()
	case <-ctx.Done():
		return nil, netfault.Late(ctx, began, system)
	}
	if ctx.Err() != nil {
		return nil, netfault.Late(ctx, began, system)
	}
	sess := s.current()
	var fault *sources.Error
	if sess != nil {
		if fault = s.token(ctx, began, sess); fault != nil && fault.Kind == sources.NoLogin {
			// They may be others by now, those of a file for one.
			s.forget(sess)
			sess = nil
		}
	}
	if old := fault; sess == nil {
		if sess, fault = s.newSession(ctx, began); fault == nil {
			fault = s.token(ctx, began, sess)
		}
		if old != nil && fault == nil {
			s.warn(sources.SignedInAnew("gcp", old))
		}
	}
	attrs := []slog.Attr{slog.Duration("took", time.Since(began).Round(time.Millisecond))}
	if fault != nil {
		attrs = append(attrs, slog.String("failed", string(fault.Kind)), slog.String("code", fault.Code))
	}
	s.log.LogAttrs(ctx, slog.LevelDebug, "gcp sign-in", attrs...)
	if fault != nil {
		return nil, fault
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session = sess
	return sess, nil
}

func (s *source) current() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

func (s *source) token(ctx context.Context, began time.Time, sess *session) *sources.Error {
	if _, err := sess.creds.Token(ctx); err != nil {
		return s.loginFault(ctx, began, err)
	}
	return nil
}

func (s *source) forget(sess *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == sess {
		s.session = nil
		sess.close()
	}
}

// anew signs in again, after old was refused: credentials that a file has, and
// tokens that a service gives, may be others now. A refused token would
// otherwise be held until it expires.
func (s *source) anew(ctx context.Context, old *session, why *sources.Error) (*session, *sources.Error) {
	s.forget(old)
	sess, fault := s.signIn(ctx)
	if fault == nil {
		s.warn(sources.SignedInAnew("gcp", why))
	}
	return sess, fault
}

// silent keeps the libraries from logging: GOOGLE_SDK_GO_LOGGING_LEVEL would
// make them print answers, and so values.
var silent = slog.New(slog.DiscardHandler)

func (s *source) newSession(ctx context.Context, began time.Time) (*session, *sources.Error) {
	transport := netfault.Transport(s.timeout, atOnce)
	if s.route != nil {
		s.route(transport)
	}
	creds, fault := s.detect(ctx, began, &http.Client{Transport: netfault.Limited(transport, 1<<20), Timeout: s.timeout})
	if fault != nil {
		return nil, fault
	}
	client, err := httptransport.NewClient(&httptransport.Options{
		Credentials: creds, BaseRoundTripper: netfault.Limited(transport, maxAnswer), DisableTelemetry: true, Logger: silent,
	})
	if err != nil {
		return nil, s.loginFault(ctx, began, err)
	}
	client.Timeout = s.timeout
	// A token is for one host only.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	service, err := secretmanager.NewService(ctx, option.WithHTTPClient(client), option.WithLogger(silent))
	if err != nil {
		return nil, s.loginFault(ctx, began, err)
	}
	service.UserAgent = "bifrost-secrets"
	return &session{secrets: service.Projects.Secrets, creds: creds, transport: transport}, nil
}

// detect finds the credentials. Looking for a metadata server takes no context,
// so it is left behind when ctx ends; it gives up by itself.
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
			return noLogin(fmt.Sprintf("the gcp credentials in %s cannot be read: %v", path, at.Err), formHint)
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
		return noLogin(fmt.Sprintf("the token in %s cannot be read: %v", form.Source.File, at.Err), formHint)
	}
	return nil
}

// noDefault is the error for an environment without credentials. The text of
// err is not shown: it may quote a file. Nor is the variable: people have set it
// to what the file was to hold.
func noDefault(err error) *sources.Error {
	e := noLogin("no gcp credentials were found",
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

func noLogin(message, hint string) *sources.Error {
	return &sources.Error{Kind: sources.NoLogin, Message: message, Hint: hint}
}

const formHint = "it is the JSON file that gcp hands out for a service account, for a user or for workload identity federation"

// given makes credentials of the setting.
func (s *source) given(opts *credentials.DetectOptions) (*auth.Credentials, *sources.Error) {
	text := s.credentials.Reveal()
	where := "credentials_json"
	path, err := s.path()
	if err != nil {
		return nil, noLogin(err.Error(), sources.HintOf(err))
	}
	if path != "" {
		b, _, err := sources.ReadFile(path, credentialsMost)
		if err != nil {
			e := noLogin("credentials_json is neither JSON nor the path of a file that can be read", "check the path, and who may read it")
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
		return nil, noLogin(where+" is not JSON", formHint)
	}
	if bad := elsewhere(text); bad != "" {
		return nil, noLogin(bad+" of "+where+" is no address of googleapis.com", "what signs in goes to google alone: take the file as gcp hands it out")
	}
	creds, err := credentials.NewCredentialsFromJSON(form.Type, text, opts)
	if err != nil {
		return nil, noLogin(where+" is not a credentials file of gcp that can be used", formHint)
	}
	return creds, nil
}
