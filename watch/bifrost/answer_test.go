package bifrost

import (
	"strings"
	"testing"

	"bifrost-secrets/walker"
)

// steps takes a path apart.
func steps(t *testing.T, path string) []walker.Step {
	t.Helper()
	all, ok := walker.SplitPath(path)
	if !ok {
		t.Fatalf("%s is no path", path)
	}
	return all
}

// What is written is what was read, byte by byte, but for the places that change.
func TestSplice(t *testing.T) {
	for _, c := range []struct {
		read    string
		changes []string // path, text
		want    string   // or a part of the reason why not
	}{
		{`{"a":1}`, nil, `{"a":1}`},
		{` {"a" : "x" , "b":1E400,"c":"\u00e4"} `, []string{"a", `"y"`}, `{"a" : "y" , "b":1E400,"c":"\u00e4"}`},
		{`{"a":{"b":[1,{"c":null}]},"z":"\ud83d\ude00"}`, []string{"a.b[1].c", `"y"`, "z", `"q"`}, `{"a":{"b":[1,{"c":"y"}]},"z":"q"}`},
		{`{"z":{"value":"x","type":"plain_text"},"a":"x"}`, []string{"a", `"longer"`, "z", `{"value":"y"}`}, `{"z":{"value":"y"},"a":"longer"}`},
		{`{"a.b":"x","a":{"b":"x"},"12":"x","*":"x"}`, []string{`["a.b"]`, `"1"`, "a.b", `"2"`, "12", `"3"`, `["*"]`, `"4"`}, `{"a.b":"1","a":{"b":"2"},"12":"3","*":"4"}`},
		{`{"a":{ "b":1}}`, []string{"a.c", `"y"`, `a["d.e"]`, `"z"`}, `{"a":{"c":"y","d.e":"z", "b":1}}`},
		{`{"a":{ }}`, []string{"a.c", `"y"`, "a.d", `"z"`}, `{"a":{"c":"y","d":"z" }}`},
		{`{"a":[]}`, []string{"a[0]", `"y"`}, "a list that is too short"},
		{`{"a":"x"}`, []string{"a.b", `"y"`}, "is no object"},
		{`{"a":{}}`, []string{"a.b.c", `"y"`}, `has no "b"`},
		{`{"a":{"b":"x"}}`, []string{"a", `"y"`, "a.b", `"z"`}, "in that place alone"},
	} {
		top, f := parse("it", []byte(c.read))
		if f != nil {
			t.Fatalf("%s: %s", c.read, f.Reason)
		}
		var changes []change
		for i := 0; i < len(c.changes); i += 2 {
			changes = append(changes, change{steps(t, c.changes[i]), c.changes[i+1]})
		}
		got, f := splice("it", top, top, changes)
		switch {
		case f != nil && !strings.Contains(f.Reason, c.want):
			t.Errorf("%s: %s, want %q", c.read, f.Reason, c.want)
		case f == nil && string(got) != c.want:
			t.Errorf("%s\nbecame %s\nwant   %s", c.read, got, c.want)
		}
	}
}

// Two readings are told apart wherever they differ, and in nothing but that.
func TestDifferences(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want string
	}{
		{`{"a":1,"b":"x\/"}`, ` {"b":"x/", "a":1}`, ""},
		{`{"a":1}`, `{"a":1.0}`, "a"},
		{`{"a":{"b":1,"status":2}}`, `{"a":{"b":1,"status":3},"status":1}`, ""},
		{`{"a":1}`, `{}`, "a"},
		{`{}`, `{"a":null}`, "a"},
		{`{"a":{}}`, `{"a":[]}`, "a"},
		{`{"a":[1,{"b":2}]}`, `{"a":[1,{"b":"2"}]}`, "a[1].b"},
		{`{"a":[1]}`, `{"a":[1,1]}`, "a"},
		{`{"a":true,"b":null}`, `{"a":false,"b":""}`, "a b"},
	} {
		x, _ := parse("it", []byte(c.a))
		y, _ := parse("it", []byte(c.b))
		var got []string
		differences(x, y, nil, map[string]bool{"status": true}, func(at []walker.Step, _, _ value) { got = append(got, walker.JoinPath(at)) })
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s and %s differ in %q, want %q", c.a, c.b, got, c.want)
		}
	}
}
