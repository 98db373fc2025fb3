package watch

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// keepTogether has the last good values stand in for all that changes together
// with a secret whose last good value stands in already. Where there is none, it
// returns the fault that the draft cannot be had for.
func (d *draft) keepTogether(entities []render.Entity, good render.Values) *fault {
	for again := true; again; {
		again = false
		for i := range entities {
			e := &entities[i]
			at := slices.IndexFunc(e.Secrets, func(name string) bool { _, held := d.held[name]; return held })
			if at < 0 {
				continue
			}
			cause := d.held[e.Secrets[at]]
			for _, name := range e.Secrets {
				got, last := d.results[name], good[name]
				if _, held := d.held[name]; held || got.Err != nil { // that one has a reason of its own
					continue
				}
				if _, ok := good[name]; !ok {
					return &cause
				}
				if equal(got.Value, last.Value) {
					continue
				}
				by := cause.waits
				if by == "" {
					by = e.Secrets[at]
				}
				d.results[name] = last
				d.held[name] = fault{waits: by, problem: render.Problem{
					Reference: "vault." + walker.ShownName(name), Secret: name, Kind: cause.problem.Kind,
					Reason: fmt.Sprintf("there is a newer value, which waits for vault.%s: the fields of %s change together", walker.ShownName(by), e.Path),
				}}
				again = true
			}
		}
	}
	return nil
}

// sayWhoWaits adds to each fault what waits for it.
func (d *draft) sayWhoWaits() {
	waiting := map[string][]string{}
	for name, f := range d.held {
		if f.waits != "" {
			waiting[f.waits] = append(waiting[f.waits], "vault."+walker.ShownName(name))
		}
	}
	for name, list := range waiting {
		slices.Sort(list)
		f := d.held[name]
		f.problem.Reason += "; " + strings.Join(shorten(list), ", ") + " changed, and waits for it"
		d.held[name] = f
	}
}

// lift takes those out of held, the refused values, that are tried again since the
// value of another secret of their entity, which was refused with them, has changed.
func (r *refusals) lift(held map[string]fault, entities []render.Entity, got, good render.Values) {
	for i := range entities {
		changed := slices.ContainsFunc(entities[i].Secrets, func(name string) bool {
			_, was := r.values[name]
			_, same := held[name]
			return was && !same && got[name].Err == nil && !equal(got[name].Value, good[name].Value)
		})
		if !changed {
			continue
		}
		for _, name := range entities[i].Secrets {
			delete(held, name)
		}
	}
}

// halvesWait is how long one half of a pair waits for the other: then it is taken
// to be all there is.
const halvesWait = 5 * time.Minute

// halves are the new values of one half of a pair, which wait for the other.
type halves map[string]half // by secret

type half struct {
	sum   [sha256.Size]byte
	since time.Time
}

// find returns the secrets that have a new value while the one that they never
// change without has the last good one, until they have waited long enough.
func (h halves) find(entities []render.Entity, got, good render.Values) map[string]fault {
	found, alone := map[string]fault{}, map[string]bool{}
	changed := func(name string) (changed, known bool) {
		last, ok := good[name]
		return ok && got[name].Err == nil && !equal(got[name].Value, last.Value), ok && got[name].Err == nil
	}
	for i := range entities {
		for _, pair := range entities[i].Halves {
			is, _ := changed(pair.One)
			other, known := changed(pair.Other)
			if !is || other || !known {
				continue
			}
			alone[pair.One] = true
			sum := sha256.Sum256(got[pair.One].Value.Reveal())
			if h[pair.One].sum != sum {
				h[pair.One] = half{sum, time.Now()}
			}
			end := h[pair.One].since.Add(halvesWait)
			if !time.Now().Before(end) {
				continue
			}
			found[pair.One] = fault{problem: render.Problem{
				Reference: "vault." + walker.ShownName(pair.One), Secret: pair.One, Kind: sources.Unusable,
				Reason: fmt.Sprintf("it has changed and vault.%s has not, as in a rotation that is not done yet; it is taken by itself from %s on", walker.ShownName(pair.Other), end.Format(time.TimeOnly)),
				Hint:   "store the other half of the pair",
			}}
		}
	}
	for name := range h {
		if !alone[name] {
			delete(h, name)
		}
	}
	return found
}
