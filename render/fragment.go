package render

import (
	"bytes"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"

	"github.com/tidwall/gjson"
)

// whole gives the text of a secret that is wanted as it is: less one newline at
// its end, which editors and `echo` leave there.
func whole(value []byte) ([]byte, *sources.Error) {
	if !utf8.Valid(value) {
		if what, likely := walker.Ciphertext(string(value)); what != "" && !likely {
			return nil, unusable("the secret is "+what, "store what it decrypts to")
		}
		if bytes.HasPrefix(value, []byte("\xff\xfe")) || bytes.HasPrefix(value, []byte("\xfe\xff")) {
			return nil, unusable("the secret is in UTF-16", "store it as UTF-8")
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
	top gjson.Result
	err *sources.Error
}

// parseFragments reads a secret's value. What is wrong with it is said without
// showing any of it.
func parseFragments(value []byte) *fragments {
	doc, err := walker.Parse("", value)
	if err != nil {
		if what, likely := walker.Ciphertext(string(value)); what != "" && !likely {
			return &fragments{err: unusable("the secret is "+what+", so it has no keys", "store what it decrypts to")}
		}
		return &fragments{err: unusable("the secret is not a JSON object, so it has no keys", "write the reference without #key for the whole value")}
	}
	f := &fragments{top: gjson.ParseBytes(doc.Bytes())}
	f.err = duplicate(f.top)
	return f
}

// duplicate reports the first name that occurs twice in an object or in what it
// holds: readers of JSON disagree on which of the two counts.
func duplicate(v gjson.Result) (err *sources.Error) {
	seen := map[string]bool{}
	v.ForEach(func(key, value gjson.Result) bool {
		if v.IsObject() {
			if seen[key.String()] {
				err = unusable(fmt.Sprintf("the key %s occurs twice in the secret", strconv.Quote(key.String())), "remove one of the two")
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

// get gives the text under a key: a literal key of the object, whatever
// characters it has, or else, if it begins with a slash, a JSON Pointer
// (RFC 6901).
func (f *fragments) get(key string) ([]byte, *sources.Error) {
	if f.err != nil {
		return nil, f.err
	}
	v, ok := member(f.top, key)
	if !ok && strings.HasPrefix(key, "/") {
		v, ok = pointer(f.top, key)
	}
	switch {
	case !ok:
		return nil, unusable(fmt.Sprintf("the secret has no key %s", strconv.Quote(key)), "its keys are "+keyNames(f.top))
	case v.Type == gjson.Null:
		return nil, unusable(fmt.Sprintf("the key %s is null", strconv.Quote(key)), "its keys are "+keyNames(f.top))
	case v.Type == gjson.String:
		return []byte(v.String()), nil
	}
	return []byte(v.Raw), nil
}

func member(v gjson.Result, name string) (found gjson.Result, ok bool) {
	if !v.IsObject() {
		return found, false
	}
	v.ForEach(func(key, value gjson.Result) bool {
		if key.String() == name {
			found, ok = value, true
		}
		return !ok
	})
	return found, ok
}

var pointerEscapes = strings.NewReplacer("~1", "/", "~0", "~")

func pointer(v gjson.Result, path string) (gjson.Result, bool) {
	for _, step := range strings.Split(path[1:], "/") {
		step = pointerEscapes.Replace(step)
		if v.IsArray() {
			all := v.Array()
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(all) || strconv.Itoa(i) != step {
				return v, false
			}
			v = all[i]
			continue
		}
		var ok bool
		if v, ok = member(v, step); !ok {
			return v, false
		}
	}
	return v, true
}

// keysShown is how many keys a hint lists.
const keysShown = 20

func keyNames(v gjson.Result) string {
	var names []string
	v.ForEach(func(key, _ gjson.Result) bool {
		names = append(names, strconv.Quote(key.String()))
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
