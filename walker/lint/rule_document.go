package lint

import (
	"strconv"

	"bifrost-secrets/walker"
)

var duplicateKey = Rule{
	ID: "duplicate-key", Severity: Warning,
	Summary: "the same member twice in one object",
	document: func(c *checker) {
		c.doc.Duplicates(func(_, again walker.Member) {
			name := c.doc.String(again.Name)
			c.report(name, again.Name, "remove one of the two", "%s stands twice in one object; Bifrost uses the last", strconv.Quote(name))
		})
	},
}

var keyName = Rule{
	ID: "key-name", Severity: Warning,
	Summary: "a provider key without a name, or with a name that another has",
	document: func(c *checker) {
		seen := map[string]string{}
		c.doc.Each("providers.*.keys[]", func(o walker.Object) {
			at := walker.Span{Start: o.Start, End: o.Start + 1}
			m, ok := c.doc.Find(o, "name")
			name := ""
			if ok {
				name, at = c.doc.String(m.Value), m.Value
			}
			if name == "" {
				c.report(o.Path, at, "give it a name, and keep it when the key rotates", "the key has no name; Bifrost knows a key by its name")
				return
			}
			if first, dup := seen[name]; dup {
				c.report(o.Path, at, "names are unique over all providers", "the name %s is that of %s too", strconv.Quote(name), first)
				return
			}
			seen[name] = o.Path
		})
	},
}

var pluginVersion = Rule{
	ID: "plugin-version", Severity: Warning,
	Summary: `a plugin with secrets that lacks "version": 2`,
	document: func(c *checker) {
		c.doc.Each("plugins[]", func(o walker.Object) {
			if !c.plugins[o.Path] {
				return
			}
			m, ok := c.doc.Find(o, "version")
			if !ok {
				name, _ := c.doc.Find(o, "name")
				found := c.report(o.Path, walker.Span{Start: o.Start, End: o.Start + 1}, `add "version": 2`,
					`the plugin %s has no "version": 2; Bifrost ignores its config after the first start, and so every rotated secret`, strconv.Quote(c.nameOf(name)))
				if len(o.Members) > 0 {
					start := o.Members[0].Name.Start
					found.Fix = &Edit{walker.Span{Start: start, End: start}, `"version": 2, `}
				}
				return
			}
			if n, err := strconv.Atoi(string(c.doc.Text(m.Value))); err == nil && n < 2 {
				c.report(o.Path, m.Value, "write 2 or more", "version %d is not above 1; Bifrost ignores the plugin's config after the first start, and so every rotated secret", n).
					Fix = &Edit{m.Value, "2"}
			}
		})
	},
}

func (c *checker) nameOf(m walker.Member) string {
	if m.Value.End == 0 {
		return ""
	}
	return c.doc.String(m.Value)
}

var encryptionKey = Rule{
	ID: "encryption-key", Severity: Note,
	Summary: "secrets go into the config store unencrypted",
	document: func(c *checker) {
		if !c.secrets || c.opts.Env || c.has("encryption_key") || c.storeOff() {
			return
		}
		c.report("", walker.Span{}, `set "encryption_key" to a reference, before the first start; BIFROST_ENCRYPTION_KEY in Bifrost's environment does it too`,
			"there is no encryption_key, so Bifrost keeps the secrets in its config store in plain text")
	},
}

var sourceOfTruth = Rule{
	ID: "source-of-truth", Severity: Note,
	Summary: "what is changed through Bifrost's API outlives a rotated secret in the file",
	document: func(c *checker) {
		if c.vault && !c.has("source_of_truth") && !c.storeOff() {
			c.report("", walker.Span{}, `"source_of_truth": "config.json" makes the file win, in versions from 1.6`,
				"there is no source_of_truth, so a key that was changed through Bifrost's API stays in use although the file has another")
		}
	},
}

var unscannedStore = Rule{
	ID: "unscanned-store", Severity: Note,
	Summary: "a SQLite config store, which may hold secrets that nobody looks at",
	document: func(c *checker) {
		c.doc.Each("config_store", func(o walker.Object) {
			if m, ok := c.doc.Find(o, "type"); ok && c.doc.String(m.Value) == "sqlite" && !c.storeOff() {
				c.report("config_store.type", m.Value, "", "the config store is a SQLite database; what it holds is not looked at")
			}
		})
	},
}

// has reports whether a member stands at the top of the document.
func (c *checker) has(name string) bool {
	found, _ := c.doc.Members(name)
	return len(found) > 0
}

// storeOff reports whether the config store is switched off.
func (c *checker) storeOff() bool {
	found, _ := c.doc.Members("config_store", "enabled")
	return len(found) > 0 && string(c.doc.Text(found[len(found)-1].Value)) == "false"
}

var stdioEnvironment = Rule{
	ID: "stdio-environment", Severity: Warning,
	Summary: "in env mode, an MCP server that inherits every secret",
	document: func(c *checker) {
		if !c.opts.Env {
			return
		}
		c.doc.Each("mcp.client_configs[].stdio_config", func(o walker.Object) {
			c.report(o.Path, walker.Span{Start: o.Start, End: o.Start + 1}, "run the server apart from Bifrost, or use --mode inline",
				"Bifrost starts this MCP server with its own environment, and so with every secret of env mode")
		})
	},
}
