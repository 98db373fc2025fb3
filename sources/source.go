// Package sources says what a source of secrets is. Each backend has a package
// of its own below this one; none of them knows anything of documents or
// fields.
package sources

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// MaxValue is the largest value, in bytes, that is taken from any source. AWS
// allows 65,536 and GCP as much; the limit is here to bound memory where a
// source has none of its own, such as a file.
const MaxValue = 1 << 20

// Result is the answer for one name: a value with its version, or an error.
type Result struct {
	Value Secret // what a reference to the whole secret stands for
	// Document is the JSON object that fragments are keys of, in a backend that
	// keeps objects and not texts, where it is another than Value; else it is
	// the zero Secret.
	Document Secret
	Version  string // changes when the value does; may be shown; empty where the backend has none
	Err      error  // an *Error, or nil
}

// Calls foretells the requests that a Fetch will make, for plans and for people
// who pay for them. Retries and signing in are not counted.
type Calls struct {
	Batch  int // requests that carry many names
	Single int // requests that carry one name
	// IfRefused is the number of single-name requests made in place of the
	// batches if the backend refuses batches: 0 where no batch is planned.
	IfRefused int
}

// Total is the number of requests when nothing is refused.
func (c Calls) Total() int { return c.Batch + c.Single }

// Source is where secrets come from. It is safe for concurrent use.
type Source interface {
	// Fetch asks for each of names once and answers for every one of them. The
	// map has an entry for each name, and none else. names must be distinct.
	// When ctx ends, the names without an answer get an error of kind
	// Unreachable.
	Fetch(ctx context.Context, names []string) map[string]Result

	// Plan foretells the requests of Fetch(ctx, names). It makes none itself.
	Plan(names []string) Calls

	// Ping makes the cheapest request that shows the backend to be reachable
	// and willing: it reads name, or, where name is empty, lists one secret.
	// A secret that does not exist is an error like any other.
	Ping(ctx context.Context, name string) error

	// Describe says in a few words where the secrets come from, without
	// anything secret: `aws-secrets-manager in eu-west-1`.
	Describe() string

	// Close ends what the source has open. It does not wait for a Fetch.
	Close() error
}

// Counter is a source that counts the requests that it makes for secrets. Those
// for signing in, and those that its client repeats by itself, do not count.
type Counter interface {
	// Made returns the requests that were made since the source was opened.
	Made() Calls
}

// CallsOf returns the requests that do makes of s for names: as s counts them,
// or, where it does not, as it plans them.
func CallsOf(s Source, names []string, do func()) Calls {
	c, ok := s.(Counter)
	if !ok {
		planned := s.Plan(names)
		do()
		planned.IfRefused = 0
		return planned
	}
	before := c.Made()
	do()
	after := c.Made()
	return Calls{Batch: after.Batch - before.Batch, Single: after.Single - before.Single}
}

// Tally counts requests. It is safe for concurrent use.
type Tally struct{ batch, single atomic.Int64 }

// Add counts one request, for many names or for one.
func (t *Tally) Add(batch bool) {
	if batch {
		t.batch.Add(1)
	} else {
		t.single.Add(1)
	}
}

// Made implements [Counter].
func (t *Tally) Made() Calls { return Calls{Batch: int(t.batch.Load()), Single: int(t.single.Load())} }

// Settings are the members of a backend's block (vault_store.aws and the like)
// with `env.` references already resolved. A key that the block does not have
// is absent; keys are matched exactly.
type Settings map[string]Secret

// Text returns the setting as text, and "" where it is absent.
func (s Settings) Text(key string) string { return string(s[key].Reveal()) }

// Options are what a backend needs to know beyond its block.
type Options struct {
	// Getenv looks up an environment variable. It is never nil.
	Getenv func(string) (string, bool)
	// Warn is told of what does not stop the work but should be seen, such as
	// a secret file that others may read. One short line, lower case, no full
	// stop, nothing secret. It is never nil and is safe for concurrent use.
	Warn func(string)
	// Log takes detail for `--verbose`. It is never nil.
	Log *slog.Logger
	// CallTimeout bounds each attempt of each request. Zero means the
	// backend's own default.
	CallTimeout time.Duration
	// Write asks for a [Store]. A source that was opened without it has no
	// method that writes.
	Write bool
	// Dir is the folder that relative paths in the settings start from: that
	// of the document. Empty means the working directory.
	Dir string
	// Within are the folders that a path in the settings may lead into; see
	// [Options.Path]. Nil means anywhere.
	Within []string
	// Untrusted says that whoever wrote the settings is not trusted with what this
	// machine signs in with.
	Untrusted bool
	// Elsewhere is, for settings that are not trusted, the one that names an
	// address of their own: nothing that a client finds by itself goes there.
	// Empty means that it may.
	Elsewhere string
}

// Opener makes a source from a block. It makes no request and wants no
// credentials: those are had at the first Fetch or Ping. Settings it does not
// know, lacks or cannot use are an error of kind BadSettings that names them.
// With opts.Write the source is a [Store], or the error says why there is none.
type Opener func(ctx context.Context, settings Settings, opts Options) (Source, error)

// afterEnd is how much later than its context a fetch may end.
const afterEnd = 2 * time.Second

// FetchWithin is source.Fetch for a source that may not keep to ctx: a client
// library may wait for a file of credentials on a file system that does not
// answer. Such a fetch is left behind a little after ctx has ended, and every
// secret is unreachable.
func FetchWithin(ctx context.Context, source Source, names []string) map[string]Result {
	done := make(chan map[string]Result, 1)
	go func() { done <- source.Fetch(ctx, names) }()
	select {
	case got := <-done:
		return got
	case <-ctx.Done():
	}
	late := time.NewTimer(afterEnd)
	defer late.Stop()
	select {
	case got := <-done:
		return got
	case <-late.C:
	}
	got := make(map[string]Result, len(names))
	for _, name := range names {
		got[name] = Result{Err: &Error{Kind: Unreachable, Message: context.Cause(ctx).Error(), Err: context.Cause(ctx),
			Hint: "something that the backend's client reads does not answer: see the files of credentials, and the file systems that they are on"}}
	}
	return got
}
