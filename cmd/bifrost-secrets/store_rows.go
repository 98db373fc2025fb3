package main

import (
	"context"
	"errors"
	"fmt"

	"bifrost-secrets/render/autostore"
	"bifrost-secrets/render/configstore"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch/service"
)

// rowsToStore are what store --config-store works on. The items of the plan are
// told by their places in the database.
type rowsToStore struct {
	store *configstore.Store
	found *configstore.Storable
	plan  *autostore.Plan
	paths []string // of the items, in the document of found
}

// doRows is store --config-store. Everything is stored and read back before the
// first row is written, and all rows are written in one transaction.
func (j *storeJob) doRows(ctx context.Context, report *storing) error {
	if j.out != "" {
		return usageError("--out does not go with --config-store: it is the database that is written", "leave it out")
	}
	if err := j.read(); err != nil {
		return err
	}
	store, err := j.openStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	ctx, cancel := j.Within(ctx)
	defer cancel()
	rows := &rowsToStore{}
	if rows.store, err = j.ConfigStore(ctx, store); err == nil && rows.store == nil {
		rows.store, err = j.needConfigStore(ctx)
	}
	if err != nil {
		return err
	}
	report.Database, report.Source = rows.store.Name(), store.Describe()
	done := j.p.waiting("asking " + rows.store.Name() + " and " + store.Describe())
	err = rows.find(ctx)
	if err == nil {
		o := autostore.Options{Store: j.Store, Prefix: j.prefix, Gateway: j.gateway, Settings: j.settings, Getenv: j.p.getenv}
		var wanted func(string) bool
		if wanted, err = j.wanted(rows.store.Name(), rows.fields()); err == nil {
			o.Wanted = func(path string) bool {
				place, ok := rows.found.At(path)
				return ok && wanted(place.String())
			}
			rows.plan, err = autostore.NewPlan(ctx, rows.found.Document, store, o)
		}
		if err == nil {
			err = rows.label(ctx, j.Doc, store, o, wanted)
		}
	}
	done()
	if err != nil {
		return err
	}
	report.fill(rows.plan)
	report.Left = rows.found.Left
	if !j.json {
		if err := report.print(j.p.stdout); err != nil {
			return err
		}
	}
	if report.Refused > 0 {
		return j.refused(rows.store.Name(), rows.plan)
	}
	if !j.yes {
		j.sayPlan(report)
		return nil
	}
	return j.executeRows(ctx, store, rows, report)
}

func (rows *rowsToStore) find(ctx context.Context) (err error) {
	if rows.found, err = rows.store.Storable(ctx); err == nil {
		err = rows.found.Allowed()
	}
	return service.OfConfigStore(err)
}

// fields gives every place that may be chosen.
func (rows *rowsToStore) fields() (places []string) {
	for _, path := range fieldsOf(rows.found.Document) {
		if place, ok := rows.found.At(path); ok {
			places = append(places, place.String())
		}
	}
	for _, one := range rows.found.Encrypted {
		places = append(places, one.Place.String())
	}
	return places
}

// label gives the items their places in the database, adds what Bifrost has
// encrypted as refused, and refuses to change a secret that the config refers to.
func (rows *rowsToStore) label(ctx context.Context, doc *walker.Document, store sources.Store, o autostore.Options, wanted func(string) bool) error {
	var names []string
	for _, it := range rows.plan.Replaced() {
		names = append(names, it.Name)
	}
	meant, err := autostore.LookFor(ctx, store, o, names)
	if err != nil {
		return err
	}
	meant.Document(doc, o.Prefix)
	used := map[string]string{}
	for _, ref := range autostore.References(doc) {
		for _, name := range store.Identities(ref.Name) {
			used[name] = ref.Path
		}
	}
	for i := range rows.plan.Items {
		it := &rows.plan.Items[i]
		rows.paths = append(rows.paths, it.Path)
		place, _ := rows.found.At(it.Path)
		it.Path, it.Line, it.Column = place.String(), 0, 0
		for _, name := range store.Identities(it.Name) {
			if path, ok := used[name]; ok && it.Action == autostore.Changed {
				it.Action = autostore.Refuse
				it.Reason = fmt.Sprintf("%s of %s refers to the secret of that name, which has another value", path, doc.Name)
				it.Hint = "see which of the two is right: put that into the secret, and write its reference into the dashboard"
			}
		}
		if at, ok := meant.By(it.Name); ok && it.Action == autostore.Changed {
			it.Action = autostore.Refuse
			it.Reason = at + " may mean the secret of that name, which has another value"
			it.Hint = "see which of the two is right, and take the other out first"
		}
	}
	for _, one := range rows.found.Encrypted {
		if !wanted(one.Place.String()) {
			continue
		}
		it := autostore.Item{Kind: walker.SecretKind.String(), Action: autostore.Refuse, Reason: one.Reason}
		it.Path = one.Place.String()
		it.Hint = "put the secret into the backend by hand (secret put), and type its vault. reference into the dashboard"
		rows.plan.Items = append(rows.plan.Items, it)
		rows.paths = append(rows.paths, "")
	}
	return nil
}

// executeRows stores, and then writes the rows.
func (j *storeJob) executeRows(ctx context.Context, store sources.Store, rows *rowsToStore, report *storing) error {
	if err := j.throwAway(ctx, store, rows.plan); err != nil {
		return err
	}
	done := j.p.waiting("storing " + count(report.Writes, "secret") + " in " + report.Source)
	err := rows.plan.Store(ctx)
	done()
	if err != nil {
		return j.failed(ctx, rows.store.Name(), err)
	}
	refs := map[string]walker.Reference{}
	for i, it := range rows.plan.Items {
		refs[rows.paths[i]] = walker.Reference{Scheme: walker.Vault, Name: it.Name}
	}
	err = rows.store.Refer(ctx, rows.found, refs)
	var conflict *configstore.Conflict
	if errors.As(err, &conflict) {
		return &failure{reason: rows.store.Name() + ": " + err.Error() + " there, and what was stored stays stored", hint: "run again", code: exitUnresolved}
	}
	if err != nil {
		return service.OfConfigStore(err)
	}
	report.Done = true
	if j.p.quiet {
		return nil
	}
	s := j.p.screen
	if len(rows.plan.Items) == 0 {
		s.line("no secret that a reference could replace stands in %s in plain text", clean(report.Database))
	} else {
		s.line("%s in %s: %d new, %d changed, %d unchanged", count(len(rows.plan.Items), "secret"), clean(report.Source), report.New, report.Changed, report.Unchanged)
		s.line("wrote %s", clean(report.Database))
		s.hint("start Bifrost anew, by bifrost-secrets exec: it has the values in its environment from now on; detach undoes it")
	}
	j.sayLeft(report)
	return nil
}

// sayLeft tells of the secrets that no reference can take the place of.
func (j *storeJob) sayLeft(r *storing) {
	const shown = 10
	for i, one := range r.Left {
		if i == shown {
			j.p.note(fmt.Sprintf("%d more secrets stay in plain text", len(r.Left)-shown), "")
			return
		}
		j.p.note(fmt.Sprintf("%s: %s: %s stays in plain text: %s", r.Database, one.Place, one.Entity, one.Reason), "")
	}
}
