package render

import (
	"bytes"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// Change is one field whose value is another than before.
type Change struct {
	Place
	Entry     *walker.Entry
	Reference string         // as it stands in the document
	Secret    string         // the secret that the value comes from; empty for a variable
	Version   string         // of that secret, where the backend has one
	How       How            // where the value goes
	Value     sources.Secret // the new text
}

// Values returns every field that is resolved here with its value, in the order
// of the document, and then those beside it.
func (r *Rendering) Values() []Change {
	all := make([]Change, 0, len(r.Plan.edits))
	for e := range r.Plan.resolved {
		all = append(all, r.change(e))
	}
	return all
}

// Changes compares with an earlier rendering. changed are the fields whose value
// differs, in the order of the document; a field that was not there before
// counts as one. edited reports that the document itself is another one, beside
// the values of its references: then changed is not all that differs.
func (r *Rendering) Changes(before *Rendering) (changed []Change, edited bool) {
	old := make(map[string][]byte, len(before.Plan.edits))
	for e := range before.Plan.resolved {
		old[e.path] = before.values[e.want].text
	}
	for e := range r.Plan.resolved {
		if text, ok := old[e.path]; !ok || !bytes.Equal(text, r.values[e.want].text) {
			changed = append(changed, r.change(e))
		}
	}
	return changed, r.Plan != before.Plan && !bytes.Equal(r.Plan.Document.Bytes(), before.Plan.Document.Bytes())
}

// Since is Changes for an earlier rendering of which there is only what was published.
// edited also reports that it is no rendering of the same document by the same rules:
// then changed are all the Values.
func (r *Rendering) Since(published []byte) (changed []Change, edited bool) {
	doc, rest, same := r.Plan.Document.Bytes(), published, true
	take := func(text []byte) {
		var found bool
		rest, found = bytes.CutPrefix(rest, text)
		same = same && found
	}
	values := map[int]*edit{} // by where they begin
	for i := range r.Plan.edits {
		if e := &r.Plan.edits[i]; e.want >= 0 && !e.byEnv {
			values[e.start] = e
		}
	}
	at := 0
	r.pieces(func(start, end int, text []byte) {
		take(doc[at:start])
		at = end
		e := values[start]
		if old := leadingString(rest); same && e != nil && len(old) > 0 && !bytes.Equal(old, text) {
			changed, text = append(changed, r.change(e)), old
		}
		take(text)
	})
	take(doc[at:])
	for i := range r.values {
		r.values[i].json = nil // as Document leaves it
	}
	if !same || len(rest) > 0 {
		return r.Values(), true
	}
	return changed, false
}

// leadingString returns the JSON string that text begins with; empty where it begins
// with none.
func leadingString(text []byte) []byte {
	if len(text) == 0 || text[0] != '"' {
		return nil
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return text[:i+1]
		}
	}
	return nil
}

func (r *Rendering) change(e *edit) Change {
	w := r.Plan.wants[e.want]
	c := Change{
		Place: placeOf(r.Plan.Document, e.path, e.start, e.end), Entry: e.entry, Reference: w.ref.Shown(),
		How: ValueInFile, Value: sources.NewSecret(r.values[e.want].text),
	}
	if w.secret >= 0 {
		c.Secret = r.Plan.Secrets[w.secret]
		c.Version = r.Versions[c.Secret]
	}
	if e.byEnv {
		c.How = ValueInEnv
	}
	return c
}
