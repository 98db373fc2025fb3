package watch

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// good is what is in force: the newest complete result.
type good struct {
	job       *Job
	rendering *render.Rendering
	results   render.Values        // by the name of the secret
	fetched   map[string]time.Time // when each last came from its source
}

func equal(a, b sources.Secret) bool { return bytes.Equal(a.Reveal(), b.Reveal()) }

// fault says why the newest value of a secret is not in force.
type fault struct {
	problem render.Problem
	final   bool   // trying again is of no use before it changes
	state   State  // what the fields are to be told of; empty: their last one holds
	waits   string // the secret that this one waits for, with no fault of its own
}

// keyField is the field that never changes.
const keyField = "encryption_key"

// keepsKey reports that a rendering would change the encryption_key, and the
// secret that does it.
func (l *Loop) keepsKey(r *render.Rendering) (f *fault, secret string) {
	key, secret, ok := r.EncryptionKey(l.o.Getenv)
	if !ok && (l.o.Getenv == nil || l.good.rendering == nil) {
		return nil, "" // there may be one that is not known here
	}
	refuse := func(reason, hint string) *fault {
		return &fault{final: true, state: Refused, problem: render.Problem{
			Reason: reason, Hint: hint, Kind: sources.Unusable, Invalid: true, Secret: secret, Places: []render.Place{{Path: keyField}},
		}}
	}
	if l.good.rendering != nil {
		if old, _, had := l.good.rendering.EncryptionKey(l.o.Getenv); had {
			if equal(old, key) {
				return nil, ""
			}
			return refuse("the key has changed and is refused, since another one makes Bifrost's database unreadable; the old one stays in force",
				KeyHint), secret
		}
	}
	if l.o.Keeper == nil || !ok {
		return nil, ""
	}
	if err := l.o.Keeper.Check(key); err != nil {
		return refuse(err.Error(), sources.HintOf(err)), secret
	}
	return nil, ""
}

// keepKey notes the key that is published from now on.
func (l *Loop) keepKey(r *render.Rendering) {
	key, _, ok := r.EncryptionKey(l.o.Getenv)
	if !ok || l.o.Keeper == nil {
		return
	}
	if l.good.rendering != nil {
		if _, _, had := l.good.rendering.EncryptionKey(l.o.Getenv); had {
			return
		}
	}
	if err := l.o.Keeper.Keep(key); err != nil {
		l.o.Log.Warn("the fingerprint of encryption_key could not be kept: a key that changes while this program does not run would go unseen", "error", err.Error())
	}
}

// undo is what was in force before Bifrost was started with something else: kept
// until Bifrost is known to run.
type undo struct {
	good    good            // its results are those alone that the newer state lacks
	secrets map[string]bool // those that the newer state has another value of
	awaits  bool            // Bifrost was, or is to be, started with the newer state
	// later is what is gone back to once Bifrost is known to run with since: what
	// has come after that start. It is nil where that is nothing, or needs no restart.
	later *undo
	since *render.Rendering
	depth int
}

// laterMost bounds what is kept while a restart waits for its time and new values
// come in.
const laterMost = 8

// add notes what an update replaces. Where an earlier one is not accepted yet,
// that one's state is what is gone back to. started is what Bifrost was last, or is
// to be, started with.
func (u *undo) add(before good, changed []render.Change, after render.Values, started *render.Rendering) *undo {
	if u == nil {
		u = &undo{good: before, secrets: map[string]bool{}, since: started}
		u.good.results = render.Values{}
	} else if u.awaits && u.depth < laterMost {
		u.later = u.later.add(before, changed, after, started)
		u.later.depth = u.depth + 1
	}
	keep := func(name string) {
		if _, kept := u.good.results[name]; !kept && !u.secrets[name] {
			if old, ok := before.results[name]; ok {
				u.good.results[name] = old
			}
		}
	}
	for name := range before.results {
		if _, ok := after[name]; !ok {
			keep(name)
		}
	}
	for i := range changed {
		if name := changed[i].Secret; name != "" {
			keep(name)
			u.secrets[name] = true
		}
	}
	return u
}

// blamed gives the secrets that a newer state has another value of: an edited
// document may only have moved the others.
func (u *undo) blamed(newer render.Values) map[string]bool {
	blamed := map[string]bool{}
	for name := range u.secrets {
		if old, ok := u.good.results[name]; !ok || !equal(old.Value, newer[name].Value) {
			blamed[name] = true
		}
	}
	return blamed
}

// uses reports whether the source of a job is needed to go back.
func (u *undo) uses(j *Job) bool {
	return u != nil && (u.good.job.Source == j.Source || u.later.uses(j))
}

// jobs are those whose sources are needed to go back.
func (u *undo) jobs() (jobs []*Job) {
	for ; u != nil; u = u.later {
		jobs = append(jobs, u.good.job)
	}
	return jobs
}

// accept gives what is gone back to now that Bifrost is known to run with r.
func (u *undo) accept(r *render.Rendering) *undo {
	for one := u; one != nil; one = one.later {
		if one != u && one.since == r {
			for depth, x := 0, one; x != nil; depth, x = depth+1, x.later {
				x.depth = depth
			}
			return one
		}
	}
	return u
}

// await notes whether Bifrost is started for what was added last. It gives nil where
// there is no start to wait for.
func (u *undo) await(start bool) *undo {
	if u == nil {
		return nil
	}
	u.later = u.later.await(start)
	if u.awaits = u.awaits || start; !u.awaits {
		return nil
	}
	return u
}

// refusals are what Bifrost did not live with.
type refusals struct {
	values map[string]refusal // by secret
	sum    [sha256.Size]byte  // of the document that is refused
	why    error              // nil where no document is refused
}

// refusal tells a value by its version and a digest: the value itself need not
// be kept.
type refusal struct {
	version string
	sum     [sha256.Size]byte
	fault   fault
}

// match gives the secrets whose value is one that was refused, and not the good
// one all the same.
func (r *refusals) match(got, good render.Values) map[string]fault {
	held := map[string]fault{}
	for name, no := range r.values {
		res, ok := got[name]
		if !ok || res.Err != nil || res.Version != no.version || sha256.Sum256(res.Value.Reveal()) != no.sum {
			continue
		}
		if last, ok := good[name]; !ok || !equal(last.Value, res.Value) {
			held[name] = no.fault
		}
	}
	return held
}

// document reports whether the job's document is the one that was refused.
func (r *refusals) document(j *Job) bool {
	return r.why != nil && j.sum() == r.sum
}

// sum tells one document from another, and with it where its secrets are.
func (j *Job) sum() (sum [sha256.Size]byte) {
	h := sha256.New()
	h.Write(j.Plan.Document.Bytes())
	h.Write([]byte(j.Store))
	h.Sum(sum[:0])
	return sum
}

// problemsOf gives an error as problems of the document of that name, which is
// said before each of them.
func problemsOf(err error, name string) []render.Problem {
	var problems *render.Problems
	var document *walker.DocumentError
	switch {
	case errors.As(err, &problems):
		return problems.List
	case errors.As(err, &document):
		one := render.Problem{Reason: document.Reason, Hint: document.Hint, Invalid: true}
		if at := document.Position; at.Line > 0 {
			one.Reason = fmt.Sprintf("line %d, column %d: %s", at.Line, at.Column, one.Reason)
		}
		return []render.Problem{one}
	}
	return []render.Problem{{Reason: strings.TrimPrefix(err.Error(), name+": "), Hint: sources.HintOf(err), Kind: sources.KindOf(err)}}
}

// fingerprints tell values apart in the status. The key is of this process and
// goes nowhere, so that they tell nothing to who has seen the status alone.
type fingerprints struct{ key []byte }

func newFingerprints() fingerprints {
	f := fingerprints{key: make([]byte, sha256.Size)}
	_, _ = rand.Read(f.key) // it never fails: see crypto/rand
	return f
}

// of gives 64 bits of a keyed digest.
func (f fingerprints) of(value sources.Secret) string {
	mac := hmac.New(sha256.New, f.key)
	mac.Write(value.Reveal())
	return hex.EncodeToString(mac.Sum(nil)[:8])
}
