package autostore

import (
	"bytes"
	"context"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"

	"golang.org/x/sync/errgroup"
)

// writers is how many secrets are written at once. AWS allows 50 writes a
// second in a region to all who write there.
const writers = 8

// Store writes what the plan says, reads everything back and compares it: when
// it returns nil, every reference of the rewritten document resolves to the
// value whose place it takes. The error is *render.Problems; what was stored until
// then is found again by the next plan. It must not be called where an item is refused.
func (p *Plan) Store(ctx context.Context) error {
	if err := p.write(ctx); err != nil {
		return err
	}
	kept := p.names(func(it *Item) bool { return it.Action != Refuse })
	if len(kept) == 0 {
		return nil
	}
	values := p.store.Fetch(ctx, kept)
	errs := make([]error, len(p.Items))
	for i := range p.Items {
		it := &p.Items[i]
		res, ok := values[it.Name]
		switch {
		case it.Action == Refuse:
		case res.Err != nil:
			errs[i] = res.Err
		case !ok:
			errs[i] = &sources.Error{Kind: sources.Unreachable, Name: it.Name, Message: "the store gave no answer"}
		case !bytes.Equal(res.Value.Reveal(), it.value.Reveal()):
			errs[i] = &sources.Error{
				Kind: sources.Conflict, Name: it.Name,
				Message: "the store returned another value than was stored", Hint: "see who else writes it, and run again",
			}
		}
	}
	return p.failed(errs)
}

// failed returns what went wrong with the items, by their index, as *render.Problems.
func (p *Plan) failed(errs []error) error {
	problems := &render.Problems{Document: p.Document.Name}
	for i, err := range errs {
		if err != nil {
			it := &p.Items[i]
			problems.List = append(problems.List, render.Problem{
				Reference: it.Reference(), Reason: err.Error(), Hint: sources.HintOf(err), Kind: sources.KindOf(err), Places: []render.Place{it.Place},
			})
		}
	}
	if len(problems.List) == 0 {
		return nil
	}
	return problems
}

func (p *Plan) write(ctx context.Context) error {
	errs := make([]error, len(p.Items))
	var group errgroup.Group
	group.SetLimit(writers)
	for i := range p.Items {
		it := &p.Items[i]
		if it.Action != New && it.Action != Changed {
			continue
		}
		group.Go(func() error {
			if ctx.Err() != nil {
				errs[i] = &sources.Error{Kind: sources.Unreachable, Name: it.Name, Message: "stopped before it was stored", Err: ctx.Err()}
				return nil
			}
			_, errs[i] = p.store.Put(ctx, sources.Write{
				Name: it.Name, Value: it.value, Expect: it.expect, Token: sources.NewToken(),
				Mark: sources.Mark{Owner: p.Gateway, Path: it.Path},
			})
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	return p.failed(errs)
}
