package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"bifrost-secrets/render"
	"bifrost-secrets/render/autostore"
	"bifrost-secrets/render/configstore"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
	"bifrost-secrets/watch/service"
)

// uncertain are the rules of lint whose findings say that versions of Bifrost, or
// people, read a text in another way than render does.
var uncertain = []string{"reference-syntax", "object-form"}

// unclear refuses to delete while lint reports what could mean another secret than
// render takes it for.
func (j *job) unclear() error {
	return j.unclearAt(j.Doc.Name, lint.Check(j.Doc, lint.Options{}), func(f *lint.Finding) render.Place {
		pos := j.Doc.Position(f.Span.Start)
		return render.Place{Path: f.Path, Line: pos.Line, Column: pos.Column}
	})
}

func (j *job) unclearAt(name string, found []lint.Finding, place func(*lint.Finding) render.Place) error {
	problems := &render.Problems{Document: name}
	for i := range found {
		if f := &found[i]; slices.Contains(uncertain, f.Rule) && !slices.Contains(j.Literal, f.Path) {
			problems.List = append(problems.List, render.Problem{Reason: f.Message, Hint: f.Hint, Places: []render.Place{place(f)}})
		}
	}
	if len(problems.List) == 0 {
		return nil
	}
	reportAll(j.p.screen, problems)
	j.p.screen.line("while lint reports such a text (%s, %s), nothing is deleted", uncertain[0], uncertain[1])
	j.p.screen.hint("bifrost-secrets lint --fix repairs what it can; --literal exempts a place")
	return &failure{Code: exitUnresolved}
}

// besideDocument returns what looks at the texts of Bifrost's config store, which
// keep their secrets too; nil where there is none to look at. It refuses to judge
// by the file alone where the database cannot be looked at.
func (j *job) besideDocument(ctx context.Context, source sources.Source, ignore bool) (func(see func(place, text string)) error, error) {
	if !j.HasConfigStore() {
		if autostore.Unscanned(j.Doc) == "sqlite" {
			j.p.note("the SQLite config store of Bifrost is not looked at; a vault. reference that was typed into the dashboard does not keep its secret", "")
		}
		return nil, nil
	}
	if ignore {
		return nil, nil
	}
	refused := func(err error) error {
		err = service.OfConfigStore(err)
		return &failure{
			Reason: err.Error() + "; it may refer to secrets too, so nothing was deleted",
			Hint:   "if nobody typed vault. references into the dashboard, go on with --ignore-config-store", Code: exitCode(err),
		}
	}
	within, cancel := j.Within(ctx)
	defer cancel()
	store, err := j.ConfigStore(within, source)
	if err != nil {
		return nil, refused(err)
	}
	return func(see func(place, text string)) error {
		ctx, cancel := j.Within(ctx)
		defer cancel()
		var found []lint.Finding
		done := j.p.waiting("asking " + store.Name())
		sum, err := store.Texts(ctx, func(r *configstore.Row) { found = append(found, checkRow(r, lint.Options{})...) }, func(p configstore.Place, text string) { see(store.Name()+": "+p.String(), text) })
		done()
		if err != nil {
			return refused(err)
		}
		if sum.Encrypted > 0 {
			j.p.note(fmt.Sprintf("%s: %s encrypted by Bifrost, and not checked", store.Name(), count(sum.Encrypted, "value")), "")
		}
		return j.unclearAt(store.Name(), found, func(f *lint.Finding) render.Place { return render.Place{Path: f.Path} })
	}, nil
}

// unchanged refuses to delete by what a config said that has become another one.
func (j *job) unchanged() error {
	if j.Config == "-" || j.Doc == nil {
		return nil
	}
	now, err := walker.ReadFile(j.Config)
	if err == nil && bytes.Equal(now.Bytes(), j.Doc.Bytes()) {
		return nil
	}
	return &failure{Reason: j.Config + " was changed meanwhile; nothing was deleted", Hint: "run again", Code: exitUnresolved}
}
