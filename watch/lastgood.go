package watch

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
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
		l.o.Log.Warn("the fingerprint of encryption_key could not be saved: a key that changes while this program does not run would go unnoticed", "error", err.Error())
	}
}

// fallback is a state to go back to, should Bifrost end over a newer one.
type fallback struct {
	good
	started *render.Rendering // what Bifrost was, or was to be, started with when the state was in force
}

// noteFallback notes what a refresh replaces, which is dropped again where Bifrost is
// not started for it: see [Loop.apply]. The last good stays what it is until Bifrost
// is known to run with something newer; next takes its place then.
func (l *Loop) noteFallback(before good) {
	one := &fallback{before, l.intended}
	switch {
	case l.lastGood == nil:
		l.lastGood, l.noted = one, one
	case l.next == nil || l.started == l.intended && l.next.started != l.intended:
		l.next, l.noted = one, one
	}
}

// fallBack changes what would be gone back to, and closes the sources that were kept
// for what is not needed any more.
func (l *Loop) fallBack(lastGood, next *fallback) {
	given := []*fallback{l.lastGood, l.next}
	l.lastGood, l.next, l.noted = lastGood, next, nil
	for _, one := range given {
		if one != nil && !l.needs(one.job) {
			l.drop(one.job)
		}
	}
}

// needs reports whether the source of a job is needed to go back.
func (l *Loop) needs(j *Job) bool {
	for _, one := range []*fallback{l.lastGood, l.next} {
		if one != nil && one.job.Source == j.Source {
			return true
		}
	}
	return false
}

// refusals are what Bifrost did not live with.
type refusals struct {
	values map[string]refusal // by secret
	sum    [sha256.Size]byte  // of the document that is refused
	why    error              // nil where no document is refused
	until  time.Time          // when the document is tried again; zero where that is not before it changes
}

// refusal tells a value by its version and a digest: the value itself need not
// be kept.
type refusal struct {
	version string
	sum     [sha256.Size]byte
	fault   fault
	until   time.Time // when it is tried again; zero where that is not before it changes
}

// lapse forgets what is to be tried again by now, and with a flush all that is.
func (r *refusals) lapse(t Trigger) {
	flushed, now := t == Flush || t == Signal || t == Notify, time.Now()
	over := func(until time.Time) bool { return !until.IsZero() && (flushed || !until.After(now)) }
	maps.DeleteFunc(r.values, func(_ string, no refusal) bool { return over(no.until) })
	if over(r.until) {
		r.why, r.until = nil, time.Time{}
	}
}

// due returns when something that was refused is tried again; zero where nothing is.
func (r *refusals) due() time.Time {
	at := r.until
	for _, no := range r.values {
		if !no.until.IsZero() && (at.IsZero() || no.until.Before(at)) {
			at = no.until
		}
	}
	return at
}

// match returns the secrets whose value is one that was refused, and not the good
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

// problemsOf returns an error as problems of the document of that name, which is
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

// of returns 64 bits of a keyed digest.
func (f fingerprints) of(value sources.Secret) string {
	mac := hmac.New(sha256.New, f.key)
	mac.Write(value.Reveal())
	return hex.EncodeToString(mac.Sum(nil)[:8])
}
