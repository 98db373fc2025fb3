package render

import (
	"bytes"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"

	"github.com/tidwall/gjson"
)

// whole returns the text of a secret that is wanted as it is: less one newline at
// its end, which editors and `echo` leave there.
func whole(value []byte) ([]byte, *sources.Error) {
	if walker.InUTF16(value) {
		return nil, unusable("the secret is in UTF-16", "store it as UTF-8")
	}
	if !utf8.Valid(value) {
		if what, likely := walker.Ciphertext(string(value)); what != "" && !likely {
			return nil, unusable("the secret is "+what, "store what it decrypts to")
		}
		return nil, unusable("a binary secret, and not UTF-8 text", "store it as text, in base64 if need be")
	}
	value = bytes.TrimSuffix(value, []byte("\n"))
	return bytes.TrimSuffix(value, []byte("\r")), nil
}

func unusable(reason, hint string) *sources.Error {
	return &sources.Error{Kind: sources.Unusable, Message: reason, Hint: hint}
}

// fragments is a secret whose value is a JSON object.
type fragments struct {
	top   *node
	names func() string // of its keys, for hints
	err   *sources.Error
}

// node is a value in it. What an object or an array holds is found when it is
// first wanted, once: thousands of references may lead into one secret.
type node struct {
	gjson.Result
	members map[string]*node
	items   []*node
	open    bool
}

func (n *node) look() {
	if n.open {
		return
	}
	n.open = true
	if n.IsObject() {
		n.members = map[string]*node{}
	} else if !n.IsArray() {
		return // ForEach would take a text for its own element
	}
	n.ForEach(func(key, value gjson.Result) bool {
		if n.members != nil {
			n.members[key.String()] = &node{Result: value}
		} else {
			n.items = append(n.items, &node{Result: value})
		}
		return true
	})
}

// member returns the value of a member, and nil where there is none.
func (n *node) member(name string) *node {
	n.look()
	return n.members[name]
}

// Fragment returns what a reference to a key of a secret with that value is
// resolved to. The error says nothing of the value.
func Fragment(value []byte, key string) ([]byte, *sources.Error) {
	return parseFragments(value).get(key)
}

// parseFragments reads a secret's value. What is wrong with it is said without
// showing any of it.
func parseFragments(value []byte) *fragments {
	doc, err := walker.Parse("", value)
	if err != nil {
		if what, likely := walker.Ciphertext(string(value)); what != "" && !likely {
			return &fragments{err: unusable("the secret is "+what+", so it has no keys", "store what it decrypts to")}
		}
		if what, _ := walker.Resembles(value); what != "" {
			return &fragments{err: unusable("the secret "+what+", and no JSON object, so it has no keys", "store a JSON object, or write the reference without #key for the whole value")}
		}
		if bytes.HasPrefix(bytes.TrimSpace(value), []byte("{")) {
			return &fragments{err: unusable("the secret begins like a JSON object and is not valid JSON, so it has no keys", "store it as valid JSON")}
		}
		return &fragments{err: unusable("the secret is not a JSON object, so it has no keys", "write the reference without #key for the whole value")}
	}
	top := gjson.ParseBytes(doc.Bytes())
	return &fragments{top: &node{Result: top}, names: sync.OnceValue(func() string { return keyNames(top) }), err: duplicate(top)}
}

// duplicate reports the first name that occurs twice in an object or in what it
// holds: readers of JSON disagree on which of the two counts.
func duplicate(v gjson.Result) (err *sources.Error) {
	seen := map[string]bool{}
	v.ForEach(func(key, value gjson.Result) bool {
		if v.IsObject() {
			if seen[key.String()] {
				err = unusable(fmt.Sprintf("the key %s occurs twice in the secret", strconv.Quote(walker.ShownName(key.String()))), "remove one of the two")
				return false
			}
			seen[key.String()] = true
		}
		if value.IsObject() || value.IsArray() {
			err = duplicate(value)
		}
		return err == nil
	})
	return err
}

// get returns the text under a key: a literal key of the object, whatever
// characters it has, or else, if it begins with a slash, a JSON Pointer
// (RFC 6901).
func (f *fragments) get(key string) ([]byte, *sources.Error) {
	if f.err != nil {
		return nil, f.err
	}
	v := f.top.member(key)
	if v == nil && strings.HasPrefix(key, "/") {
		v = f.top.pointer(key)
	}
	switch {
	case v == nil:
		return nil, unusable(fmt.Sprintf("the secret has no key %s", strconv.Quote(key)), "its keys are "+f.names())
	case v.Type == gjson.Null:
		return nil, unusable(fmt.Sprintf("the key %s is null", strconv.Quote(key)), "its keys are "+f.names())
	case v.Type == gjson.String:
		return []byte(v.String()), nil
	}
	return []byte(v.Raw), nil
}

var pointerEscapes = strings.NewReplacer("~1", "/", "~0", "~")

// pointer follows a JSON Pointer, and returns nil where it leads nowhere.
func (n *node) pointer(path string) *node {
	for step := range strings.SplitSeq(path[1:], "/") {
		step = pointerEscapes.Replace(step)
		if n.IsArray() {
			n.look()
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(n.items) || strconv.Itoa(i) != step {
				return nil
			}
			n = n.items[i]
		} else if n = n.member(step); n == nil {
			return nil
		}
	}
	return n
}

// keysShown is how many keys a hint lists.
const keysShown = 20

func keyNames(v gjson.Result) string {
	var names []string
	v.ForEach(func(key, _ gjson.Result) bool {
		names = append(names, strconv.Quote(walker.ShownName(key.String())))
		return true
	})
	sort.Strings(names)
	if len(names) == 0 {
		return "none: it is an empty object"
	}
	if more := len(names) - keysShown; more > 0 {
		return strings.Join(names[:keysShown], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}
