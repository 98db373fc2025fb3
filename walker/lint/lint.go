// Package lint finds what is wrong, or soon will be, with the secrets of a
// Bifrost config. It works offline: it looks at the document and asks nobody.
//
// A rule lives in a file of its own. It looks at each field, at the document as
// a whole, or both, and reports findings with a place.
package lint

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"bifrost-secrets/walker"
)

// Severity says how bad a finding is.
type Severity uint8

// The severities, the least first.
const (
	Note Severity = iota + 1
	Warning
	Error
)

// String gives the word for a severity.
func (s Severity) String() string {
	return [...]string{"off", "note", "warning", "error"}[s]
}

// ParseSeverity reads a severity's word; "off" gives 0.
func ParseSeverity(word string) (Severity, bool) {
	for s := Severity(0); s <= Error; s++ {
		if s.String() == word {
			return s, true
		}
	}
	return 0, false
}

// Edit is a repair: text takes the place of a span of the document.
type Edit struct {
	walker.Span
	Text string
}

// Finding is one thing that a rule found. It never holds a value that may be a
// secret; a Fix may, and is never printed but as the repaired document itself.
type Finding struct {
	Rule     string
	Severity Severity
	Message  string // lower case, no full stop
	Hint     string // what to do; may be empty
	Path     string // of the field or object
	Span     walker.Span
	Fix      *Edit // nil where there is no safe repair
}

// Rule is one thing that is looked for.
type Rule struct {
	ID       string
	Severity Severity // of its findings, unless one says otherwise
	Off      bool     // only on when a user switches it on
	Summary  string   // one line
	field    func(*checker, *walker.Field)
	document func(*checker)
}

// Rules gives every rule, sorted by its id.
func Rules() []Rule { return slices.Clone(rules) }

var rules = sorted([]Rule{
	referenceSyntax, plaintextSecret, maskedValue, nullSecret, jsonEscape, objectForm, duplicateKey,
	referenceNotResolved, unknownPlace, circularVaultStore, vaultStore, secretName, fragmentMixed,
	prefix, virtualKeyPrefix, pluginVersion, keyName, encryptionKey, sourceOfTruth, postgresPassword,
	stdioEnvironment, unscannedStore,
})

func sorted(all []Rule) []Rule {
	sort.Slice(all, func(i, j int) bool { return all[i].ID < all[j].ID })
	return all
}

// Options say how to lint.
type Options struct {
	Env      bool // the document is for env mode
	Settings *Settings
	// Getenv looks a variable up; nil means that the environment is not known.
	Getenv func(string) (string, bool)
}

// checker is one run over one document.
type checker struct {
	doc      *walker.Document
	opts     Options
	store    store
	rule     *Rule
	findings []Finding
	uses     map[string]*use // of each secret, for rules that look at all references
	secrets  bool            // the document holds or refers to a secret outside of vault_store
	vault    bool            // it has a vault. reference
	text     string          // of the field that is looked at, once a rule has asked
	textAt   int             // where that field starts, plus one
	plugins  map[string]bool // the paths of plugins that hold or refer to a secret
}

// use is how a secret is referred to.
type use struct {
	whole, fragment *place
}

type place struct {
	path string
	span walker.Span
}

// Check looks for everything that is wrong with a document. The findings are in
// the order of their places.
func Check(doc *walker.Document, opts Options) []Finding {
	if opts.Settings == nil {
		opts.Settings = defaultSettings()
	}
	c := &checker{doc: doc, opts: opts, uses: map[string]*use{}, plugins: map[string]bool{}}
	c.store = readStore(doc)
	var onField, onDocument []*Rule
	for i := range rules {
		r := &rules[i]
		if !opts.Settings.on(r) {
			continue
		}
		if r.field != nil {
			onField = append(onField, r)
		}
		if r.document != nil {
			onDocument = append(onDocument, r)
		}
	}
	doc.WalkWith(opts.Settings.matcher, func(f *walker.Field) bool {
		c.remember(f)
		for _, c.rule = range onField {
			c.rule.field(c, f)
		}
		return true
	})
	for _, c.rule = range onDocument {
		c.rule.document(c)
	}
	c.findings = opts.Settings.apply(c.findings)
	sort.SliceStable(c.findings, func(i, j int) bool {
		a, b := &c.findings[i], &c.findings[j]
		if a.Span.Start != b.Span.Start {
			return a.Span.Start < b.Span.Start
		}
		return a.Rule < b.Rule
	})
	return c.findings
}

// remember gathers what the rules for the whole document want to know.
func (c *checker) remember(f *walker.Field) {
	if f.Entry == nil || c.store.holds(f.Start) {
		return
	}
	vault := f.What == walker.Ref && f.Ref.Scheme == walker.Vault
	if (vault || f.Entry.Kind == walker.SecretKind) && strings.HasPrefix(f.Entry.Pattern, "plugins[].") {
		c.plugins[f.Path[:strings.IndexByte(f.Path, ']')+1]] = true
	}
	if vault || f.Entry.Kind == walker.SecretKind && f.What == walker.Literal {
		c.secrets = true
	}
	if !vault {
		return
	}
	c.vault = true
	u := c.uses[f.Ref.Name]
	if u == nil {
		u = &use{}
		c.uses[f.Ref.Name] = u
	}
	p := &u.whole
	if f.Ref.Fragment {
		p = &u.fragment
	}
	if *p == nil {
		*p = &place{f.Path, span(f)}
	}
}

// textOf gives the text of a field; several rules want the same.
func (c *checker) textOf(f *walker.Field) string {
	if c.textAt != f.Start+1 {
		c.text, c.textAt = f.Text(), f.Start+1
	}
	return c.text
}

func span(f *walker.Field) walker.Span { return walker.Span{Start: f.Start, End: f.End} }

// at reports a finding of the current rule at a field. The finding is given, so
// that a rule may add to it.
func (c *checker) at(f *walker.Field, hint, format string, args ...any) *Finding {
	return c.report(f.Path, span(f), hint, format, args...)
}

func (c *checker) report(path string, span walker.Span, hint, format string, args ...any) *Finding {
	c.findings = append(c.findings, Finding{
		Rule: c.rule.ID, Severity: c.rule.Severity, Message: fmt.Sprintf(format, args...), Hint: hint, Path: path, Span: span,
	})
	return &c.findings[len(c.findings)-1]
}

// replace makes the repair that writes text as a plain string in the finding's
// place.
func (f *Finding) replace(text string) { f.Fix = &Edit{f.Span, walker.Quote(text)} }
