//go:build unix

package service

import (
	"context"
	"slices"
	"strings"
	"sync"

	"bifrost-secrets/render"
	"bifrost-secrets/render/configstore"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// rewriter looks after the references in Bifrost's config store for exec: their
// values are in Bifrost's environment, and before each of its starts variables
// take their places.
type rewriter struct {
	s *supervised

	mu     sync.Mutex
	looked bool // at a database, or there was none to look at
	warned map[string]bool
}

func (w *rewriter) of(s *supervised) {
	w.s, w.warned = s, map[string]bool{}
	s.loader.beside = w.beside
}

// found notes that the database was looked at with a document that can be used.
func (w *rewriter) found() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looked = true
}

// beside returns the references of the database whose values are wanted: those
// whose variables stand there, and, with --rewrite-database, those that are to
// become variables. At the first look it is an error if the database cannot be
// reached: Bifrost could not start. Later the last answer holds.
func (w *rewriter) beside(ctx context.Context, l *Loaded, source sources.Source, last []render.Beside) ([]render.Beside, error) {
	ctx, cancel := context.WithTimeout(ctx, StoreTime)
	defer cancel()
	w.mu.Lock()
	first := !w.looked
	w.mu.Unlock()
	_, plan, err := w.plan(ctx, l, source)
	switch {
	case err != nil && !first:
		w.warn("the config store cannot be read; the result of the last read stays in force: "+err.Error(), "")
		return last, nil
	case err != nil || plan == nil:
		return nil, err
	}
	return plan.Beside(), nil
}

// plan looks at the database. Without --rewrite-database what could become a
// variable is warned of and not in the plan. Where there is no config store, or
// nothing in it yet, the plan is nil.
func (w *rewriter) plan(ctx context.Context, l *Loaded, source sources.Source) (*configstore.Store, *configstore.Plan, error) {
	store, err := l.ConfigStore(ctx, source)
	if err == nil && store == nil && w.s.o.Rewrite {
		err = usageError("--rewrite-database: "+l.flags.Config+" has no PostgreSQL config store that is switched on", "leave it out, or name the database in config_store")
	}
	if err != nil || store == nil {
		return nil, nil, err
	}
	plan, err := store.Plan(ctx, l.BringsVariable())
	switch kind := sources.KindOf(err); {
	case kind == sources.NotFound: // Bifrost has not made its tables yet
		return store, nil, nil
	case kind == sources.Denied && !w.s.o.Rewrite:
		w.warn("the config store is not checked for vault. references: "+err.Error(), sources.HintOf(err))
		return store, nil, nil
	case err != nil:
		return nil, nil, OfConfigStore(err)
	}
	if w.s.o.Rewrite {
		if err := plan.Summary.Allowed(); err != nil {
			return nil, nil, OfConfigStore(err)
		}
	} else if len(plan.Attach) > 0 {
		for _, one := range plan.Attach {
			w.warn(store.Name()+": "+one.Place.String()+": "+one.Entity+": "+one.Reference+" does not resolve: Bifrost takes it for the value", "--mode env --rewrite-database puts a variable in its place")
		}
		plan.Drop(func(configstore.Reference) bool { return true })
	}
	for _, one := range plan.Left {
		w.warn(store.Name()+": "+one.Place.String()+": "+one.Entity+": "+one.Reference+" does not resolve, and stays as it is: "+one.Reason, "write the reference into the config.json")
	}
	for _, one := range plan.Unknown {
		w.warn(store.Name()+": "+one.Place.String()+": "+one.Entity+": the meaning of "+one.Variable+" is not recorded; Bifrost takes it as empty", "write the value or the reference again")
	}
	return store, plan, nil
}

// warn says something once.
func (w *rewriter) warn(text, hint string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.warned[text] {
		w.warned[text] = true
		w.s.Log.Warn(Clean(text), "hint", hint)
	}
}

// before is called before each start of Bifrost: it scans the database again,
// puts the variables in their places, and returns those that r has not. A reference
// that was typed in since r was made and does not resolve stays as it is.
func (w *rewriter) before(ctx context.Context, r *render.Rendering) ([]render.Variable, error) {
	source := w.s.Loop.Source()
	ctx, cancel := context.WithTimeout(ctx, StoreTime)
	defer cancel()
	var more []render.Variable
	err := configstore.Retried(func() error {
		l, err := w.s.o.Of(ctx, w.s.Host, r.Plan.Document)
		if err != nil {
			return err
		}
		store, plan, err := w.plan(ctx, l, source)
		if err != nil || plan == nil {
			return err
		}
		late := w.late(ctx, l, source, r, plan)
		if err := store.Attach(ctx, plan); err != nil {
			return err
		}
		if more = late; len(plan.Attach) > 0 {
			w.s.Log.Info("put variables in the places of references in the config store", "database", store.Name(), "references", len(plan.Attach))
		}
		return nil
	})
	if err != nil && !w.s.began.Load() {
		return nil, OfConfigStore(err)
	}
	if err != nil {
		w.warn("the config store was not rewritten before this start of Bifrost: "+err.Error(), sources.HintOf(err))
	}
	return more, nil
}

// late returns the variables of those references of the plan that r knows nothing
// of. What does not resolve is dropped from the plan.
func (w *rewriter) late(ctx context.Context, l *Loaded, source sources.Source, r *render.Rendering, plan *configstore.Plan) []render.Variable {
	known := map[walker.Reference]bool{}
	for _, b := range r.Plan.Beside {
		known[b.Ref] = true
	}
	late := slices.DeleteFunc(plan.Beside(), func(b render.Beside) bool { return known[b.Ref] })
	if len(late) == 0 {
		return nil
	}
	empty, err := walker.Parse(l.Doc.Name, []byte("{}"))
	if err != nil {
		return nil // it is valid
	}
	var vars []render.Variable
	for _, one := range late {
		small, err := render.NewPlan(empty, l.Store, render.Options{Mode: render.EnvMode, Getenv: l.host.Getenv, Beside: []render.Beside{one}})
		var got *render.Rendering
		if err == nil {
			got, err = small.Resolve(ctx, source)
		}
		var found []render.Variable
		if err == nil {
			found, err = got.Environment()
		}
		if err != nil {
			w.warn("a reference in the config store stays as it is: "+err.Error(), "")
			plan.Drop(func(r configstore.Reference) bool { return r.Reference == one.Ref.String() })
			continue
		}
		vars = append(vars, found...)
	}
	slices.SortFunc(vars, func(a, b render.Variable) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(vars, func(a, b render.Variable) bool { return a.Name == b.Name })
}
