// Package lint finds what is wrong, or soon will be, with the secrets of a
// Bifrost config. It works offline: it looks at the document and asks nobody.
//
// A rule lives in a file of its own. It looks at each field, at the document as
// a whole, or both, and reports findings with a place.
package lint

import (
	"cmp"
	"slices"
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

// String returns the word for a severity.
func (s Severity) String() string {
	return [...]string{"off", "note", "warning", "error"}[s]
}

// ParseSeverity reads a severity's word; "off" is 0.
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
	// Fix is nil where there is no safe repair. Of the findings of one Check, no
	// two fixes overlap, but some may be the very same: then it is made once.
	Fix *Edit
}

// Rule is one thing that is looked for.
type Rule struct {
	ID       string
	Severity Severity // of its findings, unless one says otherwise
	Off      bool     // only on when a user switches it on
	Summary  string   // one line
	field    func(*checker, *walker.Field)
	document func(*checker)
	lack     bool // the second concludes from what the document lacks
}

// Rules returns every rule, sorted by its id.
func Rules() []Rule { return slices.Clone(rules) }

var rules = []Rule{
	circularVaultStore, duplicateKey, encryptionKey, fragmentMixed, jsonEscape, keyName, maskedValue, nullSecret,
	objectForm, plaintextSecret, pluginVersion, postgresPassword, prefix, referenceNotResolved, referenceSyntax,
	secretName, sourceOfTruth, sqlitePath, stdioEnvironment, storeType, unknownPlace, unscannedStore, vaultStore, virtualKeyPrefix,
}

// Online is what asking the backend finds, which this package does not do: only
// programs that can, have it. Settings may name it for all.
var Online = Rule{
	ID: "online", Severity: Error,
	Summary: "a reference that the backend cannot answer, or whose value Bifrost would not take",
}

// Options say how to lint.
type Options struct {
	Env      bool     // the document is for env mode
	Bifrost  Versions // that will read the document
	Settings *Settings
	// Getenv looks a variable up; nil means that the environment is not known.
	Getenv func(string) (string, bool)

	// Backends are those that a vault_store may name; where there are none, no type,
	// no setting and no name of a secret is held against them.
	Backends []Backend

	// Part is set where the document is only a part of a config: nothing is
	// concluded from what it lacks.
	Part bool

	// Comments are those that the text of the document has had.
	Comments []Comment

	rows bool // the document is made of the rows of a database
}

// checker is one run over one document.
type checker struct {
	doc      *walker.Document
	opts     Options
	outline  *outline
	store    store
	rule     *Rule
	look     look // at the field that is being checked
	line     line // of the arguments that came last
	cursor   cursor
	facts    facts
	findings []Finding
}

// Check looks for everything that is wrong with a document. The findings are in
// the order of their places.
func Check(doc *walker.Document, opts Options) []Finding {
	if opts.Settings == nil {
		opts.Settings = &Settings{}
	}
	c := &checker{doc: doc, opts: opts, outline: outlineOf(doc), facts: facts{whole: map[string]site{}, fragment: map[string]site{}}}
	c.store = readStore(doc, opts.Backends)
	var onField, onDocument []*Rule
	for i := range rules {
		r := &rules[i]
		if !opts.wants(r) {
			continue
		}
		if r.field != nil {
			onField = append(onField, r)
		}
		if r.document != nil && !opts.rows && !(r.lack && opts.Part) {
			onDocument = append(onDocument, r)
		}
	}
	doc.WalkWith(opts.Settings.matcher, func(f *walker.Field) bool {
		c.lookAt(f)
		c.remember(f)
		for _, c.rule = range onField {
			c.rule.field(c, f)
		}
		return true
	})
	c.facts.strays = append(c.facts.strays, c.outline.suspect...) // behind the last field
	for _, c.rule = range onDocument {
		c.rule.document(c)
	}
	all := c.opts.Settings.Apply(c.findings)
	Sort(all)
	shareFixes(all)
	for i := range all {
		all[i].Path = shownPath(all[i].Path)
	}
	return all
}

// Sort puts findings in the order of their places, and of their rules where that
// is the same.
func Sort(all []Finding) {
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Span.Start, b.Span.Start), strings.Compare(a.Rule, b.Rule))
	})
}

// shareFixes makes the findings about one value share one fix, that of the last:
// the rules come in the order of their ids, and the repair of a reference's
// spelling also writes it without an object and without bad escapes.
func shareFixes(all []Finding) {
	var last *Edit
	for i := len(all) - 1; i >= 0; i-- {
		f := &all[i]
		if f.Fix == nil {
			continue
		}
		if last != nil && last.Span == f.Fix.Span {
			f.Fix = last
		}
		last = f.Fix
	}
}

func spanOf(f *walker.Field) walker.Span { return walker.Span{Start: f.Start, End: f.End} }

// at reports a finding of the current rule at a field. It returns the finding, so
// that a rule may add to it.
func (c *checker) at(f *walker.Field, hint, message string) *Finding {
	return c.report(f.Path, spanOf(f), hint, message)
}

func (c *checker) report(path string, span walker.Span, hint, message string) *Finding {
	if n := len(c.findings); n == cap(c.findings) {
		c.findings = slices.Grow(c.findings, n+8) // twice as many, where append would copy them more often
	}
	c.findings = append(c.findings, Finding{
		Rule: c.rule.ID, Severity: c.rule.Severity, Message: message, Hint: hint, Path: path, Span: span,
	})
	return &c.findings[len(c.findings)-1]
}

// opening returns the span of an object's brace, where findings about the whole
// object are put.
func opening(o walker.Object) walker.Span { return walker.Span{Start: o.Start, End: o.Start + 1} }

// replace makes the repair that writes text as a plain string in the finding's
// place.
func (f *Finding) replace(text string) { f.Fix = &Edit{f.Span, walker.Quote(text)} }
