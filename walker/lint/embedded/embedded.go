// Package embedded finds the Bifrost configs that other files hold: JSON with
// comments, a config.json inside a Kubernetes ConfigMap or another YAML file, and
// the values of Bifrost's Helm chart. The places of what it finds are those in the
// file, so that a finding of lint stands where a person looks for it.
package embedded

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
)

// Config is a config that a file holds.
type Config struct {
	Document *walker.Document
	// Part is set where it is not the whole of a config.json, but what a chart makes
	// one of: nothing follows from what it lacks.
	Part bool
	// Copied is set where the document is not the text of the file: no repair of it
	// can be written back.
	Copied bool
	// Comments are those beside the document, which keep their offsets in it.
	Comments []lint.Comment
}

// Kind is what a file may be, by its name.
type Kind int

// The kinds.
const (
	Other Kind = iota
	JSON       // *.json, and everything that is named as a config
	JSONC      // *.jsonc: JSON with comments
	YAML       // *.yaml, *.yml
)

// KindOf returns what a file is by its name.
func KindOf(name string) Kind {
	return map[string]Kind{".json": JSON, ".jsonc": JSONC, ".yaml": YAML, ".yml": YAML}[strings.ToLower(filepath.Ext(name))]
}

// IsConfig reports whether a document looks like a config of Bifrost's: it names
// Bifrost's schema, or has a section that holds what such a section may hold.
func IsConfig(doc *walker.Document) bool {
	text, sections := doc.Bytes(), walker.Sections()
	for _, m := range doc.ObjectAt(bytes.IndexByte(text, '{')).Members {
		switch name := doc.String(m.Name); {
		case name == "$schema":
			if bytes.Contains(doc.Text(m.Value), []byte("getbifrost")) {
				return true
			}
		case name == "encryption_key":
			return true
		case slices.Contains(sections, strings.ToLower(name)):
			object := text[m.Value.Start] == '{'
			if text[m.Value.Start] == '[' {
				doc.Children(m.Value.Start, func(_ walker.Span, at int) int {
					object = text[at] == '{'
					return -1
				})
			}
			if object {
				return true
			}
		}
	}
	return false
}

// MayBeConfig reports whether a text that is no valid document was meant as a
// config: it names Bifrost's schema, or two of its sections.
func MayBeConfig(text []byte) bool {
	if bytes.Contains(text, []byte("getbifrost")) {
		return true
	}
	named := 0
	for _, section := range walker.Sections() {
		if bytes.Contains(text, []byte(`"`+section+`"`)) {
			named++
		}
	}
	return named > 1
}
