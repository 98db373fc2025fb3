package lint

import (
	"slices"
	"strings"

	"bifrost-secrets/walker"
)

var vaultStore = Rule{
	ID: "vault-store", Severity: Error,
	Summary: "a vault_store block that cannot work, or that holds credentials",
	field: func(c *checker, f *walker.Field) {
		if f.Entry == nil || !c.store.holds(f.Start) || f.What != walker.Literal || f.Entry.Kind != walker.SecretKind || c.textOf(f) == "" {
			return
		}
		if strings.HasSuffix(f.Path, ".identity") && !strings.HasPrefix(strings.ToUpper(c.textOf(f)), "AGE-SECRET-KEY-") {
			return // the path of a file
		}
		c.at(f, "write env.NAME, or let the platform give the process a role", "a credential of the vault in plain text (%s)", describe(c.textOf(f)))
	},
	document: func(c *checker) {
		if !c.store.present {
			return
		}
		c.storeMembers()
		c.storeBlock()
	},
}

// storeTypes are the types that are known, with the names of their blocks; the
// settings of each are the lines of the catalogue.
var storeTypes = map[string]string{
	"aws-secrets-manager": "aws", "gcp-secret-manager": "gcp", "hashicorp-vault": "hashicorp", "file": "file",
}

// settingsOf gives the settings that a block may have.
func settingsOf(block string) []string {
	var out []string
	for _, e := range walker.Catalogue() {
		if key, ok := strings.CutPrefix(e.Pattern, storePath+"."+block+"."); ok {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

func (c *checker) storeMembers() {
	known := []string{"access_mode", "enabled", "prefix", "type"}
	for _, block := range storeTypes {
		known = append(known, block)
	}
	slices.Sort(known)
	for _, m := range c.store.object.Members {
		name := c.doc.String(m.Name)
		if !slices.Contains(known, strings.ToLower(name)) {
			c.report(storePath+"."+name, m.Name, "known are "+strings.Join(known, ", "), "vault_store has no member %q", name).Severity = Warning
		}
	}
	m, ok := c.doc.Find(c.store.object, "type")
	if _, known := storeTypes[c.store.kind]; !known {
		at := walker.Span{Start: c.store.object.Start, End: c.store.object.Start + 1}
		if ok {
			at = m.Value
		}
		c.report(storePath+".type", at, "known are aws-secrets-manager, file, gcp-secret-manager, hashicorp-vault", "unknown vault_store type %q", c.store.kind)
	}
	if m, ok := c.doc.Find(c.store.object, "access_mode"); ok {
		if mode := c.doc.String(m.Value); mode != "read_only" && mode != "read_and_write" {
			c.report(storePath+".access_mode", m.Value, "write read_only or read_and_write", "unknown access_mode %q", mode)
		}
	}
	if m, ok := c.doc.Find(c.store.object, "enabled"); !ok || string(c.doc.Text(m.Value)) != "true" {
		if c.vault {
			c.report(storePath, walker.Span{Start: c.store.object.Start, End: c.store.object.Start + 1}, `write "enabled": true`, "vault_store is not enabled, but there are vault. references")
		}
	}
}

// storeBlock looks at the block of the type that is chosen.
func (c *checker) storeBlock() {
	block := storeTypes[c.store.kind]
	if block == "" {
		return
	}
	known := settingsOf(block)
	has := map[string]walker.Member{}
	c.doc.Each(storePath+"."+block, func(o walker.Object) {
		for _, m := range o.Members {
			name := c.doc.String(m.Name)
			has[name] = m
			if !slices.Contains(known, name) {
				c.report(storePath+"."+block+"."+name, m.Name, "known are "+strings.Join(known, ", "), "%s has no setting %q", block, name).Severity = Warning
			}
		}
	})
	missing := func(one, other string) {
		if m, ok := has[one]; ok {
			if _, ok := has[other]; !ok {
				c.report(storePath+"."+block+"."+one, m.Name, "set both, or neither", "%s without %s", one, other)
			}
		}
	}
	here := walker.Span{Start: c.store.object.Start, End: c.store.object.Start + 1}
	switch block {
	case "aws":
		missing("access_key_id", "secret_access_key")
		missing("secret_access_key", "access_key_id")
		missing("session_token", "access_key_id")
		if _, ok := has["region"]; !ok && !c.anySet("AWS_REGION", "AWS_DEFAULT_REGION") {
			c.report(storePath+".aws", here, "", "no region is set; it must come from AWS_REGION, a profile or the instance").Severity = Note
		}
	case "hashicorp":
		missing("role_id", "secret_id")
		missing("secret_id", "role_id")
	case "gcp":
		if _, ok := has["project_id"]; !ok {
			c.report(storePath+".gcp", here, "set project_id", "gcp has no project_id")
		}
	case "file":
		if _, ok := has["path"]; !ok {
			c.report(storePath+".file", here, "set path to a directory or a JSON file", "file has no path")
		}
	}
}

func (c *checker) anySet(names ...string) bool {
	for _, name := range names {
		if c.opts.Getenv == nil {
			return false
		}
		if _, ok := c.opts.Getenv(name); ok {
			return true
		}
	}
	return false
}
