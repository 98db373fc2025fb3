package lint

import (
	"strings"

	"bifrost-secrets/walker"
)

var virtualKeyPrefix = Rule{
	ID: "virtual-key-prefix", Severity: Error,
	Summary: "a virtual key that does not begin sk-bf-",
	field: func(c *checker, f *walker.Field) {
		l := &c.look
		if f.Entry == nil || !l.literal || l.text == "" || l.raw || l.miss.Found() || f.Entry.Pattern != "governance.virtual_keys[].value" {
			return
		}
		if !strings.HasPrefix(l.text, "sk-bf-") {
			c.at(f, "virtual keys begin sk-bf-", "the virtual key does not begin sk-bf-; Bifrost would make a key of its own in its place")
		}
	},
}
