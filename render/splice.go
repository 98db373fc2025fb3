package render

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sort"
	"strings"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// EnvPrefix begins the name of every variable of env mode.
const EnvPrefix = "BIFROST_SECRET_"

// EnvName returns the variable that carries the value of a reference in env mode:
// EnvPrefix and the first 96 bits of the SHA-256 of the reference as it is
// spelled. It is the same for ever, so that a rotation does not change the
// document.
func EnvName(ref walker.Reference) string {
	sum := sha256.Sum256([]byte(ref.String()))
	return EnvPrefix + strings.ToUpper(hex.EncodeToString(sum[:12]))
}

// Document makes the resolved document. It is the document itself, byte for
// byte, but for the values that were written anew and the vault_store block,
// which is cut out. The whole is put together once, at its final size.
func (r *Rendering) Document() []byte {
	doc := r.Plan.Document.Bytes()
	out := make([]byte, 0, r.size())
	at := 0
	r.pieces(func(start, end int, text []byte) {
		out = append(out, doc[at:start]...)
		out = append(out, text...)
		at = end
	})
	for i := range r.values {
		r.values[i].json = nil // a rendering may be kept for long, and its values are in it once
	}
	return append(out, doc[at:]...)
}

func (r *Rendering) size() int {
	size := len(r.Plan.Document.Bytes())
	r.pieces(func(start, end int, text []byte) { size += len(text) - (end - start) })
	return size
}

// pieces returns every change of the document in the order of their places.
func (r *Rendering) pieces(yield func(start, end int, text []byte)) {
	cuts := r.Plan.cuts
	for i := range r.Plan.edits {
		e := &r.Plan.edits[i]
		for len(cuts) > 0 && cuts[0].Start < e.start {
			yield(cuts[0].Start, cuts[0].End, nil)
			cuts = cuts[1:]
		}
		yield(e.start, e.end, r.text(e))
	}
	for _, cut := range cuts {
		yield(cut.Start, cut.End, nil)
	}
}

// text returns the JSON that takes the place of an edit.
func (r *Rendering) text(e *edit) []byte {
	switch {
	case e.want < 0:
		return []byte(e.text)
	case e.byEnv:
		return []byte(`"env.` + EnvName(r.Plan.wants[e.want].ref) + `"`)
	}
	v := &r.values[e.want]
	if v.json == nil {
		v.json = []byte(walker.Quote(string(v.text)))
	}
	return v.json
}

// Variable is one variable of env mode.
type Variable struct {
	Name  string
	Value sources.Secret
}

// maxVariable is the longest NAME=value, in bytes, that Linux passes to a
// program (MAX_ARG_STRLEN less the NUL at its end).
const maxVariable = 128<<10 - 1

// Environment returns the variables of env mode, sorted by name: those that the
// document, or what stands beside it, refers to and none else. A value that no environment can carry is
// an error, of type *Problems.
func (r *Rendering) Environment() ([]Variable, error) {
	problems := Problems{Document: r.Plan.Document.Name}
	seen := map[int]bool{}
	owner := map[string]walker.Reference{}
	var out []Variable
	for e := range r.Plan.resolved {
		if !e.byEnv || seen[e.want] {
			continue
		}
		seen[e.want] = true
		ref := r.Plan.wants[e.want].ref
		v := Variable{Name: EnvName(ref), Value: sources.NewSecret(r.values[e.want].text)}
		fail := func(reason, hint string) {
			problems.add(Problem{Reference: ref.Shown(), Reason: reason, Hint: hint, Places: []Place{placeOf(r.Plan.Document, e.path, e.start, e.end)}})
		}
		if other, clash := owner[v.Name]; clash {
			fail(fmt.Sprintf("shares its variable %s with %s", v.Name, other), "rename one of the two secrets")
			continue
		}
		owner[v.Name] = ref
		if size := len(v.Name) + 1 + v.Value.Len(); size > maxVariable {
			fail(fmt.Sprintf("the value takes %d bytes as a variable and %d is the most that Linux passes on", size, maxVariable), "use --mode inline")
		}
		out = append(out, v)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, problems.orNil()
}
