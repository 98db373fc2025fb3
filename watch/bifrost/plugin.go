package bifrost

import (
	"context"
	"net/url"
	"slices"

	"bifrost-secrets/walker"
)

// pluginRecord is a plugin; doc is its config in the document.
func (j *job) pluginRecord(name string, doc value) record {
	what := quoted("plugin %s", name)
	path := "/api/plugins/" + url.PathEscape(name)
	return record{
		what:    what,
		passing: map[string]bool{"id": true, "version": true, "created_at": true, "updated_at": true, "status": true},
		path:    func(value) string { return path },
		read:    func(ctx context.Context) (value, *Error) { return j.getNamed(ctx, path, "plugin", name) },
		steps: func(top value, p place) ([]walker.Step, *Error) {
			_, at := shownConfig(name, top, doc)
			return slices.Concat(at, p.steps[1:]), nil
		},
		check: func(top value, places []place) *Error {
			if _, ok := top.member("enabled").boolean(); !ok {
				return unknownShape(what, "does not say whether it is enabled")
			}
			if top.member("config").kind() != '{' {
				return unknownShape(what, "has no config")
			}
			shown, at := shownConfig(name, top, doc)
			for _, p := range places {
				if len(at) > 1 && (len(top.member("config").member(at[1].Name).children()) != 1 || !sameNames(shown, doc)) || !sameLists(shown, doc, p.steps[1:]) {
					return unknownShape(what, "has another list in its config than the document")
				}
			}
			return nil
		},
		adapt: func(top value, changed [][]walker.Step) ([]change, *Error) {
			_, at := shownConfig(name, top, doc)
			return unveil(what, top, doc, at, changed)
		},
	}
}

// wrappers are the plugins whose config is a list of configs in newer versions,
// which make a list of one of the config that a file has: by the list's name.
var wrappers = map[string]string{"otel": "profiles"}

// shownConfig returns where Bifrost shows the config of the document.
func shownConfig(plugin string, top, doc value) (shown value, at []walker.Step) {
	shown, at = top.member("config"), []walker.Step{{Name: "config"}}
	list := wrappers[plugin]
	if in := shown.member(list); list != "" && in.kind() == '[' && doc.member(list).doc == nil {
		first := walker.Step{IsIndex: true}
		return in.child(first), append(at, walker.Step{Name: list}, first)
	}
	return shown, at
}

// unveil returns what of a config is masked, the places that are changed aside, as
// the document has it: Bifrost may take a mask for the value. It fails where the
// document has something else there than what the mask can be of. at is where the
// config of the document stands.
func unveil(what string, top, doc value, at []walker.Step, changed [][]walker.Step) ([]change, *Error) {
	var changes []change
	for _, steps := range top.member("config").texts(veiled, at[:1], changed) {
		masked := unknownShape(what, "masks values of its config")
		if !within(steps, [][]walker.Step{at}) {
			return nil, masked
		}
		in, last := steps[len(at):], len(steps)-1
		if v, _ := top.follow(what, steps[:last]); steps[last] == (walker.Step{Name: "value"}) {
			if _, f := readLeaf(what, v); f == nil {
				in = in[:len(in)-1] // the text of a secret, which is written as a text alone
			}
		}
		shown, _ := top.follow(what, steps)
		v, f := doc.follow(what, in)
		text, _ := v.text()
		mask, _ := shown.text()
		if f != nil || text == "" || (leaf{shown: mask}).compare(text) == differs || veiled(text) {
			return nil, masked
		}
		changes = append(changes, change{steps, walker.Quote(text)})
	}
	return changes, nil
}

// sameLists reports whether every list on the way along steps is, by its length
// and the names of its elements, the same as in the document: a place in it is
// known by its number alone.
func sameLists(shown, doc value, steps []walker.Step) bool {
	for _, s := range steps {
		if s.IsIndex && (shown.kind() != '[' || doc.kind() != '[' || !slices.EqualFunc(shown.children(), doc.children(), sameNames)) {
			return false
		}
		shown, doc = shown.child(s), doc.child(s)
	}
	return true
}

// sameNames reports whether two elements have the same name and id, if any.
func sameNames(a, b value) bool {
	return (a.kind() == '{') == (b.kind() == '{') && same(a.member("name"), b.member("name"), nil) && same(a.member("id"), b.member("id"), nil)
}
