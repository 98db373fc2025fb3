package render

import (
	"context"
	"errors"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

type value struct {
	text   []byte
	traits trait
	about  remarkable
	json   []byte // text as a JSON string; made when it is first needed
}

// Rendering is a plan with its values. It is what can be written: complete, or
// not there at all.
type Rendering struct {
	Plan     *Plan
	Versions map[string]string // the version of each secret, where the backend has one
	Notes    []Problem         // the plan's and those about the values

	values []value
}

// Values are the answers of a source, by the name of the secret.
type Values map[string]sources.Result

// Resolve fetches every secret of the plan in one Fetch and checks every value
// against every field that it goes to. source may be nil where the plan has no
// secrets. Everything that fails is reported together, as *Problems, and then
// the Rendering has its Versions and nothing that could be written.
func (p *Plan) Resolve(ctx context.Context, source sources.Source) (*Rendering, error) {
	r, problems := p.Render(p.Fetch(ctx, source))
	if problems != nil {
		return r, problems
	}
	return r, nil
}

// Fetch asks for every secret of the plan in one Fetch of the source, which may
// be nil where the plan has no secrets.
func (p *Plan) Fetch(ctx context.Context, source sources.Source) Values {
	if len(p.Secrets) == 0 {
		return nil
	}
	return sources.FetchWithin(ctx, source, p.Secrets)
}

// Render puts values in their places and checks each against every field that
// it goes to. Where anything fails the Rendering has its Versions alone, and
// every Problem that another value of a secret would mend names that secret.
func (p *Plan) Render(values Values) (*Rendering, *Problems) {
	r := &Rendering{Plan: p, Versions: map[string]string{}, Notes: p.Notes, values: make([]value, len(p.wants))}
	for name, res := range values {
		if res.Version != "" {
			r.Versions[name] = res.Version
		}
	}
	c := collector{plan: p, faults: make([]*sources.Error, len(p.wants))}
	parsed := map[int]*fragments{}
	for i, w := range p.wants {
		text, err := p.value(w, values, parsed)
		if err != nil {
			c.faults[i] = err
			continue
		}
		traits, about := traitsOf(text)
		r.values[i] = value{text: text, traits: traits, about: about}
	}
	clear(parsed) // the documents are not needed any more, their parts are copies
	c.collect(r)
	if len(c.list) > 0 {
		return &Rendering{Plan: p, Versions: r.Versions}, c.problems(p.Document.Name)
	}
	return r, nil
}

func (p *Plan) value(w want, results Values, parsed map[int]*fragments) ([]byte, *sources.Error) {
	if w.secret < 0 {
		text, ok := p.getenv(w.ref.Name)
		if !ok { // it was set when the plan was made
			return nil, &sources.Error{Kind: sources.NotFound, Message: "the variable is not set"}
		}
		return whole([]byte(text))
	}
	res, ok := results[p.Secrets[w.secret]]
	if !ok {
		return nil, &sources.Error{Kind: sources.Unreachable, Message: "the source gave no answer"}
	}
	if res.Err != nil {
		return nil, asError(res.Err)
	}
	if !w.ref.Fragment {
		return whole(res.Value.Reveal())
	}
	f := parsed[w.secret]
	if f == nil {
		document := res.Document
		if document.Len() == 0 {
			document = res.Value
		}
		f = parseFragments(document.Reveal())
		parsed[w.secret] = f
	}
	return f.get(w.ref.Key)
}

func asError(err error) *sources.Error {
	var e *sources.Error
	if errors.As(err, &e) {
		return e
	}
	return &sources.Error{Kind: sources.Unreachable, Message: "the source failed in a way that it does not explain", Err: err}
}

// collector gathers what is wrong, one problem for each cause with all the
// fields that it leaves without a value.
type collector struct {
	plan   *Plan
	faults []*sources.Error // by want
	list   []Problem
	byKey  map[faultKey]int // index in list
}

// faultKey tells causes apart: a secret that failed, a reference that failed,
// or a value that broke a rule.
type faultKey struct {
	secret int
	want   int
	rule   *rule
}

func (c *collector) collect(r *Rendering) {
	p := c.plan
	c.byKey = map[faultKey]int{}
	notes := collector{plan: p, byKey: map[faultKey]int{}}
	for e := range p.resolved {
		w := p.wants[e.want]
		if err := c.faults[e.want]; err != nil {
			one := Problem{Reference: w.ref.Shown(), Reason: walker.HideName(err.Message, w.ref.Name), Hint: walker.HideName(err.Hint, w.ref.Name), Code: err.Code, Kind: err.Kind}
			key := faultKey{secret: -1, want: e.want}
			if err.Kind != sources.Unusable && w.secret >= 0 {
				// The secret itself is not to be had, whatever was wanted of it.
				key = faultKey{secret: w.secret, want: -1}
				one.Reference = walker.Reference{Scheme: walker.Vault, Name: w.ref.Name}.Shown()
			}
			c.add(key, one, e)
			continue
		}
		about := r.values[e.want].about
		judge(r.values[e.want].traits, e.entry, func(broken *rule) {
			c.add(faultKey{want: e.want, rule: broken}, Problem{Reference: w.ref.Shown(), Reason: broken.reasonFor(about), Hint: broken.hint, Kind: sources.Unusable}, e)
		}, func(remark *rule) {
			notes.add(faultKey{want: e.want, rule: remark}, Problem{Reference: w.ref.Shown(), Reason: remark.reasonFor(about), Hint: remark.hint}, e)
		})
	}
	r.Notes = append(r.Notes[:len(r.Notes):len(r.Notes)], notes.list...)
}

func (c *collector) add(key faultKey, one Problem, e *edit) {
	i, ok := c.byKey[key]
	if !ok {
		i = len(c.list)
		c.byKey[key] = i
		if w := c.plan.wants[e.want]; w.secret >= 0 {
			one.Secret = c.plan.Secrets[w.secret]
		}
		if one.Code != "" {
			one.Reason += " (" + one.Code + ")"
		}
		c.list = append(c.list, one)
	}
	c.list[i].Places = append(c.list[i].Places, placeOf(c.plan.Document, e.path, e.start, e.end))
}

func (c *collector) problems(document string) *Problems {
	return &Problems{Document: document, List: c.list}
}
