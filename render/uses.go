package render

import (
	"sort"

	"bifrost-secrets/walker"
)

// How tells what becomes of a reference.
type How string

// The things that become of references.
const (
	ValueInFile   How = "inline" // the value takes its place
	ValueInEnv    How = "env"    // a variable takes its place, and carries the value
	LeftToBifrost How = "left"   // Bifrost resolves it
)

// Use is one reference of a document and what becomes of it.
type Use struct {
	Place
	Reference string `json:"reference"`
	Secret    string `json:"secret,omitempty"` // the secret's name, as it is shown; empty for a variable
	Kind      string `json:"kind"`             // secret or setting
	How       How    `json:"how"`
	Variable  string `json:"variable,omitempty"` // in env mode, the one that carries the value
	Version   string `json:"version,omitempty"`
	Rests     bool   `json:"rests,omitempty"`    // Bifrost's database keeps what the variable resolves to
	Left      string `json:"-"`                  // the name of the variable that is left to Bifrost
	Anywhere  bool   `json:"anywhere,omitempty"` // outside of every field that is known: see Options.Anywhere
}

// Uses returns every reference of the document, in its order. versions, which may
// be nil, are those of a Rendering.
func (p *Plan) Uses(versions map[string]string) []Use {
	uses := make([]Use, 0, len(p.edits)+len(p.left))
	add := func(e *edit, u Use) {
		u.Span, u.Path, u.Kind = walker.Span{Start: e.start, End: e.end}, e.path, e.entry.Kind.String()
		u.Anywhere = e.entry.Outside()
		u.Rests = u.How != ValueInFile && e.entry.Rests()
		uses = append(uses, u)
	}
	for i := range p.edits {
		e := &p.edits[i]
		if e.want < 0 {
			continue
		}
		w := p.wants[e.want]
		u := Use{Reference: w.ref.Shown(), How: ValueInFile}
		if w.secret >= 0 {
			name := p.Secrets[w.secret]
			u.Secret, u.Version = walker.ShownName(name), versions[name]
		}
		if e.byEnv {
			u.How, u.Variable = ValueInEnv, EnvName(w.ref)
		}
		add(e, u)
	}
	for i := range p.left {
		add(&p.left[i], Use{Reference: walker.Reference{Scheme: walker.Env, Name: p.left[i].text}.Shown(), Left: p.left[i].text, How: LeftToBifrost})
	}
	sort.SliceStable(uses, func(i, j int) bool { return uses[i].Span.Start < uses[j].Span.Start })
	for i := range uses {
		uses[i].Place = placeOf(p.Document, uses[i].Path, uses[i].Span.Start, uses[i].Span.End)
	}
	return uses
}
