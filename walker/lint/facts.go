package lint

import "bifrost-secrets/walker"

// facts are gathered field by field for the rules that look at the document as
// a whole.
type facts struct {
	vault   bool            // there is a vault. reference
	stored  bool            // Bifrost's config store will hold a secret
	plugins []int           // where fields of plugins stand that change with a secret, in rising order
	uses    map[string]*use // of each secret
	strays  []suspect       // the strings outside of every field that may hold a secret
}

// use is how a secret is referred to.
type use struct {
	whole, fragment *site
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
		c.facts.use(f, c.look.document)
	}
	if !c.handsOver(f, vault) {
		return
	}
	if c.look.plugin {
		c.facts.plugins = append(c.facts.plugins, f.Start)
	}
	if c.look.stored && (f.Entry.Kind == walker.SecretKind || f.Entry.Form == walker.ZoneForm || c.look.leak.found()) {
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

// handsOver reports whether Bifrost gets the value of a secret in the field,
// and not a reference that it resolves at every start.
func (c *checker) handsOver(f *walker.Field, vault bool) bool {
	switch {
	case vault:
		return !c.opts.Env || f.Entry.Env != walker.Supported
	case f.What == walker.Ref:
		return f.Entry.Env == walker.Unsupported
	}
	return c.look.leak.found() && !c.look.leak.fake
}

func (a *facts) use(f *walker.Field, document bool) {
	u := a.uses[f.Ref.Name]
	if u == nil {
		if a.uses == nil {
			a.uses = map[string]*use{}
		}
		u = &use{}
		a.uses[f.Ref.Name] = u
	}
	p := &u.whole
	if f.Ref.Fragment {
		p = &u.fragment
	} else if document {
		return // this field wants the whole object, whatever else its keys are good for
	}
	if *p == nil {
		*p = &site{f.Path, spanOf(f)}
	}
}
