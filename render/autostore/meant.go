package autostore

import (
	"html"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"

	"golang.org/x/text/unicode/norm"
)

// Meant finds out which secrets a text could mean: in the reading of any version
// of Bifrost, of render, or of a person who wrote it in a hurry. What is deleted
// cannot always be brought back, so it errs on the side of what is meant.
//
// A name is a sequence of words, and a text means it if these words follow one
// another in it, whatever stands between them, before them and behind them: that
// takes `${vault.a/b}`, `Vault.a/b`, `"vault. a/b"`, `secret/data/a/b` and
// `"bearer vault.a/b"` alike. Words are compared without regard to case, to
// hyphens, and to how a character is written.
type Meant struct {
	store  sources.Inspector
	prefix string
	root   *words
	byID   map[string][]*candidate // by what store calls the identities of a name
	all    map[string]*candidate
	// known are the variables of env mode whose references are known, and others
	// the places of those that were met.
	known  map[string]bool
	others map[string]string
}

// candidate is a secret that is looked for.
type candidate struct {
	place string
	meant bool
}

// words is a node of the trie of the names that are looked for.
type words struct {
	next map[string]*words
	end  []*candidate
	// bare are those of one word alone, as which many a text could be read: they
	// count behind the word vault, or as the whole of what names a secret.
	bare []*candidate
}

// NewMeant looks for secrets of those names, each with the other names that lead
// to it in the store, if there are any. prefix is what the names of stored secrets
// begin with; it may be empty.
func NewMeant(store sources.Inspector, prefix string, names map[string][]string) *Meant {
	m := &Meant{store: store, prefix: prefix, root: &words{}, byID: map[string][]*candidate{}, all: map[string]*candidate{}, known: map[string]bool{}, others: map[string]string{}}
	for name, aliases := range names {
		c := &candidate{}
		m.all[name] = c
		for _, one := range append([]string{name}, aliases...) {
			m.lookFor(c, one, false)
			if rest, ok := strings.CutPrefix(one, prefix+"/"); ok && strings.Contains(rest, "/") {
				m.lookFor(c, rest, false)
			}
			if strings.Contains(one, "=") {
				m.lookFor(c, plain(one), false)
			}
			for _, id := range store.Identities(one) {
				m.byID[fold(id)] = append(m.byID[fold(id)], c)
				m.lookFor(c, id, id != one)
			}
		}
		// What a rendering in env mode has in the place of the reference.
		variable := render.EnvName(walker.Reference{Scheme: walker.Vault, Name: name})
		m.lookFor(c, variable, true)
		m.known[variable] = true
	}
	return m
}

// plain returns a name as the entity is called that it is made of.
func plain(name string) string {
	segments := strings.Split(name, "/")
	for i := range segments {
		if text, ok := unescape(segments[i]); ok {
			segments[i] = text
		}
	}
	return strings.Join(segments, "/")
}

// lookFor adds a name to the trie. certain says that nothing else is called so.
func (m *Meant) lookFor(c *candidate, name string, certain bool) {
	at, n := m.root, 0
	for word := range wordsOf(fold(name)) {
		next := at.next[word]
		if next == nil {
			if at.next == nil {
				at.next = map[string]*words{}
			}
			next = &words{}
			at.next[word] = next
		}
		at = next
		n++
	}
	switch {
	case n == 0:
	case n == 1 && !certain:
		at.bare = append(at.bare, c)
	default:
		at.end = append(at.end, c)
	}
}

// By returns a place whose text means the secret, which must be one of those that
// are looked for, and reports whether there is one.
func (m *Meant) By(name string) (place string, ok bool) {
	if c := m.all[name]; c != nil {
		return c.place, c.meant
	}
	return "", false
}

// Certain returns an error where a variable of env mode was met and nothing that
// was looked at says which secret it stands for: it could be any.
func (m *Meant) Certain() error {
	for _, variable := range slices.Sorted(maps.Keys(m.others)) {
		if !m.known[variable] {
			return &sources.Error{
				Kind: sources.Unusable, Message: m.others[variable] + " has the variable " + variable + ", and nobody knows which secret it stands for; nothing was deleted",
				Hint: "prune by the config with the references, and write the reference again where the variable was left over",
			}
		}
	}
	return nil
}

// Document looks at every string and every name of a member in a document.
// Fields whose values Bifrost has masked mean what would be stored from them.
func (m *Meant) Document(doc *walker.Document) {
	last := ""
	doc.Strings(func(at walker.Span, text string, name bool) bool {
		if name {
			last = text
		}
		m.text(func() string { return placeOf(doc, at.Start) }, text, !name && naming[strings.ToLower(last)])
		if !name {
			last = ""
		}
		return true
	})
	n := newNamer(doc, m.prefix)
	doc.Walk(func(f *walker.Field) bool {
		if f.Entry != nil && f.What == walker.Masked {
			m.means(m.all[n.name(f.Entry.Pattern, f.Path)], func() string { return placeOf(doc, f.Start) })
		}
		return true
	})
}

// naming are the members of an object form that may name a secret.
var naming = map[string]bool{"value": true, "ref": true, "env_var": true}

func placeOf(doc *walker.Document, offset int) string {
	pos := doc.Position(offset)
	return doc.Name + ":" + strconv.Itoa(pos.Line) + ":" + strconv.Itoa(pos.Column)
}

// Text looks at a text that stands at place.
func (m *Meant) Text(place, text string) {
	m.text(func() string { return place }, text, false)
}

func (m *Meant) means(c *candidate, place func() string) {
	if c != nil && !c.meant {
		c.meant, c.place = true, place()
	}
}

// text looks at one text in each of its readings. naming says that a whole text
// may be the name of a secret.
func (m *Meant) text(place func() string, text string, naming bool) {
	if ref, err := walker.ParseReference(text); err == nil && ref.Scheme == walker.Vault {
		m.known[render.EnvName(ref)] = true
	}
	for _, variable := range variables().FindAllString(text, -1) {
		if m.others[variable] == "" {
			m.others[variable] = place()
		}
	}
	seen := map[string]bool{}
	read := func(text string) {
		if text != "" && !seen[text] {
			seen[text] = true
			m.folded(place, fold(text), naming)
			m.identities(place, text)
		}
	}
	for range 3 {
		read(text)
		if strings.ContainsFunc(text, spacing) {
			read(strings.Map(func(r rune) rune {
				if spacing(r) {
					return -1
				}
				return r
			}, text))
		}
		if strings.Contains(text, "..") {
			read(path.Clean(text))
		}
		decoded := decode(text)
		if decoded == text {
			return
		}
		text = decoded
	}
	read(text)
}

var variables = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(render.EnvPrefix + `[0-9A-F]{24}\b`) })

func spacing(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

var escapes = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`) })

// decode takes one layer of another notation off: percent signs of a URL, escapes
// of JSON, entities of HTML.
func decode(text string) string {
	if strings.Contains(text, "%") {
		if decoded, err := url.PathUnescape(text); err == nil {
			text = decoded
		}
	}
	if strings.Contains(text, `\u`) {
		text = escapes().ReplaceAllStringFunc(text, func(escape string) string {
			n, _ := strconv.ParseUint(escape[2:], 16, 32) // the expression has seen to it
			return string(rune(n))
		})
	}
	if strings.Contains(text, "&") {
		text = html.UnescapeString(text)
	}
	return text
}

// folded looks for the words of names in a folded text.
func (m *Meant) folded(place func() string, text string, naming bool) {
	var all []string
	for word := range wordsOf(text) {
		all = append(all, word)
	}
	for i, word := range all {
		m.from(place, all[i:], i > 0 && schemes[all[i-1]] || naming && len(all) == 1)
		// Somebody forgot the dot.
		for scheme := range schemes {
			if rest, ok := strings.CutPrefix(word, scheme); ok && rest != "" {
				all[i] = rest
				m.from(place, all[i:], true)
				all[i] = word
			}
		}
	}
}

var schemes = map[string]bool{"vault": true, "env": true}

// from marks what the first of the words mean.
func (m *Meant) from(place func() string, all []string, bare bool) {
	at := m.root
	for _, word := range all {
		if at = at.next[word]; at == nil {
			return
		}
		for _, c := range at.end {
			m.means(c, place)
		}
		if bare {
			for _, c := range at.bare {
				m.means(c, place)
			}
		}
	}
}

// identities asks the store what the parts of a text that could be names mean to
// it: an ARN, an address, an id.
func (m *Meant) identities(place func() string, text string) {
	if !strings.ContainsAny(text, ":/-") {
		return
	}
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("\"'`{}()[]<>,;#$", r) }) {
		for name := part; name != ""; {
			for _, id := range m.store.Identities(strings.TrimRight(name, "/.")) {
				if id = fold(id); id == fold(name) && oneWord(id) {
					continue // a word that any text may have
				}
				for _, c := range m.byID[id] {
					m.means(c, place)
				}
			}
			// What follows the next separator may be a name too.
			i := strings.IndexAny(name, ".:/=+|")
			if i < 0 || len(part) > 2<<10 {
				break
			}
			name = name[i+1:]
		}
	}
}

// fold makes texts equal that look alike: letter case, hyphens, and characters of
// which Unicode has several.
func fold(text string) string {
	plain := true
	for i := range len(text) {
		plain = plain && text[i] < utf8.RuneSelf && (text[i] < 'A' || text[i] > 'Z') && text[i] != '-' && text[i] != '_'
	}
	if plain {
		return text
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '_', unicode.Is(unicode.Pd, r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Mn, r):
			return -1
		}
		return unicode.ToLower(unicode.ToUpper(r)) // of the long s and its like too
	}, norm.NFKD.String(text))
}

func oneWord(text string) bool {
	n := 0
	for range wordsOf(text) {
		n++
	}
	return n < 2
}

// wordsOf returns the words of a folded text: what stands between characters that
// are neither letters nor digits.
func wordsOf(text string) func(yield func(string) bool) {
	return strings.FieldsFuncSeq(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}
