package lint

import (
	"bytes"
	"slices"
	"strings"

	"bifrost-secrets/walker"
)

var vaultStore = Rule{
	ID: "vault-store", Severity: Error,
	Summary: "a vault_store block that cannot work, or that holds credentials",
	field: func(c *checker, f *walker.Field) {
		l := &c.look
		if f.Entry == nil || !c.store.holds(f.Start) || !l.literal || l.text == "" || l.miss.Found() {
			return
		}
		if (f.Entry.Kind != walker.SecretKind || strings.Contains(l.text, "://")) && walker.Unfilled(l.text) {
			found := c.at(f, "write your own in its place", walker.WhatUnfilled)
			if b := c.store.backend; b != nil && !strings.HasPrefix(f.Entry.Pattern, storePath+"."+b.Block+".") {
				found.Severity = Warning // of a block that is not read
			}
			return
		}
		const hint = "write env.NAME, or let the platform give the process a role"
		if f.Entry.Kind == walker.SecretKind && l.place != settingPlace {
			if l.place == pathPlace && (isPath(l.text) || keyless(l.text) || strings.HasSuffix(f.Entry.Pattern, ".identity") && shapeOf(l.text) == "") {
				return // the path of a file
			}
			found := leak{text: l.text, what: vaultCredential}
			c.at(f, hint, found.message(shapeOf(l.text)))
			return
		}
		if all := openLeaks(l.text, ""); len(all) > 0 {
			found := all[0]
			found.what = strings.Replace(found.what, inPlainText, vaultCredential, 1)
			c.at(f, hint, found.message(shapeOf(found.text)))
		}
	},
	document: func(c *checker) {
		c.storesElsewhere()
		if c.store.present {
			c.storeMembers()
			c.storeBlock()
			c.storeTwice()
		}
	},
}

const vaultCredential = "a credential of the vault in plain text"

// storesElsewhere finds the blocks that nothing reads: they stand beside the
// config_store, below one that is misspelt, or have another name there.
func (c *checker) storesElsewhere() {
	found := func(path string, m walker.Member) {
		c.report(path, m.Name, "write it as "+storePath, "nothing reads a vault's settings here").Severity = Warning
	}
	for _, m := range c.doc.ObjectAt(bytes.IndexByte(c.doc.Bytes(), '{')).Members {
		name := c.doc.String(m.Name)
		if c.isStore(m) {
			found(name, m)
			continue
		}
		inner := walker.Nearest(name, []string{"config_store"}) != nil && c.doc.Text(m.Value)[0] == '{'
		if !inner {
			continue
		}
		read := c.doc.NameIs(m, "config_store")
		for _, below := range c.doc.ObjectAt(m.Value.Start).Members {
			if c.isStore(below) && !(read && c.doc.NameIs(below, "vault_store")) {
				found(name+"."+c.doc.String(below.Name), below)
			}
		}
	}
}

// isStore reports whether a member was meant as a vault_store: it is called so, or
// nearly so and is an object, or is an object with the type of a backend.
func (c *checker) isStore(m walker.Member) bool {
	switch {
	case c.doc.NameIs(m, "vault_store"), c.doc.NameIs(m, "vault"):
		return true
	case c.doc.Text(m.Value)[0] != '{':
		return false
	case m.Name.End-m.Name.Start > len(`"vault"`) && walker.Nearest(c.doc.String(m.Name), []string{"vault_store"}) != nil:
		return true // not what is called "store"
	}
	kind, _ := c.doc.Find(c.doc.ObjectAt(m.Value.Start), "type")
	return kind.Value.End > 0 && slices.ContainsFunc(c.opts.Backends, func(b Backend) bool {
		return strings.Contains(b.Type, "-") && b.Type == c.doc.String(kind.Value) // postgres is a type of other stores, too
	})
}

// storeMembers looks at the block's own members.
func (c *checker) storeMembers() {
	o := c.store.object
	members, kinds := []string{"access_mode", "enabled", "prefix", "type"}, []string(nil)
	for _, b := range c.opts.Backends {
		members, kinds = append(members, b.Block), append(kinds, b.Type)
	}
	slices.Sort(members)
	slices.Sort(kinds)
	for _, m := range o.Members {
		c.loose(storePath, m)
		if name := c.doc.String(m.Name); kinds != nil && !slices.Contains(members, strings.ToLower(name)) {
			hint := walker.KnownHint(name, members)
			if b := c.store.backend; b != nil && slices.Contains(b.Keys, strings.ToLower(name)) {
				hint = "write it into the block " + quoted(b.Block)
			}
			c.report(storePath+"."+name, m.Name, hint, "vault_store has no member "+quoted(name)).Severity = Warning
		}
	}
	if m, ok := c.doc.Find(o, "type"); !ok {
		c.report(storePath+".type", opening(o), "known are "+strings.Join(kinds, ", "), "vault_store has no type")
	} else if kinds != nil && c.store.backend == nil {
		c.report(storePath+".type", m.Value, walker.KnownHint(c.store.kind, kinds), "unknown vault_store type "+quoted(c.store.kind))
	}
	enabled, hasEnabled := c.doc.Find(o, "enabled")
	on := hasEnabled && string(c.doc.Text(enabled.Value)) == "true"
	if !on && c.facts.vault {
		span := opening(o)
		if hasEnabled {
			span = enabled.Value
		}
		c.report(storePath+".enabled", span, `write "enabled": true`, "vault_store is not enabled, but there are vault. references")
	}
	c.accessMode(o, on)
}

// loose finds a setting with white space at an end, which render leaves out, and
// Enterprise does not.
func (c *checker) loose(path string, m walker.Member) {
	if c.doc.Text(m.Value)[0] != '"' {
		return
	}
	text := c.doc.String(m.Value)
	if trimmed := walker.TrimUnseen(text); trimmed != text && trimmed != "" && !walker.Refers(trimmed) && !walker.FindNearMiss(anySecret, text).Found() {
		found := c.report(path+"."+c.doc.String(m.Name), m.Value, "write it without", "white space, or a character that nobody sees, at an end of the setting")
		found.Severity = Warning
		found.replace(trimmed)
	}
}

// accessMode looks at what read_and_write needs: a store that is on. (Enterprise
// keeps the references to what it writes in a PostgreSQL config store; we keep them
// in the file as well.)
func (c *checker) accessMode(o walker.Object, on bool) {
	m, ok := c.doc.Find(o, "access_mode")
	if !ok {
		return
	}
	const path = storePath + ".access_mode"
	switch mode := walker.TrimUnseen(c.doc.String(m.Value)); {
	case mode == "read_only", mode == "":
	case mode != "read_and_write":
		c.report(path, m.Value, walker.KnownHint(mode, []string{"read_and_write", "read_only"}), "unknown access_mode "+quoted(mode))
	case !on:
		c.report(path, m.Value, `write "enabled": true`, "read_and_write without a vault_store that is enabled: nothing is ever written").Severity = Warning
	}
}

// storeTwice finds members that differ in capital letters alone, which readers
// take for the same.
func (c *checker) storeTwice() {
	spelt := map[string]string{}
	for _, m := range c.store.object.Members {
		name := c.doc.String(m.Name)
		if before, twice := spelt[strings.ToLower(name)]; twice && before != name {
			c.report(storePath+"."+name, m.Name, "leave one of them out", quoted(name)+" is the same member as "+quoted(before)+": capital letters make no difference")
		}
		spelt[strings.ToLower(name)] = name
	}
}

// storeBlock looks at the block of the type that is chosen.
func (c *checker) storeBlock() {
	if c.store.backend == nil {
		return
	}
	block, known := c.store.backend.Block, c.store.backend.Keys
	path, here := storePath+"."+block, opening(c.store.object)
	has := map[string]walker.Member{}
	if m, ok := c.doc.Find(c.store.object, block); ok && c.doc.Text(m.Value)[0] == '{' {
		o := c.doc.ObjectAt(m.Value.Start)
		here = opening(o)
		for _, m := range o.Members {
			name := c.doc.String(m.Name)
			c.loose(path, m)
			if !slices.Contains(known, strings.ToLower(name)) {
				c.report(path+"."+name, m.Name, walker.KnownHint(name, known), block+" has no setting "+quoted(name)).Severity = Warning
			}
			if text := string(c.doc.Text(m.Value)); text != `""` && text != "null" {
				has[strings.ToLower(name)] = m
			}
		}
	}
	if _, ok := c.doc.Find(c.store.object, block); !ok {
		for _, b := range c.opts.Backends {
			if other, ok := c.doc.Find(c.store.object, b.Block); ok && b.Block != block {
				c.report(storePath+"."+b.Block, other.Name, "write "+quoted(block)+", or the type "+b.Type, "the type "+c.store.backend.Type+" does not read the block "+quoted(b.Block)).Severity = Warning
			}
		}
	}
	for _, t := range together {
		m, ok := has[t.one]
		if _, both := has[t.other]; t.block == block && ok && !both {
			c.report(path+"."+t.one, m.Name, t.hint, t.one+" without "+t.other)
		}
	}
	for _, w := range wanted {
		set := slices.ContainsFunc(strings.Fields(w.settings), func(name string) bool { _, ok := has[name]; return ok })
		if w.block == block && !set && !c.anySet(strings.Fields(w.variables)...) {
			c.report(path, here, w.hint, w.message).Severity = w.severity
		}
	}
}

// together are settings of which one is of no use without the other.
var together = []struct{ block, one, other, hint string }{
	{"aws", "access_key_id", "secret_access_key", bothOrNeither},
	{"aws", "secret_access_key", "access_key_id", bothOrNeither},
	{"aws", "session_token", "access_key_id", "set access_key_id and secret_access_key too"},
	{"hashicorp", "role_id", "secret_id", bothOrNeither},
	{"hashicorp", "secret_id", "role_id", bothOrNeither},
	{"hashicorp", "kubernetes_mount", "kubernetes_role", "set kubernetes_role too"},
	{"hashicorp", "kubernetes_token_file", "kubernetes_role", "set kubernetes_role too"},
	{"azure", "client_secret", "client_id", allOrNone},
	{"azure", "client_secret", "tenant_id", allOrNone},
}

const (
	bothOrNeither = "set both, or neither"
	allOrNone     = "set tenant_id, client_id and client_secret, or no client_secret"
)

// wanted are settings of which a block needs one, unless a variable says the same.
var wanted = []struct {
	block, settings, variables string
	severity                   Severity
	hint, message              string
}{
	{"aws", "region", "AWS_REGION AWS_DEFAULT_REGION", Note, "set region, or AWS_REGION where it runs", "no region is set; it must come from the environment, a profile or the instance"},
	{"hashicorp", "address", "VAULT_ADDR VAULT_AGENT_ADDR", Note, "set address, or VAULT_ADDR where it runs", "no address is set; it must come from the environment"},
	{"gcp", "project_id", "", Error, "set project_id", "gcp has no project_id"},
	{"postgres", "host url", "PGHOST PGSERVICE", Warning, "set url to postgres://user@host:5432/name, or host, user, password and db_name", "postgres has neither a url nor a host"},
	{"postgres", "identity", "", Error, "set identity to the path of an age identity file, or to env.NAME", "postgres has no identity: nothing that is stored there can be read"},
	{"azure", "vault_url", "", Error, "set vault_url to https://NAME.vault.azure.net", "azure has no vault_url"},
	{"file", "path", "", Error, "set path to a directory or a JSON file", "file has no path"},
}
