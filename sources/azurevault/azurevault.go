// Package azurevault makes Azure Key Vault a source of secrets.
//
// A vault has no batches: each secret is one request. Retries are those of the
// Azure SDK; there is no second loop around them.
package azurevault

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/sources/perkey"
)

const (
	system = "azure key vault"

	maxRetries = 3
	maxAnswer  = 4 << 20 // a value has 25 KiB, and a page 25 secrets
)

// Backend is the entry for the list of backends. docs/backends/azure-key-vault.md has
// its settings, its names and the variables that are in force.
var Backend = sources.Backend{
	Facts: sources.Azure,
	Open:  perkey.Open(newSource, func(s *source) sources.Store { return &store{s} }),
}

// Whom requests go to.
var (
	service = netfault.System{Name: system, Hint: netfault.Network}
	entra   = netfault.System{Name: "entra id", Hint: "credentials are to come from there: check the network, the proxy settings and AZURE_AUTHORITY_HOST"}
)

var (
	hostForm   = perkey.Pattern(`^[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,6}(?::[0-9]{1,5})?$`)
	tenantForm = perkey.Pattern(`^[A-Za-z0-9.-]{1,253}$`)
)

// source implements sources.Inspector.
type source struct {
	*perkey.Frame[*session]

	vault    string // https://HOST, without a slash at the end
	host     string
	tenant   string
	clientID string
	secret   sources.Secret

	timeout    time.Duration
	retryDelay time.Duration
	route      func(*http.Transport) // nil but in tests
	now        func() time.Time
}

type operation = perkey.Operation[*session]

func newSource(set sources.Settings, opts sources.Options) (*source, error) {
	if err := sources.Azure.CheckKeys(set); err != nil {
		return nil, err
	}
	s := &source{
		tenant: set.Text("tenant_id"), clientID: set.Text("client_id"), secret: set["client_secret"],
		timeout: perkey.Timeout(opts), retryDelay: 500 * time.Millisecond, now: time.Now,
	}
	s.Frame = perkey.New(perkey.Calls[*session]{
		Facts: sources.Azure, Marks: marks, System: "azure", Parse: s.parse, Subject: s.subject,
		Whole: "leave out the version at the end of the id", SignIn: s.signIn, End: (*session).close, Late: service.Late,
		Read: s.read, Reach: s.reach, Look: s.lookers, List: s.list,
	}, opts)
	text := set.Text("vault_url")
	u, err := url.Parse(text)
	const hint = "it looks like https://NAME.vault.azure.net"
	switch {
	case text == "":
		return nil, sources.NewError(sources.BadSettings, "the azure block has no vault_url", "set vault_url: "+hint)
	case err != nil || !hostForm().MatchString(u.Host) || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, sources.NewError(sources.BadSettings, "vault_url is not the address of a vault", hint)
	case u.Scheme != "https":
		return nil, sources.NewError(sources.BadSettings, "vault_url is not an https address", hint)
	case s.secret.Len() > 0 && (s.tenant == "" || s.clientID == ""):
		return nil, sources.NewError(sources.BadSettings, "client_secret is set without tenant_id and client_id", "set all three, or no client_secret to use the credentials of the environment")
	case s.tenant != "" && !tenantForm().MatchString(s.tenant), s.clientID != "" && !tenantForm().MatchString(s.clientID):
		return nil, sources.NewError(sources.BadSettings, "tenant_id or client_id is not an id", "they look like 00000000-0000-0000-0000-000000000000; a tenant may be named by its domain as well")
	}
	s.host = strings.TrimSuffix(strings.ToLower(u.Host), ":443") // with which the SDK would not know its domain
	s.vault = "https://" + s.host
	return s, nil
}

// Describe names the backend and the vault.
func (s *source) Describe() string { return sources.Azure.Type + " at " + s.host }
