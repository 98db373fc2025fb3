package lint

import (
	"bifrost-secrets/walker"
)

// store is what the rules know of the vault_store block.
type store struct {
	present bool
	span    walker.Span
	kind    string // its type
	object  walker.Object
}

const storePath = "config_store.vault_store"

func readStore(doc *walker.Document) (s store) {
	doc.Each(storePath, func(o walker.Object) {
		s = store{present: true, span: walker.Span{Start: o.Start, End: o.Start}, object: o}
		if n := len(o.Members); n > 0 {
			s.span.End = o.Members[n-1].Value.End
		}
		if m, ok := doc.Find(o, "type"); ok {
			s.kind = doc.String(m.Value)
		}
	})
	return s
}

// holds reports whether the block holds the byte at offset.
func (s *store) holds(offset int) bool {
	return s.present && offset >= s.span.Start && offset < s.span.End
}
