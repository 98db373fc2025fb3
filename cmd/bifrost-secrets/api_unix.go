//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	management "bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/control"

	"github.com/spf13/cobra"
)

// apiFlags say where Bifrost's management API is, and how to sign in.
type apiFlags struct {
	url       string
	basicFile string
	tokenFile string
	plainHTTP bool
}

func (a *apiFlags) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&a.url, "bifrost-url", "", "where Bifrost's API is: http://127.0.0.1:8080, https://host or unix:/path; by default on this machine, at Bifrost's port")
	f.StringVar(&a.basicFile, "bifrost-basic-file", "", "`file` with user:password for Bifrost's API; unless given, the admin credentials of the config are used")
	f.StringVar(&a.tokenFile, "bifrost-token-file", "", "`file` with a bearer token for Bifrost's API")
	f.BoolVar(&a.plainHTTP, "bifrost-plain-http", false, "allow values, though no credentials, to go in clear to another machine")
}

// address gives the API's URL. args are those of the command that starts
// Bifrost, where that is known: its port may stand there.
func (a *apiFlags) address(env map[string]string, args []string) string {
	if a.url != "" {
		return a.url
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
// file, as with --token-file.
func (a *apiFlags) auth() (management.Auth, error) {
	switch {
	case a.basicFile != "" && a.tokenFile != "":
		return management.Auth{}, usageError("--bifrost-basic-file and --bifrost-token-file exclude each other", "name one of them")
	case a.tokenFile != "":
		text, err := control.ReadPrivate("--bifrost-token-file "+a.tokenFile, a.tokenFile)
		if err == nil && strings.TrimSpace(string(text)) == "" {
			err = usageError("--bifrost-token-file "+a.tokenFile+" is empty", "write the token into it")
		}
		return management.Auth{Scheme: management.Bearer, Secret: sources.NewSecret(bytes.TrimRight(text, "\r\n"))}, usageOf(err)
	case a.basicFile != "":
		text, err := control.ReadPrivate("--bifrost-basic-file "+a.basicFile, a.basicFile)
		user, password, ok := bytes.Cut(bytes.TrimRight(text, "\r\n"), []byte(":"))
		if err == nil && !ok {
			err = usageError("--bifrost-basic-file "+a.basicFile+" does not hold user:password", "")
		}
		return management.Auth{Scheme: management.Basic, User: sources.NewSecret(user), Secret: sources.NewSecret(password)}, usageOf(err)
	}
	return management.Auth{}, nil
}

// usageOf makes a fault of a file that a flag names one of usage.
func usageOf(err error) error {
	var e *control.Error
	if errors.As(err, &e) {
		return usageError(e.Reason, e.Hint)
	}
	return err
}

// login gives what to sign in with as of now. A file that cannot be used any more
// leaves what it had before in force; that is said once.
func (d *daemon) login(now management.Auth) func() management.Auth {
	said := ""
	return func() management.Auth {
		next, err := d.bifrost.auth()
		switch {
		case err == nil:
			now, said = next, ""
		case err.Error() != said:
			said = err.Error()
			d.log.Error("the credentials for Bifrost's API cannot be read anew; what the file had before stays in force", "error", said)
		}
		return now
	}
}

// api is Bifrost's management API as an [watch.Applier].
type api struct {
	client  *management.Client
	log     *slog.Logger
	timeout time.Duration
	waits   bool                            // Bifrost was started by us, so it comes up
	reached atomic.Bool                     // it was healthy when it was last looked at
	doc     atomic.Pointer[walker.Document] // what was rendered last
	told    string                          // the version of Bifrost that was told of
}

// tell logs the version of Bifrost once, and whether it is newer than all that were
// run.
func (a *api) tell() {
	found := a.client.Found()
	if found == "" || found == a.told {
		return
	}
	a.told = found
	if newer, than := management.Newer(found); newer {
		a.log.Warn("this Bifrost is newer than every version that bifrost-secrets was run with; where its API is not as known, nothing is written", "version", found, "newest_run", than)
		return
	}
	a.log.Info("found Bifrost", "version", found)
}

// newAPI makes the applier. args are those of Bifrost's command, if it is ours;
// then running says why it does not run.
func (d *daemon) newAPI(args []string, running func() error) (*api, error) {
	auth, err := d.bifrost.auth()
	if err != nil {
		return nil, err
	}
	client, err := d.newClient(management.Options{URL: d.bifrost.address(d.p.env, args), Auth: auth, Login: d.login(auth), Running: running, PlainHTTP: d.bifrost.plainHTTP})
	if err != nil {
		return nil, err
	}
	return &api{client: client, log: d.log, timeout: d.applyTimeout, waits: args != nil}, nil
}

// newProbe makes a client that asks for Bifrost's health and is given no value.
func (d *daemon) newProbe(args []string) (*management.Client, error) {
	return d.newClient(management.Options{URL: d.bifrost.address(d.p.env, args), PlainHTTP: true, Timeout: management.LookEvery})
}

func (d *daemon) newClient(o management.Options) (*management.Client, error) {
	client, err := management.New(o)
	var refused *management.Error
	if errors.As(err, &refused) {
		if errors.Is(err, management.ErrInClear) {
			refused.Hint += "; --bifrost-plain-http if something else encrypts"
		}
		return nil, usageError("--bifrost-url: "+refused.Reason, refused.Hint)
	}
	return client, err
}

// where gives the address for the status; none where the API is not used.
func (a *api) where() string {
	if a == nil {
		return ""
	}
	return a.client.Where()
}

// beside is a loop whose Bifrost something else has started.
type beside struct {
	*watch.Loop
	api *api
}

// Status implements control.Watcher.
func (b *beside) Status() watch.Status {
	st := b.Loop.Status()
	if b.api != nil {
		st.Bifrost = &watch.BifrostStatus{API: b.api.where()}
	}
	return st
}

// Kind implements [watch.Applier].
func (*api) Kind() string { return "api" }

// Apply implements [watch.Applier].
func (a *api) Apply(ctx context.Context, u watch.Update) []watch.Outcome {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	doc, err := walker.Parse(u.Rendering.Plan.Document.Name, u.Rendering.Document())
	if err != nil { // what was rendered is a document: this is a fault of ours
		return a.failed(u, "the rendered document cannot be read", "")
	}
	a.doc.Store(doc)
	targets := make([]management.Target, len(u.Changed))
	for i, c := range u.Changed {
		targets[i] = management.Target{Path: c.Path, Entry: c.Entry, Value: c.Value}
	}
	push := a.client.Push
	if u.Trigger == watch.Start || u.Trigger == watch.Restarted {
		push = a.client.Converge
		ready := a.client.Ping
		if (a.waits || u.Trigger == watch.Restarted) && !u.Again { // else the loop has other things to do meanwhile
			ready = a.comesUp
		}
		err := ready(ctx)
		a.reached.Store(err == nil)
		if err != nil {
			var e *management.Error
			if errors.As(err, &e) {
				return a.failed(u, "bifrost is not healthy yet: "+e.Reason, e.Hint)
			}
			return a.failed(u, "bifrost is not healthy yet: "+err.Error(), "")
		}
	}
	var out []watch.Outcome
	for _, o := range push(ctx, doc, targets) {
		one := watch.Outcome{Path: o.Path, State: watch.State(o.State), Reason: o.Reason, Hint: o.Hint}
		if one.Reason == "" {
			one.Reason = o.Note
		}
		out = append(out, one)
	}
	a.tell()
	return out
}

// comesUp waits for a Bifrost that starts. Nothing else is done meanwhile, so that
// is said where it takes any time.
func (a *api) comesUp(ctx context.Context) error {
	if a.client.Ping(ctx) == nil {
		return nil
	}
	a.log.Info("waiting for Bifrost to answer", "up_to", a.timeout.String(), "api", a.client.Where())
	return a.client.Wait(ctx)
}

func (a *api) failed(u watch.Update, reason, hint string) []watch.Outcome {
	var out []watch.Outcome
	for _, c := range u.Changed {
		out = append(out, watch.Outcome{Path: c.Path, State: watch.Failed, Reason: reason, Hint: hint})
	}
	return out
}

// takes says whether a restart makes the running version take a field.
func (a *api) takes(ctx context.Context, u watch.Update) func(render.Change) (bool, string, string) {
	version := ""
	doc, _ := walker.Parse(u.Rendering.Plan.Document.Name, u.Rendering.Document())
	if a != nil {
		ctx, cancel := context.WithTimeout(ctx, a.timeout)
		defer cancel()
		version, _ = a.client.Version(ctx, doc) // what is not known counts as the newest
	}
	return func(c render.Change) (bool, string, string) {
		return management.RestartTakes(c.Entry, version, doc, c.Path, c.How == render.ValueInEnv)
	}
}

// split makes the applier of the modes that hand over by field.
func (d *daemon) split(args []string, running func() error) (*watch.Split, *api, error) {
	s := &watch.Split{Word: d.apply}
	var client *api
	if d.apply != "restart" && d.mode == string(render.Inline) {
		var err error
		if client, err = d.newAPI(args, running); err != nil {
			return nil, nil, err
		}
		s.API = client
	}
	s.Takes = client.takes
	return s, client, nil
}
