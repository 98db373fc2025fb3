package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/render/configstore"
	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"

	"github.com/spf13/cobra"
)

// databaseFlag says where Bifrost's config store is, where it is not where the
// config says.
func (j *job) databaseFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&j.database, "database", "", "the `address` of Bifrost's config store, in place of the config's own; with a password as env.NAME")
}

// hasConfigStore reports whether there is a PostgreSQL config store.
func (j *job) hasConfigStore() bool {
	return j.database != "" || configstore.Part(j.doc) != nil
}

// configStore gives Bifrost's config store: that of --database, or the
// document's own, whose settings are resolved like any field. source, which may
// be nil, is where their secrets are; it is opened where it is needed and nil.
// The result is nil where there is none.
func (j *job) configStore(ctx context.Context, source sources.Source) (*configstore.Store, error) {
	if err := checkAddress("--database", j.database); err != nil {
		return nil, err
	}
	target, err := targetOf("--database", j.database, j.p.getenv)
	if err != nil {
		return nil, err
	}
	if target != nil {
		return &configstore.Store{Target: target.As("bifrost-secrets config-store")}, nil
	}
	part := configstore.Part(j.doc)
	if part == nil {
		return nil, nil
	}
	plan, err := render.NewPlan(part, j.store, render.Options{Mode: render.Inline, Getenv: j.p.getenv})
	if err != nil {
		return nil, err
	}
	if len(plan.Secrets) > 0 && source == nil {
		if source, err = j.open(ctx); err != nil {
			return nil, err
		}
		defer source.Close()
	}
	ctx, cancel := j.within(ctx)
	defer cancel()
	rendering, err := plan.Resolve(ctx, source)
	if err != nil {
		return nil, err
	}
	stray := ""
	getenv := func(name string) (string, bool) {
		if slices.ContainsFunc(backends, func(b sources.Backend) bool { return b.Secret(name) }) {
			stray = name
		}
		return j.p.getenv(name)
	}
	settings, err := configstore.Settings(rendering.Document(), getenv, j.commands(), j.trust || j.ambient)
	if err == nil && stray != "" && settings.Elsewhere != "" {
		err = sources.Stays(stray, settings.Elsewhere)
	}
	if err == nil {
		target, err = database.New(settings)
	}
	if err != nil {
		return nil, usageError(j.doc.Name+": "+err.Error(), sources.HintOf(err))
	}
	return &configstore.Store{Target: target.As("bifrost-secrets config-store")}, nil
}

// needConfigStore is configStore for a command that is about nothing else.
func (j *job) needConfigStore(ctx context.Context) (*configstore.Store, error) {
	store, err := j.configStore(ctx, nil)
	if err == nil && store == nil {
		err = usageError(j.config+" has no PostgreSQL config store that is switched on", "name the database with --database env.NAME")
	}
	return store, err
}

// storeTime is how long reaching the config store may take at a start.
const storeTime = 10 * time.Second

// reachConfigStore checks that the config store, if there is one, can be reached
// with the settings that Bifrost will use, and gives its name. Its errors say
// what is wrong without the password. exec and watch call it before Bifrost
// starts.
func (j *job) reachConfigStore(ctx context.Context, source sources.Source) (name string, err error) {
	store, err := j.configStore(ctx, source)
	if err != nil || store == nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	done := j.p.waiting("asking " + store.Name())
	err = store.Target.Ping(ctx)
	done()
	return store.Name(), ofConfigStore(err)
}

// ofConfigStore says that an error is about Bifrost's database, and not about
// that of a vault_store.
func ofConfigStore(err error) error {
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

// rows looks at a config store for `lint --config-store`. It changes nothing.
func (o *online) rows(ctx context.Context, doc *walker.Document, address string, opts lint.Options, yield func(string, []lint.Finding)) ([]string, error) {
	flags := o.flags
	j := &flags
	j.doc, j.mode, j.database = doc, string(render.Inline), address
	if doc == nil {
		j.doc, _ = walker.Parse("--database", []byte("{}"))
	} else {
		j.config = doc.Name
		if err := j.findStore(); err != nil {
			return nil, err
		}
	}
	store, err := j.configStore(ctx, nil)
	if err != nil {
		return nil, err
	}
	if store == nil {
		return []string{"it has no PostgreSQL config store to look at"}, nil
	}
	name := store.Name()
	ctx, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	sum, err := store.Scan(ctx, func(r *configstore.Row) error {
		if found := lintRow(r, opts); len(found) > 0 {
			yield(name, found)
		}
		return nil
	})
	if err != nil {
		return nil, ofConfigStore(err)
	}
	return scanned(name, sum), nil
}

// lintRow gives the findings about one row, told by their places in the
// database.
func lintRow(r *configstore.Row, opts lint.Options) []lint.Finding {
	var all []lint.Finding
	places := map[string]configstore.Place{}
	for i := range r.Fields {
		f := &r.Fields[i]
		places[f.Path] = f.Place
		if f.What == walker.Ref {
			all = append(all, lint.Finding{Rule: lint.DatabaseReference.ID, Severity: lint.DatabaseReference.Severity, Path: f.Place.String(), Message: "the reference " + f.Ref.Shown()})
		}
	}
	for _, f := range lint.CheckRow(r.Document, opts) {
		place, ok := places[f.Path]
		if !ok {
			continue // it is about what tells the row
		}
		f.Path, f.Span = place.String(), walker.Span{}
		all = append(all, f)
	}
	for _, place := range r.Encrypted {
		all = append(all, lint.Finding{Rule: lint.DatabaseCiphertext.ID, Severity: lint.DatabaseCiphertext.Severity, Path: place.String(), Message: "encrypted by Bifrost; it is not read"})
	}
	for i := range all {
		all[i].Message = r.Entity + ": " + all[i].Message
	}
	slices.SortStableFunc(all, func(a, b lint.Finding) int { return strings.Compare(a.Path, b.Path) })
	return opts.Settings.Apply(all)
}

// scanned says what a scan has met beside its fields.
func scanned(name string, sum *configstore.Summary) []string {
	all := []string{fmt.Sprintf("%s: %s in %s: %d plaintext, %s, %d masked, %d encrypted", name, count(sum.Fields+sum.Encrypted, "field"), count(sum.Rows, "row"),
		sum.Plaintext, count(sum.References, "reference"), sum.Masked, sum.Encrypted)}
	for _, column := range slices.Sorted(maps.Keys(sum.Own)) {
		if n := sum.Own[column].Plaintext; n > 0 {
			all = append(all, fmt.Sprintf("%s: %s: %s that Bifrost made itself in plain text; an encryption_key would hide them", name, column, count(n, "value")))
		}
	}
	if sum.Unreadable > 0 {
		all = append(all, fmt.Sprintf("%s: %s with JSON that cannot be read", name, count(sum.Unreadable, "column")))
	}
	if len(sum.UnknownColumns) > 0 {
		all = append(all, fmt.Sprintf("%s: %s that this version does not know, and has not looked at: %s", name, count(len(sum.UnknownColumns), "column"), listed(sum.UnknownColumns)))
	}
	if len(sum.UnknownTables) > 0 {
		all = append(all, fmt.Sprintf("%s: %s that this version does not know, and has not looked at: %s", name, count(len(sum.UnknownTables), "table"), listed(sum.UnknownTables)))
	}
	return all
}
