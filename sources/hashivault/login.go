package hashivault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/vault/api"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker/regular"
)

// podToken is where Kubernetes puts the token of a pod's service account.
const podToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// login is one way to a token.
type login struct {
	what string // for messages: `the token of vault_store.hashicorp`
	hint string // what to do where it is refused
	// token returns a token that somebody else made; nil where it is to be made.
	token func() (string, *sources.Error)
	// request is one that makes a token, at auth/METHOD/login; empty where there is
	// one.
	method  string
	request func() (map[string]any, *sources.Error)
}

// loginOf chooses the way, in the order that [Backend] promises. It reads no
// file: that is for the first use, and for every later one.
func loginOf(set sources.Settings, opts sources.Options) (login, error) {
	has := func(key string) bool { return set[key].Len() > 0 }
	switch {
	case has("role_id") != has("secret_id"):
		return login{}, sources.NewError(sources.BadSettings, "role_id and secret_id must be set together: one of them is absent or empty",
			"set both, or neither to sign in otherwise")
	case !has("kubernetes_role") && (has("kubernetes_mount") || has("kubernetes_token_file")):
		return login{}, sources.NewError(sources.BadSettings, "kubernetes_mount and kubernetes_token_file are of no use without kubernetes_role",
			"set kubernetes_role to the role of vault's kubernetes auth method")
	}
	if mount := set.Text("kubernetes_mount"); mount != "" && sources.CheckPath(strings.Trim(mount, "/")) != "" {
		return login{}, sources.NewError(sources.BadSettings, "kubernetes_mount is not the path of an auth method", "it looks like kubernetes or clusters/eu")
	}
	switch {
	case has("token"):
		return fixed("the token of vault_store.hashicorp", string(set["token"].Reveal())), nil
	case has("role_id"):
		return byRole(string(set["role_id"].Reveal()), set["secret_id"]), nil
	case has("kubernetes_role"):
		if opts.Elsewhere != "" {
			return login{}, sources.Stays("the token of a service account", opts.Elsewhere)
		}
		path, err := given("kubernetes_token_file", set, opts)
		return byPod(set, path), err
	case has("token_file"):
		path, err := given("token_file", set, opts)
		return fromFile("the token of vault_store.hashicorp.token_file", path), err
	}
	if token, _ := opts.Getenv(api.EnvVaultToken); token != "" {
		if opts.Elsewhere != "" {
			return login{}, sources.Stays("VAULT_TOKEN", opts.Elsewhere)
		}
		return fixed("VAULT_TOKEN", token), nil
	}
	home, _ := opts.Getenv("HOME")
	profile, _ := opts.Getenv("USERPROFILE")
	if home = cmp.Or(home, profile); home == "" {
		return login{token: func() (string, *sources.Error) { return "", nothing(opts.Getenv) }}, nil
	}
	path := filepath.Join(home, ".vault-token")
	if _, err := os.Stat(path); err == nil && opts.Elsewhere != "" {
		return login{}, sources.Stays("~/.vault-token", opts.Elsewhere)
	}
	l := fromFile("the token of ~/.vault-token", func() (string, error) { return path, nil })
	read := l.token
	l.token = func() (string, *sources.Error) {
		token, err := read()
		if err != nil && errors.Is(err, fs.ErrNotExist) {
			return "", nothing(opts.Getenv)
		}
		return token, err
	}
	return l, nil
}

func nothing(getenv func(string) (string, bool)) *sources.Error {
	return sources.NewError(sources.NoLogin, "there is nothing to sign in to vault with",
		"set token, role_id and secret_id, kubernetes_role or token_file in vault_store.hashicorp, or VAULT_TOKEN"+unread(getenv, "BAO_TOKEN"))
}

// unread says that a variable of OpenBao's own client is not read, where it is set: its
// variables do not take turns with those of Vault here.
func unread(getenv func(string) (string, bool), name string) string {
	if value, _ := getenv(name); value == "" {
		return ""
	}
	return "; " + name + " is not read"
}

const block = "vault_store.hashicorp"

// given returns what returns the path of a setting, or of the pod's token where the
// setting is absent. The error is that of the path now.
func given(key string, set sources.Settings, opts sources.Options) (func() (string, error), error) {
	text := set.Text(key)
	if text == "" {
		return func() (string, error) { return podToken, nil }, nil
	}
	path := func() (string, error) {
		path, err := opts.Path(block+"."+key, text)
		if err == nil && opts.Elsewhere != "" && sources.SameFile(path, podToken) {
			err = sources.Stays("the token of a service account", opts.Elsewhere)
		}
		return path, err
	}
	_, err := path()
	return path, err
}

func fixed(what, token string) login {
	return login{
		what: what, hint: "it has expired or was revoked, or belongs to another vault or namespace: give a new one, or sign in with an AppRole or kubernetes_role, which renews itself",
		token: func() (string, *sources.Error) { return sources.Trim(token), nil },
	}
}

// fromFile reads the token anew for each login: an agent puts a new one there
// when the old one ends.
func fromFile(what string, path func() (string, error)) login {
	return login{what: what, hint: "it has expired or was revoked: see that what writes the file still runs", token: func() (string, *sources.Error) {
		token, err := readShort(path)
		if err != nil {
			return "", unreadable(what, err)
		}
		return token, nil
	}}
}

// unreadable does not say the path: it may be the token itself, put there by
// mistake.
func unreadable(what string, err error) *sources.Error {
	var known *sources.Error
	if errors.As(err, &known) {
		return known
	}
	err = regular.Cause(err)
	return &sources.Error{
		Kind: sources.NoLogin, Message: fmt.Sprintf("%s cannot be read from its file: %v", what, err), Err: err,
		Hint: "check the path, and that this user may read the file",
	}
}

// maxToken is more than any token has.
const maxToken = 64 << 10

func readShort(where func() (string, error)) (string, error) {
	path, err := where()
	if err != nil {
		return "", err
	}
	b, _, err := regular.ReadFile(path, maxToken)
	token := sources.Trim(string(b))
	if err == nil && token == "" {
		err = errors.New("it is empty")
	}
	return token, err
}

func byRole(role string, secret sources.Secret) login {
	return login{
		what: "the AppRole", hint: "check role_id and secret_id: a secret_id may have expired, be used up, or be bound to another address",
		method: "approle", request: func() (map[string]any, *sources.Error) {
			return map[string]any{"role_id": role, "secret_id": string(secret.Reveal())}, nil
		},
	}
}

func byPod(set sources.Settings, path func() (string, error)) login {
	role := set.Text("kubernetes_role")
	mount := cmp.Or(strings.Trim(set.Text("kubernetes_mount"), "/"), "kubernetes")
	return login{
		what:   fmt.Sprintf("the kubernetes role %q", role),
		hint:   fmt.Sprintf("see that auth/%s/role/%s is bound to this pod's service account and namespace, and that vault may ask the cluster about tokens", mount, role),
		method: mount, request: func() (map[string]any, *sources.Error) {
			token, err := readShort(path)
			if err != nil {
				return nil, unreadable("the token of the service account", err)
			}
			return map[string]any{"role": role, "jwt": token}, nil
		},
	}
}

// make returns what a login has made: a token with its lease.
func (l login) make(ctx context.Context, c *api.Client) (*api.Secret, error) {
	if l.request != nil {
		data, fault := l.request()
		if fault != nil {
			return nil, fault
		}
		c.SetToken("")
		made, err := c.Logical().WriteWithContext(ctx, "auth/"+l.method+"/login", data)
		if err != nil {
			return nil, err
		}
		if made == nil || made.Auth == nil || made.Auth.ClientToken == "" {
			return nil, errNoAnswer
		}
		c.SetToken(made.Auth.ClientToken)
		return made, nil
	}
	token, fault := l.token()
	if fault != nil {
		return nil, fault
	}
	c.SetToken(token)
	known, err := c.Auth().Token().LookupSelfWithContext(ctx)
	if _, text, status := reply(err); status == 403 && !isBadToken(text) {
		// A policy may forbid a token to look at itself, and yet to read.
		return &api.Secret{Auth: &api.SecretAuth{ClientToken: token}}, nil
	}
	if err != nil {
		return nil, err
	}
	if known == nil || known.Data == nil {
		return nil, errNoAnswer
	}
	renewable, _ := known.TokenIsRenewable()
	ttl, _ := known.TokenTTL()
	return &api.Secret{Auth: &api.SecretAuth{ClientToken: token, Renewable: renewable, LeaseDuration: int(ttl.Seconds())}}, nil
}

// errNoAnswer is an answer without what was asked for.
var errNoAnswer = errors.New("an answer without its content")
