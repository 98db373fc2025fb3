package render

import (
	"slices"
	"strings"

	"bifrost-secrets/walker"
)

// Entity is an object whose fields take the values of several secrets, and which
// change together or not at all.
type Entity struct {
	Path    string
	Secrets []string // each once, in the order of the document; two or more
	Halves  []Half
}

// Half is a pair of an entity's secrets: One never changes without Other but by a
// rotation that is not done yet.
type Half struct{ One, Other string }

// Entities returns the entities of the plan that take values of two secrets or
// more, in the order of the document. They are found once for a plan, which every
// refresh asks: the caller must not change them.
func (p *Plan) Entities() []Entity {
	p.entitiesOnce.Do(func() { p.entities = p.findEntities() })
	return p.entities
}

func (p *Plan) findEntities() []Entity {
	var all []Entity
	at := map[string]int{}            // index in all, by path
	members := map[[3]string]string{} // secret, by entity, object and member
	var objects [][2]string           // entity and object, each once
	known := map[[2]string]struct{}{}
	for e := range p.resolved {
		secret := p.wants[e.want].secret
		if secret < 0 {
			continue
		}
		path := e.entity
		if path == "" {
			path = e.entry.Entity(e.path)
		}
		i, ok := at[path]
		if !ok {
			i = len(all)
			at[path] = i
			all = append(all, Entity{Path: path})
		}
		name := p.Secrets[secret]
		if !slices.Contains(all[i].Secrets, name) {
			all[i].Secrets = append(all[i].Secrets, name)
		}
		if cut := strings.LastIndexAny(e.path, "./"); cut > 0 {
			object := [2]string{path, e.path[:cut]}
			if _, ok := known[object]; !ok {
				known[object] = struct{}{}
				objects = append(objects, object)
			}
			members[[3]string{path, e.path[:cut], memberAt(e, cut)}] = name
		}
	}
	for _, object := range objects {
		e := &all[at[object[0]]]
		for _, pair := range walker.Pairs() {
			one, other := members[[3]string{object[0], object[1], pair.One}], members[[3]string{object[0], object[1], pair.Other}]
			if one == "" || other == "" || one == other {
				continue
			}
			e.Halves = append(e.Halves, Half{one, other})
			if pair.Both {
				e.Halves = append(e.Halves, Half{other, one})
			}
		}
	}
	return slices.DeleteFunc(all, func(e Entity) bool { return len(e.Secrets) < 2 })
}

// memberAt returns the name of a field whose path has it behind cut: as the catalogue
// spells it, since a document may spell it in any case.
func memberAt(e *edit, cut int) string {
	if e.entry != nil && e.entity == "" {
		if name := e.entry.Pattern[strings.LastIndexByte(e.entry.Pattern, '.')+1:]; strings.Trim(name, "*[]") != "" {
			return name
		}
	}
	return e.path[cut+1:]
}
