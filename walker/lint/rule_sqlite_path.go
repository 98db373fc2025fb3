package lint

var sqlitePath = Rule{
	ID: "sqlite-path", Severity: Error,
	Summary: "a SQLite store without a path, with which Bifrost does not start",
	lack:    true,
	document: func(c *checker) {
		for _, store := range []string{"config_store", "logs_store"} {
			kind, _ := c.member(store, "type")
			on, _ := c.member(store, "enabled")
			if c.doc.String(kind.Value) != "sqlite" || string(c.doc.Text(on.Value)) != "true" {
				continue
			}
			path, ok := c.member(store, "config", "path")
			if c.doc.String(path.Value) != "" {
				continue
			}
			at := kind.Value
			if ok {
				at = path.Value
			}
			c.report(store+".config.path", at, `write "config": {"path": "/app/data/`+store[:len(store)-len("_store")]+`.db"}`,
				"the store is a SQLite database without a path; Bifrost does not start with it")
		}
	},
}
