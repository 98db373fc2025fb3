package walker

import (
	_ "embed"
	"fmt"
	"slices"
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
func Catalogue() []Entry { return catalogue() }

var catalogue = sync.OnceValue(func() []Entry { return mustParse(catalogueText) })

// Sections returns the names of the members that a config may have at its top, as
// far as the catalogue has fields in or below them.
func Sections() (names []string) {
	for _, m := range compiled().members {
		names = append(names, m.name)
	}
	return names
}

// compiled is the catalogue as documents are walked along it.
var compiled = sync.OnceValue(func() *node { return compile(catalogueText) })

// mustParse reads lines of the catalogue. A fault in them is a fault of the build,
// found by the package's tests, and so it panics.
func mustParse(text string) []Entry {
	entries, err := Rows(text, columns, parseEntry)
	if err != nil {
		panic("walker: catalogue.tsv: " + err.Error())
	}
	return entries
}

const columns = 8

// oneOf returns which of words a word is.
func oneOf[T ~uint8](word string, words ...string) (T, bool) {
	i := slices.Index(words, word)
	return T(max(i, 0)), i >= 0
}

func parseEntry(col []string) (Entry, error) {
	e := Entry{Pattern: col[0], Selector: strings.TrimPrefix(col[5], "-"), Since: col[6], Note: strings.TrimPrefix(col[7], "-")}
	var ok [4]bool
	e.Kind, ok[0] = oneOf[Kind](col[1], "setting", "secret")
	e.Form, ok[1] = oneOf[Form](col[2], "string", "secretvar", "zone")
	switch e.Env, ok[2] = oneOf[Support](col[3], "no", "newer", "yes"); {
	case e.Env == Newer:
		e.EnvFrom = [2]int{1, 5}
	case !ok[2]:
		var from [2]int
		n, _ := fmt.Sscanf(col[3], "%d.%d", &from[0], &from[1])
		e.Env, e.EnvFrom, ok[2] = Newer, from, n == 2
	}
	e.Change, ok[3] = oneOf[Change](col[4], "restart", "live", "never")
	for i, good := range ok {
		if !good {
			return Entry{}, fmt.Errorf("column %d: unknown word %q", i+2, col[i+1])
		}
	}
	if e.Pattern == "" || strings.Contains(e.Pattern, "..") || strings.HasSuffix(e.Pattern, ".") || e.Pattern[0] == '.' {
		return Entry{}, fmt.Errorf("%q: an empty member name", e.Pattern)
	}
	if at, name, value := e.selects(); e.Selector != "" && (at == 0 || name == "" || value == "" || !strings.HasPrefix(e.Pattern, e.Selector[:at])) {
		return Entry{}, fmt.Errorf("selector %q does not stand above %q", e.Selector, e.Pattern)
	}
	if strings.HasSuffix(e.Pattern, ".**") != (e.Form == ZoneForm) {
		return Entry{}, fmt.Errorf("%s: a pattern ends in .** where, and only where, the form is zone", e.Pattern)
	}
	return e, nil
}
