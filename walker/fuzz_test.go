package walker

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// naive finds the fields of a document in the plainest way there is: it goes
// over everything with gjson and holds the decoded steps to every place against
// every line of the catalogue. The scanner must agree with it.
type naive struct {
	entries []Entry
	fields  []string // start, end and pattern of each field
	strays  []string
}

func (n *naive) walk(v gjson.Result, at []string, objects []gjson.Result) {
	if e := n.match(v, at, objects); e != nil {
		n.fields = append(n.fields, place(v)+" "+e.Pattern+" "+e.Selector)
		if !v.IsObject() && !v.IsArray() || v.IsObject() && e.Form == SecretVarForm {
			return
		}
		n.fields = n.fields[:len(n.fields)-1] // a container is gone into
	} else if v.Type == gjson.String && (strings.HasPrefix(v.String(), "vault.") || strings.HasPrefix(v.String(), "env.")) {
		n.strays = append(n.strays, place(v))
	}
	index := 0
	v.ForEach(func(key, child gjson.Result) bool {
		step := "[]"
		if v.IsObject() {
			step = "." + key.String()
		}
		if v.IsObject() || v.IsArray() {
			n.walk(child, append(at[:len(at):len(at)], step), append(objects[:len(objects):len(objects)], v))
		}
		index++
		return true
	})
}

func place(v gjson.Result) string {
	return strconv.Itoa(v.Index) + "-" + strconv.Itoa(v.Index+len(v.Raw))
}

// match returns the line for the place at, whose enclosing values are objects.
func (n *naive) match(v gjson.Result, at []string, objects []gjson.Result) *Entry {
	var unknown *Entry // a line whose selector has no line for the value there is
	var zone *Entry
	zoned := false
	for i := range n.entries {
		e := &n.entries[i]
		want := patternSteps()[i]
		if e.Form == ZoneForm {
			want = want[:len(want)-1]
			if len(at) >= len(want) && fits(want, at[:len(want)]) {
				zone, zoned = e, true
			}
			continue
		}
		if len(want) != len(at) || !fits(want, at) {
			continue
		}
		if e.Selector == "" {
			return e
		}
		where, value, _ := strings.Cut(e.Selector, "=")
		sel := PatternSteps(where)
		got := last(objects[len(sel)-1], sel[len(sel)-1])
		if got == value {
			return e
		}
		if !n.known(where, got) && unknown == nil {
			unknown = e
		}
	}
	if zoned && v.Type == gjson.String {
		return zone
	}
	if zoned {
		return nil
	}
	return unknown
}

// patternSteps are the steps of each line of the catalogue.
var patternSteps = sync.OnceValue(func() (all [][]string) {
	for _, e := range Catalogue() {
		all = append(all, PatternSteps(e.Pattern))
	}
	return all
})

func (n *naive) known(where, value string) bool {
	for i := range n.entries {
		if n.entries[i].Selector == where+"="+value {
			return true
		}
	}
	return false
}

func last(object gjson.Result, name string) (text string) {
	object.ForEach(func(key, v gjson.Result) bool {
		if foldName(key.String()) == name && v.Type == gjson.String {
			text = v.String()
		}
		return true
	})
	return text
}

func fits(want, at []string) bool {
	for i, step := range want {
		name, member := strings.CutPrefix(at[i], ".")
		if (step == "[]") == member || member && step != "*" && step != name && foldName(step) != foldName(name) {
			return false
		}
	}
	return true
}

func FuzzWalk(f *testing.F) {
	files, err := filepath.Glob("../testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"providers":{"a":{"keys":[{"value":"vault.b","azure_key_config":{"endpoint":{"ref":"env.C"}},"aliases":{"m":{"region":"r"}}}]}}}`))
	f.Add([]byte(`{"plugins":[{"name":"otel","config":{"headers":{"a":"env.B"},"profiles":[{"headers":{"x":"y"}}]}},{"config":[["vault.x"]],"name":1}]}`))
	f.Add([]byte(`{"logs_store":{"type":"postgres","config":{"password":"a"},"object_storage":{"type":"gcs","credentials":"b"}}}`))
	for _, number := range []string{"-", "-0", "01", "1.", ".5", "1e", "1E+07", "-1.50e-3", "1.5.5", "+1", "0x1", "tru", "truee", "nul", "falsy"} {
		f.Add([]byte(`{"a":[` + number + `]}`))
	}
	for _, inner := range []string{`\ud83d\ude00`, `\ud83d`, `\ude00`, `\ud83d\ud83d\ude00`, `\u12`, `\u00zz`, `\`, `ö`, "\xff", "\xe2\x82", "\x1f", "aaaaaaaa\x1fb", `aaaaaaa\"b`, "aaaaaaaé"} {
		f.Add([]byte(`{"a":"` + inner + `"}`))
	}
	f.Add([]byte(strings.Repeat(`{"a":[`, MaxDepth/2) + strings.Repeat("]}", MaxDepth/2)))
	f.Add([]byte(`{"plugins":[{"name":"otel","config":{"headers":"x"` + "}}"))
	f.Add([]byte(`{"guardrails_config":{"guardrail_providers":[{"provider_name":"azure","config":{"api_key":"k","z":{"a":"b"}}}]},"x":"env.","y":"\u0076ault.z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if gjson.ValidBytes(data) != json.Valid(data) {
			t.Fatal("gjson and encoding/json disagree on what is valid")
		}
		if _, err := Parse("c", data); (err == nil) != isDocument(data) {
			t.Errorf("%q: %v", data, err)
		}
		agree(t, data)
	})
}

// isDocument is what Parse takes, in the plainest way there is: what encoding/json
// does, and what it turns into U+FFFD or objects to at another depth is looked for.
func isDocument(data []byte) bool {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !json.Valid(data) || !utf8.Valid(data) || bytes.TrimLeft(data, " \t\r\n")[0] != '{' {
		return false
	}
	depth, half := 0, false // of a pair of surrogates
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			for i++; data[i] != '"'; i++ {
				if data[i] != '\\' || data[i+1] != 'u' {
					if half {
						return false
					}
					if data[i] == '\\' {
						i++
					}
					continue
				}
				r, _ := strconv.ParseUint(string(data[i+2:i+6]), 16, 16)
				if low := 0xdc00 <= r && r < 0xe000; low != half {
					return false
				}
				half = 0xd800 <= r && r < 0xdc00
				i += 5
			}
			if half {
				return false
			}
		}
		if depth > MaxDepth {
			return false
		}
	}
	return true
}

// agree holds the scanner against the naive matcher.
func agree(t *testing.T, data []byte) {
	t.Helper()
	d, err := Parse("c", data)
	if err != nil {
		if _, ok := err.(*DocumentError); !ok {
			t.Fatalf("not a *DocumentError: %v", err)
		}
		return
	}
	want := naive{entries: Catalogue()}
	want.walk(gjson.ParseBytes(d.Bytes()), nil, nil)
	var fields, strays []string
	d.Walk(func(field *Field) bool {
		span := strconv.Itoa(field.Start) + "-" + strconv.Itoa(field.End)
		if field.Entry == nil {
			strays = append(strays, span)
			return true
		}
		fields = append(fields, span+" "+field.Entry.Pattern+" "+field.Entry.Selector)
		raw := gjson.ParseBytes(d.Bytes()[field.Start:field.End])
		if raw.Type == gjson.String && raw.String() != field.Text() {
			t.Errorf("%s: decoded as %q, gjson says %q", field.Path, field.Text(), raw.String())
		}
		if field.Misread && (field.Entry.Form != SecretVarForm || canUnquote(raw.Raw)) {
			t.Errorf("%s: said to be misread, but is not", field.Path)
		}
		if !field.Misread && !field.Object && field.Entry.Form == SecretVarForm && raw.Type == gjson.String && !canUnquote(raw.Raw) {
			t.Errorf("%s: misread and not said so", field.Path)
		}
		return true
	})
	if got, want := strings.Join(fields, "\n"), strings.Join(want.fields, "\n"); got != want {
		t.Errorf("fields\n%s\nwant\n%s", got, want)
	}
	if got, want := strings.Join(strays, "\n"), strings.Join(want.strays, "\n"); got != want {
		t.Errorf("outside of fields\n%s\nwant\n%s", got, want)
	}

}

func canUnquote(raw string) bool {
	_, err := strconv.Unquote(raw)
	return err == nil
}

func FuzzReference(f *testing.F) {
	for _, s := range []string{"vault.a", "vault.a#b", "vault.#", "env.A", "env.", "vault.a#b#c", "vault. a", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := ParseReference(s)
		meant := strings.HasPrefix(s, "vault.") || strings.HasPrefix(s, "env.")
		switch {
		case meant != (err != nil || !ref.IsZero()):
			t.Errorf("%q: %v, %v", s, ref, err)
		case err == nil && meant && ref.String() != s:
			t.Errorf("%q is spelled %q", s, ref)
		}
	})
}
