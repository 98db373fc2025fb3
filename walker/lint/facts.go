package lint

import (
	"strconv"

	"bifrost-secrets/walker"
)

// facts are gathered field by field for the rules that look at the document as
// a whole.
type facts struct {
	vault           bool            // there is a vault. reference
	stored          bool            // Bifrost's config store will hold a secret
	plugins         []int           // where fields of plugins stand that change with a secret, in rising order
	whole, fragment map[string]site // where each secret is first referred to so
	strays          []suspect       // the strings outside of every field that may hold a secret
}

type site struct {
	path string
	span walker.Span
}

// remember gathers the facts of a field.
func (c *checker) remember(f *walker.Field) {
	if f.Entry == nil {
		return
	}
	c.passSuspects(f.Start, f.End)
	if c.store.holds(f.Start) {
		return
	}
	vault := f.What == walker.Ref && f.Ref.Scheme == walker.Vault
	if vault {
		c.facts.vault = true
		uses := c.facts.whole
		if f.Ref.Fragment {
			uses = c.facts.fragment
		}
		// A field that wants the whole object does so whatever else its keys are good for.
		if _, known := uses[f.Ref.Name]; !known && (f.Ref.Fragment || !c.look.document) {
			uses[f.Ref.Name] = site{f.Path, spanOf(f)}
		}
	}
	if !c.inlined(f, vault) {
		return
	}
	if c.look.plugin {
		c.facts.plugins = append(c.facts.plugins, f.Start)
	}
	if c.look.stored && (f.Entry.Kind == walker.SecretKind || f.Entry.Form == walker.ZoneForm || len(c.look.leaks) > 0) {
		c.facts.stored = true
	}
}

// passSuspects goes past the suspects up to the end of a field, which is further
// on than the last. Those before its start stand in no field.
func (c *checker) passSuspects(start, end int) {
	all := c.outline.suspect
	i := 0
	for ; i < len(all) && all[i].Start < end; i++ {
		if all[i].Start < start {
			c.facts.strays = append(c.facts.strays, all[i])
		}
	}
	c.outline.suspect = all[i:]
}

// inlined reports whether Bifrost gets the value of a secret in the field,
// and not a reference that it resolves at every start.
func (c *checker) inlined(f *walker.Field, vault bool) bool {
	switch {
	case vault:
		return !c.opts.Env || f.Entry.Env != walker.Supported
	case f.What == walker.Ref:
		return f.Entry.Env == walker.Unsupported
	}
	return len(c.look.leaks) > 0 && !c.look.leaks[0].fake
}

// member returns the last member at a path of names, which is the one that counts.
func (c *checker) member(names ...string) (walker.Member, bool) {
	found := c.doc.Members(names...)
	if len(found) == 0 {
		return walker.Member{}, false
	}
	return found[len(found)-1], true
}

func (c *checker) storeOff() bool {
	m, ok := c.member("config_store", "enabled")
	return ok && string(c.doc.Text(m.Value)) == "false"
}

// anySet reports whether the environment is known and has one of the variables.
func (c *checker) anySet(names ...string) bool {
	if c.opts.Getenv == nil {
		return false
	}
	for _, name := range names {
		if value, ok := c.opts.Getenv(name); ok && value != "" {
			return true
		}
	}
	return false
}

// quoted returns a name or a reference as a message shows it.
func quoted(s string) string { return strconv.Quote(shownName(s)) }
