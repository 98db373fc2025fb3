package render

import (
	"cmp"

	"bifrost-secrets/walker"
)

// inVariable are the reasons and hints of rules where Bifrost itself takes the value
// from a variable, by their traits.
var inVariable = map[trait]struct{ reason, hint string }{
	empty:      {"the variable is empty", "set it, or take the reference out"},
	refers:     {"the variable holds a reference, which nothing resolves there", ""},
	inQuotes:   {"the variable's value begins or ends with a double quote, which is a part of it", ""},
	masked:     {"the variable holds a mask, and not the value", ""},
	jsonObject: {"the variable holds a JSON object, and the field wants one value", ""},
}

// CheckLeft looks the variables that are left for Bifrost up in its environment. The
// error has those that are not set. The notes say what is wrong with the values of
// the others, which Bifrost uses as they stand.
func (p *Plan) CheckLeft(getenv func(string) (string, bool)) (notes []Problem, err error) {
	type cause struct {
		name string
		rule *rule
	}
	missing := &Problems{Document: p.Document.Name}
	at := map[cause]int{} // in notes
	values := map[string]value{}
	for i := range p.left {
		e := &p.left[i]
		ref := walker.Reference{Scheme: walker.Env, Name: e.text}.Shown()
		here := placeOf(p.Document, e.path, e.start, e.end)
		text, ok := getenv(e.text)
		if !ok {
			missing.List = append(missing.List, Problem{
				Reference: ref, Reason: "the variable is not set in Bifrost's environment, and Bifrost would take it for empty",
				Hint: "set it, or take the reference out", Places: []Place{here},
			})
			continue
		}
		v, known := values[e.text]
		if !known {
			v.traits, v.about = traitsOf([]byte(text))
			values[e.text] = v
		}
		note := func(r *rule) {
			n, known := at[cause{e.text, r}]
			if !known {
				n = len(notes)
				at[cause{e.text, r}] = n
				one := Problem{Reference: ref, Reason: r.reasonFor(v.about), Hint: "set the variable to the value itself", Warning: r.fails || r == &notVirtualKey}
				if own := inVariable[r.trait]; own.reason != "" {
					one.Reason, one.Hint = own.reason, cmp.Or(own.hint, one.Hint)
				} else if r == &notVirtualKey || r.trait == hardForLibpq {
					one.Hint = r.hint
				}
				notes = append(notes, one)
			}
			notes[n].Places = append(notes[n].Places, here)
		}
		judge(v.traits, e.entry, note, note)
	}
	if len(missing.List) > 0 {
		return nil, missing
	}
	return notes, nil
}
