package perkey

import (
	"context"
	"log/slog"
	"time"

	"bifrost-secrets/sources"
)

// Operation is one use of a source, such as a Fetch or a Put: signed in to once,
// and anew at most once.
type Operation[S comparable] struct {
	Ctx   context.Context
	Began time.Time

	frame *Frame[S]
	names []Name
	login *sources.Renewal[S]
}

// Begin signs in for an operation on one secret, or on several where name is
// empty. Its error is that secret's.
func (f *Frame[S]) Begin(ctx context.Context, name string, names ...Name) (*Operation[S], *sources.Error) {
	began := time.Now()
	session, fault := f.signIn(ctx, began, names)
	if fault != nil {
		return nil, named(fault, name)
	}
	return &Operation[S]{Ctx: ctx, Began: began, frame: f, names: names, login: sources.NewRenewal(session)}, nil
}

// Session returns the session of now.
func (o *Operation[S]) Session() S {
	session, _ := o.login.Session()
	return session
}

func (f *Frame[S]) signIn(ctx context.Context, began time.Time, names []Name) (session S, fault *sources.Error) {
	select {
	case f.signing <- struct{}{}:
		defer func() { <-f.signing }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return session, f.calls.Late(ctx, began)
	}
	f.mu.Lock()
	current := f.session
	f.mu.Unlock()
	signing := time.Now()
	session, fault = f.calls.SignIn(ctx, began, current, names)
	if fault != nil || session != current {
		f.note(ctx, f.calls.System+" sign-in", signing, fault)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.session = session
	return session, fault
}

// anew signs in again after a session was refused: what a file or a service
// has for a login may be another by now. A refused token would otherwise be held until
// it expires.
func (o *Operation[S]) anew(old S, why *sources.Error) (S, *sources.Error) {
	f := o.frame
	f.mu.Lock()
	if f.session == old {
		var none S
		f.session = none
		f.calls.End(old)
	}
	f.mu.Unlock()
	session, fault := f.signIn(o.Ctx, time.Now(), o.names)
	switch {
	case fault != nil:
	case f.calls.Same != nil && f.calls.Same(old, session):
		return old, nil
	default:
		f.warn(sources.SignedInAnew(f.calls.System, why))
	}
	return session, fault
}

// Late returns the error of n for a context that has ended.
func (o *Operation[S]) Late(n Name) *sources.Error {
	return named(o.frame.calls.Late(o.Ctx, o.Began), n.Text)
}

// Call makes one request about a secret, or about none, when one of the slots is
// free, and logs it. do returns what is wrong; where that is of kind NoLogin, the
// request is made once more with another session: it was not carried out.
func (o *Operation[S]) Call(r Request, n Name, do func(S) *sources.Error) *sources.Error {
	f := o.frame
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-o.Ctx.Done():
	}
	return named(o.login.Do(func(session S) *sources.Error {
		if o.Ctx.Err() != nil {
			return o.Late(n)
		}
		began := time.Now()
		f.Add(r.Batch)
		fault := do(session)
		detail := []slog.Attr{slog.String("method", r.Method)}
		if r.Detail != nil {
			detail = r.Detail()
		}
		f.note(o.Ctx, f.calls.System+" request", began, fault, detail...)
		return fault
	}, o.anew), n.Text)
}

// note logs what took a while. Of a failure it says the kind and the code alone.
func (f *Frame[S]) note(ctx context.Context, what string, began time.Time, fault *sources.Error, attrs ...slog.Attr) {
	attrs = append(attrs, slog.Duration("took", time.Since(began).Round(time.Millisecond)))
	if fault != nil {
		attrs = append(attrs, slog.String("failed", string(fault.Kind)), slog.String("code", fault.Code))
	}
	f.log.LogAttrs(ctx, slog.LevelDebug, what, attrs...)
}
