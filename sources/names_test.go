package sources

import (
	"strings"
	"testing"
)

var (
	gcpNames   = Names{Allowed: func(c byte) bool { return Alphanumeric(c) || c == '-' || c == '_' }, Max: 255, System: "gcp"}
	azureNames = Names{Allowed: func(c byte) bool { return Alphanumeric(c) || c == '-' }, Max: 127, Fold: true, System: "azure"}
)

func TestNamesOfIDs(t *testing.T) {
	for name, want := range map[string]string{
		"my-secret": "my-secret", "a--b": "a--b", "-x2F": "-x2F", "a/b": "a-x2F-b", "a/b/c": "a-x2F-b-x2F-c", "/": "-x2F-",
		"é":          "-xC3--xA9-",
		"a/b-x2F-c":  "a-x2F-b-x2D-x2F-c", // what looks like an escape is escaped
		"a-/x2F-b":   "a--x2F-x2F-b",
		"a b.c#d":    "a-x20-b-x2E-c-x23-d",
		"-xzz-/":     "-xzz--x2F-",
		"a-x41-b":    "a-x41-b", // no name is written so: the byte is allowed
		"-x2f-lower": "-x2f-lower",
		// The hyphen of the escape that follows would end one.
		"team-x41/openai": "team-x2D-x41-x2F-openai", "team-x41-x2F-openai": "team-x41-x2F-openai",
		"-x2F/": "-x2D-x2F-x2F-", "-xé": "-x-xC3--xA9-", "-x41": "-x41",
		// No name has a control character, so that this is the id of none.
		"a-x00-b": "a-x00-b", "a-x0A-b": "a-x0A-b", "a-xFF-b": "a-xFF-b",
	} {
		id, err := gcpNames.ID(name)
		if err != nil || id != want {
			t.Errorf("%q has the id %q (%v), want %q", name, id, err, want)
		}
		if back := gcpNames.Name(id); back != name {
			t.Errorf("the id %q of %q has the name %q", id, name, back)
		}
	}
	if id, _ := azureNames.ID("a_b"); id != "a-x5F-b" {
		t.Errorf("a_b has the id %q in azure", id)
	}
	if got := azureNames.Name("A-X2f-B"); got != "A/B" {
		t.Errorf("an id whose case azure changed has the name %q", got)
	}
}

func TestNamesRefused(t *testing.T) {
	for name, hint := range map[string]string{
		"a-x2F-b": "write a/b instead", "": "vault.", "a\x00b": "control", "a\xffb": "utf-8",
		strings.Repeat("n", 256): "255", strings.Repeat("/", 52): "five",
	} {
		id, err := gcpNames.ID(name)
		if err == nil || err.Kind != BadName || !strings.Contains(err.Hint, hint) {
			t.Errorf("%.30q has the id %q and the error %v, want a hint with %q", name, id, err, hint)
		}
	}
	if id, err := azureNames.ID("a-X2f-b"); err == nil {
		t.Errorf("what azure takes for the id of a/b is the id %q", id)
	}
}

func FuzzNames(f *testing.F) {
	for _, seed := range []string{"a/b", "-x2F-", "a-x2F-b/", "é", "-x-x2F-2F-", "--x2F-", "team-x41/openai", "team-x41-x2F-openai", "-x00-"} {
		f.Add(seed, seed+"x")
	}
	f.Fuzz(func(t *testing.T, one, other string) {
		for _, n := range []Names{gcpNames, azureNames} {
			id, err := n.ID(one)
			if err != nil {
				continue
			}
			if len(id) > n.Max || strings.ContainsFunc(id, func(r rune) bool { return r > 0x7f || !n.Allowed(byte(r)) }) {
				t.Errorf("%q has the id %q, which is none", one, id)
			}
			if back := n.Name(id); back != one {
				t.Errorf("%q has the id %q, whose name is %q", one, id, back)
			}
			if id2, err := n.ID(other); err == nil && id2 == id && one != other {
				t.Errorf("%q and %q have the same id %q", one, other, id)
			}
		}
	})
}
