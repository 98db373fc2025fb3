package lint

import "bifrost-secrets/walker"

var encryptionKey = Rule{
	ID: "encryption-key", Severity: Note,
	Summary: "secrets go into the config store unencrypted",
	lack:    true,
	document: func(c *checker) {
		if !c.facts.stored || c.storeOff() || c.anySet("BIFROST_ENCRYPTION_KEY") {
			return
		}
		m, ok := c.member("encryption_key")
		if text := string(c.doc.Text(m.Value)); ok && text != `""` && text != "null" {
			return
		}
		c.report("", walker.Span{Start: m.Value.Start, End: m.Value.End}, `set "encryption_key" to a reference, before the first start; BIFROST_ENCRYPTION_KEY in Bifrost's environment does it too`,
			"there is no encryption_key, so Bifrost keeps the secrets in its config store in plain text")
	},
}
