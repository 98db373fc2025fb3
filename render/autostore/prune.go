package autostore

import (
	"context"
	"strings"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// Pruning is what prune would do.
type Pruning struct {
	Delete []sources.Item // owned by this owner, under the prefix, and wanted by no field
	Kept   int            // owned by this owner and wanted
	Gone   []sources.Item // deleted before, and still recoverable
}

// FindUnused lists the secrets of an owner under the prefix, and finds those that
// no reference of the document names any more. It deletes nothing.
//
// A secret that was not stored from a field (its mark has no path) is left
// alone, as is every one that bears no mark or that of another owner. Any text of
// the document that refers to a secret keeps it, also one outside of every known
// field. refs are references that stand elsewhere, such as in a config store.
func FindUnused(ctx context.Context, doc *walker.Document, store sources.Store, o Options, refs []walker.Reference) (*Pruning, error) {
	wanted := map[string]bool{}
	for _, r := range refs {
		wanted[r.Name] = true
	}
	doc.Walk(func(f *walker.Field) bool {
		if f.What == walker.Ref && f.Ref.Scheme == walker.Vault {
			wanted[f.Ref.Name] = true
		} else if f.Entry == nil { // what only looks like a reference keeps it too
			if r, err := walker.ParseReference(f.Text()); err == nil && r.Scheme == walker.Vault {
				wanted[r.Name] = true
			}
		}
		return true
	})
	items, err := store.List(ctx, o.prefix()+"/")
	if err != nil {
		return nil, err
	}
	p := &Pruning{}
	for _, it := range items {
		switch {
		case it.Err != nil, it.Mark == nil, it.Mark.Owner != o.Owner, it.Mark.Path == "":
		case !strings.HasPrefix(it.Name, o.prefix()+"/"):
		case !it.Gone.IsZero():
			p.Gone = append(p.Gone, it)
		case wanted[it.Name]:
			p.Kept++
		default:
			p.Delete = append(p.Delete, it)
		}
	}
	return p, nil
}

// Unscanned says which config store the document has that may hold references
// of its own: postgres, sqlite, or nothing where it is switched off.
func Unscanned(doc *walker.Document) string {
	found, _ := doc.Members("config_store")
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
// names the secret, and gives how many are deleted.
func (p *Pruning) Execute(ctx context.Context, store sources.Store, owner string, o sources.DeleteOptions) (int, error) {
	for i, it := range p.Delete {
		if err := store.Delete(ctx, it.Name, owner, o); err != nil {
			return i, &render.Problems{Document: it.Name, List: []render.Problem{{
				Reason: err.Error(), Hint: sources.HintOf(err), Kind: sources.KindOf(err),
			}}}
		}
	}
	return len(p.Delete), nil
}
