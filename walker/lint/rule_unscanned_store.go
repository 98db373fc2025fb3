package lint

var unscannedStore = Rule{
	ID: "unscanned-store", Severity: Note,
	Summary: "a SQLite config store, which may hold secrets that nobody looks at",
	lack:    true,
	document: func(c *checker) {
		if m, ok := c.member("config_store", "type"); ok && c.doc.String(m.Value) == "sqlite" && !c.storeOff() {
			c.report("config_store.type", m.Value, "", "the config store is a SQLite database; what it holds is not looked at")
		}
	},
}
