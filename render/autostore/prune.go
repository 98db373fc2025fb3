package autostore

import (
	"context"
	"maps"
	"strings"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// Pruning is what prune would do.
type Pruning struct {
	Delete []sources.Item // owned by this gateway, under the prefix, and meant by no text
	Kept   int            // owned by this gateway and meant
	Gone   []sources.Item // deleted before, and still recoverable
}

// FindUnused lists the secrets of a gateway under the prefix, and finds those that
// no text of the document could mean any more: see [Meant]. It deletes nothing.
//
// A secret that was not stored from a field (its mark has no path) is left
// alone, as is every one that bears no mark or that of another gateway. beside is as for
// [LookIn].
func FindUnused(
	ctx context.Context, doc *walker.Document, store sources.Store, o Options, beside func(see func(place, text string)) error,
) (*Pruning, error) {
	items, err := store.List(ctx, o.prefix()+"/")
	if err != nil {
		return nil, err
	}
	p := &Pruning{}
	var names []string
	var ours []sources.Item
	for _, it := range items {
		switch {
		case it.Err != nil, it.Mark == nil, it.Mark.Owner != o.Gateway, it.Mark.Path == "":
		case !strings.HasPrefix(it.Name, o.prefix()+"/"):
		case !it.Gone.IsZero():
			p.Gone = append(p.Gone, it)
		default:
			names, ours = append(names, it.Name), append(ours, it)
		}
	}
	meant, err := LookIn(ctx, doc, store, o, names, beside)
	if err != nil {
		return nil, err
	}
	for _, it := range ours {
		if _, ok := meant.By(it.Name); ok {
			p.Kept++
		} else {
			p.Delete = append(p.Delete, it)
		}
	}
	return p, nil
}

// LookIn looks for names in a document. beside, which may be nil, calls see for
// every text outside of the document that may mean one, such as those of a config
// store. What [Meant.Certain] reports is an error.
func LookIn(
	ctx context.Context, doc *walker.Document, store sources.Inspector, o Options, names []string, beside func(see func(place, text string)) error,
) (*Meant, error) {
	meant, err := lookFor(ctx, store, o, names)
	if err != nil {
		return nil, err
	}
	meant.Document(doc)
	if beside != nil {
		if err := beside(meant.Text); err != nil {
			return nil, err
		}
	}
	return meant, meant.Certain()
}

// lookFor makes a [Meant] for names, and for the other names that lead to their
// secrets in the store.
func lookFor(ctx context.Context, store sources.Inspector, o Options, names []string) (*Meant, error) {
	all := map[string][]string{}
	for _, name := range names {
		all[name] = nil
	}
	if a, ok := store.(sources.Aliaser); ok && len(names) > 0 {
		aliases, err := a.Aliases(ctx, names)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, aliases)
	}
	return NewMeant(store, o.prefix(), all), nil
}

// reference is a reference to a secret, and the field that it stands in.
type reference struct {
	walker.Reference
	path string
}

// references returns every reference of a document to a secret, and every text
// that only looks like one: what nothing resolves was meant all the same.
func references(doc *walker.Document) (all []reference) {
	doc.Walk(func(f *walker.Field) bool {
		ref := f.Ref
		if f.Entry == nil {
			ref, _ = walker.ParseReference(f.Text())
		}
		if ref.Scheme == walker.Vault {
			all = append(all, reference{ref, f.Path})
		}
		return true
	})
	return all
}

// Unscanned says which config store the document has that may hold references
// of its own: postgres, sqlite, or nothing where it is switched off.
func Unscanned(doc *walker.Document) string {
	found := doc.Members("config_store")
	if len(found) == 0 {
		return "sqlite" // Bifrost's default
	}
	kind := "sqlite"
	doc.Each("config_store", func(o walker.Object) {
		if m, ok := doc.Find(o, "type"); ok {
			kind = doc.String(m.Value)
		}
		if m, ok := doc.Find(o, "enabled"); ok && string(doc.Text(m.Value)) == "false" {
			kind = ""
		}
	})
	return kind
}

// Execute deletes what was found. It stops at the first failure, whose error
// names the secret, and returns how many are deleted.
func (p *Pruning) Execute(ctx context.Context, store sources.Store, gateway string, o sources.DeleteOptions) (int, error) {
	for i, it := range p.Delete {
		o.Expect = it.Version
		if err := store.Delete(ctx, it.Name, gateway, o); err != nil {
			return i, &render.Problems{Document: it.Name, List: []render.Problem{{
				Reason: err.Error(), Hint: sources.HintOf(err), Kind: sources.KindOf(err),
			}}}
		}
	}
	return len(p.Delete), nil
}
