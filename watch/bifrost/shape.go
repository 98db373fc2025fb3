package bifrost

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"bifrost-secrets/watch"
)

// A step goes from a value of a JSON tree to one in it.
type step struct {
	kind stepKind
	name string // the member, or the name of the element
	n    int    // the element
}

type stepKind uint8

const (
	member  stepKind = iota // of an object
	element                 // of an array, by its number
	named                   // of an array: the one object that has this name
)

// decode reads the text of an answer, keeping numbers as they are spelled.
func decode(place string, raw []byte) (any, *fault) {
	if !gjson.ValidBytes(raw) { // encoding/json is laxer: it accepts text that is not UTF-8
		return nil, unknownShape(place, "is no json")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, unknownShape(place, "is no json")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, unknownShape(place, "is more than one json value")
	}
	return tree, nil
}

// object gives the tree as an object.
func object(place string, tree any) (map[string]any, *fault) {
	o, ok := tree.(map[string]any)
	if !ok {
		return nil, unknownShape(place, "is no object")
	}
	return o, nil
}

// list gives a member of an object, which has to be an array of objects.
func list(place string, o map[string]any, name string) ([]map[string]any, *fault) {
	a, ok := o[name].([]any)
	if !ok {
		return nil, unknownShape(place, "has no list of "+name)
	}
	all := make([]map[string]any, len(a))
	for i := range a {
		if all[i], ok = a[i].(map[string]any); !ok {
			return nil, unknownShape(place, fmt.Sprintf("has something else than objects in %s", name))
		}
	}
	return all, nil
}

// byName gives the one object of a list that has a name. what is the word for
// one of them.
func byName(what string, all []map[string]any, inner, name string) (int, *fault) {
	found := -1
	for i, o := range all {
		if inner != "" {
			var ok bool
			if o, ok = o[inner].(map[string]any); !ok {
				return 0, unknownShape("a "+what, "has no "+inner)
			}
		}
		got, ok := o["name"].(string)
		switch {
		case !ok:
			return 0, unknownShape("a "+what, "has no name")
		case got != name:
		case found >= 0:
			return 0, unknownShape("the list", quoted("has more than one "+what+" that is called %s", name))
		default:
			found = i
		}
	}
	if found < 0 {
		return 0, &fault{state: watch.RestartRequired, reason: quoted("bifrost has no "+what+" that is called %s", name), hint: "restart bifrost, which reads the file", err: errAbsent}
	}
	return found, nil
}

// find goes along steps. It gives what stands at their end, nil where only the
// last of them leads nowhere, and the steps with numbers in place of names.
func find(place string, tree any, steps []step) (any, []step, *fault) {
	plain := make([]step, len(steps))
	for i, s := range steps {
		plain[i] = s
		switch s.kind {
		case member:
			o, f := object(place, tree)
			if f != nil {
				return nil, nil, f
			}
			next, ok := o[s.name]
			if !ok && i < len(steps)-1 {
				return nil, nil, unknownShape(place, quoted("has no %s", s.name))
			}
			tree = next
		default:
			a, ok := tree.([]any)
			if !ok {
				return nil, nil, unknownShape(place, "has no list where one is expected")
			}
			n := s.n
			if s.kind == named {
				all, f := list(place, map[string]any{"it": a}, "it")
				if f != nil {
					return nil, nil, f
				}
				if n, f = byName("key", all, "", s.name); f != nil {
					return nil, nil, f
				}
			}
			if n < 0 || n >= len(a) {
				return nil, nil, unknownShape(place, "has a list that is too short")
			}
			plain[i] = step{kind: element, n: n}
			tree = a[n]
		}
	}
	return tree, plain, nil
}

// change is one place of an object and its new text in JSON.
type change struct {
	steps []step // with numbers
	json  string
}

// set gives raw with the changes in it, every other byte as it was. It fails
// where the result would differ from raw in anything else.
func set(place string, raw []byte, changes []change) ([]byte, *fault) {
	want, f := decode(place, raw)
	if f != nil {
		return nil, f
	}
	out := raw
	for _, c := range changes {
		text, f := decode(place, []byte(c.json))
		if f != nil {
			return nil, f
		}
		if !assign(want, c.steps, text) {
			return nil, unknownShape(place, "cannot be changed there")
		}
		var err error
		if out, err = sjson.SetRawBytes(out, sjsonPath(c.steps), []byte(c.json)); err != nil {
			return nil, unknownShape(place, "cannot be changed there")
		}
	}
	got, f := decode(place, out)
	if f != nil {
		return nil, f
	}
	if !reflect.DeepEqual(got, want) {
		return nil, unknownShape(place, "cannot be changed in that place alone")
	}
	if hasDuplicates(raw) {
		return nil, unknownShape(place, "has an object with two members of one name")
	}
	return out, nil
}

// assign puts v at the end of steps, which are known to lead there but for the
// last.
func assign(tree any, steps []step, v any) bool {
	for i, s := range steps {
		last := i == len(steps)-1
		switch t := tree.(type) {
		case map[string]any:
			if s.kind != member {
				return false
			}
			if last {
				t[s.name] = v
				return true
			}
			tree = t[s.name]
		case []any:
			if s.kind != element || s.n >= len(t) {
				return false
			}
			if last {
				t[s.n] = v
				return true
			}
			tree = t[s.n]
		default:
			return false
		}
	}
	return false
}

func sjsonPath(steps []step) string {
	parts := make([]string, len(steps))
	for i, s := range steps {
		if s.kind == member {
			parts[i] = ":" + gjson.Escape(s.name) // the colon: a member, also where it is made of digits
		} else {
			parts[i] = strconv.Itoa(s.n)
		}
	}
	return strings.Join(parts, ".")
}

// hasDuplicates reports whether an object in raw has two members of one name:
// a tree would hide one of them.
func hasDuplicates(raw []byte) bool {
	found := false
	var look func(v gjson.Result)
	look = func(v gjson.Result) {
		seen := map[string]bool{}
		isObject := v.IsObject()
		v.ForEach(func(k, inner gjson.Result) bool {
			if isObject {
				found = found || seen[k.String()]
				seen[k.String()] = true
			}
			if inner.IsObject() || inner.IsArray() {
				look(inner)
			}
			return !found
		})
	}
	look(gjson.ParseBytes(raw))
	return found
}

// passing are the members of keys and providers that Bifrost itself changes
// while it works: what it found out when it last asked for the models.
var passing = map[string]bool{"status": true, "description": true, "provider_status": true}

// same reports whether two readings of an object are alike but for the members
// that pass.
func same(a, b any, passing map[string]bool) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			return false
		}
		for name := range x {
			if _, ok := y[name]; !passing[name] && (!ok || !same(x[name], y[name], passing)) {
				return false
			}
		}
		for name := range y {
			if _, ok := x[name]; !ok && !passing[name] {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !same(x[i], y[i], passing) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}

// lost gives the members of before that after does not have or has otherwise,
// beside the places that were touched. What was added is no loss, nor is a default
// in the place of nothing.
func lost(before, after any, at []step, touched [][]step, passes func(string) bool) []string {
	for _, t := range touched {
		if slices.Equal(at, t) {
			return nil
		}
	}
	if isEmpty(before) {
		return nil
	}
	var all []string
	switch x := before.(type) {
	case map[string]any:
		y, ok := after.(map[string]any)
		if !ok {
			return []string{spell(at)}
		}
		for _, name := range slices.Sorted(maps.Keys(x)) {
			if !passes(name) {
				all = append(all, lost(x[name], y[name], append(at[:len(at):len(at)], step{kind: member, name: name}), touched, passes)...)
			}
		}
		return all
	case []any:
		y, ok := after.([]any)
		if !ok || len(x) != len(y) {
			return []string{spell(at)}
		}
		for n := range x {
			all = append(all, lost(x[n], y[n], append(at[:len(at):len(at)], step{kind: element, n: n}), touched, passes)...)
		}
		return all
	}
	if !reflect.DeepEqual(before, after) {
		return []string{spell(at)}
	}
	return nil
}

// isEmpty reports whether v is what Bifrost writes for "not set".
func isEmpty(v any) bool {
	switch t := v.(type) {
	case nil:
		return true
	case string:
		return t == ""
	case json.Number:
		return t == "0"
	case []any:
		return len(t) == 0
	case map[string]any:
		return len(t) == 0
	}
	return false
}

// spell writes a place for people.
func spell(steps []step) string {
	var b strings.Builder
	for i, s := range steps {
		switch {
		case s.kind == element:
			fmt.Fprintf(&b, "[%d]", s.n)
		case i == 0:
			b.WriteString(strconv.QuoteToASCII(s.name))
		default:
			b.WriteString("." + strconv.QuoteToASCII(s.name))
		}
	}
	return strings.ReplaceAll(b.String(), `"`, "")
}
