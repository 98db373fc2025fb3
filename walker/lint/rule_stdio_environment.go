package lint

import "bifrost-secrets/walker"

var stdioEnvironment = Rule{
	ID: "stdio-environment", Severity: Warning,
	Summary: "in env mode, an MCP server that inherits every secret",
	document: func(c *checker) {
		if !c.opts.Env {
			return
		}
		c.doc.Each("mcp.client_configs[].stdio_config", func(o walker.Object) {
			c.report(o.Path, opening(o), "run the server apart from Bifrost, or use --mode inline",
				"Bifrost starts this MCP server with its own environment, and so with every secret of env mode")
		})
	},
}
