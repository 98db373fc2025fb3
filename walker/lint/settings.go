package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"bifrost-secrets/walker"
)

// Settings are what a user wants otherwise than by default.
type Settings struct {
	severity map[string]Severity
	ignore   []ignore
	prefix   string
	matcher  *walker.Matcher
}

// ignore names places whose findings are not wanted: where it names no rule, those
// of every rule; where it names no file, in every file.
type ignore struct {
	Rule string `json:"rule"`
	Path string `json:"path"`
	File string `json:"file"`
}

// settingsFile is .bifrost-secrets-lint.json.
type settingsFile struct {
	Schema string `json:"$schema"` // for editors
	// Rules maps a rule to off, note, warning or error.
	Rules  map[string]string `json:"rules"`
	Ignore []ignore          `json:"ignore"`
	// Prefix is what the path of every secret must begin with, for the rule
	// prefix, which it switches on.
	Prefix string `json:"prefix"`
	// OwnFields are fields of custom plugins, by the pattern below config.
	OwnFields []struct {
		Plugin string `json:"plugin"`
		Path   string `json:"path"`
		Kind   string `json:"kind"`
	} `json:"own_fields"`
}

// ParseSettings reads the text of a .bifrost-secrets-lint.json. What it does not
// know is an error that names what there is.
func ParseSettings(text []byte) (*Settings, error) {
	var file settingsFile
	if walker.InUTF16(text) {
		return nil, errors.New("is in UTF-16: save it as UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("not a settings file of lint, which may have rules, ignore, prefix and own_fields: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("not a settings file of lint: something follows the end of its object")
	}
	s := &Settings{severity: map[string]Severity{}, prefix: file.Prefix}
	if file.Prefix != "" {
		s.severity[prefix.ID] = prefix.Severity
	}
	for _, id := range slices.Sorted(maps.Keys(file.Rules)) { // the error is always the same
		word := file.Rules[id]
		sev, ok := ParseSeverity(word)
		if !ok {
			return nil, fmt.Errorf("rules: %s is %q; write off, note, warning or error", id, word)
		}
		if err := known(id); err != nil {
			return nil, fmt.Errorf("rules: %w", err)
		}
		s.severity[id] = sev
	}
	for _, one := range file.Ignore {
		if one.Path == "" && one.File == "" {
			return nil, fmt.Errorf("ignore: an entry has neither path nor file")
		}
		if one.Path == "" {
			one.Path = "*"
		}
		if one.Rule != "" {
			if err := known(one.Rule); err != nil {
				return nil, fmt.Errorf("ignore: %w", err)
			}
		}
		s.ignore = append(s.ignore, one)
	}
	var own []walker.Entry
	for _, one := range file.OwnFields {
		if one.Plugin == "" || one.Path == "" || one.Kind != "secret" && one.Kind != "setting" {
			return nil, fmt.Errorf(`own_fields: an entry wants plugin, path and kind ("secret" or "setting")`)
		}
		if !isPattern(one.Path) {
			return nil, fmt.Errorf("own_fields: %q is no path of members; * stands for any name, and [] for any element", one.Path)
		}
		e := walker.Entry{Pattern: "plugins[].config." + one.Path, Selector: "plugins[].name=" + one.Plugin, Since: "own"}
		if one.Kind == "secret" {
			e.Kind = walker.SecretKind
		}
		own = append(own, e)
	}
	s.matcher = walker.NewMatcher(own)
	return s, nil
}

// isPattern reports whether a path of own_fields is made of names, * and [].
func isPattern(path string) bool {
	for _, part := range strings.Split(path, ".") {
		if name := strings.TrimSuffix(part, "[]"); name == "" || strings.Contains(name, "**") || strings.ContainsAny(name, "[]") {
			return false
		}
	}
	return true
}

func known(id string) error {
	var ids []string
	for _, r := range append(append(Rules(), Online), DatabaseRules...) {
		if r.ID == id {
			return nil
		}
		ids = append(ids, r.ID)
	}
	return fmt.Errorf("no rule is called %q; there are %s", id, strings.Join(ids, ", "))
}

func (s *Settings) on(r *Rule) bool {
	if sev, ok := s.severity[r.ID]; ok {
		return sev > 0
	}
	return !r.Off
}

// For returns the settings for one file, by its name below the folder of the
// settings, with slashes. What is ignored in some files alone is ignored nowhere
// without it.
func (s *Settings) For(file string) *Settings {
	if s == nil {
		return nil
	}
	own := *s
	own.ignore = nil
	for _, one := range s.ignore {
		// As in .gitignore, a pattern without a slash is that of a name in any folder.
		if one.File == "" || matches(one.File, file) || !strings.Contains(one.File, "/") && matches(one.File, file[strings.LastIndexByte(file, '/')+1:]) {
			one.File = ""
			own.ignore = append(own.ignore, one)
		}
	}
	return &own
}

// Apply sets the severities of findings and takes away those that are not
// wanted. It uses the memory of all. [Check] does it for its own.
func (s *Settings) Apply(all []Finding) []Finding {
	if s == nil || len(s.severity) == 0 && len(s.ignore) == 0 {
		return all
	}
	kept := all[:0]
	for _, f := range all {
		if s.ignores(&f) {
			continue
		}
		if sev, ok := s.severity[f.Rule]; ok {
			f.Severity = sev
		}
		if f.Severity > 0 {
			kept = append(kept, f)
		}
	}
	return kept
}

// ignores reports whether the user does not want a finding. In a pattern, *
// stands for any part of a path.
func (s *Settings) ignores(f *Finding) bool {
	for _, one := range s.ignore {
		if (one.Rule == "" || one.Rule == f.Rule) && one.File == "" && matches(one.Path, f.Path) {
			return true
		}
	}
	return false
}

func matches(pattern, path string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !strings.HasPrefix(path, head) {
		return false
	}
	path = path[len(head):]
	for star {
		var part string
		part, rest, star = strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(path, part)
		}
		i := strings.Index(path, part)
		if i < 0 {
			return false
		}
		path = path[i+len(part):]
	}
	return path == ""
}
