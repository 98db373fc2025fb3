package bifrost

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"bifrost-secrets/walker"
)

// value is a value in an answer of Bifrost, or in a document: where it stands. The
// zero value is one that is not there.
type value struct {
	doc *walker.Document
	at  int
}

// parse reads an answer, which has to be an object. place is what messages call it.
func parse(place string, raw []byte) (value, *Error) {
	doc, err := walker.Parse(place, raw)
	if err != nil {
		what := "is no json"
		if !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) && json.Valid(raw) {
			what = "is no object"
		}
		return value{}, other(place, what)
	}
	top := value{doc, bytes.IndexByte(doc.Bytes(), '{')}
	if top.repeats() {
		return value{}, unknownShape(place, "has an object with two members of one name")
	}
	return top, nil
}

// kind returns the first byte of v, by which JSON tells values apart; 0 where v is not
// there.
func (v value) kind() byte {
	if v.doc == nil {
		return 0
	}
	return v.doc.Bytes()[v.at]
}

// isSet reports whether v is there, and not null.
func (v value) isSet() bool { return v.kind() != 0 && v.kind() != 'n' }

// raw returns v as it stands in its text.
func (v value) raw() []byte {
	if v.doc == nil {
		return nil
	}
	return v.doc.Bytes()[v.at:v.doc.Behind(v.at)]
}

// text returns a JSON string, decoded.
func (v value) text() (text string, ok bool) {
	if v.kind() != '"' {
		return "", false
	}
	return v.doc.String(walker.Span{Start: v.at, End: v.doc.Behind(v.at)}), true
}

func (v value) is(text string) bool {
	got, ok := v.text()
	return ok && got == text
}

// boolean returns true or false.
func (v value) boolean() (is, ok bool) {
	k := v.kind()
	return k == 't', k == 't' || k == 'f'
}

// number reports whether v is one, and returns it where it is whole.
func (v value) number() (n int64, whole, ok bool) {
	if k := v.kind(); k != '-' && (k < '0' || k > '9') {
		return 0, false, false
	}
	n, err := strconv.ParseInt(string(v.raw()), 10, 64)
	return n, err == nil, true
}

// each yields the members of an object or the elements of a list, in order.
func (v value) each(yield func(walker.Step, value) bool) {
	if k := v.kind(); k != '{' && k != '[' {
		return
	}
	index := -1
	v.doc.Children(v.at, func(name walker.Span, at int) int {
		index++
		step := walker.Step{Index: index, IsIndex: true}
		if name.End > 0 {
			step = walker.Step{Name: v.doc.String(name)}
		}
		if !yield(step, value{v.doc, at}) {
			return -1
		}
		return 0
	})
}

// child returns what a step leads to, if there is anything.
func (v value) child(step walker.Step) value {
	for s, in := range v.each {
		if s == step {
			return in
		}
	}
	return value{}
}

func (v value) member(name string) value { return v.child(walker.Step{Name: name}) }

func (v value) children() (all []value) {
	for _, in := range v.each {
		all = append(all, in)
	}
	return all
}

// list returns a member of an object, which has to be a list of objects.
func (v value) list(place, name string) ([]value, *Error) {
	in := v.member(name)
	if in.kind() != '[' {
		return nil, other(place, "has no list of "+name)
	}
	all := in.children()
	if slices.ContainsFunc(all, func(e value) bool { return e.kind() != '{' }) {
		return nil, unknownShape(place, "has something else than objects in "+name)
	}
	return all, nil
}

// follow returns what stands at the end of steps, which is nothing where only the last
// of them leads nowhere.
func (v value) follow(place string, steps []walker.Step) (value, *Error) {
	for i, s := range steps {
		switch k := v.kind(); {
		case s.IsIndex && k != '[':
			return value{}, unknownShape(place, "has no list where one is expected")
		case !s.IsIndex && k != '{':
			return value{}, unknownShape(place, "is no object")
		}
		v = v.child(s)
		switch {
		case v.doc != nil:
		case s.IsIndex:
			return value{}, unknownShape(place, "has a list that is too short")
		case i < len(steps)-1:
			return value{}, unknownShape(place, quoted("has no %s", s.Name))
		}
	}
	return v, nil
}

// repeats reports whether an object in v has two members of one name: which of them
// Bifrost would take is not known.
func (v value) repeats() bool {
	seen := map[string]bool{}
	for s, in := range v.each {
		if !s.IsIndex && seen[s.Name] || in.repeats() {
			return true
		}
		seen[s.Name] = true
	}
	return false
}

// below returns the steps of a child.
func below(at []walker.Step, s walker.Step) []walker.Step { return append(at[:len(at):len(at)], s) }

// within reports whether steps lead to one of some places or below it.
func within(steps []walker.Step, places [][]walker.Step) bool {
	return slices.ContainsFunc(places, func(p []walker.Step) bool {
		return len(p) <= len(steps) && slices.Equal(p, steps[:len(p)])
	})
}

// differences yields each place in which two readings differ, the members aside that
// pass.
func differences(a, b value, at []walker.Step, passing map[string]bool, yield func(at []walker.Step, a, b value)) {
	k := a.kind()
	switch {
	case k != b.kind():
	case k == '{':
		for s, x := range a.each {
			if !passing[s.Name] {
				differences(x, b.child(s), below(at, s), passing, yield)
			}
		}
		for s, y := range b.each {
			if !passing[s.Name] && a.child(s).doc == nil {
				yield(below(at, s), value{}, y)
			}
		}
		return
	case k == '[':
		if x, y := a.children(), b.children(); len(x) == len(y) {
			for i := range x {
				differences(x[i], y[i], below(at, walker.Step{Index: i, IsIndex: true}), passing, yield)
			}
			return
		}
	case k == '"':
		if x, _ := a.text(); b.is(x) {
			return
		}
	case bytes.Equal(a.raw(), b.raw()):
		return
	}
	yield(at, a, b)
}

// same reports whether two readings are alike but for members that pass.
func same(a, b value, passing map[string]bool) bool {
	alike := true
	differences(a, b, nil, passing, func([]walker.Step, value, value) { alike = false })
	return alike
}

// empty reports whether v is what Bifrost writes for "not set".
func (v value) empty() bool {
	if k := v.kind(); k == '{' || k == '[' {
		return len(v.children()) == 0
	}
	text := string(v.raw())
	return !v.isSet() || text == `""` || text == "0"
}

// texts returns where texts below v are that some test holds for, but for places that
// are changed.
func (v value) texts(test func(string) bool, at []walker.Step, changed [][]walker.Step) (all [][]walker.Step) {
	if within(at, changed) {
		return nil
	}
	if text, ok := v.text(); ok && test(text) {
		return [][]walker.Step{at}
	}
	for s, in := range v.each {
		all = append(all, in.texts(test, below(at, s), changed)...)
	}
	return all
}

// change is a place of an object and its new text in JSON.
type change struct {
	steps []walker.Step
	json  string
}

// splice returns the part of an object with changes in it, every other byte as it was.
func splice(place string, top, part value, changes []change) ([]byte, *Error) {
	type edit struct {
		walker.Span
		text string
	}
	var edits []edit
	added := map[int]bool{} // to objects that have no members, by where they stand
	for _, c := range changes {
		last := len(c.steps) - 1
		v, f := top.follow(place, c.steps)
		if f != nil {
			return nil, f
		}
		if v.doc != nil {
			edits = append(edits, edit{walker.Span{Start: v.at, End: v.doc.Behind(v.at)}, c.json})
			continue
		}
		parent, _ := top.follow(place, c.steps[:last])
		text := walker.Quote(c.steps[last].Name) + ":" + c.json
		switch {
		case !parent.empty():
			text += ","
		case added[parent.at]:
			text = "," + text
		}
		added[parent.at] = true
		edits = append(edits, edit{walker.Span{Start: parent.at + 1, End: parent.at + 1}, text})
	}
	slices.SortStableFunc(edits, func(a, b edit) int { return a.Start - b.Start })
	var out []byte
	at, whole := part.at, part.doc.Bytes()
	for _, e := range edits {
		if e.Start < at {
			return nil, unknownShape(place, "cannot be changed in that place alone")
		}
		out = append(append(out, whole[at:e.Start]...), e.text...)
		at = e.End
	}
	return append(out, whole[at:part.doc.Behind(part.at)]...), nil
}
