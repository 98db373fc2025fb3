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
