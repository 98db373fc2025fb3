package bifrost

import (
	"encoding/json"
	"strconv"
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
	index int // of the target
	path  string
	value string
	owner owner
	key   string // the name of the provider key; empty where it is none
	steps []step // from the key, or else from the owner
}

// owner is an object of the API that is written as a whole, or with its keys.
type owner struct {
	kind ownerKind
	name string
}

type ownerKind uint8

const (
	provider ownerKind = iota
	mcpClient
	plugin
	config
)

// pathStep is a part of a path of the document. end is where it ends.
type pathStep struct {
	name  string
	index int // -1 for a member
	end   int
}

// parsePath takes a path apart that walker has made.
func parsePath(path string) ([]pathStep, bool) {
	var all []pathStep
	for i := 0; i < len(path); {
		if path[i] != '[' {
			if i > 0 {
				if path[i] != '.' {
					return nil, false
				}
				i++
			}
			n := strings.IndexAny(path[i:], ".[")
			if n < 0 {
				n = len(path) - i
			}
			if n == 0 {
				return nil, false
			}
			all = append(all, pathStep{name: path[i : i+n], index: -1, end: i + n})
			i += n
			continue
		}
		if i++; i < len(path) && path[i] == '"' {
			end := i + 1
			for end < len(path) && path[end] != '"' {
				if path[end] == '\\' {
					end++
				}
				end++
			}
			var name string
			if end+1 >= len(path) || path[end+1] != ']' || json.Unmarshal([]byte(path[i:end+1]), &name) != nil {
				return nil, false
			}
			i = end + 2
			all = append(all, pathStep{name: name, index: -1, end: i})
			continue
		}
		end := strings.IndexByte(path[i:], ']')
		if end < 0 {
			return nil, false
		}
		n, err := strconv.Atoi(path[i : i+end])
		if err != nil || n < 0 {
			return nil, false
		}
		i += end + 1
		all = append(all, pathStep{index: n, end: i})
	}
	return all, len(all) > 0
}

// canonical gives the members of a path as the catalogue spells them: a document
// may spell them in any case, Bifrost's answers do not.
func canonical(pattern string, path []pathStep) []step {
	var names []string
	for _, part := range strings.Split(pattern, ".") {
		names = append(names, strings.TrimRight(part, "[]"))
	}
	steps := make([]step, len(path))
	n := 0
	for i, p := range path {
		if p.index >= 0 {
			steps[i] = step{kind: element, n: p.index}
			continue
		}
		steps[i] = step{kind: member, name: p.name}
		if n < len(names) && names[n] != "*" && names[n] != "**" {
			steps[i].name = names[n]
		}
		n++
	}
	return steps
}

// names gives the names of the keys, MCP clients and plugins of a document, by
// their paths. Elements without a name have none.
func names(doc *walker.Document) map[string]string {
	all := map[string]string{}
	for _, pattern := range []string{"providers.*.keys[]", "mcp.client_configs[]", "plugins[]"} {
		doc.Each(pattern, func(o walker.Object) {
			if m, ok := doc.Find(o, "name"); ok {
				all[o.Path] = doc.String(m.Value)
			}
		})
	}
	return all
}

var noPlace = &fault{
	state:  watch.RestartRequired,
	reason: "bifrost takes a new value of this field at its start only",
	hint:   "restart bifrost, which reads the file",
}

// locate finds the place of a target. Whether Bifrost takes the field live is
// looked at elsewhere.
func locate(index int, t Target, names map[string]string) (place, *fault) {
	p := place{index: index, path: t.Path, value: string(t.Value.Reveal())}
	if !utf8.ValidString(p.value) {
		return p, &fault{state: watch.Failed, reason: "the value is no text in utf-8", hint: "store it as text"}
	}
	parsed, ok := parsePath(t.Path)
	if !ok || t.Entry == nil {
		return p, noPlace
	}
	steps := canonical(t.Entry.Pattern, parsed)
	is := func(i int, name string) bool { return i < len(steps) && steps[i] == (step{kind: member, name: name}) }
	at := func(i int) bool { return i < len(steps) && steps[i].kind == element }
	called := func(i int, what string) (string, *fault) {
		if name := names[t.Path[:parsed[i].end]]; name != "" {
			return name, nil
		}
		return "", &fault{state: watch.RestartRequired, reason: "the " + what + " has no name, by which to find it in bifrost", hint: "give it a name"}
	}
	var f *fault
	switch {
	case is(0, "providers") && len(steps) > 4 && is(2, "keys") && at(3):
		p.owner = owner{provider, steps[1].name}
		p.steps = steps[4:]
		p.key, f = called(3, "key")
	case is(0, "providers") && len(steps) > 3 && (is(2, "network_config") || is(2, "proxy_config")):
		p.owner = owner{provider, steps[1].name}
		p.steps = steps[2:]
	case is(0, "mcp") && is(1, "client_configs") && at(2) && is(3, "headers") && len(steps) == 5:
		p.owner.kind = mcpClient
		p.steps = steps[3:]
		p.owner.name, f = called(2, "mcp client")
	case is(0, "plugins") && at(1) && is(2, "config") && len(steps) > 3:
		p.owner.kind = plugin
		p.steps = steps[2:]
		p.owner.name, f = called(1, "plugin")
	case is(0, "governance") && is(1, "auth_config") && len(steps) == 3:
		p.owner.kind = config
		p.steps = steps[1:]
	case is(0, "auth_config") && len(steps) == 2:
		p.owner.kind = config
		p.steps = steps
	default:
		f = noPlace
	}
	return p, f
}
