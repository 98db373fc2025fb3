package sourcetest

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/sources"
)

// limit ends a test that hangs.
const limit = 2 * time.Minute

// Run runs the suite against a backend.
func Run(t *testing.T, s Setup) {
	t.Helper()
	if s.Start == nil || len(s.Names) == 0 || len(s.BadNames) == 0 {
		t.Fatal("a Setup needs Start, Names and BadNames")
	}
	for _, one := range reading {
		t.Run(one.name, func(t *testing.T) { s.run(t, one) })
	}
	if s.Column != "" {
		t.Run("matrix", s.matrix)
	}
	t.Run("read only", func(t *testing.T) { s.readOnly(t) })
	if reason := s.Lacks[Writing]; reason != "" {
		t.Logf("writing is not here: %s", reason)
		return
	}
	for _, one := range writing {
		t.Run(one.name, func(t *testing.T) { s.run(t, one) })
	}
}

// test is one test of the suite.
type test struct {
	name  string
	needs Ability // empty where every backend must pass
	run   func(*run)
}

// run is what a test has: the backend, and a source that is watched.
type run struct {
	*testing.T
	Setup
	*Backend
	ctx   context.Context
	watch watched
	said  *trace
}

func (s Setup) run(t *testing.T, one test) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	said := new(trace)
	b := s.Start(t, said.options(s.Lacks[Writing] == ""))
	if err := s.check(b); err != nil {
		t.Fatal(err)
	}
	if reason := s.Lacks[one.needs]; reason != "" {
		t.Logf("%s is not here: %s", one.needs, reason)
		return
	}
	r := &run{T: t, Setup: s, Backend: b, ctx: ctx, watch: watched{b.Source, t}, said: said}
	one.run(r)
	if found := spelt(said.String(), canary); found != "" {
		t.Errorf("a value was logged, as %s", found)
	}
	if found := spelt(b.Source.Describe(), canary); found != "" || b.Source.Describe() == "" {
		t.Errorf("the source describes itself as %q", b.Source.Describe())
	}
}

// readOnly checks that a source that was opened for reading has nothing to
// write with.
func (s Setup) readOnly(t *testing.T) {
	source := s.Start(t, new(trace).options(false)).Source
	_, puts := source.(interface {
		Put(context.Context, sources.Write) (string, error)
	})
	_, deletes := source.(interface {
		Delete(context.Context, string, string, sources.DeleteOptions) error
	})
	if puts || deletes {
		t.Errorf("a source that was opened for reading is a %T, which writes", source)
	}
}

// another returns the source of another process.
func (r *run) another() watched {
	s := r.Again()
	r.Cleanup(func() { _ = s.Close() })
	return watched{s, r.T}
}

// seedAll seeds many secrets, each with its own name as the value.
func (r *run) seedAll(names []string) {
	texts := make(map[string]string, len(names))
	for _, name := range names {
		texts[name] = value(name)
		if r.SeedAll == nil {
			r.Seed(name, texts[name])
		}
	}
	if r.SeedAll != nil {
		r.SeedAll(texts)
	}
}

// value makes a value that can be told from all others.
func value(label string) string { return canary + " " + label }

// spelt finds a secret text in what was said, however it is spelt.
func spelt(said, secret string) string {
	for what, text := range map[string]string{
		"text":        secret,
		"hexadecimal": hex.EncodeToString([]byte(secret)),
		"bytes":       strings.Trim(fmt.Sprint([]byte(secret)), "[]"),
		"base64":      base64.StdEncoding.EncodeToString([]byte(secret))[:12],
	} {
		if strings.Contains(said, text) {
			return what
		}
	}
	return ""
}

// watched is a source whose every answer is looked at.
type watched struct {
	source sources.Source
	t      *testing.T
}

func (w watched) store() sources.Store { return w.source.(sources.Store) }

// heard checks an error: what it may say, and how.
func (w watched) heard(err error) {
	w.t.Helper()
	if err == nil {
		return
	}
	var e *sources.Error
	if !errors.As(err, &e) {
		w.t.Errorf("an error that is no *sources.Error: %T", err)
		return
	}
	var said strings.Builder
	for next := err; next != nil; next = errors.Unwrap(next) {
		fmt.Fprintf(&said, "%v %+v %#v\n", next, next, next)
	}
	fmt.Fprintln(&said, e.Kind, e.Name, e.Code, e.Message, e.Hint)
	if found := spelt(said.String(), canary); found != "" {
		w.t.Errorf("an error of kind %q holds a value, as %s", e.Kind, found)
	}
	for what, text := range map[string]string{"message": e.Message, "hint": e.Hint} {
		if strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "...") || strings.Contains(text, "\n") || text != "" && text[0] >= 'A' && text[0] <= 'Z' {
			w.t.Errorf("the %s %q is not one line in lower case without a full stop", what, text)
		}
	}
	if e.Message == "" || e.Kind == "" {
		w.t.Errorf("an error without a message or a kind: %#v", e)
	}
}

// fetch asks for names, and checks that there is one answer for each.
func (w watched) fetch(ctx context.Context, names ...string) map[string]sources.Result {
	w.t.Helper()
	got := w.source.Fetch(ctx, names)
	if len(got) != len(names) {
		w.t.Errorf("%d answers for %d names", len(got), len(names))
	}
	for _, name := range names {
		result, ok := got[name]
		if !ok {
			w.t.Errorf("no answer for %q", name)
		}
		if result.Err != nil && result.Value.Len() > 0 {
			w.t.Errorf("%q has a value beside its error", name)
		}
		w.heard(result.Err)
	}
	return got
}

// want checks that a secret has this value, and returns its version.
func (w watched) want(ctx context.Context, name, text string) (version string) {
	w.t.Helper()
	result := w.fetch(ctx, name)[name]
	w.same(name, result, text)
	return result.Version
}

func (w watched) same(name string, result sources.Result, text string) {
	w.t.Helper()
	switch {
	case result.Err != nil:
		w.t.Errorf("%.60q: %v (%s)", name, result.Err, sources.HintOf(result.Err))
	case string(result.Value.Reveal()) != text:
		w.t.Errorf("%.60q has another value: %d bytes, want %d", name, result.Value.Len(), len(text))
	case result.Version == "":
		w.t.Errorf("%.60q has no version", name)
	}
}

// fails checks that an error has one of kinds, and a hint where people can do
// something about it.
func (w watched) fails(err error, kinds ...sources.Kind) {
	w.t.Helper()
	w.heard(err)
	for _, kind := range kinds {
		if sources.KindOf(err) == kind {
			hintless := kind == sources.Unreachable || kind == sources.Unusable
			if sources.HintOf(err) == "" && !hintless {
				w.t.Errorf("no hint goes with: %v", err)
			}
			return
		}
	}
	w.t.Errorf("the error has the kind %q, want %q: %v", sources.KindOf(err), kinds, err)
}

// inspect looks at names, and checks that there is one answer for each.
func (w watched) inspect(ctx context.Context, names ...string) map[string]sources.Item {
	w.t.Helper()
	got := w.store().Inspect(ctx, names)
	if len(got) != len(names) {
		w.t.Errorf("%d items for %d names", len(got), len(names))
	}
	for _, name := range names {
		item, ok := got[name]
		if !ok || item.Name != name {
			w.t.Errorf("the item of %q has the name %q", name, item.Name)
		}
		w.heard(item.Err)
		w.silent(item)
	}
	return got
}

// silent checks that an item tells nothing of a value.
func (w watched) silent(item sources.Item) {
	w.t.Helper()
	b, err := json.Marshal(item)
	if err != nil {
		w.t.Error(err)
	}
	if found := spelt(fmt.Sprintf("%s %+v %+v", b, item, item.Mark), canary); found != "" {
		w.t.Errorf("the item of %q holds a value, as %s", item.Name, found)
	}
}

// item looks at one name that can be looked at.
func (w watched) item(ctx context.Context, name string) sources.Item {
	w.t.Helper()
	item := w.inspect(ctx, name)[name]
	if item.Err != nil {
		w.t.Errorf("%q cannot be looked at: %v (%s)", name, item.Err, sources.HintOf(item.Err))
	}
	return item
}

// put writes, and checks the error's words.
func (w watched) put(ctx context.Context, write sources.Write) (string, error) {
	w.t.Helper()
	version, err := w.store().Put(ctx, write)
	w.heard(err)
	if err == nil && version == "" {
		w.t.Errorf("%.60q was put without a version", write.Name)
	}
	return version, err
}

// must puts what has to succeed.
func (w watched) must(ctx context.Context, write sources.Write) (version string) {
	w.t.Helper()
	version, err := w.put(ctx, write)
	if err != nil {
		w.t.Fatalf("%.60q cannot be put: %v (%s)", write.Name, err, sources.HintOf(err))
	}
	return version
}
