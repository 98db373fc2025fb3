// Package wordlist has lists of words that become tables when they are first asked for:
// most runs of a program ask for few of them.
package wordlist

import (
	"iter"
	"strings"
	"sync"
)

// Set is a list of words, with space between them. It is safe for concurrent use.
type Set struct {
	List string

	once sync.Once
	all  map[string]bool
}

// Has reports whether a word is in the list.
func (s *Set) Has(word string) bool {
	s.once.Do(func() {
		s.all = make(map[string]bool, strings.Count(s.List, " ")+1)
		for w := range strings.FieldsSeq(s.List) {
			s.all[w] = true
		}
	})
	return s.all[word]
}

// Parts is a list of words, with space between them, that may be parts of a text. It
// is safe for concurrent use.
type Parts struct {
	List string

	once sync.Once
	all  *ByFirst[string]
}

// In reports whether one of the words stands anywhere in a text.
func (p *Parts) In(text string) bool {
	p.once.Do(func() {
		p.all = Index(strings.FieldsSeq(p.List), func(word string) string { return word })
	})
	for i := range len(text) {
		for _, w := range p.all.Of(text[i]) {
			if strings.HasPrefix(text[i:], w) {
				return true
			}
		}
	}
	return false
}

// ByFirst has things by the first bytes of their texts.
type ByFirst[T any] struct {
	all  []T
	from [257]uint16 // where those of each byte begin, and the end
}

// Index returns a table of things, of which text returns the text. It goes over all
// of them twice.
func Index[T any](all iter.Seq[T], text func(T) string) *ByFirst[T] {
	b := &ByFirst[T]{}
	for one := range all {
		b.from[int(text(one)[0])+1]++
	}
	for c := range 256 {
		b.from[c+1] += b.from[c]
	}
	b.all = make([]T, b.from[256])
	next := b.from
	for one := range all {
		c := text(one)[0]
		b.all[next[c]] = one
		next[c]++
	}
	return b
}

// Of returns the things whose texts begin with a byte, in the order in which they
// were. The result is shared and must not be changed.
func (b *ByFirst[T]) Of(c byte) []T { return b.all[b.from[c]:b.from[int(c)+1]] }
