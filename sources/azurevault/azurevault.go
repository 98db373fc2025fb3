// Package azurevault makes Azure Key Vault a source of secrets.
//
// A vault has no batches: each secret is one request, a bounded number at a
// time. Retries are those of the Azure SDK; there is no second loop around them.
package azurevault

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"bifrost-secrets/sources"
)

// Backend is the entry for the list of backends. Bifrost's own vault_store has
// no such block; its settings are named as Azure names them, and an empty value
// counts as left out.
//
//   - vault_url: https://NAME.vault.azure.net; required.
//   - tenant_id, client_id, client_secret: an app and its secret; all three.
//     Without client_secret the SDK's default chain is asked (the environment,
//     workload identity, managed identity, the Azure CLI), and a client_id names
//     the identity of the former two; tenant_id is that of the chain.
//
// A name is the name of a secret, any other text, whose name in the vault then
// is how [sources.Names] writes it, or the id of a secret of this vault:
// https://NAME.vault.azure.net/secrets/SECRET or …/secrets/SECRET/VERSION.
//
// The variables of the SDK are in force, AZURE_AUTHORITY_HOST and
// AZURE_TOKEN_CREDENTIALS among them; so are HTTPS_PROXY, NO_PROXY and
// SSL_CERT_FILE.
var Backend = sources.Backend{
	Type:  backendType,
	Block: "azure",
	Keys:  keys,
	Variables: []string{
		"AZURE_AUTHORITY_HOST", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET",
		"AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID", "AZURE_TOKEN_CREDENTIALS", "IDENTITY_ENDPOINT", "IDENTITY_HEADER",
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
	backendType = "azure-key-vault"
	system      = "azure key vault"

	callTimeout = 10 * time.Second // of one attempt, where the options name none
	atOnce      = 16               // requests under way at a time
	maxRetries  = 3
	maxAnswer   = 4 << 20 // a value has 25 KiB, and a page 25 secrets
)

var (
	keys = []string{"client_id", "client_secret", "tenant_id", "vault_url"}

	hostForm   = lazily(`^[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,6}(?::[0-9]{1,5})?$`)
	tenantForm = lazily(`^[A-Za-z0-9.-]{1,253}$`)
)

// source implements sources.Source.
type source struct {
	sources.Tally

	vault    string // https://HOST, without a slash at the end
	host     string
	tenant   string
	clientID string
	secret   sources.Secret

	warn       func(string)
	log        *slog.Logger
	timeout    time.Duration
	retryDelay time.Duration
	route      func(*http.Transport) // nil but in tests
	now        func() time.Time

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
		return nil, badSettings("the azure block has settings that are not known: "+strings.Join(unknown, ", "),
			"the settings known are "+strings.Join(keys, ", "))
	}
	s := &source{
		tenant: set.Text("tenant_id"), clientID: set.Text("client_id"), secret: set["client_secret"],
		warn: opts.Warn, log: opts.Log, timeout: opts.CallTimeout, retryDelay: 500 * time.Millisecond, now: time.Now,
		slots: make(chan struct{}, atOnce), signing: make(chan struct{}, 1),
	}
	if s.timeout <= 0 {
		s.timeout = callTimeout
	}
	text := set.Text("vault_url")
	u, err := url.Parse(text)
	const hint = "it looks like https://NAME.vault.azure.net"
	switch {
	case text == "":
		return nil, badSettings("the azure block has no vault_url", "set vault_url: "+hint)
	case err != nil || !hostForm().MatchString(u.Host) || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, badSettings("vault_url is not the address of a vault", hint)
	case u.Scheme != "https":
		return nil, badSettings("vault_url is not an https address", hint)
	case s.secret.Len() > 0 && (s.tenant == "" || s.clientID == ""):
		return nil, badSettings("client_secret is set without tenant_id and client_id", "set all three, or no client_secret to use the credentials of the environment")
	case s.tenant != "" && !tenantForm().MatchString(s.tenant), s.clientID != "" && !tenantForm().MatchString(s.clientID):
		return nil, badSettings("tenant_id or client_id is not an id", "they look like 00000000-0000-0000-0000-000000000000; a tenant may be named by its domain as well")
	}
	s.host = strings.ToLower(u.Host)
	s.vault = "https://" + s.host
	return s, nil
}

func badSettings(message, hint string) *sources.Error {
	return &sources.Error{Kind: sources.BadSettings, Message: message, Hint: hint}
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

// Ping reads name, or lists the first secrets where name is empty.
func (s *source) Ping(ctx context.Context, name string) error {
	if name != "" {
		return s.Fetch(ctx, []string{name})[name].Err
	}
	return s.listOne(ctx)
}

// Describe names the backend and the vault.
func (s *source) Describe() string { return backendType + " at " + s.host }

// Close ends the idle connections. The source stays usable.
func (s *source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != nil {
		s.session.close()
	}
	return nil
}
