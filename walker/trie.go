package walker

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// node is one step of the compiled catalogue. A document is walked along the
// nodes; where there is no node, there is no field below.
type node struct {
	// What is below is made when somebody first comes here, out of the lines that lead
	// here: few documents have most of the places that the catalogue knows. Those of a
	// section, which is what stands at the top of a document, are only read then.
	made   atomic.Bool
	unread []string
	lines  []*Entry
	at     int // how many bytes of their patterns have led here

	entry *Entry // the field that stands here, or nil
	zone  *Entry // the zone that this place lies in, or nil: then any string here is a field

	members []member // the named ones, the shortest names first
	from    []uint16 // where those begin whose names have so many bytes, and one length more
	mixed   bool     // a name among them has upper-case letters
	star    *node    // every other member
	elem    *node    // the elements of an array

	// Where the catalogue has lines that hold only for some objects (a plugin
	// of one name), selector is the member that tells, variants the nodes for
	// its values, and the node itself stands for every other value.
	selector string
	variants map[string]*node
}

type member struct {
	name string
	next *node
}

// compile compiles the text of a catalogue.
func compile(text string) *node {
	var (
		sections groups
		section  *node
		step     string
		begin    int // of the lines of that section
	)
	at := 0
	for line := range strings.Lines(text) {
		if line != "\n" && line[0] != '#' {
			pattern, _, _ := strings.Cut(line, "\t")
			if first, next := patternStep(pattern, 0); first != step {
				if section != nil {
					section.unread = append(section.unread, text[begin:at])
				}
				section, step, begin = sections.of(first, next), first, at
			}
		}
		at += len(line)
	}
	if section != nil {
		section.unread = append(section.unread, text[begin:])
	}
	root := &node{}
	root.link(sections)
	root.made.Store(true)
	return root
}

// buildTrie compiles entries, of which the first counts where more of them name
// the same place.
func buildTrie(entries []Entry) *node {
	root := &node{lines: make([]*Entry, len(entries))}
	for i := range entries {
		root.lines[i] = &entries[i]
	}
	return root
}

// PatternSteps takes a pattern apart: `a.*.b[].c` is a, *, b, [], c.
func PatternSteps(pattern string) []string {
	var out []string
	for at := 0; at < len(pattern); {
		step, next := patternStep(pattern, at)
		out, at = append(out, step), next
	}
	return out
}

// patternStep returns the step of a pattern that begins at a byte of it, and where
// the next one begins.
func patternStep(pattern string, at int) (step string, next int) {
	step, _, _ = strings.Cut(pattern[at:], ".")
	if next = at + len(step); step != "[]" && strings.HasSuffix(step, "[]") {
		return step[:len(step)-2], next - 2
	}
	return step, next + 1
}

// selects takes the selector apart: where in the pattern the step begins whose
// place the member stands in, the name of that member, and its value.
func (e *Entry) selects() (at int, name, value string) {
	where, value, _ := strings.Cut(e.Selector, "=")
	at = strings.LastIndexByte(where, '.') + 1
	return at, where[at:], value
}

// selectsAt reports whether the selector is a member of the object at a place, to
// which so many bytes of the pattern have led.
func (e *Entry) selectsAt(at int) bool {
	if e.Selector == "" {
		return false
	}
	place, _, _ := e.selects()
	return place == at
}

// making guards every node that is not made yet.
var making sync.Mutex

// make makes what is below n and, where a selector stands here, its variants.
func (n *node) make() {
	making.Lock()
	defer making.Unlock()
	if n.made.Load() {
		return
	}
	for _, text := range n.unread {
		entries := mustParse(text)
		for i := range entries {
			n.lines = append(n.lines, &entries[i])
		}
	}
	n.unread = nil
	for _, e := range n.lines {
		if !e.selectsAt(n.at) {
			continue
		}
		_, name, value := e.selects()
		if n.selector != "" && n.selector != name {
			panic("walker: two selectors at one place: " + e.Pattern)
		}
		if n.variants == nil {
			n.selector, n.variants = name, map[string]*node{}
		}
		n.variants[value] = nil
	}
	for value := range n.variants {
		var lines []*Entry
		for _, e := range n.lines {
			if _, _, own := e.selects(); own == value || !e.selectsAt(n.at) {
				lines = append(lines, e)
			}
		}
		v := &node{zone: n.zone}
		v.fill(lines, n.at)
		v.made.Store(true)
		n.variants[value] = v
	}
	if n.selector != "" {
		n.lines = fallback(n.lines, n.at)
	}
	n.fill(n.lines, n.at)
	n.lines = nil
	n.made.Store(true)
}

// fallback returns the lines for an object whose selector is missing or has an
// unknown value: those that hold everywhere and, outside of zones (where any
// string is a field in any case), the first line of each pattern, since a field
// taken too seriously does less harm than one overlooked.
func fallback(lines []*Entry, at int) []*Entry {
	zoned := false
	for _, e := range lines {
		zoned = zoned || !e.selectsAt(at) && e.Form == ZoneForm
	}
	var out []*Entry
	seen := map[string]bool{}
	for _, e := range lines {
		if e.selectsAt(at) && (zoned || seen[e.Pattern]) {
			continue
		}
		seen[e.Pattern] = true
		out = append(out, e)
	}
	return out
}

// groups are nodes, and the steps that lead to them.
type groups []group

type group struct {
	step string
	node *node
}

// of returns the node that a step leads to, behind which patterns go on at next.
func (all *groups) of(step string, next int) *node {
	i := len(*all) - 1 // most lines go on as the one before them does
	if i < 0 || (*all)[i].step != step {
		i = slices.IndexFunc(*all, func(g group) bool { return g.step == step })
	}
	if i < 0 {
		i = len(*all)
		*all = append(*all, group{step, &node{at: next}})
	}
	return (*all)[i].node
}

// fill makes the nodes below n.
func (n *node) fill(lines []*Entry, at int) {
	var below groups
	for _, e := range lines {
		if at >= len(e.Pattern) {
			n.entry = cmp.Or(n.entry, e)
			continue
		}
		step, next := patternStep(e.Pattern, at)
		if step == "**" {
			n.zone = e
			continue
		}
		child := below.of(step, next)
		child.lines = append(child.lines, e)
	}
	n.link(below)
}

// link puts nodes below n.
func (n *node) link(below groups) {
	if n.zone != nil {
		// Below a zone everything lies in the zone, also under a named member.
		all := &node{zone: n.zone}
		all.star, all.elem = all, all
		all.made.Store(true)
		n.star, n.elem = all, all
	}
	for _, g := range below {
		switch g.node.zone = n.zone; g.step {
		case "*":
			n.star = g.node
		case "[]":
			n.elem = g.node
		default:
			n.mixed = n.mixed || foldName(g.step) != g.step
			n.members = append(n.members, member{name: g.step, next: g.node})
		}
	}
	if len(n.members) == 0 {
		return
	}
	slices.SortStableFunc(n.members, func(a, b member) int { return len(a.name) - len(b.name) })
	n.from = make([]uint16, len(n.members[len(n.members)-1].name)+2)
	for _, m := range n.members {
		for length := len(m.name) + 1; length < len(n.from); length++ {
			n.from[length]++
		}
	}
}

// child returns the node for a member, whose name are the bytes between
// its quotes, still escaped unless it is plain; nil where nothing below it can be a
// field. Names match as encoding/json matches them to Go's struct fields, with which
// Bifrost reads its file: exactly, or without regard to case.
func (n *node) child(key []byte, plain bool) *node {
	if len(key)+1 < len(n.from) {
		for _, m := range n.members[n.from[len(key)]:n.from[len(key)+1]] {
			// The length of a plain name stays the same, whatever its case.
			if m.name[0]|0x20 == key[0]|0x20 && (m.name == string(key) || plain && !n.mixed && foldsTo(key, m.name)) {
				return m.next
			}
		}
	}
	if n.mixed || !plain {
		return n.childFolded(key)
	}
	return n.star
}

// foldsTo reports whether a plain name is another, of the same length and without
// capitals, but for its case.
func foldsTo(key []byte, name string) bool {
	for i, c := range key {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != name[i] {
			return false
		}
	}
	return true
}

func (n *node) childFolded(key []byte) *node {
	name := foldName(unescape(key))
	for _, m := range n.members {
		if foldName(m.name) == name {
			return m.next
		}
	}
	return n.star
}

// foldName folds a name the way encoding/json does: by Unicode's simple
// folding, under which two characters outside ASCII equal ASCII letters.
func foldName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r + ('a' - 'A')
		case r == 'ſ':
			return 's'
		case r == '\u212a': // the Kelvin sign
			return 'k'
		}
		return r
	}, s)
}
