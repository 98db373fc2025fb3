package perkey

import (
	"context"
	"fmt"

	"bifrost-secrets/sources"
)

// Open returns the opener of a backend: of what reads, and of what writes too where
// that is asked for.
func Open[T sources.Source](read func(sources.Settings, sources.Options) (T, error), write func(T) sources.Store) sources.Opener {
	return func(_ context.Context, set sources.Settings, opts sources.Options) (sources.Source, error) {
		s, err := read(set, opts)
		switch {
		case err != nil:
			return nil, err // not s: a nil T is not a nil Source
		case opts.Write:
			return write(s), nil
		}
		return s, nil
	}
}

// Traits implements [sources.Store].
func (f *Frame[S]) Traits() sources.Traits { return f.calls.Facts.Traits }

// Put is one write, signed in for.
type Put[S comparable] struct {
	Op    *Operation[S]
	Name  Name
	Write sources.Write
	Texts map[string]string // of the mark
}

// BeginPut refuses a write that no state of the backend could make right, and signs
// in for any other.
func (f *Frame[S]) BeginPut(ctx context.Context, w sources.Write) (p *Put[S], fault *sources.Error) {
	p = &Put[S]{Write: w}
	if p.Name, fault = f.calls.Parse(w.Name); fault == nil {
		fault = f.unversioned(p.Name)
	}
	if fault == nil {
		fault = f.Traits().Limits.Check(w)
	}
	if fault == nil {
		p.Texts, fault = f.calls.Marks.Of(w.Mark)
	}
	if fault == nil {
		p.Op, fault = f.Begin(ctx, w.Name, p.Name)
	}
	return p, named(fault, w.Name)
}

// BeginDelete does the same for a deletion on behalf of an owner.
func (f *Frame[S]) BeginDelete(ctx context.Context, name, owner string) (o *Operation[S], n Name, err error) {
	n, fault := f.calls.Parse(name)
	if fault == nil {
		fault = f.unversioned(n)
	}
	if fault != nil {
		return nil, n, fault
	}
	if err := sources.CheckDelete(name, owner); err != nil {
		return nil, n, err
	}
	o, fault = f.Begin(ctx, name, n)
	return o, n, AsError(fault)
}

// unversioned refuses to change one version of a secret.
func (f *Frame[S]) unversioned(n Name) *sources.Error {
	if n.Version == "" {
		return nil
	}
	return &sources.Error{
		Kind: sources.Refused, Name: n.Text, Message: fmt.Sprintf("%q is one version of a secret, and a version does not change", n.Text),
		Hint: f.calls.Whole,
	}
}

// Subject returns a secret as messages name it.
func (f *Frame[S]) Subject(n Name) sources.Subject {
	return sources.Subject{Name: n.Text, Text: f.calls.Subject(n)}
}

// Standing returns what the rule of changes is told of a secret that was looked at.
func (f *Frame[S]) Standing(n Name, item sources.Item) sources.Standing {
	return sources.Standing{Subject: f.Subject(n), Exists: item.Exists, Version: item.Version, Mark: item.Mark}
}
