package lint

var unscannedStore = Rule{
	ID: "unscanned-store", Severity: Note,
	Summary: "a SQLite config store, which may hold secrets that nobody looks at",
	lack:    true,
	document: func(c *checker) {
		if kind, ok := c.sqliteStore(); ok && !c.storeOff() {
			c.report("config_store.type", kind, "", "the config store is a SQLite database; what it holds is not looked at")
		}
	},
}
