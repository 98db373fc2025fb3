package bifrost

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/tidwall/gjson"
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
	if list, f = decode(path, a.body); f != nil {
		return nil, nil, f
	}
	return j.rest(ctx, path+"/keys", "keys", "id", list, a.body)
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
			tree, raw, f := j.pages(ctx, path+"/keys", "keys", "id")
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
