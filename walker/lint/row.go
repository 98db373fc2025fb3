package lint

import (
	"slices"

	"bifrost-secrets/walker"
)

// inRows are the rules that say something of a value wherever it stands. How a
// database spells a value is Bifrost's own doing.
var inRows = []string{"masked-value", "plaintext-secret", "prefix", "reference-syntax", "virtual-key-prefix"}

// DatabaseReference and DatabaseCiphertext describe what can be found in a
// config store alone.
var (
	DatabaseReference = Rule{
		ID: "database-reference", Severity: Note,
		Summary: "a reference in Bifrost's config store",
	}
	DatabaseCiphertext = Rule{
		ID: "database-ciphertext", Severity: Note,
		Summary: "a value in Bifrost's config store that Bifrost has encrypted",
	}
)

// DatabaseRules are both. They are not in [Rules], since no file can break them.
var DatabaseRules = []Rule{DatabaseReference, DatabaseCiphertext}

// CheckRow looks at the fields of a piece of a config that stands in a database
// and not in a file: row is made of it by render/configstore. Only the rules
// that hold for a value by itself are asked, and there are no repairs. The paths
// of the findings are those of row, and their spans mean nothing.
func CheckRow(row *walker.Document, opts Options) []Finding {
	opts.rows = true
	all := Check(row, opts)
	for i := range all {
		all[i].Fix = nil
	}
	return all
}

func (o *Options) wants(r *Rule) bool {
	return o.Settings.on(r) && (!o.rows || r.field != nil && slices.Contains(inRows, r.ID))
}
