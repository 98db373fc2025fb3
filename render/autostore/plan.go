package autostore

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// Options say what is stored, and how it is called.
type Options struct {
	Store    *render.VaultStore // of the document; it says which names are possible
	Prefix   string             // begins every name; empty means [render.VaultStore.NamePrefix]
	Gateway  string             // whose the secrets are; two of them may share a prefix
	Settings bool               // store settings too, not secrets alone
	// Wanted reports whether the field at a path is to be stored; nil wants all.
	Wanted  func(path string) bool
	Literal []string // paths of strings that only look like references
	Getenv  func(string) (string, bool)
	// IsKey reports whether a text has a key in it that is known by its form, which
	// no name may then have; nil where that cannot be told.
	IsKey func(text string) bool
	// Beside is another document that refers to secrets of the store; nil for none.
	Beside *walker.Document
}

func (o *Options) prefix() string {
	return cmp.Or(strings.Trim(o.Prefix, "/"), o.Store.NamePrefix())
}

// Action tells what storing does for one field.
type Action string

// The actions.
const (
	New       Action = "new"       // a secret is made
	Changed   Action = "changed"   // ours has another value, and gets a new version
	Unchanged Action = "unchanged" // ours has this very value: nothing is written
	Refuse    Action = "refused"
)

// Item is one field that holds a secret in plain text.
type Item struct {
	render.Place
	Kind   string       `json:"kind"` // secret or setting
	Name   string       `json:"name"` // of the secret that it is stored as
	Action Action       `json:"action"`
	Reason string       `json:"reason,omitempty"` // why it is refused; never with a value
	Hint   string       `json:"hint,omitempty"`
	Fault  sources.Kind `json:"fault,omitempty"` // the kind of the source's failure, where there was one
	Notes  []string     `json:"notes,omitempty"` // on the value, which is stored as it is

	value  sources.Secret
	expect string // the version that is there now
}

func (it *Item) refuse(hint, format string, args ...any) {
	it.Action, it.Reason, it.Hint = Refuse, fmt.Sprintf(format, args...), hint
}

// Size returns the length of the value in bytes.
func (it *Item) Size() int { return it.value.Len() }

// Reference spells the reference that takes the value's place.
func (it *Item) Reference() string {
	return walker.Reference{Scheme: walker.Vault, Name: it.Name}.String()
}

// Plan is what storing the secrets of a document takes.
type Plan struct {
	Document *walker.Document
	Gateway  string
	Items    []Item // in the order of the document
	Notes    []render.Problem
	Left     []string // the variables that are left to Bifrost

	store sources.Store
}

// NewPlan finds the fields to store, and asks the store what it has of them. It
// writes nothing. The error says that the document, or the store as a whole,
// cannot be used; what is wrong with one field alone is that item's reason.
func NewPlan(ctx context.Context, doc *walker.Document, store sources.Store, o Options) (*Plan, error) {
	p := &Plan{Document: doc, Gateway: o.Gateway, Items: Plaintext(doc, o), store: store}
	p.clashes()
	for i := range p.Items {
		it := &p.Items[i]
		if it.Action == Refuse {
			continue
		}
		if it.named(o.IsKey) {
			it.Name = ""
			it.refuse("give the entity another name or id, and a new key in place of this one: names are seen by all who may list secrets", "a key stands in the name that it would be stored under")
		} else if ref, err := walker.ParseReference(it.Reference()); err != nil || ref != (walker.Reference{Scheme: walker.Vault, Name: it.Name}) {
			it.refuse("choose another --prefix", "no reference can name %s", strconv.Quote(it.Name))
		} else if why, _ := sources.CheckName(o.Store.Type, it.Name); why != "" {
			it.refuse("give the entity a shorter id or name, or --prefix another", "the path of the reference %s", why)
		} else if size := it.Size(); size > store.Traits().Limits.Max {
			it.refuse("keep it in a file that Bifrost reads, or in another backend", "the value has %d bytes and %d are the most that the backend takes", size, store.Traits().Limits.Max)
		}
	}
	if err := p.rehearse(o); err != nil {
		return nil, err
	}
	if err := p.compare(ctx); err != nil {
		return p, err
	}
	return p, p.overwritten(ctx, o)
}

// overwritten refuses to change a secret that another text of the document could
// mean, which would get another value too.
func (p *Plan) overwritten(ctx context.Context, o Options) error {
	names := p.names(func(it *Item) bool { return it.Action == Changed })
	if len(names) == 0 {
		return nil
	}
	meant, err := lookFor(ctx, p.store, o, names)
	if err != nil {
		return err
	}
	meant.Document(p.Document)
	used := map[string]string{}
	if o.Beside != nil {
		meant.Document(o.Beside)
		used = p.identities(o.Beside)
	}
	for i := range p.Items {
		it := &p.Items[i]
		if it.Action != Changed {
			continue
		}
		if place, ok := meant.By(it.Name); ok {
			it.refuse("see which of the two is right, and take the other out first", "%s may mean the secret of that name, which has another value", place)
		}
		for _, name := range p.store.Identities(it.Name) {
			if path, ok := used[name]; ok {
				it.refuse("see which of the two is right: put that into the secret, and write its reference into the dashboard",
					"%s of %s refers to the secret of that name, which has another value", path, o.Beside.Name)
			}
		}
	}
	return nil
}

// Plaintext returns the fields whose secrets stand in the document itself, with
// the names that they would be stored under. It asks nobody. o.Store may be nil.
func Plaintext(doc *walker.Document, o Options) []Item {
	if o.Store == nil {
		o.Store = &render.VaultStore{}
	}
	n := newNamer(doc, o.prefix())
	var items []Item
	doc.Walk(func(f *walker.Field) bool {
		switch {
		case f.Entry == nil, f.What != walker.Literal, strings.HasPrefix(f.Entry.Pattern, render.StorePath):
		case f.Entry.Kind != walker.SecretKind && !o.Settings:
		case slices.Contains(o.Literal, f.Path), o.Wanted != nil && !o.Wanted(f.Path):
		case f.Text() == "":
		default:
			pos := doc.Position(f.Start)
			it := Item{
				Place: render.Place{Path: f.Path, Line: pos.Line, Column: pos.Column, Span: walker.Span{Start: f.Start, End: f.End}},
				Kind:  f.Entry.Kind.String(), Name: n.name(f.Entry.Pattern, f.Path), value: sources.NewSecret([]byte(f.Text())),
			}
			if miss := f.NearMiss(); miss.Found() {
				it.refuse(miss.Hint, "%s", miss.What)
			}
			items = append(items, it)
		}
		return true
	})
	return items
}

// identities returns the paths of the references of a document, by what the store
// calls their secrets.
func (p *Plan) identities(doc *walker.Document) map[string]string {
	paths := map[string]string{}
	for _, ref := range references(doc) {
		for _, name := range p.store.Identities(ref.Name) {
			paths[name] = ref.path
		}
	}
	return paths
}

// clashes refuses fields that would share a secret, or take that of a field
// which refers to it already, however either is spelled.
func (p *Plan) clashes() {
	taken := p.identities(p.Document)
	first := map[string]*Item{}
	for i := range p.Items {
		it := &p.Items[i]
		const hint = "give the two entities names or ids of their own"
		for _, name := range p.store.Identities(it.Name) {
			if path, ok := taken[name]; ok {
				it.refuse(hint, "%s refers to the secret of that name already", path)
			}
			other, ok := first[name]
			switch {
			case !ok:
				first[name] = it
			case other.Path == it.Path:
				const twice = "the member stands twice in its object"
				it.refuse("remove one of the two", twice)
				other.refuse("remove one of the two", twice)
			default:
				it.refuse(hint, "would be stored under the same name as %s", other.Path)
				other.refuse(hint, "would be stored under the same name as %s", it.Path)
			}
		}
	}
}

// rehearse renders the document as it will be, with the values that stand in it
// now, and refuses what render would refuse then: a field must never end as a
// reference that does not resolve to its value.
func (p *Plan) rehearse(o Options) error {
	doc, err := walker.Parse(p.Document.Name, p.Rewritten())
	if err != nil {
		return err
	}
	store := *o.Store
	store.Enabled = true
	plan, err := render.NewPlan(doc, &store, render.Options{Mode: render.Inline, Literal: o.Literal, Getenv: o.Getenv, UnsetIsNote: true, MissIsNote: true})
	if err != nil {
		return err
	}
	p.Notes, p.Left = plan.Notes, plan.Left
	byName, values := map[string]*Item{}, render.Values{}
	for i := range p.Items {
		it := &p.Items[i]
		if it.Action == Refuse {
			continue
		}
		byName[it.Name] = it
		values[it.Name] = sources.Result{Value: it.value}
		if bytes.HasSuffix(it.value.Reveal(), []byte("\n")) {
			it.refuse("write it without", "the value ends with a line break, which a reference does not keep")
		}
	}
	rendering, problems := plan.Render(values)
	if problems == nil {
		for _, one := range rendering.Notes[len(plan.Notes):] {
			if it := byName[one.Secret]; it != nil {
				it.Notes = append(it.Notes, one.Reason)
			}
		}
		return nil
	}
	for _, one := range problems.List {
		if it := byName[one.Secret]; it != nil && it.Action != Refuse {
			it.refuse(one.Hint, "%s", one.Reason)
		}
	}
	return nil
}

// compare asks the store what it has under each name.
func (p *Plan) compare(ctx context.Context) error {
	names := p.names(func(it *Item) bool { return it.Action != Refuse })
	if len(names) == 0 {
		return nil
	}
	there := p.store.Inspect(ctx, names)
	for i := range p.Items {
		it := &p.Items[i]
		if it.Action != Refuse {
			it.judge(there[it.Name], p.Gateway)
		}
	}
	ours := p.names(func(it *Item) bool { return it.Action == Changed })
	if len(ours) > 0 {
		values := p.store.Fetch(ctx, ours)
		for i := range p.Items {
			it := &p.Items[i]
			if it.Action != Changed {
				continue
			}
			switch res := values[it.Name]; {
			case res.Err != nil:
				it.fail(res.Err)
			case bytes.Equal(res.Value.Reveal(), it.value.Reveal()):
				it.Action = Unchanged
			}
		}
	}
	return p.down()
}

// judge decides by what the store knows of the name. Ours count as changed until
// the values were compared.
func (it *Item) judge(there sources.Item, gateway string) {
	it.expect = there.Version
	switch {
	case there.Err != nil:
		it.fail(there.Err)
	case !there.Gone.IsZero():
		it.refuse("restore it, or wait until it is gone", "the secret of that name is scheduled for deletion at %s", there.Gone.UTC().Format("2006-01-02 15:04 MST"))
	case !there.Exists:
		it.Action = New
	case there.Mark == nil:
		it.refuse("write its reference into the field by hand, or choose another --prefix", "a secret of that name exists that was not stored by bifrost-secrets")
	case there.Mark.Owner != gateway:
		it.refuse("give --gateway as that gateway does, or choose another --prefix", "the secret of that name belongs to the gateway %q", there.Mark.Owner)
	case there.Rotated:
		it.refuse("write its reference into the field by hand: the backend changes its value by itself", "the secret of that name is under rotation")
	default:
		it.Action = Changed
	}
}

func (it *Item) fail(err error) {
	it.refuse(sources.HintOf(err), "%s", err.Error())
	it.Fault = sources.KindOf(err)
}

// down returns an error where the store could not be used at all.
func (p *Plan) down() error {
	if len(p.Items) == 0 || slices.ContainsFunc(p.Items, func(it Item) bool { return it.Action != Refuse || !it.Fault.Retryable() }) {
		return nil
	}
	it := &p.Items[0]
	return &sources.Error{Kind: it.Fault, Name: it.Name, Message: it.Reason, Hint: it.Hint}
}

// Refused returns what cannot be stored, and why.
func (p *Plan) Refused() (all []render.Problem) {
	for _, it := range p.Items {
		if it.Action == Refuse {
			one := render.Problem{Reason: it.Reason, Hint: it.Hint, Kind: it.Fault, Places: []render.Place{it.Place}}
			if it.Name != "" { // else there is nothing to refer to
				one.Reference = it.Reference()
			}
			all = append(all, one)
		}
	}
	return all
}

func (p *Plan) names(wanted func(*Item) bool) []string {
	var names []string
	for i := range p.Items {
		if wanted(&p.Items[i]) {
			names = append(names, p.Items[i].Name)
		}
	}
	return names
}

// Replaced returns the secrets whose values Store replaces, with their fields.
func (p *Plan) Replaced() (all []Item) {
	for _, it := range p.Items {
		if it.Action == Changed {
			all = append(all, it)
		}
	}
	return all
}

// Count returns the number of items with an action.
func (p *Plan) Count(a Action) int {
	return len(p.names(func(it *Item) bool { return it.Action == a }))
}

// Calls foretells the requests of Store: the writes, and the reads by which
// every value is compared afterwards.
func (p *Plan) Calls() (writes, reads int) {
	writes = p.Count(New) + p.Count(Changed)
	kept := p.names(func(it *Item) bool { return it.Action != Refuse })
	return writes, p.store.Plan(kept).Total()
}

// Rewritten is the document with references in the places of the values; every
// other byte is as it was. What is refused stays.
func (p *Plan) Rewritten() []byte {
	doc := p.Document.Bytes()
	out := make([]byte, 0, len(doc))
	at := 0
	for i := range p.Items {
		it := &p.Items[i]
		if it.Action == Refuse {
			continue
		}
		out = append(out, doc[at:it.Span.Start]...)
		out = append(out, walker.Quote(it.Reference())...)
		at = it.Span.End
	}
	return append(out, doc[at:]...)
}
