package render

import (
	"bytes"
	"fmt"
	"strings"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// DefaultConfigStore is what Bifrost has where a config.json has no config_store, as
// its image has it. An object without these members switches the store off.
const DefaultConfigStore = `"enabled": true, "type": "sqlite", "config": {"path": "/app/data/config.db"}`

// NewBlock returns a vault_store block to begin with, on one line; write has it
// allow writing.
func NewBlock(facts sources.Facts, write bool) []byte {
	b := fmt.Appendf(nil, `{"enabled": true, "type": %q`, facts.Type)
	if write {
		b = fmt.Appendf(b, `, "access_mode": %q`, ReadAndWrite)
	}
	b = fmt.Appendf(b, `, %q: {`, facts.Block)
	for i, s := range facts.Begin {
		b = fmt.Appendf(b, "%s%q: %q", strings.Repeat(", ", min(i, 1)), s.Key, s.Value)
	}
	return append(b, "}}"...)
}

// WithBlock returns the text of a document that has no vault_store block, with that
// one as the last member of its config_store, and the member that it has more. Every
// other byte stays. A config_store that is not there is added as [DefaultConfigStore].
func WithBlock(doc *walker.Document, block []byte) (text, member []byte, err error) {
	member = append([]byte(`"vault_store": `), block...)
	at := 0
	if all := doc.Members("config_store"); len(all) == 0 {
		member = append([]byte(`"config_store": {`+DefaultConfigStore+", "), append(member, '}')...)
	} else if at = all[len(all)-1].Value.Start; doc.Bytes()[at] != '{' { // the last one counts
		return nil, nil, storeError(doc.Name, "config_store", "", "not an object")
	}
	return appended(doc, at, member), member, nil
}

// appended returns the text of a document with one member more in the object at a
// place, where the document itself is at 0. It stands as the last one does: on a
// line of its own, or behind a space.
func appended(doc *walker.Document, at int, member []byte) []byte {
	text := doc.Bytes()
	at += bytes.IndexByte(text[at:], '{')
	members := doc.ObjectAt(at).Members
	space, end := "", at+1
	if n := len(members); n > 0 {
		before := at + 1
		if n > 1 {
			before = bytes.IndexByte(text[members[n-2].Value.End:], ',') + members[n-2].Value.End + 1
		}
		space, end = string(text[before:members[n-1].Name.Start]), members[n-1].Value.End
		if n == 1 && space == "" {
			space = " "
		}
		space = "," + space
	}
	return bytes.Join([][]byte{text[:end], []byte(space), member, text[end:]}, nil)
}
