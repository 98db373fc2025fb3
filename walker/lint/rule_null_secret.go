package lint

import (
	"strings"

	"bifrost-secrets/walker"
)

var nullSecret = Rule{
	ID: "null-secret", Severity: Error,
	Summary: "a null that Bifrost turns into the text null",
	field: func(c *checker, f *walker.Field) {
		if f.Entry != nil && f.What == walker.Null && nullIsText(f.Entry) {
			c.at(f, `write "" or leave the member out`, "null here becomes the four letters null, which Bifrost would use as the value").replace("")
		}
	},
}

// nullIsText reports whether Bifrost keeps the field as a SecretVar and not as a
// pointer to one: null then goes through its decoder, which takes the text.
func nullIsText(e *walker.Entry) bool {
	if e.Form != walker.SecretVarForm {
		return false
	}
	if e.Selector == "vector_store.type=qdrant" || e.Selector == "vector_store.type=pinecone" || strings.Contains(e.Pattern, ".vertex_key_config.") {
		return true
	}
	for _, end := range []string{".keys[].value", ".azure_key_config.endpoint", ".bedrock_key_config.access_key", ".bedrock_key_config.secret_key", ".headers.*"} {
		if strings.HasSuffix(e.Pattern, end) {
			return true
		}
	}
	return false
}
