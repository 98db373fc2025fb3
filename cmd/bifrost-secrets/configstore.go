package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"bifrost-secrets/render"
	"bifrost-secrets/render/configstore"
	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
	"bifrost-secrets/watch/service"
)

// needConfigStore is configStore for a command that is about nothing else.
func (j *job) needConfigStore(ctx context.Context) (*configstore.Store, error) {
	store, err := j.ConfigStore(ctx, nil)
	if err == nil && store == nil {
		err = usageError(j.Config+" has no PostgreSQL config store that is switched on", "name the database with --database env.NAME")
	}
	return store, err
}

// rows looks at a config store for `lint --config-store`. It changes nothing.
func (o *online) rows(ctx context.Context, doc *walker.Document, address string, opts lint.Options, yield func(string, []lint.Finding)) ([]string, error) {
	flags := o.flags.Flags
	flags.Mode, flags.Database = string(render.Inline), address
	if doc == nil {
		doc, _ = walker.Parse("--database", []byte("{}"))
	} else {
		flags.Config = doc.Name
	}
	loaded, err := flags.Of(ctx, o.host(), doc)
	if err != nil {
		return nil, err
	}
	store, err := loaded.ConfigStore(ctx, nil)
	if err != nil {
		return nil, err
	}
	if store == nil {
		return []string{"it has no PostgreSQL config store to look at"}, nil
	}
	name := store.Name()
	ctx, cancel := context.WithTimeout(ctx, flags.Timeout)
	defer cancel()
	sum, err := store.Scan(ctx, func(r *configstore.Row) {
		if found := lintRow(r, opts); len(found) > 0 {
			yield(name, found)
		}
	})
	if err != nil {
		return nil, service.OfConfigStore(err)
	}
	return scanned(name, sum), nil
}

// lintRow returns the findings about one row, told by their places in the
// database.
func lintRow(r *configstore.Row, opts lint.Options) []lint.Finding {
	var all []lint.Finding
	for i := range r.Fields {
		if f := &r.Fields[i]; f.What == walker.Ref {
			all = append(all, lint.Finding{Rule: lint.DatabaseReference.ID, Severity: lint.DatabaseReference.Severity, Path: f.Place.String(), Message: "the reference " + f.Ref.Shown()})
		}
	}
	all = append(all, checkRow(r, opts)...)
	for _, place := range r.Encrypted {
		all = append(all, lint.Finding{Rule: lint.DatabaseCiphertext.ID, Severity: lint.DatabaseCiphertext.Severity, Path: place.String(), Message: "encrypted by Bifrost; it is not read"})
	}
	for i := range all {
		all[i].Message = r.Entity + ": " + all[i].Message
	}
	slices.SortStableFunc(all, func(a, b lint.Finding) int { return strings.Compare(a.Path, b.Path) })
	return opts.Settings.Apply(all)
}

// checkRow returns what the rules find in the fields of a row, told by their places in
// the database.
func checkRow(r *configstore.Row, opts lint.Options) (all []lint.Finding) {
	places := map[string]configstore.Place{}
	for i := range r.Fields {
		places[r.Fields[i].Path] = r.Fields[i].Place
	}
	for _, f := range lint.CheckRow(r.Document, opts) {
		if place, ok := places[f.Path]; ok { // else it is about what tells the row
			f.Path, f.Span = place.String(), walker.Span{}
			all = append(all, f)
		}
	}
	return all
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
		all = append(all, fmt.Sprintf("%s: %s unknown to this version, and not checked: %s", name, count(len(sum.UnknownColumns), "column"), listed(sum.UnknownColumns)))
	}
	if len(sum.UnknownTables) > 0 {
		all = append(all, fmt.Sprintf("%s: %s unknown to this version, and not checked: %s", name, count(len(sum.UnknownTables), "table"), listed(sum.UnknownTables)))
	}
	return all
}
