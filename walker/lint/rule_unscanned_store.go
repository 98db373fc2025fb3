package lint

var unscannedStore = Rule{
	ID: "unscanned-store", Severity: Note,
	Summary: "a SQLite config store, which may hold secrets that nobody looks at",
	document: func(c *checker) {
		o, ok := c.outline.last(atConfigStore)
		if !ok || c.storeOff() {
			return
		}
		if m, ok := find(c.doc, o, "type"); ok && c.doc.String(m.Value) == "sqlite" {
			c.report("config_store.type", m.Value, "", "the config store is a SQLite database; what it holds is not looked at")
		}
	},
}
