package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// Loaded is a document that was read, and where its secrets come from.
type Loaded struct {
	Doc   *walker.Document
	Store *render.VaultStore // nil where there is none
	Plan  *render.Plan       // nil until [Loaded.MakePlan]
	Made  sources.Calls      // the requests of [Loaded.Resolve]

	flags *Flags
	host  *Host
}

// Read reads the document, and finds the block that says where its secrets are.
func (f *Flags) Read(ctx context.Context, h *Host) (*Loaded, error) {
	doc, err := f.ReadDocument(ctx, h)
	if err != nil {
		return nil, err
	}
	return f.Of(ctx, h, doc)
}

// Of is Read for a document that was read.
func (f *Flags) Of(ctx context.Context, h *Host, doc *walker.Document) (*Loaded, error) {
	store, err := f.findStore(ctx, h, doc)
	if err != nil {
		return nil, err
	}
	return &Loaded{Doc: doc, Store: store, flags: f, host: h}, nil
}

// ReadDocument reads the document alone.
func (f *Flags) ReadDocument(ctx context.Context, h *Host) (*walker.Document, error) {
	if f.Config == "-" { // what is typed may take any time
		return awaited(ctx, "-", "", func() (*walker.Document, error) { return walker.Read("-", h.Stdin) })
	}
	ctx, cancel := f.patience(ctx)
	defer cancel()
	return awaited(ctx, f.Config, fileHint, func() (*walker.Document, error) { return walker.ReadFile(f.Config) })
}

// ErrInterrupted ends what waits for a file or the standard input.
var ErrInterrupted = errors.New("interrupted")

// Await returns what read does, unless ctx ends before: a file system, a pipe or a
// person may never answer, and the system has no other way to stop waiting for it. Then
// the error is ctx's cause, or ErrInterrupted, and what is read later is lost.
func Await[T any](ctx context.Context, read func() (T, error)) (got T, err error) {
	type result struct {
		got T
		err error
	}
	done := make(chan result, 1)
	go func() {
		got, err := read()
		done <- result{got, err}
	}()
	select {
	case r := <-done:
		return r.got, r.err
	case <-ctx.Done():
		return got, endOf(ctx)
	}
}

// endOf returns why ctx has ended, and nil where it has not.
func endOf(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return ErrInterrupted
}

// fileHint is what to do about a file that does not come.
const fileHint = "see the file system that it is on"

// awaited is Await for a document, or a file like one, of that name.
func awaited[T any](ctx context.Context, name, hint string, read func() (T, error)) (T, error) {
	got, err := Await(ctx, read)
	if err != nil && err == endOf(ctx) {
		err = &walker.DocumentError{Name: name, Reason: "cannot be read: " + err.Error(), Hint: hint}
	}
	return got, err
}

// patience is how long to wait for a file: for --timeout, but for a second in any case,
// since the flag speaks of the backend.
func (f *Flags) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	return deadline(ctx, max(f.Timeout, time.Second))
}

// findStore finds the vault_store block: a file's, that of the flags, or the
// document's own.
func (f *Flags) findStore(ctx context.Context, h *Host, doc *walker.Document) (*render.VaultStore, error) {
	switch {
	case f.VaultStore != "":
		ctx, cancel := f.patience(ctx)
		defer cancel()
		store, err := awaited(ctx, f.VaultStore, fileHint, func() (*render.VaultStore, error) { return render.StoreFromFile(f.VaultStore) })
		var missing *walker.DocumentError
		if errors.As(err, &missing) && errors.Is(err, fs.ErrNotExist) {
			missing.Hint = "name a file that holds a vault_store block with --vault-store"
		}
		return store, err
	case f.VaultType != "":
		return render.StoreFromFlags(f.VaultType, f.VaultSet, h.Backends)
	}
	return render.StoreFromDocument(doc)
}

// MakePlan makes the plan; beside are references outside of the document. Where
// it fails the plan is there all the same, with its notes.
func (l *Loaded) MakePlan(beside []render.Beside) (err error) {
	f := l.flags
	l.Plan, err = render.NewPlan(l.Doc, l.Store, render.Options{
		Mode: render.Mode(f.Mode), Literal: f.Literal, Anywhere: f.Anywhere,
		UnsetIsNote: f.UnsetIsNote, MissIsNote: f.MissIsNote, Getenv: l.host.Getenv, Beside: beside,
	})
	return err
}

// Open makes the source, and nil where the plan needs none.
func (l *Loaded) Open(ctx context.Context) (sources.Source, error) {
	if l.Store == nil || !l.Store.Enabled {
		return nil, nil
	}
	return l.Store.Open(ctx, l.host.Backends, l.flags.sourceOptions(l.host))
}

// Options are what a source of the document is opened with.
func (l *Loaded) Options() sources.Options { return l.flags.sourceOptions(l.host) }

// Within bounds all that a command asks of the backend.
func (l *Loaded) Within(ctx context.Context) (context.Context, context.CancelFunc) {
	return deadline(ctx, l.flags.Timeout)
}

func deadline(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s (--timeout)", timeout))
}

// Resolve fetches and checks every value. The deadline is on the whole of it.
func (l *Loaded) Resolve(ctx context.Context, source sources.Source) (*render.Rendering, error) {
	ctx, cancel := l.Within(ctx)
	defer cancel()
	if n := len(l.Plan.Secrets); source != nil && n > 0 {
		what := "secrets"
		if n == 1 {
			what = "secret"
		}
		defer l.host.Waiting(fmt.Sprintf("fetching %d %s from %s", n, what, source.Describe()))()
	}
	var rendering *render.Rendering
	var err error
	resolve := func() { rendering, err = l.Plan.Resolve(ctx, source) }
	if source == nil {
		resolve()
	} else {
		l.Made = sources.CallsOf(source, l.Plan.Secrets, resolve)
	}
	if err != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		reason := "interrupted"
		if l.host.Writes {
			reason += "; nothing was written"
		}
		return nil, &Error{Reason: reason, Code: ExitUnresolved}
	}
	return rendering, err
}

// commands returns a function for the environment of the commands that the config
// names, and nil where none is run. It has nothing that is for this program alone:
// neither its settings nor what opens a backend or a database.
func (l *Loaded) commands() func() []string {
	if !l.flags.AllowCommands {
		return nil
	}
	return func() []string {
		hidden := append(slices.Clone(sources.Postgres.Ambient), l.credentials()...)
		for _, b := range l.host.Backends {
			hidden = append(hidden, b.Ambient...)
		}
		return l.host.without(hidden)
	}
}

// credentials are the variables that the vault_store and the config store take
// credentials from.
func (l *Loaded) credentials() (names []string) {
	if l.Store != nil {
		names = l.Store.Credentials(l.host.Backends)
	}
	if name, ok := strings.CutPrefix(l.flags.Database, "env."); ok {
		names = append(names, name)
	}
	return names
}

// BringsVariable reports which variables of env mode the document itself brings.
func (l *Loaded) BringsVariable() func(string) bool {
	own := map[string]bool{}
	l.Doc.Walk(func(f *walker.Field) bool {
		if f.What == walker.Ref && f.Ref.Scheme == walker.Vault {
			own[render.EnvName(f.Ref)] = true
		}
		return true
	})
	return func(name string) bool { return own[name] }
}
