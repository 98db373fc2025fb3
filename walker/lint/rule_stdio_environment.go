package lint

var stdioEnvironment = Rule{
	ID: "stdio-environment", Severity: Warning,
	Summary: "in env mode, an MCP server that inherits every secret",
	document: func(c *checker) {
		if !c.opts.Env {
			return
		}
		objects := c.outline.objects[atStdio]
		paths := pathsOfObjects(c.doc, objects)
		for _, o := range objects {
			c.report(paths[o.Start], opening(o), "run the server apart from Bifrost, or use --mode inline",
				"Bifrost starts this MCP server with its own environment, and so with every secret of env mode")
		}
	},
}
