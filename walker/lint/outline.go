package lint

import (
	"bytes"
	"slices"
	"strings"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/wordlist"
)

// outline is what is found in a document by going over all of it once.
type outline struct {
	doc     *walker.Document
	doubles []double
	suspect []suspect       // the strings that may hold a secret
	names   []walker.Span   // of members, that may hold one
	hints   map[string]hint // of the names of members, as they are spelt
	open    []walker.Member // of the objects that are open, the innermost last
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
	o := &outline{doc: doc, hints: map[string]hint{}}
	o.object(bytes.IndexByte(doc.Bytes(), '{'), walker.Span{})
	return o
}

// value goes through the value at i, which has a name, and returns the place
// behind it.
func (o *outline) value(i int, name walker.Span) int {
	switch b := o.doc.Bytes(); b[i] {
	case '{':
		return o.object(i, name)
	case '[':
		return o.doc.Children(i, func(_ walker.Span, at int) int { return o.value(at, name) })
	case '"':
		end, says := o.doc.Behind(i), silent
		if mayBeNamed(b[i+1 : end-1]) {
			says = o.hintOf(name)
		}
		if says != silent || mayHold(b[i+1:end-1]) {
			o.suspect = append(o.suspect, suspect{walker.Span{Start: i, End: end}, name, says})
		}
		return end
	}
	return o.doc.Behind(i)
}

// hintOf returns what the name of a string says of it. The names of a document
// are mostly the same few.
func (o *outline) hintOf(name walker.Span) hint {
	if name.End-name.Start <= len(`""`) {
		return silent
	}
	h, known := o.hints[string(o.doc.Text(name))]
	if !known {
		h = hintOf(o.doc.String(name))
		o.hints[string(o.doc.Text(name))] = h
	}
	return h
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

// mayHold is a quick test, of the inside of a JSON string, that a text passes in
// which partsOf finds something. One that has its first letters escaped is not
// worth the time.
func mayHold(raw []byte) bool {
	if len(raw) < shortest {
		return false
	}
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case isAlnum(c):
			if mayFit(raw[i:]) {
				return true
			}
			start := i
			for i++; i < len(raw) && (isAlnum(raw[i]) || raw[i] == '_'); i++ {
			}
			if n := i - start; n >= 10 && (n >= 36 || c == 'e' || n >= 15 && i < len(raw) && raw[i] == '%') {
				return true
			}
		case c == ':', c == '=', c == '~', c == '|',
			c == '.' && bytes.HasPrefix(raw[i:], []byte(".atlasv1.")),
			c == '-' && (i == 0 || raw[i-1] == ' ' || i+1 < len(raw) && raw[i+1] == '-'):
			return true
		case c == '\\' && i+1 < len(raw):
			if i += len(`\n`); raw[i-1] == 'u' {
				i += len(`0000`)
			}
		default:
			i++
		}
	}
	return false
}

// mayFit reports whether a text begins like a key of some shape.
func mayFit(raw []byte) bool {
	for _, s := range starts().Of(raw[0]) {
		if len(raw) > len(s.prefix) && raw[1] == s.prefix[1] && string(raw[:len(s.prefix)]) == s.prefix && len(raw) >= len(s.prefix)+s.least {
			return true
		}
	}
	return false
}

// shortest is the length of the shortest text that partsOf finds something in:
// a scheme, a password and the sign before a host, a://:p@.
const shortest = 7

// inherits reports whether the name of a member says less than that of its object.
func inherits(name []byte) bool {
	switch string(name) {
	case "value", "default", "secret", "text", "plain", "plaintext", "literal", "raw", "data", "current", "new":
		return true
	}
	return false
}

// holdsMany reports whether a name, with its quotes, is one of an object whose
// members are credentials, each called what it is for.
func holdsMany(name []byte) bool {
	return plurals.Has(strings.ToLower(string(name[1 : len(name)-1])))
}

var plurals = wordlist.Set{List: "secrets tokens passwords credentials creds apikeys api_keys api-keys"}

// pairName returns what a value is called whose object has its name beside it:
// {"name": "API_TOKEN", "value": "…"}. Only what looks like the name of a variable
// or a header is one; keys of providers have names too.
func pairName(b []byte, members []walker.Member, called walker.Span) walker.Span {
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

// object goes through the object at i, which has a name, and returns the place
// behind it.
func (o *outline) object(i int, name walker.Span) int {
	b, base := o.doc.Bytes(), len(o.open)
	var index map[string]int
	many := name.End > 0 && holdsMany(o.doc.Text(name))
	end := o.doc.Children(i, func(own walker.Span, at int) int {
		called := own
		if own.End-own.Start > shortestKey && mayHold(b[own.Start+1:own.End-1]) {
			o.names = append(o.names, own)
		}
		switch inner := o.doc.Text(own); {
		case b[at] != '"':
		case inherits(inner[1:len(inner)-1]) && o.hintOf(name) != silent:
			called = name
		case many && o.hintOf(own) == silent && !saysAbout(o.doc.String(own)):
			called = name // {"secrets": {"openai": "…"}}
		case string(inner) == `"value"`:
			called = pairName(b, o.open[base:], called)
		}
		m := walker.Member{Name: own, Value: walker.Span{Start: at, End: o.value(at, called)}}
		index = o.compare(m, o.open[base:], index)
		o.open = append(o.open, m)
		return m.Value.End
	})
	o.open = o.open[:base]
	return end
}

// few is how many names are compared faster one by one than by a map.
const few = 24

// compare notes the member if one of members has its name. index holds where each
// name stands among them, where they are many.
func (o *outline) compare(m walker.Member, members []walker.Member, index map[string]int) map[string]int {
	name := o.doc.Text(m.Name)
	if len(members) < few {
		for _, k := range members {
			if k.Name.End-k.Name.Start == len(name) && string(o.doc.Text(k.Name)) == string(name) {
				o.doubles = append(o.doubles, double{k, m})
				break
			}
		}
		return index
	}
	if index == nil {
		index = make(map[string]int, 2*few)
		for i, k := range slices.Backward(members) {
			index[string(o.doc.Text(k.Name))] = i
		}
	}
	if i, ok := index[string(name)]; ok {
		o.doubles = append(o.doubles, double{members[i], m})
	} else {
		index[string(name)] = len(members)
	}
	return index
}
