package bifrost

import (
	"strings"
	"unicode/utf8"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
)

// Target is a field and what it shall be.
type Target struct {
	Path  string        // in the document: providers.openai.keys[0].value
	Entry *walker.Entry // the catalogue's line
	Value sources.Secret
}

// place is where a target stands in Bifrost: an object of the API, and the steps
// in it.
type place struct {
	index  int // of the target
	path   string
	value  string
	object object
	key    string        // the name of the provider key; empty where it is none
	steps  []walker.Step // from the key, or else from the object
	config value         // that of a plugin, in the document
	had    likeness      // how what Bifrost had before it was first written related to the value
}

// object is an object of the API that is written as a whole, or with its keys.
type object struct {
	kind objectKind
	name string
}

type objectKind uint8

const (
	provider objectKind = iota
	mcpClient
	plugin
	webhook
	config
)

// group returns places by what they have in common, and that in their order.
func group[K comparable](places []place, by func(place) K) (order []K, of map[K][]place) {
	of = map[K][]place{}
	for _, p := range places {
		k := by(p)
		if of[k] == nil {
			order = append(order, k)
		}
		of[k] = append(of[k], p)
	}
	return order, of
}

// sections are the parts of a document whose fields the API takes, by the beginning of
// their patterns. In Bifrost a field stands at the steps that follow those that are
// left out; named is what is found by its name there, as an element of a list.
var sections = []struct {
	pattern string
	kind    objectKind
	leave   int
	named   string
}{
	{"providers.*.keys[].", provider, 4, "key"},
	{"providers.*.network_config.", provider, 2, ""},
	{"providers.*.proxy_config.", provider, 2, ""},
	{"mcp.client_configs[].headers.", mcpClient, 3, "mcp client"},
	{"plugins[].config.", plugin, 2, "plugin"},
	{"webhooks[].headers.", webhook, 2, "webhook"},
	{"governance.auth_config.", config, 1, ""},
	{"auth_config.", config, 0, ""},
}

// element is a key, an MCP client, a plugin or a webhook of a document.
type element struct {
	name   string // empty where it has none
	config value  // of a plugin
}

// elements returns them by their paths.
func elements(doc *walker.Document) map[string]element {
	all := map[string]element{}
	for _, pattern := range []string{"providers.*.keys[]", "mcp.client_configs[]", "plugins[]", "webhooks[]"} {
		doc.Each(pattern, func(o walker.Object) {
			name, _ := doc.Find(o, "name")
			e := element{name: doc.String(name.Value)}
			if m, ok := doc.Find(o, "config"); ok {
				e.config = value{doc, m.Value.Start}
			}
			all[o.Path] = e
		})
	}
	return all
}

var noPlace = noWay("bifrost takes a new value of this field at its start only", restartIt)

// locate finds the place of a target, if the API of a version takes the field.
func locate(index int, t Target, version release, elements map[string]element) (place, *Error) {
	p := place{index: index, path: t.Path, value: string(t.Value.Reveal())}
	if !utf8.ValidString(p.value) {
		return p, later("the value is no text in utf-8", "store it as text")
	}
	if t.Entry == nil {
		return p, noPlace
	}
	switch how := takingOf(t.Entry, version); {
	case t.Entry.Change == walker.Never:
		return p, &Error{state: watch.Refused, Reason: how.reason, Hint: how.hint}
	case !how.live:
		return p, noWay(how.reason, how.hint)
	}
	steps, _ := walker.SplitPath(t.Path)
	for _, s := range sections {
		if !strings.HasPrefix(t.Entry.Pattern, s.pattern) || len(steps) < len(walker.PatternSteps(s.pattern)) {
			continue
		}
		e := elements[walker.JoinPath(steps[:s.leave])]
		// A document may spell members in any case, Bifrost's answers do not.
		for i, spelled := range walker.PatternSteps(t.Entry.Pattern) {
			if i < len(steps) && !steps[i].IsIndex && strings.Trim(spelled, "*") != "" {
				steps[i].Name = spelled
			}
		}
		p.object, p.config, p.steps = object{s.kind, e.name}, e.config, steps[s.leave:]
		if s.kind == provider {
			p.object.name, p.key = steps[1].Name, e.name
		}
		if s.named != "" && e.name == "" {
			return p, noWay("the "+s.named+" has no name, by which to find it in bifrost", "give it a name")
		}
		return p, nil
	}
	return p, noPlace
}
