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
	"runtime"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/sources/perkey"
	"bifrost-secrets/walker/regular"
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
func (s *source) signIn(ctx context.Context, began time.Time, current *session, _ []perkey.Name) (*session, *sources.Error) {
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
	token, err := sess.creds.Token(ctx)
	if err != nil {
		return s.loginFault(ctx, began, err)
	}
	// The metadata server would be asked for the domain, and has no token for
	// another.
	if token.MetadataString("auth.google.tokenSource") != "compute-metadata" {
		if domain, err := sess.creds.UniverseDomain(ctx); err != nil || domain != "googleapis.com" {
			return sources.NewError(sources.NoLogin, "the gcp credentials are for another cloud than googleapis.com", "take credentials without universe_domain")
		}
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
	if text, where, fault := s.file(); fault != nil || text != nil {
		if fault != nil {
			return nil, fault
		}
		return s.fromFile([]byte(sources.Trim(string(text))), where, opts)
	}
	var creds *auth.Credentials
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		creds, err = credentials.DetectDefault(opts)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return nil, service.Late(ctx, began)
	}
	if err != nil { // its text is not shown: it may quote a file
		return nil, sources.NewError(sources.NoLogin, "no gcp credentials were found",
			"set credentials_json or GOOGLE_APPLICATION_CREDENTIALS, or run: gcloud auth application-default login; on gcp, give the workload a service account")
	}
	return creds, nil
}

const (
	// fileMost is more than any file of credentials or of a token has, in bytes.
	fileMost = 1 << 20

	formHint = "it is the JSON file that gcp hands out for a service account, for a user or for workload identity federation"
	pathHint = "check the path, and who may read it"
)

// file returns the text of the credentials file that the setting, the variable or
// gcloud has, and what messages call it. The text is nil where there is none. The
// variable is not shown: people have set it to what the file was to hold.
func (s *source) file() (text []byte, where string, fault *sources.Error) {
	where = "the file that GOOGLE_APPLICATION_CREDENTIALS names"
	if s.credentials.Len() > 0 {
		return s.given()
	}
	path := os.Getenv("GOOGLE_APPLICATION_CREDENTIALS")
	var at *fs.PathError
	if path != "" {
		text, _, err := regular.ReadFile(path, fileMost)
		if errors.As(err, &at) {
			hint := pathHint
			if strings.HasPrefix(path, "{") {
				hint = "the variable holds the text of a credentials file, and is to name one; credentials_json takes the text, as env.NAME too"
			}
			return nil, "", sources.NewError(sources.NoLogin, where+" cannot be read: "+at.Err.Error(), hint)
		}
		return text, where, nil
	}
	dir := os.Getenv("APPDATA")
	if runtime.GOOS != "windows" {
		if dir = os.Getenv("HOME"); dir != "" {
			dir = filepath.Join(dir, ".config")
		}
	}
	if dir == "" { // or the working directory would say who we are
		return nil, "", nil
	}
	path = filepath.Join(dir, "gcloud", "application_default_credentials.json")
	if errors.As(regular.CheckFile(path, fileMost), &at) {
		return nil, "", sources.NewError(sources.NoLogin, fmt.Sprintf("the gcp credentials in %s cannot be read: %v", path, at.Err), formHint)
	}
	if text, _, err := regular.ReadFile(path, fileMost); err == nil {
		return text, path, nil
	}
	return nil, "", nil
}

// given returns the credentials of the setting.
func (s *source) given() (text []byte, where string, fault *sources.Error) {
	path, err := s.path()
	switch {
	case err != nil:
		return nil, "", sources.NewError(sources.NoLogin, err.Error(), sources.HintOf(err))
	case path == "":
		return s.credentials.Reveal(), "credentials_json", nil
	}
	text, _, err = regular.ReadFile(path, fileMost)
	if err == nil {
		return text, "the file that credentials_json names", nil
	}
	e := sources.NewError(sources.NoLogin, "credentials_json is neither JSON nor the path of a file that can be read", pathHint)
	// What is there may as well be the credentials in another form.
	if regular.CheckFile(path, fileMost) != nil {
		e.Message = "the path that credentials_json names is no regular file, or a very large one"
	} else if strings.HasSuffix(path, ".json") {
		e.Message = "the file that credentials_json names cannot be read"
	}
	return nil, "", e
}

// fromFile returns the credentials in the text of a file. What the document has is
// sent to Google alone, and neither may name as the file of a token what is none.
func (s *source) fromFile(text []byte, where string, opts *credentials.DetectOptions) (*auth.Credentials, *sources.Error) {
	var form struct {
		Type   credentials.CredType `json:"type"`
		Source struct {
			File string `json:"file"`
		} `json:"credential_source"`
	}
	if err := json.Unmarshal(text, &form); err != nil {
		return nil, sources.NewError(sources.NoLogin, where+" is not JSON", formHint)
	}
	if bad := elsewhere(text); bad != "" && s.credentials.Len() > 0 {
		return nil, sources.NewError(sources.NoLogin, bad+" of "+where+" is no address of googleapis.com", "what signs in goes to google alone: take the file as gcp hands it out")
	}
	var at *fs.PathError
	if form.Source.File != "" && errors.As(regular.CheckFile(form.Source.File, fileMost), &at) {
		return nil, sources.NewError(sources.NoLogin, fmt.Sprintf("the token in %s cannot be read: %v", form.Source.File, at.Err), formHint)
	}
	creds, err := credentials.NewCredentialsFromJSON(form.Type, text, opts)
	if err != nil {
		return nil, sources.NewError(sources.NoLogin, where+" is not a credentials file of gcp that can be used", formHint)
	}
	return creds, nil
}
