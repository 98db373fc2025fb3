package hashivault

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"bifrost-secrets/sources"
)

// deed is what is done to a secret, in the words of its failure.
type deed struct {
	capability string // of a policy
	done       string // it may not be, and cannot be
	given      string // it was not
}

var (
	reading  = deed{"read", "read", "given"}
	looking  = deed{"read", "looked at", "shown"}
	listing  = deed{"list", "listed", "shown"}
	creating = deed{"create", "stored", "stored"}
	changing = deed{"update", "changed", "changed"}
	marking  = deed{"patch", "marked", "marked"}
	deleting = deed{"update", "deleted", "deleted"}
	removing = deed{"delete", "deleted", "deleted"}
)

// operation is one use of a source: a Fetch, a Put.
type operation struct {
	*source
	ctx   context.Context
	began time.Time
	deed  deed

	lookups *lookups
}

// lookups are what an operation has found out of tokens: each that is doubted is
// looked at once, whatever the number of requests that were refused.
type lookups struct {
	mu    sync.Mutex
	bad   map[*session]bool
	made  *session       // within the operation
	ended *sources.Error // of a session that was refused, and of which another is to be made
	dead  *sources.Error // of a second one that was: there is no third
	fault *sources.Error // of a login, which is tried once; guarded by source.signing
}

func (l *lookups) isDead() *sources.Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

func (s *source) begin(ctx context.Context, d deed) *operation {
	return &operation{source: s, ctx: ctx, began: time.Now(), deed: d, lookups: &lookups{bad: map[*session]bool{}}}
}

// doing gives the same operation with other words for what fails.
func (o *operation) doing(d deed) *operation {
	own := *o
	own.deed = d
	return &own
}

// call makes one request about a secret or a folder, when one of the slots is
// free, and logs it. what is the part of a version 2 mount that it goes to; do
// is given the whole path. A token that is not accepted is replaced once.
func (o *operation) call(what, name string, do func(ctx context.Context, c *api.Client, path string) error) *sources.Error {
	for renewed := false; ; renewed = true {
		client, sess, mount, fault := o.signIn()
		if fault != nil {
			own := *fault
			own.Name = name
			return &own
		}
		path := mount.path(o.mount, what, name)
		err := o.request(what, func() error { return do(o.ctx, client, path) })
		if err == nil {
			return nil
		}
		if _, _, status := reply(err); (status == 403 || status == 401) && o.doubt(client, sess, status) && !renewed {
			continue
		}
		if dead := o.lookups.isDead(); dead != nil {
			own := *dead
			own.Name = name
			return &own
		}
		return o.fault(path, name, err)
	}
}

func (o *operation) request(what string, do func() error) error {
	select {
	case o.slots <- struct{}{}:
		defer func() { <-o.slots }()
	case <-o.ctx.Done():
		return o.ctx.Err()
	}
	if err := o.ctx.Err(); err != nil {
		return err
	}
	began := time.Now()
	o.Add(false)
	err := do()
	attrs := []slog.Attr{slog.String("action", o.deed.capability), slog.String("of", what), slog.Duration("took", time.Since(began).Round(time.Millisecond))}
	if err != nil {
		// Not the error itself, which may hold a part of the answer.
		_, _, status := reply(err)
		attrs = append(attrs, slog.Bool("failed", true), slog.Int("status", status))
	}
	o.log.LogAttrs(o.ctx, slog.LevelDebug, "vault request", attrs...)
	return err
}

// doubt reports whether the token of a session is to be replaced: vault says
// `permission denied` both to a token that it no longer knows and to one that a
// policy keeps out. Which it is, the token itself may ask.
func (o *operation) doubt(client *api.Client, sess *session, status int) bool {
	o.lookups.mu.Lock()
	defer o.lookups.mu.Unlock()
	bad, known := o.lookups.bad[sess]
	if known {
		return bad
	}
	if bad = sess.over.Load(); !bad {
		_, err := client.Auth().Token().LookupSelfWithContext(o.ctx)
		_, text, status := reply(err)
		// One that may not even look at itself is replaced if it is ours to make,
		// and was not just made.
		bad = isBadToken(text) || status == 403 && o.login.method != nil && sess != o.lookups.made
	}
	if bad {
		sess.end()
		if o.lookups.ended != nil {
			o.lookups.dead = &sources.Error{Kind: sources.NoLogin, Message: "vault does not accept the token that it has just given to " + o.login.what, Hint: o.login.hint}
		}
		o.lookups.ended = &sources.Error{Kind: sources.NoLogin, Code: fmt.Sprintf("http %d", status)}
	}
	o.lookups.bad[sess] = bad
	return bad
}
