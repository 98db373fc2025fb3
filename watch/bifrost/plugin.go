package bifrost

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"bifrost-secrets/walker"
)

func (j *job) pluginRecord(name string) record {
	what := quoted("plugin %s", name)
	path := "/api/plugins/" + url.PathEscape(name)
	return record{
		what:    what,
		counted: map[string]bool{"id": true, "version": true, "created_at": true, "updated_at": true, "status": true},
		read: func(ctx context.Context) (any, []byte, *fault) {
			tree, raw, f := j.get(ctx, path)
			if f != nil {
				if errors.Is(f.err, errAbsent) {
					f.reason = quoted("bifrost has no plugin that is called %s", name)
				}
				return nil, nil, f
			}
			o, f := object(what, tree)
			if f != nil {
				return nil, nil, f
			}
			if o["name"] != name {
				return nil, nil, unknownShape(what, "has another name")
			}
			return tree, raw, nil
		},
		check: func(tree any, places []place) *fault {
			o, _ := object(what, tree)
			if _, ok := o["enabled"].(bool); !ok {
				return unknownShape(what, "does not say whether it is enabled")
			}
			if _, ok := o["config"].(map[string]any); !ok {
				return unknownShape(what, "has no config")
			}
			for _, p := range places {
				if !sameLists(o["config"], wrap(name, o, j.pluginConfigs[name]), p.steps[1:]) {
					return unknownShape(what, "has another list in its config than the document")
				}
			}
			return nil
		},
		move: func(tree any, p place) (place, *fault) { return moved(what, name, tree, p, j.pluginConfigs[name]) },
		adapt: func(tree any, places []place) ([]change, *fault) {
			o, _ := object(what, tree)
			return unveil(what, o, wrap(name, o, j.pluginConfigs[name]), stepsOf(places))
		},
		write: func(ctx context.Context, _ any, raw []byte) *fault { return j.put(ctx, http.MethodPut, path, raw) },
	}
}

// wrappers are the plugins whose config is a list of configs in newer versions,
// which make a list of one of the config that a file has: by the list's name.
var wrappers = map[string]string{"otel": "profiles"}

// wrapper gives the name of the list that Bifrost has made of the config of the
// document; empty where it has not.
func wrapper(plugin string, o map[string]any, doc []byte) string {
	name := wrappers[plugin]
	config, _ := o["config"].(map[string]any)
	if _, is := config[name].([]any); !is || gjson.GetBytes(doc, gjson.Escape(name)).Exists() {
		return ""
	}
	return name
}

// wrap gives the config of the document in the shape that Bifrost shows.
func wrap(plugin string, o map[string]any, doc []byte) []byte {
	if name := wrapper(plugin, o, doc); name != "" {
		return slices.Concat([]byte("{"+walker.Quote(name)+":["), doc, []byte("]}"))
	}
	return doc
}

// moved gives a place of the document's config where Bifrost shows it.
func moved(what, plugin string, tree any, p place, doc []byte) (place, *fault) {
	o, f := object(what, tree)
	if f != nil {
		return p, f
	}
	if name := wrapper(plugin, o, doc); name != "" && len(p.steps) > 1 {
		p.steps = slices.Concat(p.steps[:1], []step{{kind: member, name: name}, {kind: element}}, p.steps[1:])
	}
	return p, nil
}

// unveil gives what of a config is masked, the places that are changed aside, as
// the document has it: Bifrost may take a mask for the value. It fails where the
// document has something else there than what the mask can be of.
func unveil(what string, o map[string]any, doc []byte, places [][]step) ([]change, *fault) {
	at := []step{{kind: member, name: "config"}}
	var changes []change
	for _, steps := range others(veiled, o["config"], at, places) {
		masked := unknownShape(what, "masks values of its config")
		shown, _, f := find(what, o, steps)
		if f != nil {
			return nil, f
		}
		in := steps[1:]
		if last := steps[len(steps)-1]; last == (step{kind: member, name: "value"}) {
			if v, _, f := find(what, o, steps[:len(steps)-1]); f == nil {
				if _, f := readLeaf(what, v); f == nil {
					in = in[:len(in)-1] // the text of a secret, which is written as a text alone
				}
			}
		}
		var path []string
		for _, s := range in {
			if s.kind == member {
				path = append(path, gjson.Escape(s.name))
			} else {
				path = append(path, strconv.Itoa(s.n))
			}
		}
		v := gjson.GetBytes(doc, strings.Join(path, "."))
		text, _ := shown.(string)
		if v.Type != gjson.String || v.Str == "" || (leaf{shown: text}).compare(v.Str) == differs || veiled(v.Str) {
			return nil, masked
		}
		changes = append(changes, change{steps: steps, json: walker.Quote(v.Str)})
	}
	return changes, nil
}

// pluginConfigs gives the configs of the plugins of a document by their names.
func pluginConfigs(doc *walker.Document) map[string][]byte {
	all := map[string][]byte{}
	doc.Each("plugins[]", func(o walker.Object) {
		name, named := doc.Find(o, "name")
		if config, ok := doc.Find(o, "config"); ok && named {
			all[doc.String(name.Value)] = doc.Bytes()[config.Value.Start:config.Value.End]
		}
	})
	return all
}

// sameLists reports whether every list on the way along steps is, by its length
// and the names of its elements, the same as in the document: a place in it is
// given by number alone.
func sameLists(tree any, doc []byte, steps []step) bool {
	var other any
	if !slices.ContainsFunc(steps, func(s step) bool { return s.kind == element }) {
		return true
	}
	if json.Unmarshal(doc, &other) != nil {
		return false
	}
	for _, s := range steps {
		if s.kind == member {
			a, isA := tree.(map[string]any)
			b, isB := other.(map[string]any)
			if !isA || !isB {
				return false
			}
			tree, other = a[s.name], b[s.name]
			continue
		}
		a, isA := tree.([]any)
		b, isB := other.([]any)
		if !isA || !isB || len(a) != len(b) || s.n >= len(a) {
			return false
		}
		for i := range a {
			x, _ := a[i].(map[string]any)
			y, _ := b[i].(map[string]any)
			if (x == nil) != (y == nil) || x["name"] != y["name"] || x["id"] != y["id"] {
				return false
			}
		}
		tree, other = a[s.n], b[s.n]
	}
	return true
}
