package walker

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
)

// Kind tells whether the value of a field may ever be shown.
type Kind uint8

// The kinds of field.
const (
	Setting    Kind = iota // may be a reference, is not sensitive
	SecretKind             // must never be shown
)

// String returns the word that the catalogue uses.
func (k Kind) String() string {
	if k == SecretKind {
		return "secret"
	}
	return "setting"
}

// Form tells what Bifrost accepts as the value of a field.
type Form uint8

// The forms of a field.
const (
	StringForm    Form = iota // a JSON string
	SecretVarForm             // a JSON string, or the object form of a SecretVar
	ZoneForm                  // free-form: every string below is a field
)

// Support tells whether Bifrost itself resolves `env.` in a field.
type Support uint8

// The degrees of support.
const (
	Unsupported Support = iota
	Newer               // only versions from Entry.EnvFrom on
	Supported
)

// Change tells how a running Bifrost takes a new value.
type Change uint8

// The ways of change.
const (
	Restart Change = iota
	Live           // through its management API
	Never          // the value must stay as it is
)

// restsNote is what the note of a line says where it is so.
const restsNote = "bifrost's database keeps what env. resolves to"

// Rests reports whether Bifrost's database keeps what a variable that the field
// names resolves to.
func (e *Entry) Rests() bool { return strings.Contains(e.Note, restsNote) }

// Entry is one line of the catalogue.
type Entry struct {
	Pattern  string // `providers.*.keys[].value`
	Kind     Kind
	Form     Form
	Env      Support
	Change   Change
	Selector string // `plugins[].name=otel`; empty where the line holds everywhere
	Since    string
	Note     string

	// EnvFrom is the first version (major, minor) that may resolve env. here, where
	// Env is Newer.
	EnvFrom [2]int
}

//go:embed catalogue.tsv
var catalogueText string

// CatalogueText returns the catalogue as it stands in the repository: lines of
// tab-separated columns under comments that explain them.
func CatalogueText() string { return catalogueText }

// Catalogue returns every line of the catalogue, in its order. The result is
// shared and must not be changed.
func Catalogue() []Entry { return compiled().entries }

type catalogue struct {
	entries []Entry
	root    *node
}

// compiled reads the embedded catalogue once. A fault in it is a fault of the
// build, found by the package's tests, and so it panics.
var compiled = sync.OnceValue(func() *catalogue {
	c, err := compile(catalogueText)
	if err != nil {
		panic("walker: catalogue.tsv: " + err.Error())
	}
	return c
})

func compile(text string) (*catalogue, error) {
	entries, err := parseCatalogue(text)
	if err != nil {
		return nil, err
	}
	root, err := buildTrie(entries)
	if err != nil {
		return nil, err
	}
	return &catalogue{entries: entries, root: root}, nil
}

func parseCatalogue(text string) ([]Entry, error) {
	var entries []Entry
	seen := map[string]int{}
	for i, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		e, err := parseEntry(strings.Split(line, "\t"))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		key := e.Pattern + " " + e.Selector
		if first, dup := seen[key]; dup {
			return nil, fmt.Errorf("line %d: the same place as line %d", i+1, first)
		}
		seen[key] = i + 1
		entries = append(entries, e)
	}
	return entries, nil
}

func parseEntry(col []string) (Entry, error) {
	if len(col) != 8 {
		return Entry{}, fmt.Errorf("%d columns, want 8", len(col))
	}
	e := Entry{Pattern: col[0], Selector: strings.TrimPrefix(col[5], "-"), Since: col[6], Note: strings.TrimPrefix(col[7], "-")}
	var ok [4]bool
	e.Kind, ok[0] = map[string]Kind{"secret": SecretKind, "setting": Setting}[col[1]]
	e.Form, ok[1] = map[string]Form{"string": StringForm, "secretvar": SecretVarForm, "zone": ZoneForm}[col[2]]
	if e.Env, ok[2] = map[string]Support{"yes": Supported, "newer": Newer, "no": Unsupported}[col[3]]; e.Env == Newer {
		e.EnvFrom = [2]int{1, 5}
	}
	if n, _ := fmt.Sscanf(col[3], "%d.%d", &e.EnvFrom[0], &e.EnvFrom[1]); n == 2 {
		e.Env, ok[2] = Newer, true
	}
	e.Change, ok[3] = map[string]Change{"live": Live, "restart": Restart, "never": Never}[col[4]]
	for i, good := range ok {
		if !good {
			return Entry{}, fmt.Errorf("column %d: unknown word %q", i+2, col[i+1])
		}
	}
	if e.Pattern == "" || strings.Contains(e.Pattern, "..") || strings.HasSuffix(e.Pattern, ".") || e.Pattern[0] == '.' {
		return Entry{}, fmt.Errorf("%q: an empty member name", e.Pattern)
	}
	if strings.HasSuffix(e.Pattern, ".**") != (e.Form == ZoneForm) {
		return Entry{}, fmt.Errorf("%s: a pattern ends in .** where, and only where, the form is zone", e.Pattern)
	}
	return e, nil
}
