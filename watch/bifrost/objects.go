package bifrost

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/tidwall/gjson"

	"bifrost-secrets/walker"
)

// settleProvider brings the places of a provider about: one write after the
// other, since each of them makes Bifrost build the provider anew.
func (j *job) settleProvider(ctx context.Context, name string, places []place) {
	path := "/api/providers/" + url.PathEscape(name)
	list, raw, f := j.keyList(ctx, path)
	if f != nil {
		j.fail(places, f)
		return
	}
	var own []place
	var order []string
	keys := map[string][]place{}
	for _, p := range places {
		switch {
		case p.key == "":
			own = append(own, p)
		case list != nil:
			if keys[p.key] == nil {
				order = append(order, p.key)
			}
			keys[p.key] = append(keys[p.key], p)
		default:
			p.steps = append([]step{{kind: member, name: "keys"}, {kind: named, name: p.key}}, p.steps...)
			own = append(own, p)
		}
	}
	for _, key := range order {
		if before, _, f := pickKey(list, raw, key); f != nil {
			j.fail(keys[key], f)
		} else {
			j.settleFrom(ctx, j.keyRecord(path, key), before, keys[key])
		}
	}
	if len(own) > 0 {
		j.settle(ctx, j.providerRecord(path, name), own)
	}
}

// keyList reads the keys of a provider where they are objects of their own, as
// from 1.5 on. An earlier Bifrost does not know the path and answers with its
// dashboard: then, or where there is no such provider, list is nil.
func (j *job) keyList(ctx context.Context, path string) (list any, raw []byte, f *fault) {
	a, f := j.call(ctx, http.MethodGet, path+"/keys", nil)
	if f != nil {
		return nil, nil, f
	}
	switch {
	case a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed:
		return nil, nil, nil
	case a.status != http.StatusOK:
		return nil, nil, a.refused()
	case !gjson.ValidBytes(a.body) || !gjson.GetBytes(a.body, "keys").IsArray():
		return nil, nil, nil
	}
	list, f = decode(path, a.body)
	return list, a.body, f
}

func (j *job) providerRecord(path, name string) record {
	what := quoted("provider %s", name)
	return record{
		what: what, check: checkProvider, passing: passing,
		read: func(ctx context.Context) (any, []byte, *fault) {
			tree, raw, f := j.get(ctx, path)
			if f != nil {
				if errors.Is(f.err, errAbsent) {
					f.reason = quoted("bifrost has no provider that is called %s", name)
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
		write: func(ctx context.Context, _ any, raw []byte) *fault { return j.put(ctx, http.MethodPut, path, raw) },
	}
}

// checkProvider looks at what Bifrost would reset if it were not in the body.
func checkProvider(tree any, places []place) *fault {
	const what = "the provider"
	o, f := object(what, tree)
	if f != nil {
		return f
	}
	for _, name := range []string{"network_config", "concurrency_and_buffer_size"} {
		if _, ok := o[name].(map[string]any); !ok {
			return unknownShape(what, "has no "+name)
		}
	}
	if _, inside := o["keys"]; inside {
		keys, f := list(what, o, "keys")
		if f != nil {
			return f
		}
		for _, k := range keys {
			if id, ok := k["id"].(string); !ok || id == "" {
				return unknownShape(what, "has a key without an id")
			}
			if _, ok := k["value"]; !ok {
				return unknownShape(what, "has a key without a value")
			}
		}
	}
	// The one map of values that Bifrost takes as they are, masks included.
	headers := []step{{kind: member, name: "network_config"}, {kind: member, name: "extra_headers"}}
	network, _ := o["network_config"].(map[string]any)
	if hasOther(veiled, network["extra_headers"], headers, stepsOf(places)) {
		return unknownShape(what, "masks its extra_headers")
	}
	return nil
}

func stepsOf(places []place) [][]step {
	all := make([][]step, len(places))
	for i, p := range places {
		all[i] = p.steps
	}
	return all
}

func (j *job) keyRecord(path, name string) record {
	what := quoted("key %s", name)
	return record{
		what: what, passing: passing,
		read: func(ctx context.Context) (any, []byte, *fault) {
			tree, raw, f := j.get(ctx, path+"/keys")
			if f != nil {
				return nil, nil, f
			}
			return pickKey(tree, raw, name)
		},
		check: func(tree any, _ []place) *fault {
			// Without them Bifrost denies all models, or takes the key out of use.
			o, _ := object(what, tree)
			_, models := o["models"].([]any)
			_, weight := o["weight"].(json.Number)
			if !models && o["models"] != nil || !weight {
				return unknownShape(what, "has no models and weight")
			}
			return nil
		},
		write: func(ctx context.Context, tree any, raw []byte) *fault {
			id, _ := tree.(map[string]any)["id"].(string)
			return j.put(ctx, http.MethodPut, path+"/keys/"+url.PathEscape(id), raw)
		},
	}
}

func pickKey(tree any, raw []byte, name string) (any, []byte, *fault) {
	return pick(tree, raw, "keys", "key", "", name, "id")
}

// pick gives the one object of a list that has a name, and what it is as text.
// inner is the member of the elements that it stands in, if any.
func pick(tree any, raw []byte, in, what, inner, name, id string) (any, []byte, *fault) {
	place := "the list of " + in
	o, f := object(place, tree)
	if f != nil {
		return nil, nil, f
	}
	if hasDuplicates(raw) {
		return nil, nil, unknownShape(place, "has an object with two members of one name")
	}
	all, f := list(place, o, in)
	if f != nil {
		return nil, nil, f
	}
	n, f := byName(what, all, inner, name)
	if f != nil {
		return nil, nil, f
	}
	found := all[n]
	text := gjson.GetBytes(raw, in).Array()[n]
	if inner != "" {
		found, _ = found[inner].(map[string]any)
		text = text.Get(inner)
	}
	if value, ok := found[id].(string); !ok || value == "" {
		return nil, nil, unknownShape("a "+what, "has no "+id)
	}
	return found, []byte(text.Raw), nil
}

// durations are the members of an MCP client that are read in nanoseconds and
// written in another unit: sent back as they are, they would become another
// time. Below a version the unit is known; later versions count in seconds in
// their database, and how their API does is not known.
var durations = []struct {
	member       string
	major, minor int // the unit holds below this version; zero for none
	unit         int64
}{
	{"tool_sync_interval", 1, 6, 60e9},
	{"tool_execution_timeout", 0, 0, 0},
}

func (j *job) durations(what string, tree any) ([]change, *fault) {
	o, _ := object(what, tree)
	major, minor, known := parseVersion(j.of)
	var changes []change
	for _, d := range durations {
		if o[d.member] == nil {
			continue
		}
		n, isNumber := o[d.member].(json.Number)
		if !isNumber {
			return nil, unknownShape(what, "has a "+d.member+" that is no number")
		}
		nano, err := n.Int64()
		switch {
		case err == nil && nano > -1e9 && nano < 1e9:
			// A time of less than a second is not meant: it is read in the unit that it
			// is written in.
		case err != nil || d.unit == 0 || !known || major > d.major || major == d.major && minor >= d.minor || nano%d.unit != 0:
			return nil, unknownShape(what, "has a "+d.member+" of an unknown unit")
		default:
			changes = append(changes, change{steps: []step{{kind: member, name: d.member}}, json: strconv.FormatInt(nano/d.unit, 10)})
		}
	}
	return changes, nil
}

// mcpRecord is an MCP client. Its open connection goes on with the headers that
// it began with, so that it has to be told to connect again.
func (j *job) mcpRecord(name string) record {
	what := quoted("mcp client %s", name)
	return record{
		what: what,
		read: func(ctx context.Context) (any, []byte, *fault) {
			tree, raw, f := j.get(ctx, "/api/mcp/clients")
			if f != nil {
				return nil, nil, f
			}
			return pick(tree, raw, "clients", "mcp client", "config", name, "client_id")
		},
		check: func(tree any, _ []place) *fault {
			o, _ := object(what, tree)
			if _, ok := o["headers"].(map[string]any); !ok {
				return unknownShape(what, "has no headers")
			}
			if _, ok := o["tools_to_execute"].([]any); !ok && o["tools_to_execute"] != nil {
				return unknownShape(what, "has no list of tools_to_execute")
			}
			return nil
		},
		adapt: func(tree any) ([]change, *fault) { return j.durations(what, tree) },
		write: func(ctx context.Context, tree any, raw []byte) *fault {
			id, _ := tree.(map[string]any)["client_id"].(string)
			path := "/api/mcp/client/" + url.PathEscape(id)
			if f := j.put(ctx, http.MethodPut, path, raw); f != nil {
				return f
			}
			f := j.put(ctx, http.MethodPost, path+"/reconnect", nil)
			if f != nil && f.state != RestartRequired {
				f.busy = false // the headers are in already
				f.reason = what + " has the new headers and could not connect with them: " + f.reason
				f.hint = "does the mcp server take the new value? it is tried again"
			}
			return f
		},
	}
}

func (j *job) pluginRecord(name string) record {
	what := quoted("plugin %s", name)
	path := "/api/plugins/" + url.PathEscape(name)
	return record{
		what:    what,
		counted: map[string]bool{"id": true, "version": true, "created_at": true, "updated_at": true},
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
			if hasOther(veiled, o["config"], []step{{kind: member, name: "config"}}, stepsOf(places)) {
				return unknownShape(what, "masks values of its config")
			}
			for _, p := range places {
				if !sameLists(o["config"], j.pluginConfigs[name], p.steps[1:]) {
					return unknownShape(what, "has another list in its config than the document")
				}
			}
			return nil
		},
		write: func(ctx context.Context, _ any, raw []byte) *fault { return j.put(ctx, http.MethodPut, path, raw) },
	}
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
