// Package perkey is the frame of a backend with one request for each secret: it
// signs in once, keeps a bounded number of requests under way, signs in anew
// where a login has expired, logs each request, and names the secret in each
// error. A backend adds its requests, its names and its errors.
package perkey

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"bifrost-secrets/sources"
)

// AtOnce is the most requests that are under way at a time.
const AtOnce = 16

// CallTimeout is the deadline of one attempt where the options name none.
const CallTimeout = 10 * time.Second

// Name is a secret as a reference names it.
type Name struct {
	Text    string // as the reference spells it
	Project string // that it is in, for a backend with more than one
	ID      string // what the backend calls it; empty in a request that is about none
	Version string // empty where the reference names none
}

// Request is one kind of request that a backend knows, in the words of its log
// and its failures.
type Request struct {
	Method     string // as the backend's reference calls it
	Permission string // that it takes
	Done       string // what is done to a secret: `read`
	Given      string // what it was not, where the service failed; else Done
	Writes     bool
	Batch      bool // it carries many secrets
	Again      bool // it does no harm to send it twice; see [HTTP]
	// Detail, if it is not nil, returns what the log says of it once it was made, in
	// place of the method.
	Detail func() []slog.Attr
}

// Calls are what a [Frame] is made of. S is its session: what it has
// once it has signed in.
type Calls[S comparable] struct {
	Facts  sources.Facts
	Marks  sources.Tags // where a backend keeps the mark of a secret
	System string       // in the log and in warnings: `gcp`
	// Parse returns the name in a reference, or an error of kind BadName.
	Parse func(text string) (Name, *sources.Error)
	// Subject returns a secret as it begins a message: `secret "a/b" in eu`.
	Subject func(n Name) string
	// Whole is how to name a secret without a version, in a hint.
	Whole string
	// SignIn returns a session that is good now: current, which is zero at first
	// and after a refusal, or another, for requests about names, or about none. What
	// it returns is kept for the next time, with an error too. It is not called twice
	// at once.
	SignIn func(ctx context.Context, began time.Time, current S, names []Name) (S, *sources.Error)
	// Same, if it is not nil, reports whether two sessions are of the same login: one
	// that was refused is not tried a second time.
	Same func(one, other S) bool
	// End closes a session: it is of no use any more, or the source is closed.
	End func(S)
	// Late is the error for a context that has ended.
	Late func(ctx context.Context, began time.Time) *sources.Error

	// Read returns the value of a secret.
	Read func(o *Operation[S], n Name) (sources.Result, *sources.Error)
	// Reach makes the cheapest request that is about no secret.
	Reach func(o *Operation[S]) *sources.Error
	// Look returns what looks at each of names. It may ask about all of them
	// together first.
	Look func(o *Operation[S], names []Name) Looker
	// List returns the names that begin with prefix, and what looks at each.
	List func(o *Operation[S], prefix string) ([]Name, Looker, *sources.Error)
}

// Looker returns what is known of a secret beside its value.
type Looker func(n Name) (sources.Item, *sources.Error)

// Frame implements [sources.Inspector] with the calls of a backend, but for
// Describe and Identities.
// It is safe for concurrent use.
type Frame[S comparable] struct {
	sources.Tally
	calls Calls[S]
	warn  func(string)
	log   *slog.Logger

	slots   chan struct{} // one for each request under way
	signing chan struct{} // held while signing in; a channel, so that waiting ends with the context

	mu      sync.Mutex // guards what follows
	session S
}

// New returns the frame of one source.
func New[S comparable](c Calls[S], opts sources.Options) *Frame[S] {
	return &Frame[S]{calls: c, warn: opts.Warn, log: opts.Log, slots: make(chan struct{}, AtOnce), signing: make(chan struct{}, 1)}
}

// Fetch implements [sources.Source].
func (f *Frame[S]) Fetch(ctx context.Context, names []string) map[string]sources.Result {
	return each(ctx, f, names, func(o *Operation[S], _ []Name) func(Name) (sources.Result, *sources.Error) {
		return func(n Name) (sources.Result, *sources.Error) {
			r, fault := f.calls.Read(o, n)
			if fault == nil {
				fault = f.Check(n, r)
			}
			return r, fault
		}
	}, func(name string, r sources.Result, err *sources.Error) sources.Result {
		if err != nil {
			return sources.Result{Err: named(err, name)}
		}
		return r
	})
}

// Check finds a value that is of no use.
func (f *Frame[S]) Check(n Name, r sources.Result) *sources.Error {
	e := &sources.Error{Kind: sources.Unusable}
	switch b := r.Value.Reveal(); {
	case len(b) > sources.MaxValue:
		e.Message = fmt.Sprintf("%s has a value of %d bytes, and %d are allowed", f.calls.Subject(n), len(b), sources.MaxValue)
	case !utf8.Valid(b):
		e.Message, e.Hint = f.calls.Subject(n)+": binary secret is not utf-8 text", "store the value as text, or as base64"
	default:
		return nil
	}
	return e
}

// Inspect implements [sources.Inspector].
func (f *Frame[S]) Inspect(ctx context.Context, names []string) map[string]sources.Item {
	return each(ctx, f, names, func(o *Operation[S], names []Name) func(Name) (sources.Item, *sources.Error) {
		return f.calls.Look(o, names)
	}, func(name string, item sources.Item, err *sources.Error) sources.Item {
		if err != nil {
			item = sources.Item{Err: named(err, name)}
		}
		item.Name = name
		return item
	})
}

// each asks for every one of names, a bounded number at a time, with what ask
// returns, and returns the answers as answer makes them.
func each[S comparable, T any](ctx context.Context, f *Frame[S], names []string, ask func(*Operation[S], []Name) func(Name) (T, *sources.Error),
	answer func(name string, one T, err *sources.Error) T) map[string]T {
	var none T
	all := make(map[string]T, len(names))
	parsed := make([]Name, 0, len(names))
	for _, name := range names {
		n, bad := f.calls.Parse(name)
		if bad == nil {
			parsed = append(parsed, n)
		}
		all[name] = answer(name, none, bad)
	}
	if len(parsed) == 0 {
		return all
	}
	o, fault := f.Begin(ctx, "", parsed...)
	if fault != nil {
		for _, n := range parsed {
			all[n.Text] = answer(n.Text, none, fault)
		}
		return all
	}
	one := ask(o, parsed)
	var mu sync.Mutex
	Each(parsed, func(n Name) {
		got, err := one(n)
		mu.Lock()
		defer mu.Unlock()
		all[n.Text] = answer(n.Text, got, err)
	})
	return all
}

// Each does the same with every one of all, a bounded number at a time.
func Each[T any](all []T, do func(T)) {
	var group errgroup.Group
	group.SetLimit(AtOnce)
	for _, one := range all {
		group.Go(func() error {
			do(one)
			return nil
		})
	}
	_ = group.Wait()
}

// List implements [sources.Inspector]. What has gone since it was listed is left
// out.
func (f *Frame[S]) List(ctx context.Context, prefix string) ([]sources.Item, error) {
	o, fault := f.Begin(ctx, "")
	if fault != nil {
		return nil, fault
	}
	names, look, fault := f.calls.List(o, prefix)
	if fault != nil {
		return nil, fault
	}
	var mu sync.Mutex
	var items []sources.Item
	var failed *sources.Error
	Each(names, func(n Name) {
		item, err := look(n)
		mu.Lock()
		defer mu.Unlock()
		if item.Name = n.Text; err != nil {
			failed = named(err, n.Text)
		} else if item.Exists {
			items = append(items, item)
		}
	})
	if failed != nil {
		return nil, failed
	}
	slices.SortFunc(items, func(a, b sources.Item) int { return strings.Compare(a.Name, b.Name) })
	return items, nil
}

// Plan foretells one request for each name that can be.
func (f *Frame[S]) Plan(names []string) (c sources.Calls) {
	for _, name := range names {
		if _, bad := f.calls.Parse(name); bad == nil {
			c.Single++
		}
	}
	return c
}

// Ping implements [sources.Source].
func (f *Frame[S]) Ping(ctx context.Context, name string) error {
	if name != "" {
		return f.Fetch(ctx, []string{name})[name].Err
	}
	o, fault := f.Begin(ctx, "")
	if fault == nil {
		fault = f.calls.Reach(o)
	}
	return AsError(fault)
}

// Close ends the session. The source stays usable.
func (f *Frame[S]) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var none S
	if f.session != none {
		f.calls.End(f.session)
	}
	return nil
}

// Timeout returns the deadline of one attempt.
func Timeout(opts sources.Options) time.Duration {
	if opts.CallTimeout > 0 {
		return opts.CallTimeout
	}
	return CallTimeout
}

// Pattern compiles a pattern when it is first used: some take their time, and a
// program starts more often than it uses a backend.
func Pattern(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// AsError keeps a nil *Error from becoming an error that is not nil.
func AsError(e *sources.Error) error {
	if e == nil {
		return nil
	}
	return e
}

// named returns err as that of one name.
func named(err *sources.Error, name string) *sources.Error {
	if err == nil || err.Name == name {
		return err
	}
	own := *err
	own.Name = name
	return &own
}
