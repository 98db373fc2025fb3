package walker

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strings"
)

// Walk calls yield for every field of the document, in the order in which they
// stand there, until yield returns false. The Field is the same memory at each
// call: copy it to keep it. The bytes that it refers to are the document's.
//
// A string outside of every field that looks like a reference is yielded too,
// after the fields, with a nil Entry: nothing resolves it, but whoever wrote it
// will have hoped so.
func (d *Document) Walk(yield func(*Field) bool) { d.walk(compiled().root, yield) }

func (d *Document) walk(root *node, yield func(*Field) bool) {
	s := scanner{b: d.data, yield: yield, path: make([]byte, 0, 128)}
	s.i = space(s.b, 0)
	s.value(root)
	if len(s.strays) > 0 && !s.stopped {
		d.wander(s.strays, yield)
	}
}

// scanner walks a document that is known to be valid JSON of a bounded depth,
// so it looks at no more of it than it takes to find the way.
type scanner struct {
	b       []byte
	i       int // the next byte
	path    []byte
	paths   strings.Builder // the chunk that paths are packed into
	field   Field
	yield   func(*Field) bool
	stopped bool
	strays  []int // where the strings outside fields stand that look like references
	only    []int // if not nil, yield what starts at these places alone
}

// value walks the value at s.i, for which n stands, and leaves s.i behind it.
func (s *scanner) value(n *node) {
	start := s.i
	switch s.b[start] {
	case '{':
		if n.entry != nil && n.entry.Form == SecretVarForm {
			s.i = skipContainer(s.b, start, nil)
			s.found(n.entry, start)
			return
		}
		s.object(n)
	case '[':
		s.array(n)
	case '"':
		s.i = skipString(s.b, start)
		switch {
		case n.entry != nil:
			s.found(n.entry, start)
		case n.zone != nil:
			s.found(n.zone, start)
		default:
			s.stray(start)
		}
	default:
		s.i = skipScalar(s.b, start)
		if n.entry != nil {
			s.found(n.entry, start)
		}
	}
}

func (s *scanner) object(n *node) {
	if n.selector != "" {
		if v := n.variants[selected(s.b, s.i, n.selector)]; v != nil {
			n = v
		}
	}
	length := len(s.path)
	for s.i = space(s.b, s.i+1); s.b[s.i] != '}' && !s.stopped; {
		start := s.i
		s.i = skipString(s.b, start)
		key := s.b[start+1 : s.i-1]
		s.i = space(s.b, space(s.b, s.i)+1)
		if child := n.child(key); child != nil {
			s.path = appendKey(s.path, key)
			s.value(child)
			s.path = s.path[:length]
		} else {
			s.skip()
		}
		s.comma()
	}
	s.i++
}

func (s *scanner) array(n *node) {
	length := len(s.path)
	s.i = space(s.b, s.i+1)
	for index := 0; s.b[s.i] != ']' && !s.stopped; index++ {
		if n.elem != nil {
			s.path = appendIndex(s.path, index)
			s.value(n.elem)
			s.path = s.path[:length]
		} else {
			s.skip()
		}
		s.comma()
	}
	s.i++
}

// comma goes past the space and the comma that may follow an element.
func (s *scanner) comma() {
	s.i = space(s.b, s.i)
	if s.b[s.i] == ',' {
		s.i = space(s.b, s.i+1)
	}
}

func (s *scanner) found(e *Entry, start int) {
	if s.stopped {
		return
	}
	if s.only != nil {
		if start != s.only[0] {
			return
		}
		e, s.only = nil, s.only[1:]
	}
	s.field = Field{Entry: e, Path: s.keptPath(), Start: start, End: s.i}
	s.field.read(s.b[start:s.i])
	s.stopped = !s.yield(&s.field) || s.only != nil && len(s.only) == 0
}

// keptPath gives the path as a string. Paths are packed into chunks, since one
// allocation a field would cost as much as finding the field.
func (s *scanner) keptPath() string {
	if s.paths.Cap()-s.paths.Len() < len(s.path) {
		s.paths = strings.Builder{}
		s.paths.Grow(max(4<<10, len(s.path)))
	}
	start := s.paths.Len()
	s.paths.Write(s.path)
	return s.paths.String()[start:]
}

// skip goes past a value that no field stands in.
func (s *scanner) skip() {
	start := s.i
	switch s.b[start] {
	case '{', '[':
		s.i = skipContainer(s.b, start, s)
	case '"':
		s.i = skipString(s.b, start)
		s.stray(start)
	default:
		s.i = skipScalar(s.b, start)
	}
}

// stray notes the string that starts at start and ends before s.i, if it looks
// like a reference.
func (s *scanner) stray(start int) {
	if mayRefer(s.b[start+1]) && looksLikeReference(s.b[start:s.i]) {
		s.strays = append(s.strays, start)
	}
}

// mayRefer reports whether a reference, however it is escaped, may begin with c.
func mayRefer(c byte) bool { return c == 'v' || c == 'e' || c == '\\' }

// selected gives the text of the member of the object at i that is called key,
// as encoding/json would read it: the last one counts.
func selected(b []byte, i int, key string) string {
	var text string
	for i = space(b, i+1); b[i] != '}'; {
		start := i
		i = skipString(b, start)
		name := b[start+1 : i-1]
		i = space(b, space(b, i)+1)
		start = i
		i = skipValue(b, i)
		if b[start] == '"' && sameName(name, key) {
			text = unescape(b[start+1 : i-1])
		}
		if i = space(b, i); b[i] == ',' {
			i = space(b, i+1)
		}
	}
	return text
}

func sameName(raw []byte, name string) bool {
	if string(raw) == name {
		return true
	}
	return foldName(unescape(raw)) == foldName(name)
}

// The functions below go over valid JSON: each is given the place of the first
// byte of what it skips and gives the place behind the last.

func space(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' {
		i++
	}
	return i
}

func skipString(b []byte, i int) int {
	for {
		i = quote(b, i+1)
		if b[i-1] != '\\' || !escaped(b, i) {
			return i + 1
		}
	}
}

// quote gives the place of the first '"' at or after i, and len(b) where there
// is none. Most strings of a config are short, so eight bytes at a time are
// looked at before the call to bytes.IndexByte pays for itself.
func quote(b []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for end := i + 32; i < end && i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:]) ^ ones*'"'
		if zero := (x - ones) & ^x & tops; zero != 0 { // the lowest set bit marks the first zero byte
			return i + bits.TrailingZeros64(zero)/8
		}
	}
	if n := bytes.IndexByte(b[i:], '"'); n >= 0 {
		return i + n
	}
	return len(b)
}

// escaped reports whether an odd number of backslashes stands before b[i].
func escaped(b []byte, i int) bool {
	n := 0
	for i--; b[i] == '\\'; i-- {
		n++
	}
	return n%2 == 1
}

func skipScalar(b []byte, i int) int {
	for i < len(b) && !ends[b[i]] {
		i++
	}
	return i
}

func skipValue(b []byte, i int) int {
	switch b[i] {
	case '{', '[':
		return skipContainer(b, i, nil)
	case '"':
		return skipString(b, i)
	}
	return skipScalar(b, i)
}

// ends marks the bytes that end a number or a word.
var ends = [256]bool{' ': true, '\t': true, '\n': true, '\r': true, ',': true, ']': true, '}': true}

// marks are the bytes that skipContainer stops at.
var marks = [256]bool{'"': true, '{': true, '[': true, '}': true, ']': true}

// skipContainer goes past the object or array at i. With a scanner it notes the
// strings in it that look like references.
func skipContainer(b []byte, i int, s *scanner) int {
	depth := 0
	for {
		for !marks[b[i]] {
			i++
		}
		switch b[i] {
		case '"':
			start := i
			i = skipString(b, i)
			if s != nil && mayRefer(b[start+1]) && looksLikeReference(b[start:i]) && b[space(b, i)] != ':' {
				s.strays = append(s.strays, start)
			}
			continue
		case '{', '[':
			depth++
		default:
			depth--
		}
		i++
		if depth == 0 {
			return i
		}
	}
}
