//go:build unix

package service

import (
	"bytes"
	"errors"
	"strings"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/watch"
	management "bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/control"
)

// address returns the API's URL. args are those of the command that starts
// Bifrost, where that is known: its port may stand there.
func (a *API) address(env map[string]string, args []string) string {
	if a.URL != "" {
		return a.URL
	}
	port := env["APP_PORT"] // of Bifrost's image
	for i, arg := range args {
		name, value, joined := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if name != "port" || !strings.HasPrefix(arg, "-") {
			continue
		}
		if !joined && i+1 < len(args) {
			value = args[i+1]
		}
		port = value
	}
	if port == "" {
		port = "8080"
	}
	return "http://127.0.0.1:" + port
}

// auth reads what to sign in with. Others must not be able to read or change the
// file, as with --token-file. No bearer token has a colon.
func (a *API) auth() (management.Auth, error) {
	if a.TokenFile == "" {
		return management.Auth{}, nil
	}
	named := "--bifrost-token-file " + a.TokenFile
	text, err := control.ReadPrivate(named, a.TokenFile)
	if err != nil {
		return management.Auth{}, usageError(err.Error(), sources.HintOf(err))
	}
	text = bytes.TrimRight(text, "\r\n")
	if user, password, ok := bytes.Cut(text, []byte(":")); ok {
		return management.Auth{Scheme: management.Basic, User: sources.NewSecret(user), Secret: sources.NewSecret(password)}, nil
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return management.Auth{}, usageError(named+" is empty", "write the token into it")
	}
	return management.Auth{Scheme: management.Bearer, Secret: sources.NewSecret(text)}, nil
}

// login returns what to sign in with as of now. A file that cannot be used any more
// leaves what it had before in force; that is said once.
func (d *runner) login(now management.Auth) func() management.Auth {
	said := ""
	return func() management.Auth {
		next, err := d.o.Bifrost.auth()
		switch {
		case err == nil:
			now, said = next, ""
		case err.Error() != said:
			said = err.Error()
			d.Log.Error("the credentials for Bifrost's API cannot be read again; what the file had before stays in force", "error", said)
		}
		return now
	}
}

// newAPI makes the applier. args are those of Bifrost's command, if it is ours;
// then running says why it does not run.
func (d *runner) newAPI(args []string, running func() error) (*management.Client, error) {
	auth, err := d.o.Bifrost.auth()
	if err != nil {
		return nil, err
	}
	return d.newClient(management.Options{
		URL: d.o.Bifrost.address(d.Env, args), Login: d.login(auth), Running: running, PlainHTTP: d.o.Bifrost.PlainHTTP,
		ApplyTimeout: d.o.ApplyTimeout, Starts: args != nil, Log: d.Log,
	})
}

// newProbe makes a client that asks for Bifrost's health and gets no value.
func (d *runner) newProbe(args []string) (*management.Client, error) {
	return d.newClient(management.Options{URL: d.o.Bifrost.address(d.Env, args), PlainHTTP: true, Timeout: management.LookEvery})
}

func (d *runner) newClient(o management.Options) (*management.Client, error) {
	client, err := management.New(o)
	var refused *management.Error
	if errors.As(err, &refused) {
		if errors.Is(err, management.ErrInClear) && d.o.AppDir == "" { // exec starts its Bifrost here
			refused.Hint += "; --bifrost-plain-http if something else encrypts"
		}
		return nil, usageError("--bifrost-url: "+refused.Reason, refused.Hint)
	}
	return client, err
}

// watched is a loop whose Bifrost something else has started.
type watched struct {
	*watch.Loop
	api *management.Client // nil where it is not used
}

// Status implements control.Watcher.
func (b *watched) Status() watch.Status {
	st := b.Loop.Status()
	if b.api != nil {
		st.Bifrost = &watch.BifrostStatus{API: b.api.Where(), Version: b.api.Found()}
	}
	return st
}

// split makes the applier of the modes that apply by field.
func (d *runner) split(args []string, running func() error) (*watch.Split, *management.Client, error) {
	s := &watch.Split{Word: d.o.Apply}
	var client *management.Client
	if d.o.Apply != "restart" && d.o.Mode == string(render.Inline) {
		var err error
		if client, err = d.newAPI(args, running); err != nil {
			return nil, nil, err
		}
		s.API = client
	}
	s.Takes = client.Takes
	return s, client, nil
}
