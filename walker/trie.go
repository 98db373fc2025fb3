package walker

import (
	"errors"
	"fmt"
	"strings"
)

// node is one step of the compiled catalogue. A document is walked along the
// nodes; where there is no node, there is no field below.
type node struct {
	entry *Entry // the field that stands here, or nil
	zone  *Entry // the zone that this place lies in, or nil: then any string here is a field

	byLen [][]member // named members, by the length of the name in bytes
	mixed bool       // a name among them has upper-case letters
	star  *node      // every other member
	elem  *node      // the elements of an array

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

// line is an entry on its way into the trie: what is left of its pattern, and
// how many steps further its selector stands (-1: none).
type line struct {
	entry *Entry
	steps []string // `name`, `*`, `[]`, `**`
	selAt int
	key   string
	value string
}

func buildTrie(entries []Entry) (*node, error) {
	lines := make([]line, 0, len(entries))
	for i := range entries {
		l := line{entry: &entries[i], steps: PatternSteps(entries[i].Pattern), selAt: -1}
		if sel := entries[i].Selector; sel != "" {
			where, value, ok := strings.Cut(sel, "=")
			if !ok {
				return nil, fmt.Errorf("selector %q has no =", sel)
			}
			at := PatternSteps(where)
			l.selAt, l.key, l.value = len(at)-1, at[len(at)-1], value
			if len(l.steps) < len(at) || strings.Join(l.steps[:l.selAt], " ") != strings.Join(at[:l.selAt], " ") {
				return nil, fmt.Errorf("selector %q does not stand above %q", sel, entries[i].Pattern)
			}
		}
		lines = append(lines, l)
	}
	return build(lines, nil)
}

// PatternSteps takes a pattern apart: `a.*.b[].c` is a, *, b, [], c.
func PatternSteps(pattern string) []string {
	var out []string
	for _, part := range strings.Split(pattern, ".") {
		name := strings.TrimSuffix(part, "[]")
		out = append(out, name)
		if name != part {
			out = append(out, "[]")
		}
	}
	return out
}

var errTwoSelectors = errors.New("two selectors at one place")

// build makes the node for lines, all of which have come to the same place.
// zone is the zone that the place lies in.
func build(lines []line, zone *Entry) (*node, error) {
	n := &node{}
	values := map[string]bool{}
	for _, l := range lines {
		if l.selAt == 0 {
			if n.selector != "" && n.selector != l.key {
				return nil, errTwoSelectors
			}
			n.selector = l.key
			values[l.value] = true
		}
	}
	if n.selector == "" {
		return n, n.fill(lines, zone)
	}
	n.variants = map[string]*node{}
	for value := range values {
		var own []line
		for _, l := range lines {
			if l.selAt != 0 || l.value == value {
				own = append(own, l)
			}
		}
		v := &node{}
		if err := v.fill(own, zone); err != nil {
			return nil, err
		}
		n.variants[value] = v
	}
	return n, n.fill(fallback(lines), zone)
}

// fallback returns the lines for an object whose selector is missing or has an
// unknown value: those that hold everywhere and, outside of zones (where any
// string is a field in any case), the first line of each pattern, since a field
// taken too seriously does less harm than one overlooked.
func fallback(lines []line) []line {
	zoned := false
	for _, l := range lines {
		zoned = zoned || l.selAt != 0 && l.entry.Form == ZoneForm
	}
	var out []line
	seen := map[string]bool{}
	for _, l := range lines {
		if l.selAt == 0 && (zoned || seen[l.entry.Pattern]) {
			continue
		}
		seen[l.entry.Pattern] = true
		out = append(out, l)
	}
	return out
}

func (n *node) fill(lines []line, zone *Entry) error {
	below := map[string][]line{}
	var order []string
	for _, l := range lines {
		switch {
		case len(l.steps) == 0:
			if n.entry == nil {
				n.entry = l.entry
			}
		case l.steps[0] == "**":
			zone = l.entry
		default:
			step := l.steps[0]
			if below[step] == nil {
				order = append(order, step)
			}
			l.steps = l.steps[1:]
			l.selAt--
			below[step] = append(below[step], l)
		}
	}
	n.zone = zone
	if zone != nil {
		// Below a zone everything lies in the zone, also under a named member.
		all := &node{zone: zone}
		all.star, all.elem = all, all
		n.star, n.elem = all, all
	}
	for _, step := range order {
		child, err := build(below[step], zone)
		if err != nil {
			return fmt.Errorf("%w: under %s", err, step)
		}
		switch step {
		case "*":
			n.star = child
		case "[]":
			n.elem = child
		default:
			for len(n.byLen) <= len(step) {
				n.byLen = append(n.byLen, nil)
			}
			n.mixed = n.mixed || foldName(step) != step
			n.byLen[len(step)] = append(n.byLen[len(step)], member{name: step, next: child})
		}
	}
	return nil
}

// child returns the node for a member, whose name are the bytes between
// its quotes, still escaped; nil where nothing below it can be a field. Names
// match as encoding/json matches them to Go's struct fields, with which Bifrost
// reads its file: exactly, or without regard to case.
func (n *node) child(key []byte) *node {
	if len(key) < len(n.byLen) {
		for _, m := range n.byLen[len(key)] {
			if m.name[0] == key[0] && m.name == string(key) {
				return m.next
			}
		}
	}
	if n.mixed {
		return n.childFolded(key)
	}
	for _, c := range key {
		if folds[c] {
			return n.childFolded(key)
		}
	}
	return n.star
}

// folds marks the bytes without which a name is just what its bytes are: it has
// no escape, and no other case.
var folds = func() (t [256]bool) {
	for c := range t {
		t[c] = c == '\\' || c >= 0x80 || 'A' <= c && c <= 'Z'
	}
	return t
}()

func (n *node) childFolded(key []byte) *node {
	name := foldName(unescape(key))
	for _, ms := range n.byLen {
		for _, m := range ms {
			if foldName(m.name) == name {
				return m.next
			}
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
