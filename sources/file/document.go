package file

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker/regular"
)

// maxDocument is the largest JSON file, in bytes and after decryption.
const maxDocument = 64 << 20

// document is one JSON object of names to values.
type document struct{ *base }

// Plan counts one read for all names.
func (d *document) Plan(names []string) sources.Calls {
	return sources.Calls{Single: min(len(names), 1)}
}

// Ping reads the file, and name in it where that is not empty.
func (d *document) Ping(ctx context.Context, name string) error {
	if name != "" {
		return d.Fetch(ctx, []string{name})[name].Err
	}
	_, _, err := d.load(ctx)
	return err
}

// Fetch reads the file once and takes every name from it. The version of each
// is that of the file.
func (d *document) Fetch(ctx context.Context, names []string) map[string]sources.Result {
	results := make(map[string]sources.Result, len(names))
	if len(names) == 0 {
		return results
	}
	values, version, err := d.load(ctx)
	for _, name := range names {
		if err != nil {
			results[name] = sources.Result{Err: err}
			continue
		}
		text, reason := d.value(values, name)
		if reason != nil {
			results[name] = sources.Result{Err: reason}
			continue
		}
		results[name] = sources.Result{Value: sources.NewSecret([]byte(text)), Version: version}
	}
	return results
}

// load reads and parses the file.
func (d *document) load(ctx context.Context) (map[string]gjson.Result, string, error) {
	if ctx.Err() != nil {
		return nil, "", stopped(ctx, d.path)
	}
	if _, err := d.where(); err != nil {
		return nil, "", err
	}
	c, err := readFile(regular.Anywhere{}, d.path, d.path, maxDocument, d.keys.Identities)
	if err != nil {
		var e *sources.Error
		if errors.As(err, &e) && e.Kind == sources.NotFound {
			e.Kind, e.Hint = sources.Unreachable, "is the volume still mounted?"
		}
		return nil, "", err
	}
	d.exposed.report("secret file", filepath.Dir(d.path), map[string]fs.FileMode{filepath.Base(d.path): c.exposed})

	values, err := d.parsed(c.data)
	return values, c.version, err
}

func (d *document) parsed(data []byte) (map[string]gjson.Result, error) {
	values, fault := parse(data)
	if fault == "" {
		return values, nil
	}
	return nil, sources.NewError(sources.Unusable, d.path+" "+fault, "it must hold one JSON object of names to values, each name once")
}

// value returns the text of the value of name.
func (d *document) value(values map[string]gjson.Result, name string) (string, error) {
	if name == "" {
		return "", sources.NewError(sources.BadName, "the name of a secret cannot be empty", "a name is a key of the JSON object")
	}
	v, ok := values[name]
	if !ok {
		return "", sources.NewError(sources.NotFound, fmt.Sprintf("no key %q in %s", name, d.path), holds(d.path, name, slices.Collect(maps.Keys(values)))).Of(name)
	}
	text := v.Raw
	if v.Type == gjson.String {
		text = v.Str
	}
	subject := fmt.Sprintf("%q in %s", name, d.path)
	e := &sources.Error{Kind: sources.Unusable, Name: name}
	switch {
	case v.Type == gjson.Null:
		e.Message = subject + " is null"
		e.Hint = "give it a value, or take the key out"
	case len(text) > sources.MaxValue:
		return "", tooLarge(subject, sources.MaxValue)
	case v.Type == gjson.String && halfSurrogate(v):
		e.Message = subject + " has a \\u escape that is half of a surrogate pair"
		e.Hint = "no text has such a character; write the pair, or the character itself"
	default:
		return text, nil
	}
	return "", e
}

// halfSurrogate reports whether decoding v put U+FFFD in place of something
// else: a secret must never be changed silently.
func halfSurrogate(v gjson.Result) bool {
	return strings.ContainsRune(v.Str, utf8.RuneError) &&
		!strings.ContainsRune(v.Raw, utf8.RuneError) &&
		!strings.Contains(strings.ToLower(v.Raw), `\ufffd`)
}

// parse returns the members of a JSON object by their decoded names. Where data is
// anything else, it says so in words that follow the name of the file; they hold
// nothing of the content but the names of secrets.
func parse(data []byte) (values map[string]gjson.Result, fault string) {
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	switch {
	case len(trimmed) == 0:
		return nil, "is empty"
	case !utf8.Valid(data):
		return nil, "is not UTF-8 text at " + position(data, invalidUTF8(data))
	case !json.Valid(data): // which also bounds the nesting
		// Only the offset is taken: the message quotes the content.
		var syntax *json.SyntaxError
		var raw json.RawMessage
		if errors.As(json.Unmarshal(data, &raw), &syntax) {
			return nil, "cannot be read as JSON at " + position(data, int(syntax.Offset)-1)
		}
		return nil, "cannot be read as JSON"
	case trimmed[0] != '{':
		return nil, "holds JSON that is not an object"
	}

	values = make(map[string]gjson.Result)
	first := make(map[string]int)
	gjson.ParseBytes(data).ForEach(func(key, value gjson.Result) bool {
		if at, twice := first[key.Str]; twice {
			fault = fmt.Sprintf("has the key %q twice, at %s and at %s",
				key.Str, position(data, at), position(data, key.Index))
			return false
		}
		first[key.Str] = key.Index
		values[key.Str] = value
		return true
	})
	if fault != "" {
		return nil, fault
	}
	return values, ""
}

func invalidUTF8(data []byte) int {
	at := 0
	for {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size <= 1 {
			return at
		}
		at += size
	}
}

// position returns line:column of an offset, both from 1, the column in characters.
func position(data []byte, offset int) string {
	before := data[:min(max(offset, 0), len(data))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Sprintf("%d:%d", line, column)
}

// Inspect reads the file once and looks for each name in it. Nothing in it is
// ours: see [Open].
func (d *document) Inspect(ctx context.Context, names []string) map[string]sources.Item {
	items := make(map[string]sources.Item, len(names))
	if len(names) == 0 {
		return items
	}
	values, version, err := d.load(ctx)
	for _, name := range names {
		item := sources.Item{Name: name}
		_, there := values[name]
		switch {
		case name == "":
			_, item.Err = d.value(nil, "")
		case err != nil:
			item.Err = err
		case there:
			item.Exists, item.Version = true, version
		}
		items[name] = item
	}
	return items
}

// List returns the names in the file.
func (d *document) List(ctx context.Context, prefix string) ([]sources.Item, error) {
	values, version, err := d.load(ctx)
	if err != nil {
		return nil, err
	}
	byName := map[string]sources.Item{}
	for name := range values {
		if strings.HasPrefix(name, prefix) && name != "" {
			byName[name] = sources.Item{Name: name, Exists: true, Version: version}
		}
	}
	return sortedItems(byName), nil
}

// Identities implements [sources.Inspector].
func (*document) Identities(name string) []string { return []string{name} }
