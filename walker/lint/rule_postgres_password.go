package lint

import (
	"strings"

	"bifrost-secrets/walker"
)

var postgresPassword = Rule{
	ID: "postgres-password", Severity: Warning,
	Summary: "a Postgres password that Bifrost up to 1.5.0 passes on unquoted",
	field: func(c *checker, f *walker.Field) {
		l := &c.look
		if f.Entry == nil || !c.opts.Bifrost.below(1, 5, 16) || !l.literal || l.raw || l.miss.Found() || !strings.HasSuffix(f.Entry.Selector, "=postgres") || !strings.HasSuffix(f.Entry.Pattern, ".password") {
			return
		}
		if strings.IndexByte(l.text, ' ') >= 0 || strings.HasPrefix(l.text, "'") || strings.HasSuffix(l.text, `\`) {
			c.at(f, "use Bifrost 1.5.16 or later, or another password",
				`the password has a space in it, or begins with ' or ends with \, which Bifrost up to 1.5.0 passes on unquoted; it fails, and logs a part of it`)
		}
	},
}
