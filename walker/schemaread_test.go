package walker_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// schema is what TestSchemaDiff reads of a JSON schema. true and false, which
// are schemas too, are read as an empty one and as nothing.
type schema struct {
	Ref         string             `json:"$ref"`
	Type        words              `json:"type"`
	Properties  map[string]*schema `json:"properties"`
	Additional  *schema            `json:"additionalProperties"`
	Patterns    map[string]*schema `json:"patternProperties"`
	Items       *schema            `json:"items"`
	PrefixItems []*schema          `json:"prefixItems"`
	AllOf       []*schema          `json:"allOf"`
	AnyOf       []*schema          `json:"anyOf"`
	OneOf       []*schema          `json:"oneOf"`
	Then        *schema            `json:"then"`
	Else        *schema            `json:"else"`
	Enum        []any              `json:"enum"`
	Const       any                `json:"const"`
	Format      string             `json:"format"`
	Pattern     string             `json:"pattern"`
	Description string             `json:"description"`

	never bool // it is false
	any   bool // it is true or {}: whatever stands there is valid
}

func (s *schema) UnmarshalJSON(text []byte) error {
	switch string(text) {
	case "false":
		s.never = true
		return nil
	case "true", "{}":
		s.any = true
		return nil
	}
	type plain schema
	return json.Unmarshal(text, (*plain)(s))
}

// words are one or several.
type words []string

func (w *words) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*w = words{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(w))
}

// place is where the document that a schema describes may have a text, and what
// the schema says of it.
type place struct {
	pattern string // as in the catalogue: `providers.*.keys[].value`
	words   string // the descriptions, formats and expressions, one a line
	free    bool   // anything may stand there, or below
	text    bool   // a branch of the schema wants a text
	open    bool   // a branch of the schema says nothing of the type
}

// reader goes through a schema. A schema may refer to itself, so a path has
// each definition once.
type reader struct {
	root   json.RawMessage
	defs   map[string]*schema
	places map[string]*place
	typed  map[string]bool // the patterns of which some branch has the type
}

// readSchema returns every place of a schema, in the order of the patterns.
func readSchema(text []byte) ([]place, error) {
	var root schema
	if err := json.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("no JSON schema: %w", err)
	}
	r := &reader{root: text, defs: map[string]*schema{"#": &root}, places: map[string]*place{}, typed: map[string]bool{}}
	if err := r.read(&root, "", nil, ""); err != nil {
		return nil, err
	}
	if len(r.places) == 0 {
		return nil, fmt.Errorf("no JSON schema of a config: it has no member that may be a text")
	}
	var all []place
	for _, pattern := range slices.Sorted(maps.Keys(r.places)) {
		p := r.places[pattern]
		p.free = p.free || p.open && !r.typed[pattern]
		if p.free || p.text {
			all = append(all, *p)
		}
	}
	return all, nil
}

// definition finds what a $ref of this document names.
func (r *reader) definition(ref string) (*schema, error) {
	if known := r.defs[ref]; known != nil {
		return known, nil
	}
	at := r.root
	steps, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil, fmt.Errorf("$ref %q leads to another document", ref)
	}
	for _, step := range strings.Split(steps, "/") {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		var members map[string]json.RawMessage
		if err := json.Unmarshal(at, &members); err != nil || members[step] == nil {
			return nil, fmt.Errorf("$ref %q leads to nothing", ref)
		}
		at = members[step]
	}
	found := &schema{}
	if err := json.Unmarshal(at, found); err != nil {
		return nil, fmt.Errorf("$ref %q: %w", ref, err)
	}
	r.defs[ref] = found
	return found, nil
}

// read notes the places of a schema at a pattern. within are the definitions
// that lead here; said is what schemas above say of the same place.
func (r *reader) read(s *schema, pattern string, within []string, said string) error {
	if s == nil || s.never {
		return nil
	}
	said = strings.TrimSpace(strings.Join([]string{said, s.Description, s.Format, s.Pattern}, "\n"))
	if s.Ref != "" && !slices.Contains(within, s.Ref) {
		d, err := r.definition(s.Ref)
		if err != nil {
			return fmt.Errorf("%s: %w", pattern, err)
		}
		if err := r.read(d, pattern, append(slices.Clip(within), s.Ref), said); err != nil {
			return err
		}
	}
	branches := slices.Concat(s.AllOf, s.AnyOf, s.OneOf, []*schema{s.Then, s.Else})
	for _, b := range branches {
		if err := r.read(b, pattern, within, said); err != nil {
			return err
		}
	}
	for name, below := range s.Properties {
		if err := r.read(below, strings.TrimPrefix(pattern+"."+name, "."), within, ""); err != nil {
			return err
		}
	}
	for _, below := range append(slices.Collect(maps.Values(s.Patterns)), s.Additional) {
		if err := r.read(below, strings.TrimPrefix(pattern+".*", "."), within, said); err != nil {
			return err
		}
	}
	for _, below := range append(slices.Clip(s.PrefixItems), s.Items) {
		if err := r.read(below, pattern+"[]", within, said); err != nil {
			return err
		}
	}
	if pattern != "" {
		r.note(s, pattern, said)
	}
	return nil
}

// note remembers a place that may be a text, or that may be anything.
func (r *reader) note(s *schema, pattern, said string) {
	shaped := len(s.Properties)+len(s.Patterns)+len(s.AllOf)+len(s.AnyOf)+len(s.OneOf) > 0 ||
		s.Ref != "" || s.Additional != nil || s.Items != nil || s.PrefixItems != nil
	open := len(s.Type) == 0 && !shaped && s.Enum == nil && s.Const == nil && (s.any || s.Description != "" || s.Pattern != "")
	free := slices.Contains(s.Type, "object") && !shaped || slices.Contains(s.Type, "array") && s.Items == nil && s.PrefixItems == nil
	text := slices.Contains(s.Type, "string") && s.Enum == nil && s.Const == nil
	r.typed[pattern] = r.typed[pattern] || len(s.Type) > 0
	if !free && !text && !open {
		return
	}
	p := r.places[pattern]
	if p == nil {
		p = &place{pattern: pattern}
		r.places[pattern] = p
	}
	p.free, p.text, p.open = p.free || free, p.text || text, p.open || open
	if !strings.Contains(p.words, said) {
		p.words = strings.TrimSpace(p.words + "\n" + said)
	}
}
