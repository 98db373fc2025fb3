package service

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/render/configstore"
	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
)

// HasConfigStore reports whether there is a PostgreSQL config store.
func (l *Loaded) HasConfigStore() bool {
	return l.flags.Database != "" || configstore.Part(l.Doc) != nil
}

// ConfigStore returns Bifrost's config store: that of --database, or the
// document's own, whose settings are resolved like any field. source, which may
// be nil, is where their secrets are; it is opened where it is needed and nil.
// The result is nil where there is none.
func (l *Loaded) ConfigStore(ctx context.Context, source sources.Source) (*configstore.Store, error) {
	return l.configStore(func(plan *render.Plan) (_ *render.Rendering, err error) {
		if len(plan.Secrets) > 0 && source == nil {
			if source, err = l.Open(ctx); err != nil {
				return nil, err
			}
			defer source.Close()
		}
		ctx, cancel := l.Within(ctx)
		defer cancel()
		return plan.Resolve(ctx, source)
	})
}

// configStore is ConfigStore with values that resolve has.
func (l *Loaded) configStore(resolve func(*render.Plan) (*render.Rendering, error)) (*configstore.Store, error) {
	if err := checkAddress("--database", l.flags.Database); err != nil {
		return nil, err
	}
	target, err := targetOf("--database", l.flags.Database, l.host.Getenv)
	if err != nil {
		return nil, err
	}
	if target != nil {
		return &configstore.Store{Target: target.As("bifrost-secrets config-store")}, nil
	}
	part := configstore.Part(l.Doc)
	if part == nil {
		return nil, nil
	}
	plan, err := render.NewPlan(part, l.Store, render.Options{Mode: render.Inline, Getenv: l.host.Getenv})
	if err != nil {
		return nil, err
	}
	rendering, err := resolve(plan)
	if err != nil {
		return nil, err
	}
	stray := ""
	getenv := func(name string) (string, bool) {
		if slices.ContainsFunc(l.host.Backends, func(b sources.Backend) bool { return b.Secret(name) }) {
			stray = name
		}
		return l.host.Getenv(name)
	}
	settings, err := configstore.Settings(rendering.Document(), getenv, l.commands(), l.flags.Trust || l.flags.Ambient)
	if err == nil && stray != "" && settings.Elsewhere != "" {
		err = sources.Stays(stray, settings.Elsewhere)
	}
	if err == nil {
		target, err = database.New(settings)
	}
	if err != nil {
		return nil, usageError(l.Doc.Name+": "+err.Error(), sources.HintOf(err))
	}
	return &configstore.Store{Target: target.As("bifrost-secrets config-store")}, nil
}

// StoreTime is how long reaching the config store may take at a start.
const StoreTime = 10 * time.Second

// ReachConfigStore checks that the config store, if there is one, can be reached
// with the settings that Bifrost will use, and returns its name. Its errors say
// what is wrong without the password.
func (l *Loaded) ReachConfigStore(ctx context.Context, source sources.Source) (name string, err error) {
	store, err := l.ConfigStore(ctx, source)
	if err != nil || store == nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, StoreTime)
	defer cancel()
	done := l.host.Waiting("asking " + store.Name())
	err = store.Target.Ping(ctx)
	done()
	return store.Name(), OfConfigStore(err)
}

// OfConfigStore says that an error is about Bifrost's database, and not about
// that of a vault_store.
func OfConfigStore(err error) error {
	var e *sources.Error
	if !errors.As(err, &e) {
		return err
	}
	said := *e
	said.Message = "config store: " + said.Message
	if said.Kind == sources.Denied && said.Code == "42501" {
		said.Hint = "docs/configstore.md has the GRANTs that are needed"
	}
	return &said
}

// checkAddress refuses an address with a password on the command line.
func checkAddress(flag, text string) error {
	if strings.HasPrefix(text, "env.") || text == "" || !sources.HasPassword(text) {
		return nil
	}
	return usageError(flag+": an address with a password on the command line can be read by others", "put it into a variable and write "+flag+" env.NAME")
}

// targetOf returns the database that a flag names, or nil.
func targetOf(flag, text string, getenv func(string) (string, bool)) (*database.Target, error) {
	if text == "" {
		return nil, nil
	}
	if name, ok := strings.CutPrefix(text, "env."); ok {
		if text, ok = getenv(name); !ok || text == "" {
			return nil, usageError(flag+": env."+name+" is not set", "set it to postgres://user:password@host:5432/name")
		}
	}
	target, err := database.New(database.Settings{URL: sources.NewSecret([]byte(text))})
	if err != nil {
		return nil, usageError(flag+": "+err.Error(), sources.HintOf(err))
	}
	return target, nil
}
