package main

import (
	"context"
	"errors"

	"bifrost-secrets/render/autostore"
	"bifrost-secrets/render/configstore"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch/service"
)

// configStore is store --config-store. Everything is stored and read back before
// the first row is written, and all rows are written in one transaction.
func (j *storeJob) configStore(ctx context.Context, report *storing) error {
	store, err := j.openStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	ctx, cancel := j.Within(ctx)
	defer cancel()
	rows, err := j.ConfigStore(ctx, store)
	if err == nil && rows == nil {
		rows, err = j.needConfigStore(ctx)
	}
	if err != nil {
		return err
	}
	report.Database, report.Source = rows.Name(), store.Describe()
	done := j.p.waiting("asking " + rows.Name() + " and " + store.Describe())
	found, plan, paths, err := j.planRows(ctx, store, rows)
	done()
	if err != nil {
		return err
	}
	report.Left = found.Left
	return j.carryOut(ctx, store, plan, rows.Name(), report, func() error {
		refs := map[string]walker.Reference{}
		for i, it := range plan.Items {
			refs[paths[i]] = walker.Reference{Scheme: walker.Vault, Name: it.Name}
		}
		err := rows.Refer(ctx, found, refs)
		var conflict *configstore.Conflict
		if errors.As(err, &conflict) {
			return &failure{Reason: rows.Name() + ": " + err.Error() + " there, and the secrets stored so far are kept", Hint: "run again", Code: exitUnresolved}
		}
		report.wrote = rows.Name()
		return service.OfConfigStore(err)
	})
}

// planRows looks for what to store. The items of the plan are told by their places
// in the database; paths has theirs in the document of found. What Bifrost has
// encrypted is refused.
func (j *storeJob) planRows(ctx context.Context, store sources.Store, rows *configstore.Store) (found *configstore.Storable, plan *autostore.Plan, paths []string, err error) {
	if found, err = rows.Storable(ctx); err == nil {
		err = found.Summary.Allowed()
	}
	if err != nil {
		return nil, nil, nil, service.OfConfigStore(err)
	}
	var places []string
	for _, path := range fieldsOf(found.Document) {
		if place, ok := found.At(path); ok {
			places = append(places, place.String())
		}
	}
	for _, one := range found.Encrypted {
		places = append(places, one.Place.String())
	}
	wanted, err := j.wanted(rows.Name(), places)
	if err != nil {
		return nil, nil, nil, err
	}
	o := j.options()
	o.Beside = j.Doc
	o.Wanted = func(path string) bool {
		place, ok := found.At(path)
		return ok && wanted(place.String())
	}
	if plan, err = autostore.NewPlan(ctx, found.Document, store, o); err != nil {
		return nil, nil, nil, err
	}
	for i := range plan.Items {
		it := &plan.Items[i]
		paths = append(paths, it.Path)
		place, _ := found.At(it.Path)
		it.Path, it.Line, it.Column = place.String(), 0, 0
	}
	for _, one := range found.Encrypted {
		if !wanted(one.Place.String()) {
			continue
		}
		it := autostore.Item{
			Kind: walker.SecretKind.String(), Action: autostore.Refuse, Reason: one.Reason,
			Hint: "put the secret into the backend by hand (secret put), and type its vault. reference into the dashboard",
		}
		it.Path = one.Place.String()
		plan.Items, paths = append(plan.Items, it), append(paths, "")
	}
	return found, plan, paths, nil
}
