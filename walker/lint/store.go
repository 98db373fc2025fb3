package lint

import (
	"strings"

	"bifrost-secrets/walker"
)

// store is what the rules know of the vault_store block.
type store struct {
	present bool
	span    walker.Span
	kind    string // its type
	prefix  string // with a slash at its end; empty where the block has none
	object  walker.Object
}

const storePath = "config_store.vault_store"

// readStore reads the block. Where the document has more than one, the last one
// counts, as it does for the renderer.
func readStore(doc *walker.Document) (s store) {
	doc.Each(storePath, func(o walker.Object) { s = store{present: true, object: o} })
	s.span = walker.Span{Start: s.object.Start, End: s.object.Start}
	if n := len(s.object.Members); n > 0 {
		s.span.End = s.object.Members[n-1].Value.End
	}
	if m, ok := doc.Find(s.object, "type"); ok {
		s.kind = doc.String(m.Value)
	}
	if m, ok := doc.Find(s.object, "prefix"); ok {
		if text := strings.Trim(doc.String(m.Value), "/"); text != "" {
			s.prefix = text + "/"
		}
	}
	return s
}

// holds reports whether the block holds the byte at offset.
func (s *store) holds(offset int) bool {
	return s.present && offset >= s.span.Start && offset < s.span.End
}
