package lint

import (
	"bytes"
	"slices"
	"strings"

	"bifrost-secrets/walker"
)

// storeAlone reports whether the document is a vault_store block by itself, as
// --vault-store takes it.
func (c *checker) storeAlone() bool {
	o := c.doc.ObjectAt(bytes.IndexByte(c.doc.Bytes(), '{'))
	kind, ok := c.doc.Find(o, "type")
	return ok && slices.ContainsFunc(c.opts.Backends, func(b Backend) bool {
		_, has := c.doc.Find(o, b.Block)
		return has && b.Type == c.doc.String(kind.Value)
	})
}

var unknownPlace = Rule{
	ID: "unknown-place", Severity: Warning,
	Summary: "what looks like a reference stands outside of every field that takes one",
	field: func(c *checker, f *walker.Field) {
		// What cannot be a reference, or has space in it, is prose that happens to
		// begin so.
		if f.Entry != nil || f.What != walker.Ref || c.store.holds(f.Start) || strings.ContainsAny(f.Ref.String(), " \t") {
			return
		}
		if f.Ref.Scheme == walker.Env && c.storeAlone() {
			return
		}
		found := c.at(f, "check the spelling of the members above it, or move it", "looks like a reference, but no field that takes one is known here; nothing resolves it")
		if walker.HostLike(f.Ref.String()) {
			found.Severity = Note
		}
		if name := lastName(f.Path); name == "ref" || name == "env_var" {
			found.Hint = "if it is an object form: the member above takes none; write the reference itself, as a string"
		}
	},
}
