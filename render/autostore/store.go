package autostore

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"bifrost-secrets/sources"

	"golang.org/x/sync/errgroup"
)

// writers is how many secrets are written at once. AWS allows 50 writes a
// second in a region to all who write there.
const writers = 8

// Failure is one secret that could not be stored.
type Failure struct {
	Item *Item
	Err  error // a *sources.Error
}

// Failures are all of them.
type Failures []Failure

// Error gives each failure on a line of its own.
func (all Failures) Error() string {
	var b bytes.Buffer
	for i, f := range all {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s: %s: %s", f.Item.Path, f.Item.Name, f.Err)
	}
	return b.String()
}

// Down reports whether all failures are that the backend cannot be used.
func (all Failures) Down() bool {
	for _, f := range all {
		if !sources.KindOf(f.Err).Down() {
			return false
		}
	}
	return len(all) > 0
}

// Stopped reports whether all failures are that there was no time left, or that
// the run was interrupted.
func (all Failures) Stopped() bool {
	for _, f := range all {
		if !errors.Is(f.Err, context.DeadlineExceeded) && !errors.Is(f.Err, context.Canceled) {
			return false
		}
	}
	return len(all) > 0
}

// Store writes what the plan says, reads everything back and compares it: when
// it gives no error, every reference of the rewritten document resolves to the
// value whose place it takes. The error is Failures; what was stored until then
// is found again by the next plan. It must not be called where an item is
// refused.
func (p *Plan) Store(ctx context.Context) error {
	if err := p.write(ctx); err != nil {
		return err
	}
	kept := p.names(func(it *Item) bool { return it.Action != Refuse })
	if len(kept) == 0 {
		return nil
	}
	values := p.store.Fetch(ctx, kept)
	var failed Failures
	for i := range p.Items {
		it := &p.Items[i]
		res, ok := values[it.Name]
		switch {
		case it.Action == Refuse:
		case !ok || res.Err != nil:
			err := res.Err
			if err == nil {
				err = &sources.Error{Kind: sources.Unreachable, Name: it.Name, Message: "the store gave no answer"}
			}
			failed = append(failed, Failure{it, err})
		case !bytes.Equal(res.Value.Reveal(), it.value.Reveal()):
			failed = append(failed, Failure{it, &sources.Error{
				Kind: sources.Conflict, Name: it.Name,
				Message: "the store gives back another value than was stored", Hint: "see who else writes it, and run again",
			}})
		}
	}
	return orNil(failed)
}

func orNil(failed Failures) error {
	if len(failed) == 0 {
		return nil
	}
	return failed
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
	var failed Failures
	for i, err := range errs {
		if err != nil {
			failed = append(failed, Failure{&p.Items[i], err})
		}
	}
	return orNil(failed)
}
