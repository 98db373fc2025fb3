// Package gcpsecrets makes GCP Secret Manager a source of secrets, by its REST
// API over net/http: Google's client for it would link gRPC. Signing in is left
// to Google's library.
package gcpsecrets

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/sources/perkey"
)

// Backend is the entry for the list of backends. docs/backends/gcp-secret-manager.md has
// its settings, its names and the variables that are in force.
var Backend = sources.Backend{
	Facts: sources.GCP,
	Open:  perkey.Open(newSource, func(s *source) sources.Store { return &store{s} }),
}

const (
	system = "gcp secret manager"
	host   = "secretmanager.googleapis.com"

	// maxAnswer bounds the body of an answer: a page of a list has the
	// annotations of its secrets, up to 16 KiB each.
	maxAnswer = 20 * pageSize << 10
)

// Whom requests go to.
var (
	service = netfault.System{Name: system, Hint: netfault.Network}
	tokens  = netfault.System{Name: "the service for tokens", Hint: netfault.Network}
)

var projectForm = perkey.Pattern(`^(?:[a-z0-9.-]{1,60}:)?[a-z0-9][a-z0-9-]{0,61}$`)

// source implements sources.Inspector.
type source struct {
	*perkey.Frame[*session]

	project     string
	credentials sources.Secret                    // empty for those of the environment
	where       func(path string) (string, error) // a path in credentials leads

	warn    func(string)
	timeout time.Duration
	pause   time.Duration         // at the most, before the second attempt
	route   func(*http.Transport) // nil but in tests
	now     func() time.Time
}

type operation = perkey.Operation[*session]

func newSource(set sources.Settings, opts sources.Options) (*source, error) {
	if err := sources.GCP.CheckKeys(set); err != nil {
		return nil, err
	}
	s := &source{
		project: set.Text("project_id"), credentials: set["credentials_json"],
		warn: opts.Warn, timeout: perkey.Timeout(opts), pause: time.Second, now: time.Now,
	}
	s.Frame = perkey.New(perkey.Calls[*session]{
		Facts: sources.GCP, Marks: marks, System: "gcp", Parse: s.parse, Subject: s.subject,
		Whole: "name the secret without /versions/", SignIn: s.signIn, End: (*session).close, Late: service.Late,
		Read: s.read, Reach: s.reach, Look: s.lookers, List: s.list,
	}, opts)
	s.where = func(path string) (string, error) {
		if !opts.Untrusted {
			opts.Within = nil // Enterprise allows any file there
		}
		return opts.Path("vault_store.gcp.credentials_json", path)
	}
	if _, err := s.path(); err != nil {
		return nil, err
	}
	switch {
	case s.project == "":
		return nil, sources.NewError(sources.BadSettings, "the gcp block has no project_id", "set project_id to the project that has the secrets")
	case !projectForm().MatchString(s.project):
		return nil, sources.NewError(sources.BadSettings, "project_id is not the id of a project", "it looks like my-project-123; its number does as well")
	}
	return s, nil
}

// path returns the path of the file with the credentials, and "" where they are
// given as text or not at all.
func (s *source) path() (string, error) {
	text := strings.TrimSpace(string(s.credentials.Reveal()))
	if text == "" || strings.HasPrefix(text, "{") {
		return "", nil
	}
	return s.where(text)
}

// Describe names the backend and the project.
func (s *source) Describe() string {
	return fmt.Sprintf("%s in project %s", sources.GCP.Type, s.project)
}
