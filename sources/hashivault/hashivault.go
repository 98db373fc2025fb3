// Package hashivault makes the key-value secrets engine of HashiCorp Vault or of
// OpenBao a source of secrets.
//
// A secret is a document: an object of keys and values. A fragment is one of its
// keys. A reference to the whole of a document with exactly one key gives the
// value of that key, and else the document as JSON.
//
// The engine's version is asked for once. Version 2 can be read and written;
// version 1, which has no versions and no check-and-set, can be read. Retries are
// those of Vault's own client; there is no second loop around them.
package hashivault

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"bifrost-secrets/sources"
)

// Backend is the entry for the list of backends. Its settings are those of
// Bifrost's vault_store.hashicorp block, and four of our own for those who run
// in pods; all of them may be left out, and an empty value counts as left out.
//
//   - address: else VAULT_AGENT_ADDR, VAULT_ADDR.
//   - token; else role_id and secret_id, of the AppRole at auth/approle; else
//     kubernetes_role, at auth/kubernetes_mount (`kubernetes`), with the service
//     account token of kubernetes_token_file (that of the pod); else token_file;
//     else VAULT_TOKEN; else the file that `vault login` leaves, ~/.vault-token.
//   - namespace: else VAULT_NAMESPACE.
//   - mount_path: where the engine is mounted, else `secret`.
//
// The variables of Vault's client are in force, VAULT_CACERT, VAULT_CAPATH,
// VAULT_CLIENT_CERT, VAULT_SKIP_VERIFY, VAULT_MAX_RETRIES and VAULT_RATE_LIMIT
// among them.
var Backend = sources.Backend{
	Facts: sources.Vault,
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
	callTimeout = 10 * time.Second // of one attempt, where neither the options nor VAULT_CLIENT_TIMEOUT say
	atOnce      = 16               // requests under way at a time
)

// source implements sources.Inspector.
type source struct {
	sources.Tally

	address   string // empty where neither the settings nor the environment have one
	namespace string
	mount     string // without slashes at its ends
	login     login

	getenv  func(string) (string, bool)
	warn    func(string)
	log     *slog.Logger
	timeout time.Duration
	wait    time.Duration // the most between two attempts; 0, but in tests, is the client's own

	slots   chan struct{} // one for each request under way
	signing chan struct{} // held while signing in; a channel, so that waiting ends with ctx

	mu      sync.Mutex // guards what follows
	client  *api.Client
	idle    func()   // closes the client's idle connections
	session *session // nil until the first use
	engine  *engine  // what is known of the mount
}

func newSource(set sources.Settings, opts sources.Options) (*source, error) {
	if err := sources.Vault.CheckKeys(set); err != nil {
		return nil, err
	}
	variable := func(name string) string {
		v, _ := opts.Getenv(name)
		return v
	}
	s := &source{
		address:   cmp.Or(set.Text("address"), variable(api.EnvVaultAgentAddr), variable(api.EnvVaultAddress)),
		namespace: strings.Trim(cmp.Or(set.Text("namespace"), variable(api.EnvVaultNamespace)), "/"),
		mount:     strings.Trim(cmp.Or(set.Text("mount_path"), "secret"), "/"),
		getenv:    opts.Getenv, warn: opts.Warn, log: opts.Log, timeout: opts.CallTimeout,
		slots: make(chan struct{}, atOnce), signing: make(chan struct{}, 1),
	}
	if sources.CheckPath(s.mount) != "" {
		return nil, badSettings("mount_path is not the path of a secrets engine", "it looks like secret or team/kv")
	}
	if err := s.checkAddress(opts.Warn); err != nil {
		return nil, err
	}
	login, err := loginOf(set, opts)
	if err != nil {
		return nil, err
	}
	s.login = login
	return s, nil
}

// checkAddress refuses what the client would misread.
func (s *source) checkAddress(warn func(string)) error {
	if s.address == "" || strings.HasPrefix(s.address, "unix://") {
		return nil
	}
	u, err := url.Parse(s.address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return badSettings("address is not the address of a vault", "it looks like https://vault.example.com:8200")
	}
	// The client adds /v1 itself, and /ui is what a browser shows.
	base := strings.TrimRight(u.Path, "/")
	if i := strings.Index(base+"/", "/ui/"); i >= 0 {
		base = base[:i]
	}
	if base = strings.TrimSuffix(base, "/v1"); base != strings.TrimRight(u.Path, "/") {
		warn("the address of the vault ends with a path of its api or its pages, which is left out")
		s.address = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: base}).String()
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); u.Scheme == "http" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		warn("the address of the vault is http: its token and the secrets can be read on the way")
	}
	return nil
}

func badSettings(message, hint string) *sources.Error {
	return &sources.Error{Kind: sources.BadSettings, Message: message, Hint: hint}
}

// Plan foretells one request for each name that can be.
func (s *source) Plan(names []string) (c sources.Calls) {
	for _, name := range names {
		if checkName(name) == nil {
			c.Single++
		}
	}
	return c
}

// Ping reads name, or looks at the token where name is empty: that there is
// something which may be listed is not said, and nothing need be.
func (s *source) Ping(ctx context.Context, name string) error {
	if name != "" {
		return s.Fetch(ctx, []string{name})[name].Err
	}
	fault := s.begin(ctx, reading).call("", "", func(ctx context.Context, c *api.Client, _ string) error {
		_, err := c.Auth().Token().LookupSelfWithContext(ctx)
		if _, text, status := reply(err); status == 403 && !isBadToken(text) {
			return nil // it may not look at itself, and was known to get this answer
		}
		return err
	})
	return asError(fault)
}

// Describe names the backend, its host, and where in it the secrets are.
func (s *source) Describe() string {
	text := sources.Vault.Type
	if host := s.host(); host != "" {
		text += " at " + host
	}
	if s.namespace != "" {
		text += ", namespace " + s.namespace
	}
	return text + ", mount " + s.mount
}

// host gives the host of the address, or "".
func (s *source) host() string {
	if u, err := url.Parse(s.address); err == nil {
		return cmp.Or(u.Host, u.Path)
	}
	return ""
}

// Close ends the renewal of the token and the idle connections. The source stays
// usable.
func (s *source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != nil {
		s.session.end()
	}
	if s.idle != nil {
		s.idle()
	}
	return nil
}

// asError keeps a nil *Error from becoming an error that is not nil.
func asError(e *sources.Error) error {
	if e == nil {
		return nil
	}
	return e
}
