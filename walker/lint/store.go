package lint

import (
	"slices"
	"strings"

	"bifrost-secrets/walker"
)

// Backend is what the rules are told of a backend of secrets.
type Backend struct {
	Type  string   // the value of vault_store.type
	Block string   // the member of vault_store with its settings
	Keys  []string // the settings that it knows, sorted
	// CheckName returns why it cannot have a secret of that name, as the end of a
	// sentence, and what it allows; both are empty where it can.
	CheckName func(name string) (why, hint string)
}

// store is what the rules know of the vault_store block.
type store struct {
	present bool
	span    walker.Span
	kind    string // its type
	prefix  string // with a slash at its end; empty where the block has none
	object  walker.Object
	backend *Backend // that of its type; nil where that is not known
}

const storePath = "config_store.vault_store"

// readStore reads the block. Where the document has more than one, the last one
// counts, as it does for the renderer.
func readStore(doc *walker.Document, backends []Backend) (s store) {
	doc.Each(storePath, func(o walker.Object) { s = store{present: true, object: o} })
	s.span = walker.Span{Start: s.object.Start, End: s.object.Start}
	if n := len(s.object.Members); n > 0 {
		s.span.End = s.object.Members[n-1].Value.End
	}
	if m, ok := doc.Find(s.object, "type"); ok {
		s.kind = walker.TrimUnseen(doc.String(m.Value)) // as render reads it
		if i := slices.IndexFunc(backends, func(b Backend) bool { return b.Type == s.kind }); i >= 0 {
			s.backend = &backends[i]
		}
	}
	if m, ok := doc.Find(s.object, "prefix"); ok {
		if text := strings.Trim(doc.String(m.Value), "/"); text != "" {
			s.prefix = text + "/"
		}
	}
	return s
}

func (s *store) holds(offset int) bool {
	return s.present && offset >= s.span.Start && offset < s.span.End
}
