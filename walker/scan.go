package walker

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// scanner makes sure that a text is JSON of a bounded depth and finds the fields
// in it, both in one pass. Its methods take the place where something begins and
// return the place behind it, or -1 where it is not what it should be: why that is
// so is found out afterwards, by [Document.refusal].
type scanner struct {
	b     []byte
	depth int
	path  []byte
	paths strings.Builder // the chunk that paths are packed into
	found
}

// found is what a scanner finds.
type found struct {
	fields [][]placed // in parts, so that none is copied where they are very many
	refers int        // how many of them may be references to a vault, and as a rule are
	strays []int      // where the strings outside fields stand that look like references
	top    []Member   // of the document itself
}

// placed is where a field stands.
type placed struct {
	start, end uint32 // of at most MaxSize
	path       string
	entry      *Entry
	plain      bool // a string that is written as it reads, in ASCII
}

// scan scans data for the fields of a trie. It reports false where data is not
// a JSON object that the other functions of this package can go over without
// looking right or left.
func scan(data []byte, root *node) (found, bool) {
	s := scanner{b: data, path: make([]byte, 0, 128)}
	i := space(data, 0)
	if i == len(data) || data[i] != '{' {
		return found{}, false
	}
	i = s.value(i, root)
	return s.found, i >= 0 && space(data, i) == len(data)
}

// value scans the value at i, for which n stands: nil where no field can be in it.
func (s *scanner) value(i int, n *node) int {
	b, end := s.b, -1
	if i >= len(b) {
		return -1
	}
	if n != nil && !n.made.Load() {
		n.make()
	}
	switch c := b[i]; c {
	case '{':
		if n != nil && n.entry != nil && n.entry.Form == SecretVarForm {
			if end = s.unseen(i); end >= 0 {
				s.field(n.entry, i, end, false)
			}
			return end
		}
		return s.object(i, n)
	case '[':
		return s.array(i, n)
	case '"':
		end, plain := textAt(b, i)
		switch {
		case end < 0:
		case n != nil && n.entry != nil:
			s.field(n.entry, i, end, plain)
		case n != nil && n.zone != nil:
			s.field(n.zone, i, end, plain)
		case mayRefer(b[i+1]) && looksLikeReference(b[i:end]):
			s.strays = append(s.strays, i)
		}
		return end
	case 't':
		end = word(b, i, "true")
	case 'f':
		end = word(b, i, "false")
	case 'n':
		end = word(b, i, "null")
	default:
		end = number(b, i)
	}
	if end >= 0 && n != nil && n.entry != nil {
		s.field(n.entry, i, end, false)
	}
	return end
}

// unseen scans the value at i and keeps nothing of what is in it.
func (s *scanner) unseen(i int) int {
	strays := len(s.strays)
	end := s.value(i, nil)
	s.strays = s.strays[:strays]
	return end
}

func (s *scanner) object(i int, n *node) int {
	if n != nil && n.selector != "" {
		if s.unseen(i) < 0 {
			return -1
		}
		if v := n.variants[selected(s.b, i, n.selector)]; v != nil {
			n = v
		}
	}
	if s.depth++; s.depth > MaxDepth {
		return -1
	}
	b, length := s.b, len(s.path)
	i = space(b, i+1)
	if i < len(b) && b[i] == '}' {
		s.depth--
		return i + 1
	}
	for {
		name, plain := Span{Start: i}, false
		if name.End, plain = textAt(b, i); name.End < 0 {
			return -1
		}
		if i = space(b, name.End); i == len(b) || b[i] != ':' {
			return -1
		}
		at := i + 1
		if at+1 < len(b) && b[at] == ' ' && b[at+1] > ' ' { // as a rule
			at++
		} else {
			at = space(b, at)
		}
		var child *node
		if n != nil {
			if child = n.child(b[name.Start+1:name.End-1], plain); child != nil {
				s.path = appendKey(s.path, b[name.Start+1:name.End-1])
			}
		}
		if i = s.value(at, child); i < 0 {
			return -1
		}
		s.path = s.path[:length]
		if s.depth == 1 {
			s.top = append(s.top, Member{name, Span{at, i}})
		}
		switch i = space(b, i); {
		case i < len(b) && b[i] == ',':
			i = space(b, i+1)
		case i < len(b) && b[i] == '}':
			s.depth--
			return i + 1
		default:
			return -1
		}
	}
}

func (s *scanner) array(i int, n *node) int {
	if s.depth++; s.depth > MaxDepth {
		return -1
	}
	var elem *node
	if n != nil {
		elem = n.elem
	}
	b, length := s.b, len(s.path)
	i = space(b, i+1)
	if i < len(b) && b[i] == ']' {
		s.depth--
		return i + 1
	}
	for index := 0; ; index++ {
		if elem != nil {
			s.path = appendIndex(s.path, index)
		}
		if i = s.value(i, elem); i < 0 {
			return -1
		}
		s.path = s.path[:length]
		switch i = space(b, i); {
		case i < len(b) && b[i] == ',':
			i = space(b, i+1)
		case i < len(b) && b[i] == ']':
			s.depth--
			return i + 1
		default:
			return -1
		}
	}
}

// field notes the field of e from start to end, at s.path. Paths are packed into
// chunks, since one allocation a field would cost as much as finding the field.
func (s *scanner) field(e *Entry, start, end int, plain bool) {
	if c := s.b[start]; c == '{' || c == '"' && s.b[start+1] == 'v' {
		s.refers++
	}
	if s.paths.Cap()-s.paths.Len() < len(s.path) {
		s.paths = strings.Builder{}
		s.paths.Grow(max(4<<10, len(s.path)))
	}
	begin := s.paths.Len()
	s.paths.Write(s.path)
	last := len(s.fields) - 1
	if last < 0 || len(s.fields[last]) == cap(s.fields[last]) {
		last++
		s.fields = append(s.fields, make([]placed, 0, 16<<min(last, 6)))
	}
	s.fields[last] = append(s.fields[last], placed{uint32(start), uint32(end), s.paths.String()[begin:], e, plain})
}

// mayRefer reports whether a reference, however it is escaped, may begin with c.
func mayRefer(c byte) bool { return c == 'v' || c == 'e' || c == '\\' }

// selected returns the text of the member of the object at i that is called key,
// as encoding/json would read it: the last one counts.
func selected(b []byte, i int, key string) (text string) {
	children(b, i, func(name Span, at int) int {
		end := behind(b, at)
		if b[at] == '"' && sameName(b[name.Start+1:name.End-1], key) {
			text = unescape(b[at+1 : end-1])
		}
		return end
	})
	return text
}

// space returns the place of the first byte at or after i that is no space.
func space(b []byte, i int) int {
	if i < len(b) && b[i] > ' ' {
		return i
	}
	return behindSpace(b, i)
}

// behindSpace is space where some stands at i, as a rule: one byte of it, or a line
// break and an indent. Both take the same way, since a processor that guesses which
// it is, and how deep the indent, guesses wrong too often.
//
//go:noinline
func behindSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		if i++; i+16 > len(b) {
			continue
		}
		one := bits.TrailingZeros64(binary.LittleEndian.Uint64(b[i:])^ones*' ') / 8
		two := bits.TrailingZeros64(binary.LittleEndian.Uint64(b[i+8:])^ones*' ') / 8
		i += one + two&-(one>>3) // the second eight where the first are all spaces
	}
	return i
}

// word returns the place behind the word at i, or -1 where another stands there.
func word(b []byte, i int, want string) int {
	if len(b)-i < len(want) || string(b[i:i+len(want)]) != want {
		return -1
	}
	return i + len(want)
}

// number returns the place behind the number at i, or -1 where there is none.
func number(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if i = digits(b, i); i < 0 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i = digits(b, i+1); i < 0 {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return digits(b, i)
	}
	return i
}

// digits returns the place behind the digits at i, or -1 where there are none.
func digits(b []byte, i int) int {
	start := i
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

const ones, tops = 0x0101010101010101, 0x8080808080808080

// text returns the place behind the string at i, or -1 where there is none, be
// it that it is no UTF-8 or has an escape for one half of a surrogate pair.
func text(b []byte, i int) int {
	end, _ := textAt(b, i)
	return end
}

// textAt is text, and reports whether the string is written as it reads, in ASCII
// and without escapes. Eight bytes at a time are looked at: the lowest bit that is
// set in odd marks the first that is not plain.
func textAt(b []byte, i int) (end int, plain bool) {
	if i >= len(b) || b[i] != '"' {
		return -1, false
	}
	plain = true
	for i++; i < len(b); {
		if i <= len(b)-8 {
			x := binary.LittleEndian.Uint64(b[i : i+8])
			quote, slash := x^ones*'"', x^ones*'\\'
			odd := ((quote - ones) | (slash - ones) | (x - ones*' ') | x) & tops
			if odd == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(odd) / 8
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, plain
		case c == '\\':
			plain = false
			if i = escape(b, i); i < 0 {
				return -1, false
			}
		case c < ' ':
			return -1, false
		case c < utf8.RuneSelf:
			i++
		default:
			plain = false
			r, size := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && size == 1 {
				return -1, false
			}
			i += size
		}
	}
	return -1, false
}

// escape returns the place behind the escape at i, or -1 where it is none.
func escape(b []byte, i int) int {
	if i+1 >= len(b) {
		return -1
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	}
	r := unit(b, i)
	if r < 0 || r >= 0xdc00 && r <= 0xdfff {
		return -1
	}
	if i += len(`\u0000`); r < 0xd800 || r > 0xdfff {
		return i
	}
	if low := unit(b, i); low < 0xdc00 || low > 0xdfff {
		return -1
	}
	return i + len(`\u0000`)
}

// unit returns what the \u escape at i stands for, or -1 where there is none.
func unit(b []byte, i int) rune {
	if i+6 > len(b) || b[i] != '\\' || b[i+1] != 'u' {
		return -1
	}
	for _, c := range b[i+2 : i+6] {
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f') {
			return -1
		}
	}
	return hex4(b[i+2:])
}
