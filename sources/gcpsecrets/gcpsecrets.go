// Package gcpsecrets makes GCP Secret Manager a source of secrets, by its REST
// API.
//
// GCP has no batches: each secret is one request, a bounded number at a time.
// Attempts are repeated by the retry loop of Google's client libraries, gax;
// there is no second loop around it.
package gcpsecrets

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/googleapis/gax-go/v2"

	"bifrost-secrets/sources"
)

// Backend is the entry for the list of backends. Its settings are those of
// Bifrost's vault_store.gcp block; an empty value counts as left out.
//
//   - project_id: the project of secrets that are named without one; required.
//   - credentials_json: a credentials file of GCP as its text or its path; else
//     Application Default Credentials: GOOGLE_APPLICATION_CREDENTIALS, the file
//     of gcloud, the metadata server.
//
// A name is the id of a secret, any other text, whose id then is how
// [sources.Names] writes it, or a resource:
// projects/PROJECT/secrets/ID or projects/PROJECT/secrets/ID/versions/VERSION.
//
// HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE are in force.
var Backend = sources.Backend{
	Type:  backendType,
	Block: "gcp",
	Keys:  keys,
	Variables: []string{
		"GOOGLE_APPLICATION_CREDENTIALS",
	},
	Open: func(_ context.Context, set sources.Settings, opts sources.Options) (sources.Source, error) {
		s, err := newSource(set, opts)
		if err != nil {
			return nil, err // not s: a nil *source is not a nil Source
		}
		if opts.Write {
			return &store{s}, nil
		}
		return s, nil
	},
}

const (
	backendType = "gcp-secret-manager"
	system      = "gcp secret manager"
	host        = "secretmanager.googleapis.com"

	callTimeout = 10 * time.Second // of one attempt, where the options name none
	atOnce      = 16               // requests under way at a time
	maxAttempts = 4
	// maxAnswer bounds the body of an answer: a page of a list has the
	// annotations of its secrets, up to 16 KiB each.
	maxAnswer = 20 * pageSize << 10
)

var (
	keys = []string{"credentials_json", "project_id"}

	projectForm = lazily(`^(?:[a-z0-9.-]{1,60}:)?[a-z0-9][a-z0-9-]{0,61}$`)
)

// source implements sources.Source.
type source struct {
	sources.Tally

	project     string
	credentials sources.Secret                    // empty for those of the environment
	where       func(path string) (string, error) // a path in credentials leads

	warn    func(string)
	log     *slog.Logger
	timeout time.Duration
	backoff gax.Backoff
	route   func(*http.Transport) // nil but in tests
	now     func() time.Time

	slots   chan struct{} // one for each request under way
	signing chan struct{} // held while signing in; a channel, so that waiting ends with ctx

	mu      sync.Mutex // guards what follows
	session *session   // nil until the first use, and after a refusal
}

func newSource(set sources.Settings, opts sources.Options) (*source, error) {
	var unknown []string
	for key := range set {
		if !slices.Contains(keys, key) {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, badSettings("the gcp block has settings that are not known: "+strings.Join(unknown, ", "),
			"the settings known are "+strings.Join(keys, ", "))
	}
	s := &source{
		project: set.Text("project_id"), credentials: set["credentials_json"],
		warn: opts.Warn, log: opts.Log, timeout: opts.CallTimeout, now: time.Now,
		backoff: gax.Backoff{Initial: time.Second, Max: 8 * time.Second, Multiplier: 2},
		slots:   make(chan struct{}, atOnce), signing: make(chan struct{}, 1),
	}
	if s.timeout <= 0 {
		s.timeout = callTimeout
	}
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
		return nil, badSettings("the gcp block has no project_id", "set project_id to the project that has the secrets")
	case !projectForm().MatchString(s.project):
		return nil, badSettings("project_id is not the id of a project", "it looks like my-project-123; its number does as well")
	}
	return s, nil
}

func badSettings(message, hint string) *sources.Error {
	return &sources.Error{Kind: sources.BadSettings, Message: message, Hint: hint}
}

// path gives the path of the file with the credentials, and "" where they are
// given as text or not at all.
func (s *source) path() (string, error) {
	text := strings.TrimSpace(string(s.credentials.Reveal()))
	if text == "" || strings.HasPrefix(text, "{") {
		return "", nil
	}
	return s.where(text)
}

// Plan foretells the requests of a Fetch: one for each name that can be.
func (s *source) Plan(names []string) sources.Calls {
	var c sources.Calls
	for _, name := range names {
		if _, err := s.parse(name); err == nil {
			c.Single++
		}
	}
	return c
}

// Ping reads name, or lists one secret where name is empty.
func (s *source) Ping(ctx context.Context, name string) error {
	if name != "" {
		return s.Fetch(ctx, []string{name})[name].Err
	}
	return s.listOne(ctx)
}

// Describe names the backend and the project.
func (s *source) Describe() string { return fmt.Sprintf("%s in project %s", backendType, s.project) }

// Close ends the idle connections. The source stays usable.
func (s *source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != nil {
		s.session.close()
	}
	return nil
}
