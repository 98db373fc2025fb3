package file

import (
	"testing"
	"unicode/utf8"
)

func TestSplice(t *testing.T) {
	for _, c := range []struct{ document, name, text, set, deleted string }{
		{`{}`, "a", "1", `{"a": "1"}`, `{}`},
		{"{ \n}", "a", "1", "{\"a\": \"1\" \n}", "{ \n}"},
		{`{"a":1,"b":2}`, "a", "x", `{"a":"x","b":2}`, `{"b":2}`},
		{`{"a":1,"b":2}`, "b", "x", `{"a":1,"b":"x"}`, `{"a":1}`},
		{`{"a":1,"b":2}`, "c", "x", `{"a":1,"b":2,"c":"x"}`, `{"a":1,"b":2}`},
		{"{\n  \"a\": 1,\n  \"b\" :  [1, 2]\n}\n", "b", "x", "{\n  \"a\": 1,\n  \"b\" :  \"x\"\n}\n", "{\n  \"a\": 1\n}\n"},
		{"{\n  \"a\": 1,\n  \"b\": 2\n}\n", "c", "x", "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": \"x\"\n}\n", "{\n  \"a\": 1,\n  \"b\": 2\n}\n"},
		{"{\n  \"a\": 1,\n  \"b\": 2\n}\n", "a", "x", "{\n  \"a\": \"x\",\n  \"b\": 2\n}\n", "{\n  \"b\": 2\n}\n"},
		{"\ufeff {\"a\": {\"b\": \"}\"}}", "b", "x", "\ufeff {\"a\": {\"b\": \"}\"},\"b\": \"x\"}", "\ufeff {\"a\": {\"b\": \"}\"}}"},
		{`{"\u0061": 1}`, "a", "<&>\u2028\"\\", `{"\u0061": "<&>\u2028\"\\"}`, `{}`},
	} {
		if got := string(setMember([]byte(c.document), c.name, []byte(c.text))); got != c.set {
			t.Errorf("%q with %q set: %q, want %q", c.document, c.name, got, c.set)
		}
		if got := string(deleteMember([]byte(c.document), c.name)); got != c.deleted {
			t.Errorf("%q without %q: %q, want %q", c.document, c.name, got, c.deleted)
		}
	}
}

func FuzzSplice(f *testing.F) {
	f.Add([]byte(`{}`), "a", "x")
	f.Add([]byte("{\n  \"a.b\": 1.50,\n  \"b\": [1, {\"a\": 2}]\n}\n"), "a.b", "\u2028\x00")
	f.Add([]byte("\ufeff{\"\":null,\"\\u0061\":\"\"}"), "a", "")
	f.Fuzz(func(t *testing.T, data []byte, name, text string) {
		before, fault := parse(data)
		if fault != "" || !utf8.ValidString(name) || !utf8.ValidString(text) {
			return
		}
		_, was := before[name]
		set := setMember(data, name, []byte(text))
		after, fault := parse(set)
		if fault != "" {
			t.Fatalf("%q with %q: %q %s", data, name, set, fault)
		}
		if after[name].Str != text || len(after) != len(before)+map[bool]int{false: 1}[was] {
			t.Errorf("%q with %q set: %q", data, name, set)
		}
		less := deleteMember(set, name)
		rest, fault := parse(less)
		if _, there := rest[name]; fault != "" || there || len(rest) != len(after)-1 {
			t.Errorf("%q without %q: %q %s", set, name, less, fault)
		}
		for other, value := range before {
			if other != name && (after[other].Raw != value.Raw || rest[other].Raw != value.Raw) {
				t.Errorf("%q: the value of %q went from %s to %s and %s", data, other, value.Raw, after[other].Raw, rest[other].Raw)
			}
		}
		// All bytes but those of the value that was there are still there, in order.
		if kept := len(data) - len(before[name].Raw); common(data, set) < kept {
			t.Errorf("%q became %q", data, set)
		}
	})
}

// common gives the length of the beginning and the end that two texts share.
func common(a, b []byte) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	m := 0
	for m < min(len(a), len(b))-n && a[len(a)-1-m] == b[len(b)-1-m] {
		m++
	}
	return n + m
}
