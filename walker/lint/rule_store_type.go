package lint

import (
	"slices"
	"strings"

	"bifrost-secrets/walker"
)

var storeType = Rule{
	ID: "store-type", Severity: Error,
	Summary: "a store without a type that Bifrost knows, with which it does not start",
	lack:    true,
	document: func(c *checker) {
		for _, store := range bifrostStores {
			on, _ := c.member(store.name, "enabled")
			kind, ok := c.member(store.name, "type")
			known, text := strings.Fields(store.types), c.doc.String(kind.Value)
			path, at := store.name+".type", on.Value
			if ok {
				at = kind.Value
			}
			switch {
			case string(c.doc.Text(on.Value)) != "true":
			case text == "":
				c.report(path, at, "known are "+strings.Join(known, ", "), "the store is enabled and has no type; Bifrost does not start with it")
			case !slices.Contains(known, text):
				c.report(path, at, walker.KnownHint(text, known), "Bifrost knows no such type of "+store.name+", and does not start with it")
			}
		}
	},
}

// bifrostStores are the stores of a config and their types, in small letters, up to
// Bifrost 2.0.
var bifrostStores = []struct{ name, types string }{
	{"config_store", "postgres sqlite"},
	{"logs_store", "clickhouse postgres sqlite"}, // the first of them since 2.0
	{"vector_store", "pinecone qdrant redis weaviate"},
}
