package main

import (
	"context"
	"errors"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
)

// onlineRule is what `lint --online` adds: it asks the backend, as render would,
// and so only the full program has it.
var onlineRule = lint.Rule{
	ID: "online", Severity: lint.Error,
	Summary: "a reference that the backend cannot answer, or whose value Bifrost would not take",
}

// onlineTimeout bounds the look-up of one document.
const onlineTimeout = 30 * time.Second

// online looks up every reference of a document that resolves offline so far,
// and gives what render would refuse. Values are fetched, checked and dropped.
func (p *program) online(ctx context.Context, doc *walker.Document) ([]lint.Finding, error) {
	j := &job{p: p, config: doc.Name, doc: doc, mode: string(render.Inline), timeout: onlineTimeout, awsBatch: "auto"}
	var err error
	if j.store, err = render.StoreFromDocument(doc); err != nil {
		return findings(err)
	}
	// What is wrong with the document itself, the other rules say.
	j.plan, _ = render.NewPlan(doc, j.store, render.Options{Mode: render.Inline, Getenv: p.getenv})
	if len(j.plan.Secrets) == 0 {
		return nil, nil
	}
	source, err := j.open(ctx)
	if err != nil {
		return findings(err)
	}
	if source == nil {
		return nil, nil
	}
	defer source.Close()
	_, err = j.resolve(ctx, source)
	return findings(err)
}

// findings turns the problems of rendering into findings: one for each place.
func findings(err error) ([]lint.Finding, error) {
	var problems *render.Problems
	if !errors.As(err, &problems) {
		return nil, err
	}
	var out []lint.Finding
	for _, one := range problems.List {
		message := one.Reason
		if one.Reference != "" {
			message = one.Reference + ": " + message
		}
		f := lint.Finding{Rule: onlineRule.ID, Severity: onlineRule.Severity, Message: message, Hint: one.Hint}
		if len(one.Places) == 0 {
			out = append(out, f)
		}
		for _, place := range one.Places {
			f.Path, f.Span = place.Path, place.Span
			out = append(out, f)
		}
	}
	return out, nil
}
