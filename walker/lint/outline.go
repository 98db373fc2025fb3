package lint

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"

	"bifrost-secrets/walker"
)

// The objects that the outline gathers, each by its place.
const (
	nowhere = iota
	atTop
	atConfigStore
	atVaultStore
	atVaultBlock
	atProviderKey
	atPlugin
	atStdio
	places
)

// outlined is the tree of those places.
var outlined = branch{at: atTop, named: []branch{
	{name: "config_store", at: atConfigStore, named: []branch{
		{name: "vault_store", at: atVaultStore, any: &branch{at: atVaultBlock}},
	}},
	{name: "providers", any: &branch{named: []branch{
		{name: "keys", elem: &branch{at: atProviderKey}},
	}}},
	{name: "plugins", elem: &branch{at: atPlugin}},
	{name: "mcp", named: []branch{
		{name: "client_configs", elem: &branch{named: []branch{
			{name: "stdio_config", at: atStdio},
		}}},
	}},
}}

// branch is a place, or one above a place.
type branch struct {
	name  string
	at    int
	named []branch
	any   *branch // every member that is not named
	elem  *branch
}

// child gives the branch of a member.
func (n *branch) child(doc *walker.Document, m walker.Member) *branch {
	for i := range n.named {
		if named(doc, m, n.named[i].name) {
			return &n.named[i]
		}
	}
	return n.any
}

// named reports whether a member is called name, as encoding/json compares it:
// without regard to case.
func named(doc *walker.Document, m walker.Member, name string) bool {
	text := doc.Text(walker.Span{Start: m.Name.Start + 1, End: m.Name.End - 1})
	for _, c := range text {
		if c == '\\' || c >= 0x80 {
			return doc.NameIs(m, name)
		}
	}
	// Only case can hide a name that is ASCII without escapes.
	return len(text) == len(name) && (string(text) == name || bytes.EqualFold(text, []byte(name)))
}

// find gives the last member of the object with that name.
func find(doc *walker.Document, o walker.Object, name string) (walker.Member, bool) {
	for _, m := range slices.Backward(o.Members) {
		if named(doc, m, name) {
			return m, true
		}
	}
	return walker.Member{}, false
}

// outline is the structure of a document, found by going over it once.
type outline struct {
	doc     *walker.Document
	objects [places][]walker.Object // without their paths, for which see pathsOf
	keys    []providerKey
	doubles []double
	suspect []suspect       // the strings that may hold a secret
	hints   [256]hinted     // of the names of members that came lately
	open    []walker.Member // of the objects that are open, the innermost last
}

// providerKey is a key of a provider, of which there may be very many.
type providerKey struct {
	start int
	name  walker.Span // of the value; empty where there is none
}

// suspect is a string that may hold a secret, and the name of the member that it
// is the value of, or an element of the value.
type suspect struct {
	walker.Span
	name walker.Span
	hint hint
}

// double is a member whose object has had one of the same name before.
type double struct{ first, again walker.Member }

func outlineOf(doc *walker.Document) *outline {
	o := &outline{doc: doc}
	b := doc.Bytes()
	o.value(b, space(b, 0), &outlined, walker.Span{})
	return o
}

// last gives the last object at a place, which is the one that counts.
func (o *outline) last(at int) (walker.Object, bool) {
	if n := len(o.objects[at]); n > 0 {
		return o.objects[at][n-1], true
	}
	return walker.Object{}, false
}

// value goes through the value at i, for which n stands and which has a name, and
// returns the place behind it. The document b is known to be valid.
func (o *outline) value(b []byte, i int, n *branch, name walker.Span) int {
	switch b[i] {
	case '{':
		return o.object(b, i, n, name)
	case '"':
		end := text(b, i)
		says := o.hintOf(b, name)
		if says != silent && !mayBeNamed(b[i+1:end-1]) {
			says = silent
		}
		if says != silent || mayHold(b[i+1:end-1]) {
			o.suspect = append(o.suspect, suspect{walker.Span{Start: i, End: end}, name, says})
		}
		return end
	case '[':
		if n != nil {
			n = n.elem
		}
		for i = space(b, i+1); b[i] != ']'; {
			i = comma(b, o.value(b, i, n, name))
		}
		return i + 1
	}
	return scalar(b, i)
}

// hinted is the name of a member, as it is spelt, and what it says.
type hinted struct {
	head uint64 // its first bytes
	name walker.Span
	hint hint
}

// hintOf returns what the name of a string says of it. The names of a document
// are mostly the same few.
func (o *outline) hintOf(b []byte, name walker.Span) hint {
	size := name.End - name.Start
	if size <= len(`""`) || name.Start+8 > len(b) {
		return silent
	}
	head := binary.LittleEndian.Uint64(b[name.Start:])
	if size < 8 {
		head &= 1<<(8*size) - 1
	}
	h := &o.hints[(head^uint64(size)<<48^uint64(b[name.End-2])<<40)*0x9e3779b97f4a7c15>>56]
	if h.head != head || h.name.End-h.name.Start != size || size > 8 && string(b[h.name.Start+8:h.name.End]) != string(b[name.Start+8:name.End]) {
		*h = hinted{head, name, hintOf(o.doc.String(name))}
	}
	return h.hint
}

// mayBeNamed is a quick test, of the inside of a JSON string, that a text passes
// which is a credential where its name says so.
func mayBeNamed(raw []byte) bool {
	if i := bytes.IndexByte(raw[:min(len(raw), len("Bearer "))], ' '); i > 0 && isScheme(string(raw[:i])) {
		raw = raw[i+1:] // the scheme of a header
	}
	if len(raw) < len("secret") {
		return false
	}
	plain := true
	for i, c := range raw {
		switch {
		case c <= ' ', c == ':' && i+2 < len(raw) && raw[i+1] == '/' && raw[i+2] == '/':
			return false
		case !('a' <= c && c <= 'z' || c == '-' || c == '_'):
			plain = false
		}
	}
	return !plain || len(raw) > 24
}

// inherits are names of members that say less than the name of their object.
var inherits = set("value default secret text plain plaintext literal raw data current new")

// pairName returns what a value is called whose object has its name beside it:
// {"name": "API_TOKEN", "value": "…"}. Only what looks like the name of a variable
// or a header is one; keys of providers have names too.
func (o *outline) pairName(b []byte, members []walker.Member, called walker.Span) walker.Span {
	for _, m := range members {
		if b[m.Value.Start] != '"' || m.Value.End-m.Value.Start < len(`"key"`) {
			continue
		}
		if n := string(b[m.Name.Start:m.Name.End]); n != `"name"` && n != `"key"` && n != `"header"` {
			continue
		}
		if c := b[m.Value.Start+1]; 'A' <= c && c <= 'Z' || bytes.IndexByte(b[m.Value.Start:m.Value.End], '_') >= 0 {
			return m.Value
		}
	}
	return called
}

// few is how many names are compared faster one by one than by a map.
const few = 24

func (o *outline) object(b []byte, start int, n *branch, name walker.Span) int {
	base := len(o.open)
	var index map[string]int // the members' places in open, where they are many
	i := space(b, start+1)
	for b[i] != '}' {
		m := walker.Member{Name: walker.Span{Start: i, End: text(b, i)}}
		i = space(b, space(b, m.Name.End)+1)
		var below *branch
		if n != nil {
			below = n.child(o.doc, m)
		}
		called := m.Name
		if b[i] == '"' && o.hintOf(b, name) != silent && inherits[string(b[m.Name.Start+1:m.Name.End-1])] {
			called = name
		} else if b[i] == '"' && string(b[m.Name.Start:m.Name.End]) == `"value"` {
			called = o.pairName(b, o.open[base:], called)
		}
		m.Value = walker.Span{Start: i, End: o.value(b, i, below, called)}
		i = comma(b, m.Value.End)
		if own := o.open[base:]; len(own) < few {
			for j := range own {
				if k := own[j].Name; k.End-k.Start == m.Name.End-m.Name.Start && string(b[k.Start:k.End]) == string(b[m.Name.Start:m.Name.End]) {
					o.doubles = append(o.doubles, double{own[j], m})
					break
				}
			}
		} else {
			index = o.compare(b, m, own, index)
		}
		o.open = append(o.open, m)
	}
	if n != nil {
		o.keep(n.at, start, o.open[base:])
	}
	o.open = o.open[:base]
	return i + 1
}

// keep notes an object at a place.
func (o *outline) keep(at, start int, members []walker.Member) {
	switch at {
	case nowhere:
	case atProviderKey:
		k := providerKey{start: start}
		if m, ok := find(o.doc, walker.Object{Members: members}, "name"); ok {
			k.name = m.Value
		}
		o.keys = append(o.keys, k)
	default:
		o.objects[at] = append(o.objects[at], walker.Object{Start: start, Members: slices.Clone(members)})
	}
}

// compare notes the member if one of members, which are many, has its name.
// index holds where each name stands among them; it is made where there is none.
func (o *outline) compare(b []byte, m walker.Member, members []walker.Member, index map[string]int) map[string]int {
	if index == nil {
		index = make(map[string]int, 2*few)
		for i, k := range slices.Backward(members) {
			index[string(b[k.Name.Start:k.Name.End])] = i
		}
	}
	name := b[m.Name.Start:m.Name.End]
	if i, ok := index[string(name)]; ok {
		o.doubles = append(o.doubles, double{members[i], m})
	} else {
		index[string(name)] = len(members)
	}
	return index
}

// scalar gives the place behind the string, number or word at i.
func scalar(b []byte, i int) int {
	if b[i] == '"' {
		return text(b, i)
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	return i
}

func space(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' {
		i++
	}
	return i
}

// comma goes past the space and the comma that may follow an element.
func comma(b []byte, i int) int {
	if i = space(b, i); b[i] == ',' {
		i = space(b, i+1)
	}
	return i
}

// text gives the place behind the string at i. Most strings are short, and
// looked at faster eight bytes at a time than by a call of bytes.IndexByte.
func text(b []byte, i int) int {
	for {
		i = quote(b, i+1)
		slashes := 0
		for b[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i + 1
		}
	}
}

// quote gives the place of the first quote at or behind i; there is one.
func quote(b []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for end := i + 32; i < end && i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:]) ^ ones*'"'
		// The lowest bit that is set here marks the first byte that is zero.
		if zero := (x - ones) &^ x & tops; zero != 0 {
			return i + bits.TrailingZeros64(zero)/8
		}
	}
	return i + bytes.IndexByte(b[i:], '"')
}
