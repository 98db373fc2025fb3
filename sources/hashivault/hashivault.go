// Package hashivault makes the key-value secrets engine of HashiCorp Vault or of
// OpenBao a source of secrets.
//
// A secret is a document: an object of keys and values. A fragment is one of its
// keys. A reference to the whole of a document with exactly one key is the
// value of that key, and else the document as JSON.
//
// The engine's version is asked for once. Version 2 can be read and written;
// version 1, which has no versions and no check-and-set, can be read. Retries are
// those of Vault's own client; there is no second loop around them.
package hashivault

import (
	"cmp"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/perkey"
)

// Backend is the entry for the list of backends. docs/backends/hashicorp-vault.md has
// its settings, its names and the variables that are in force.
var Backend = sources.Backend{
	Facts: sources.Vault,
	Open:  perkey.Open(newSource, func(s *source) sources.Store { return &store{s} }),
}

// source implements sources.Inspector.
type source struct {
	*perkey.Frame[*session]

	address   string // empty where neither the settings nor the environment have one
	namespace string
	mount     string // without slashes at its ends
	login     login

	getenv  func(string) (string, bool)
	log     *slog.Logger
	timeout time.Duration // of one attempt
	wait    time.Duration // the most between two attempts; 0, but in tests, is the client's own

	client *api.Client            // nil until the first login
	idle   func()                 // closes the client's idle connections
	engine atomic.Pointer[engine] // what is known of the mount; never nil in an operation
}

type operation = perkey.Operation[*session]

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
		getenv:    opts.Getenv, log: opts.Log, timeout: opts.CallTimeout,
	}
	s.Frame = perkey.New(perkey.Calls[*session]{
		Facts: sources.Vault, Marks: marks, System: "vault", Parse: s.parse, Subject: subject, SignIn: s.signIn, End: s.close, Late: service.Late,
		Read: s.read, Reach: s.reach, Look: s.lookers, List: s.list,
	}, opts)
	if sources.CheckPath(s.mount) != "" {
		return nil, sources.NewError(sources.BadSettings, "mount_path is not the path of a secrets engine", "it looks like secret or team/kv")
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
		return sources.NewError(sources.BadSettings, "address is not the address of a vault", "it looks like https://vault.example.com:8200")
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

// host returns the host of the address, or "".
func (s *source) host() string {
	if u, err := url.Parse(s.address); err == nil {
		return cmp.Or(u.Host, u.Path)
	}
	return ""
}
