package render

import (
	"sort"
	"strings"
	"sync"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// Mode is a way to hand the values over.
type Mode string

// The modes.
const (
	Inline  Mode = "inline" // the value takes the reference's place in the document
	EnvMode Mode = "env"    // env.BIFROST_SECRET_… takes it, and the value goes into the environment
)

// Options say how to plan.
type Options struct {
	Mode    Mode
	Literal []string // paths of strings that only look like references
	// Anywhere has references resolved in every string value of the document but
	// those of vault_store, and not only in the fields that the catalogue knows.
	Anywhere bool
	Getenv   func(string) (string, bool)
	// UnsetIsNote makes a variable that is not set a note: what publishes nothing
	// needs no variable.
	UnsetIsNote bool
	// MissIsNote makes a note of what was meant as a reference and is none: for
	// what is about other fields.
	MissIsNote bool
	// Beside are references that stand outside of the document. Whatever the
	// mode, their values go into the environment.
	Beside []Beside
}

// Beside is a reference that stands outside of the document, in a config store.
type Beside struct {
	Ref   walker.Reference // to a vault
	Entry *walker.Entry    // of the field that it stands in, which its value is checked against
	Path  string           // how messages call that place
	// Entity is what changes together with it, by a name of its own; empty where
	// that is the place alone.
	Entity string
}

// Plan is what has to be done to render a document: each distinct secret once,
// with the fields that want it. It holds no value of a secret of the backend.
type Plan struct {
	Document *walker.Document
	Store    *VaultStore // nil where there is none
	Mode     Mode
	Secrets  []string  // the distinct secrets, in the order of their first use
	Left     []string  // the variables whose env. references are left for Bifrost, sorted
	Fields   int       // the fields of the catalogue that stand in the document
	Notes    []Problem // remarks: nothing that stops the work
	Beside   []Beside  // as the Options have them

	getenv func(string) (string, bool)
	wants  []want
	edits  []edit
	beside []edit // references outside of the document, which have no place in it
	left   []edit // the fields whose env. references are left for Bifrost; text is the variable
	cuts   []walker.Span

	entitiesOnce sync.Once
	entities     []Entity
}

type want struct {
	ref    walker.Reference
	secret int // index in Secrets; -1 for a variable of the environment
}

type edit struct {
	start, end int
	want       int    // index in wants; -1: text takes the place
	text       string // JSON; may hold a secret that stood in the document
	path       string
	entity     string // of a place outside of the document
	entry      *walker.Entry
	byEnv      bool // env mode, and Bifrost resolves env. in this field
}

// NewPlan finds out what a document needs. store is nil where there is none.
// Every fault of the document is reported at once, as *Problems.
func NewPlan(doc *walker.Document, store *VaultStore, opts Options) (*Plan, error) {
	p := &planner{
		Plan:      &Plan{Document: doc, Store: store, Mode: opts.Mode, getenv: opts.Getenv, Beside: opts.Beside, cuts: doc.Without("config_store", "vault_store")},
		problems:  Problems{Document: doc.Name},
		store:     store,
		literal:   map[string]bool{},
		leftNames: map[string]bool{},
		wantOf:    map[walker.Reference]int{},
		secretOf:  map[string]int{},
		opts:      opts,
	}
	// Room for every reference, so that a large list is not copied as it grows.
	p.edits = make([]edit, 0, doc.References())
	for _, path := range opts.Literal {
		p.literal[path] = false
	}
	for _, note := range doc.Notes {
		p.Notes = append(p.Notes, Problem{Reason: note})
	}
	if opts.Anywhere {
		doc.WalkAnywhere(p.field)
	} else {
		doc.Walk(p.field)
	}
	for _, b := range opts.Beside {
		p.outside(b)
	}
	p.finish()
	return p.Plan, p.problems.orNil()
}

// resolved returns every reference that is resolved here: those of the document,
// in its order, and then those beside it.
func (p *Plan) resolved(yield func(*edit) bool) {
	for _, list := range [][]edit{p.edits, p.beside} {
		for i := range list {
			if list[i].want >= 0 && !yield(&list[i]) {
				return
			}
		}
	}
}

// Resolved counts the fields whose references are resolved here.
func (p *Plan) Resolved() int {
	n := 0
	for i := range p.edits {
		if p.edits[i].want >= 0 {
			n++
		}
	}
	return n
}

type planner struct {
	*Plan
	opts      Options
	problems  Problems
	store     *VaultStore
	literal   map[string]bool // the exempted paths, and whether each was met
	leftNames map[string]bool
	wantOf    map[walker.Reference]int
	secretOf  map[string]int
	noted     bool    // virtual keys in env mode have been remarked on
	disabled  []Place // the fields that want a vault although none is enabled
}

func (p *planner) note(f *walker.Field, hint, reason string) {
	p.Notes = append(p.Notes, Problem{Reason: reason, Hint: hint, Places: []Place{placeOf(p.Document, f.Path, f.Start, f.End)}})
}

func (p *planner) problem(f *walker.Field, invalid bool, hint, reason string) {
	one := Problem{Reason: reason, Hint: hint, Invalid: invalid, Places: []Place{placeOf(p.Document, f.Path, f.Start, f.End)}}
	if f.What == walker.Ref {
		one.Reference = f.Ref.Shown()
	}
	p.problems.add(one)
}

func (p *planner) field(f *walker.Field) bool {
	if p.insideStore(f) {
		return true
	}
	if f.Entry != nil && !f.Entry.Outside() {
		p.Fields++
	}
	if _, exempt := p.literal[f.Path]; exempt {
		p.literal[f.Path] = true
		return true
	}
	switch {
	case f.Entry == nil:
		p.stray(f)
	case f.What == walker.Broken:
		hint := hintOf(f.Err)
		if f.Entry.Form == walker.ZoneForm {
			hint = exemptHint(hint, f.Path)
		}
		p.problem(f, false, hint, f.Err.Error())
	case f.What == walker.Ref && f.Ref.Scheme == walker.Vault:
		p.vault(f)
	case f.What == walker.Ref:
		p.env(f)
	case p.nearMiss(f):
	case f.Disputed && refersAgain(f):
		p.note(f, "write the text without an object if it may be a reference", "a literal that looks like a reference; versions of Bifrost read it in different ways; it is left as it is")
	case f.Disputed:
		p.rewrite(f, f.Text())
		p.note(f, "", "an object that versions of Bifrost read in different ways is written as a string")
	case f.What == walker.Masked && f.Kind() == walker.SecretKind:
		p.note(f, "write the secret, or a reference to it", "a mask stands here, as Bifrost shows it in place of a secret; it is left as it is")
	case f.Misread:
		p.rewrite(f, f.Text())
		p.note(f, "", "the string has escapes that Bifrost misreads; it is written without them")
	}
	return true
}

// nearMiss reports whether something stands in f that was meant as a reference
// and is none.
func (p *planner) nearMiss(f *walker.Field) bool {
	miss := f.NearMiss()
	if !miss.Found() {
		return false
	}
	p.leftover(f, exemptHint(miss.Hint, f.Path), miss.Message(f.Entry))
	return true
}

// leftover reports what nothing would resolve although somebody meant it to.
func (p *planner) leftover(f *walker.Field, hint, reason string) {
	if p.opts.MissIsNote {
		p.note(f, hint, reason)
		return
	}
	p.problem(f, false, hint, reason)
}

// stray looks after a string outside of every field that begins like a reference.
func (p *planner) stray(f *walker.Field) {
	const unknown = "looks like a reference, but no field that takes one is known here"
	hint := "check the spelling of the members above it, or have it resolved with --anywhere"
	text := walker.TrimUnseen(f.Text())
	path, isVault := strings.CutPrefix(text, "vault.")
	switch {
	case !isVault, strings.ContainsAny(text, " \t"): // prose that happens to begin so, perhaps
		p.note(f, hint, unknown+"; it is left as it is")
	case strings.ContainsAny(path, "/#") && !walker.HostLike(text):
		p.leftover(f, exemptHint(hint, f.Path), unknown+", and nothing would resolve it")
	default:
		p.note(f, exemptHint(hint, f.Path), unknown+"; it is left as it is")
		p.Notes[len(p.Notes)-1].Warning = true
	}
}

// refersAgain reports whether the text of a literal would be taken for a
// reference if it stood as a plain string.
func refersAgain(f *walker.Field) bool {
	return strings.HasPrefix(f.Text(), "env.") || strings.HasPrefix(f.Text(), "vault.")
}

// insideStore looks after the fields of the vault_store block, which is cut out.
func (p *planner) insideStore(f *walker.Field) bool {
	i := sort.Search(len(p.cuts), func(i int) bool { return p.cuts[i].End >= f.End })
	if i == len(p.cuts) || f.Start < p.cuts[i].Start {
		return false
	}
	if f.What == walker.Ref && f.Ref.Scheme == walker.Vault {
		p.problem(f, true, "write env.NAME, or the setting itself", "a vault. reference inside vault_store: the vault cannot open itself")
	}
	return true
}

func (p *planner) vault(f *walker.Field) {
	secret, problem := p.secret(f.Ref.Name)
	if problem != nil {
		hint := problem.Hint
		if f.Entry.Form == walker.ZoneForm {
			hint = exemptHint(hint, f.Path)
		}
		p.problem(f, false, walker.HideName(hint, f.Ref.Name), walker.HideName(problem.Reason, f.Ref.Name))
		return
	}
	if secret < 0 {
		p.disabled = append(p.disabled, placeOf(p.Document, f.Path, f.Start, f.End))
		return
	}
	p.use(f, want{ref: f.Ref, secret: secret}, p.Mode == EnvMode && f.Entry.Env == walker.Supported)
}

// outside looks after a reference that stands outside of the document.
func (p *planner) outside(b Beside) {
	secret, problem := p.secret(b.Ref.Name)
	if problem != nil {
		problem.Reference, problem.Places = b.Ref.Shown(), []Place{{Path: b.Path}}
		p.problems.add(*problem)
		return
	}
	if secret < 0 {
		p.disabled = append(p.disabled, Place{Path: b.Path})
		return
	}
	p.beside = append(p.beside, edit{want: p.want(want{ref: b.Ref, secret: secret}), path: b.Path, entity: b.Entity, entry: b.Entry, byEnv: true})
}

// secret returns the number of a secret of the store; -1 where no store is enabled.
func (p *planner) secret(name string) (int, *Problem) {
	if p.store == nil || !p.store.Enabled {
		return -1, nil
	}
	if secret, ok := p.secretOf[name]; ok {
		return secret, nil
	}
	if why, hint := sources.CheckName(p.store.Type, name); why != "" {
		return -1, &Problem{Reason: "the path of the reference " + why, Hint: hint}
	}
	p.secretOf[name] = len(p.Secrets)
	p.Secrets = append(p.Secrets, name)
	return len(p.Secrets) - 1, nil
}

func (p *planner) want(w want) int {
	i, ok := p.wantOf[w.ref]
	if !ok {
		i = len(p.wants)
		p.wantOf[w.ref] = i
		p.wants = append(p.wants, w)
	}
	return i
}

// env looks after an env. reference: Bifrost resolves it where it can, and it
// is resolved here where it cannot.
func (p *planner) env(f *walker.Field) {
	if f.Ref.Templated() {
		p.leftover(f, exemptHint("fill it in before Bifrost reads the file, or write the whole reference", f.Path), "a variable or a template inside of a reference")
		return
	}
	if f.Entry.Env != walker.Unsupported {
		p.leftNames[f.Ref.Name] = true
		p.left = append(p.left, edit{start: f.Start, end: f.End, text: f.Ref.Name, path: f.Path, entry: f.Entry})
		p.noteRests(f, p.Mode == EnvMode)
		if f.Disputed {
			p.rewrite(f, f.Ref.String())
		}
		return
	}
	if _, ok := p.getenv(f.Ref.Name); !ok {
		const reason = "the variable is not set"
		hint := exemptHint("set it here, since Bifrost does not resolve env. in this field", f.Path)
		if p.opts.UnsetIsNote {
			p.note(f, "render and exec need it", f.Ref.Shown()+": "+reason+" here")
		} else {
			p.problem(f, false, hint, reason)
		}
		return
	}
	p.use(f, want{ref: f.Ref, secret: -1}, false)
}

func (p *planner) use(f *walker.Field, w want, byEnv bool) {
	if byEnv && isVirtualKey(f.Entry) && !p.noted {
		if _, encrypted := lastText(p.Document, "encryption_key"); !encrypted {
			p.noted = true
			p.note(f, "set encryption_key, or BIFROST_ENCRYPTION_KEY in Bifrost's environment", "env mode keeps this out of the file, but Bifrost writes the values of virtual keys into its database, in clear without an encryption key")
		}
	}
	p.noteRests(f, byEnv)
	p.edits = append(p.edits, edit{start: f.Start, end: f.End, want: p.want(w), path: f.Path, entry: f.Entry, byEnv: byEnv})
}

// noteRests notes that env mode does not keep the value of a field out of Bifrost's
// database.
func (p *planner) noteRests(f *walker.Field, byEnv bool) {
	if byEnv && f.Entry.Rests() {
		p.note(f, "guard Bifrost's database and its backups as you guard the secret", "Bifrost keeps what the variable comes to in its database, beside the variable's name")
	}
}

// rewrite puts text in the field's place, as a string that every version of
// Bifrost reads alike.
func (p *planner) rewrite(f *walker.Field, text string) {
	p.edits = append(p.edits, edit{start: f.Start, end: f.End, want: -1, text: walker.Quote(text), path: f.Path, entry: f.Entry})
}

func (p *planner) finish() {
	if len(p.disabled) > 0 {
		p.problems.add(Problem{Reason: NotEnabled, Hint: HintNotEnabled(p.Document, p.store), Kind: sources.BadSettings, Places: p.disabled})
	}
	for _, path := range p.opts.Literal {
		if !p.literal[path] {
			p.problems.add(Problem{Reason: "--literal names no field of the document", Hint: "copy the path from the output of explain", Invalid: true, Places: []Place{{Path: path}}})
			p.literal[path] = true
		}
	}
	for name := range p.leftNames {
		p.Left = append(p.Left, name)
	}
	sort.Strings(p.Left)
}
