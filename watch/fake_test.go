package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// store is a source of secrets that does as it is told.
type store struct {
	mu      sync.Mutex
	values  map[string]string
	down    bool                    // nothing answers
	broken  map[string]sources.Kind // these secrets fail
	takes   time.Duration           // for one Fetch
	fetches [][]string
	hung    bool // no answer before ctx ends
	closed  bool
}

func (s *store) Fetch(ctx context.Context, names []string) map[string]sources.Result {
	s.mu.Lock()
	takes, hung := s.takes, s.hung
	s.fetches = append(s.fetches, slices.Clone(names))
	s.mu.Unlock()
	var after <-chan time.Time
	if !hung {
		after = time.After(takes)
	}
	select {
	case <-after:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]sources.Result{}
	for _, name := range names {
		value, ok := s.values[name]
		kind := s.broken[name]
		switch {
		case ctx.Err() != nil || s.down:
			kind = sources.Unreachable
		case kind == "" && !ok:
			kind = sources.NotFound
		}
		if kind != "" {
			// The text differs each time, as one with a port in it does.
			out[name] = sources.Result{Err: &sources.Error{Kind: kind, Name: name, Message: fmt.Sprintf("%s, says attempt %d", kind, len(s.fetches))}}
			continue
		}
		out[name] = sources.Result{Value: sources.NewSecret([]byte(value)), Version: fmt.Sprintf("v%d", len(value))}
	}
	return out
}

func (s *store) set(change func(*store)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *store) put(name, value string) { s.set(func(s *store) { s.values[name] = value }) }

func (s *store) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.fetches)
}

func (*store) Plan(names []string) sources.Calls  { return sources.Calls{Batch: (len(names) + 19) / 20} }
func (*store) Ping(context.Context, string) error { return nil }
func (*store) Describe() string                   { return "a store" }
func (s *store) Close() error                     { s.set(func(s *store) { s.closed = true }); return nil }

// applier notes what it gets.
type applier struct {
	mu      sync.Mutex
	updates []Update
	state   func(Update, render.Change) State // nil: all is verified
	by      string                            // who applies what is applied
}

func (*applier) Kind() string { return "api" }

func (a *applier) Apply(_ context.Context, u Update) []Outcome {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.updates = append(a.updates, u)
	out := []Outcome{}
	for _, c := range u.Changed {
		o := Outcome{Path: c.Path, State: Verified, By: a.by}
		if a.state != nil {
			o.State = a.state(u, c)
		}
		if o.State == Failed {
			o.Reason = "it did not work"
		}
		out = append(out, o)
	}
	if u.Edited && a.state != nil {
		out = append(out, Outcome{Path: WholeDocument, State: a.state(u, render.Change{})})
	}
	return out
}

// applied returns the values of the n-th update: `path=value`, with its trigger.
func (a *applier) applied(n int) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n >= len(a.updates) {
		return fmt.Sprintf("only %d updates", len(a.updates))
	}
	u := a.updates[n]
	words := []string{string(u.Trigger)}
	if u.Edited {
		words = append(words, "edited")
	}
	if u.Rollback {
		words = append(words, "rollback")
	}
	for _, c := range u.Changed {
		words = append(words, c.Path+"="+string(c.Value.Reveal()))
	}
	return strings.Join(words, " ")
}

func (a *applier) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.updates)
}

// harness is a loop with all that is around it.
type harness struct {
	*Loop
	t        *testing.T
	store    *store
	applier  *applier
	document string
	vault    string // which vault_store there is
	loads    int
	writes   []string    // what was published
	full     atomic.Bool // the disk is
	log      *bytes.Buffer
	logMu    sync.Mutex
}

// document has two keys of one secret, a virtual key of another, and the key
// that never changes.
const document = `{"encryption_key":"vault.enc","providers":{"openai":{"keys":[{"name":"a","value":"vault.both#one"},{"name":"b","value":"vault.both#two"},{"name":"c","value":"vault.solo"}]}}}`

const (
	pathOne  = "providers.openai.keys[0].value"
	pathTwo  = "providers.openai.keys[1].value"
	pathSolo = "providers.openai.keys[2].value"
)

func both(one, two string) string { return fmt.Sprintf(`{"one":%q,"two":%q}`, one, two) }

// newHarness makes a house. change may alter the options.
func newHarness(t *testing.T, change func(*Options)) *harness {
	h := &harness{t: t, document: document, applier: &applier{}, log: &bytes.Buffer{}}
	h.store = &store{values: map[string]string{"enc": "the-key", "both": both("o1", "t1"), "solo": "s1"}, broken: map[string]sources.Kind{}}
	o := Options{
		Load: h.load, Publish: h.publish, Applier: h.applier,
		Log:      slog.New(slog.NewTextHandler(h, nil)),
		Interval: time.Hour, Timeout: 30 * time.Second,
	}
	if change != nil {
		change(&o)
	}
	h.Loop = New(o)
	return h
}

func (h *harness) Write(b []byte) (int, error) {
	h.logMu.Lock()
	defer h.logMu.Unlock()
	return h.log.Write(b)
}

// lines returns the lines of the log since the last call.
func (h *harness) lines() []string {
	h.logMu.Lock()
	defer h.logMu.Unlock()
	text := strings.TrimSuffix(h.log.String(), "\n")
	h.log.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func (h *harness) load(_ context.Context, before *Job) (*Job, error) {
	h.loads++
	doc, err := walker.Parse("config.json", []byte(h.document))
	if err != nil {
		return nil, err
	}
	if before != nil && bytes.Equal(doc.Bytes(), before.Plan.Document.Bytes()) && before.Store == h.vault {
		return before, nil
	}
	plan, err := render.NewPlan(doc, &render.VaultStore{Type: "file", Enabled: true}, render.Options{Mode: render.Inline, Getenv: func(string) (string, bool) { return "", false }})
	if err != nil {
		return nil, err
	}
	return &Job{Plan: plan, Source: h.store, Store: h.vault, Files: []string{"config.json"}}, nil
}

// move has the secrets come from another store from now on.
func (h *harness) move(vault string, values map[string]string) {
	h.vault, h.store = vault, &store{values: values, broken: map[string]sources.Kind{}}
}

func (h *harness) publish(r *render.Rendering) (wrote, replaced bool, err error) {
	if h.full.Load() {
		return false, false, errors.New("no space left on device")
	}
	text := string(r.Document())
	if n := len(h.writes); n > 0 {
		if h.writes[n-1] == text {
			return false, true, nil
		}
		replaced = true
	}
	h.writes = append(h.writes, text)
	return true, replaced, nil
}

// begin starts the loop, and returns the function that ends it.
func (h *harness) begin() (end func()) {
	h.t.Helper()
	if err := h.Start(h.t.Context(), 0); err != nil {
		h.t.Fatal(err)
	}
	return h.run()
}

func (h *harness) run() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

func (h *harness) flush() error { return h.Flush(h.t.Context()) }

func (h *harness) want(what string, got, want any) {
	h.t.Helper()
	if got != want {
		h.t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// is checks what the newest published document has for a key.
func (h *harness) is(value string) {
	h.t.Helper()
	defer h.ask(func(*asked) {}) // what the loop writes next, it writes after this
	if last := h.writes[len(h.writes)-1]; !strings.Contains(last, `"`+value+`"`) {
		h.t.Errorf("the published document has no %q: %s", value, last)
	}
}

// find returns the status of a field.
func (h *harness) find(path string) ReferenceStatus {
	for _, r := range h.Status().References {
		if r.Path == path {
			return r
		}
	}
	return ReferenceStatus{}
}
