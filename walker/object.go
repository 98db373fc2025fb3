package walker

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
)

// ObjectForm is the object form of a SecretVar, decoded as Bifrost decodes it:
// by encoding/json, with its rules for the case of names and for duplicates.
// That exactness, and not speed, is why gjson does not do it.
type ObjectForm struct {
	Value   string `json:"value"`
	Ref     string `json:"ref"`
	Type    string `json:"type"`
	EnvVar  string `json:"env_var"`
	FromEnv bool   `json:"from_env"`
}

// ObjectForm reads the object that stands in the field. ok is false where Bifrost
// cannot read it, since a member is of the wrong type.
func (f *Field) ObjectForm() (o ObjectForm, ok bool) { return o, json.Unmarshal(f.raw, &o) == nil }

// meaning is what a version of Bifrost makes of an object: a text, or a
// reference by its whole spelling.
type meaning struct {
	ref  string
	text string
}

// readObject finds what an object form means. Versions of Bifrost differ in it:
// those up to 1.5 know value and env_var alone, and two later versions draw the
// line between an object form and any other JSON object differently. The
// meaning is that of the newest; Disputed says that another sees another.
func (f *Field) readObject() {
	f.text = string(f.raw)
	if f.isDocument() {
		// Some versions keep the text of the object, one loses it.
		f.Disputed, f.DisputedOld, f.DisputedNew = true, true, true
		return
	}
	o, ok := f.ObjectForm()
	if !ok {
		return // a member of the wrong type: every version takes the raw text
	}
	newest, err := o.newest()
	if err != nil {
		f.What, f.Err = Broken, err
		return
	}
	if newest.ref != "" {
		f.settle(newest.ref)
	} else if f.text = newest.text; IsMasked(f.text) {
		f.What = Masked
	}
	if f.What != Broken {
		f.DisputedOld, f.DisputedNew = newest != f.legacy(o), newest != f.strict(newest)
		f.Disputed = f.DisputedOld || f.DisputedNew
		f.Bare = o.Type == "env" && newest.ref != "" && newest.ref != o.Ref
	}
}

// newest returns the meaning by the precedence of the newest version. What that
// version takes for empty although something was meant is an error.
func (o ObjectForm) newest() (meaning, *ReferenceError) {
	m := meaning{text: o.Value}
	switch {
	case o.Type == "env" && o.Ref != "":
		return meaning{ref: withPrefix("env.", o.Ref)}, nil
	case o.Type == "env":
		return m, reasonf(`write the string "env.NAME"`, `an object of type env has no "ref"; Bifrost would take it for empty`)
	case o.Type == "vault" && strings.HasPrefix(o.Ref, "vault."):
		return meaning{ref: o.Ref}, nil
	case o.Type == "vault":
		return m, reasonf(`write the string "vault.path#key"`, `an object of type vault has no "ref" that begins vault.; Bifrost would take it for empty`)
	case o.Type != "":
		return m, nil
	case strings.HasPrefix(o.Ref, "env."), strings.HasPrefix(o.Ref, "vault."):
		return meaning{ref: o.Ref}, nil
	case o.Ref == "" && o.FromEnv && o.EnvVar != "":
		return meaning{ref: withPrefix("env.", o.EnvVar)}, nil
	case o.Ref == "" && strings.HasPrefix(o.Value, "env.") && o.Value == o.EnvVar:
		return meaning{ref: o.Value}, nil
	case o.Value == "" && (o.Ref != "" || o.EnvVar != "" || o.FromEnv):
		return m, reasonf(`write the string "env.NAME" or "vault.path#key"`, "the object names no reference that Bifrost understands; it would take it for empty")
	}
	return m, nil
}

// strict returns the meaning by the later version that takes an object for the
// object form only if it has certain members.
func (f *Field) strict(newest meaning) meaning {
	if f.has("value") || f.has("ref", "type") || f.has("env_var", "from_env") {
		return newest
	}
	return meaning{text: string(f.raw)}
}

// legacy returns the meaning by versions up to 1.5.
func (f *Field) legacy(o ObjectForm) meaning {
	switch {
	case !f.has("value", "env_var"):
		return meaning{text: string(f.raw)}
	case strings.HasPrefix(o.Value, "env.") && o.Value == o.EnvVar:
		return meaning{ref: o.Value}
	}
	return meaning{text: o.Value}
}

// has reports whether the object has all of the members, in their exact
// spelling.
func (f *Field) has(names ...string) bool {
	found := 0
	gjson.ParseBytes(f.raw).ForEach(func(key, _ gjson.Result) bool {
		for i, name := range names {
			if key.String() == name {
				found |= 1 << i
			}
		}
		return true
	})
	return found == 1<<len(names)-1
}

// isDocument reports whether the object is no object form but a JSON document,
// such as a Google service account, that stands where its text should.
func (f *Field) isDocument() bool {
	document := true
	gjson.ParseBytes(f.raw).ForEach(func(key, value gjson.Result) bool {
		switch foldName(key.String()) {
		case "value", "ref", "env_var", "from_env":
			document = false
		case "type": // Google's documents have a type of their own
			t := value.String()
			document = t != "env" && t != "vault" && t != "plain_text"
		}
		return document
	})
	return document
}

func withPrefix(prefix, s string) string {
	if strings.HasPrefix(s, prefix) {
		return s
	}
	return prefix + s
}

// ReferenceError says why a value that is meant as a reference is none.
type ReferenceError struct {
	Reason string
	Hint   string
}

// Error returns the reason.
func (e *ReferenceError) Error() string { return e.Reason }

func reasonf(hint, format string, args ...any) *ReferenceError {
	return &ReferenceError{Reason: fmt.Sprintf(format, args...), Hint: hint}
}
