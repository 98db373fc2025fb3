package bifrost

import (
	"context"
	"errors"
	"net/url"
	"slices"

	"bifrost-secrets/walker"
)

// settleProvider brings the places of a provider about: one write after the
// other, since each of them makes Bifrost build the provider anew.
func (j *job) settleProvider(ctx context.Context, name string, places []place) {
	path := "/api/providers/" + url.PathEscape(name)
	// Keys are objects of their own from 1.5 on. An earlier Bifrost does not know the
	// path and answers with its dashboard.
	keys, f := j.list(ctx, keysAt(path))
	own := places
	switch {
	case f == nil:
		order, of := group(places, func(p place) string { return p.key })
		own = of[""]
		for _, key := range slices.DeleteFunc(order, func(key string) bool { return key == "" }) {
			before, f := keys.find(key)
			j.settle(ctx, j.keyRecord(path, key), before, f, of[key])
		}
	case !errors.Is(f.Err, errAbsent) && !errors.Is(f.Err, errOther):
		j.fail(places, f)
		return
	}
	if own != nil {
		j.settle(ctx, j.providerRecord(path, name), value{}, nil, own)
	}
}

// passing are the members of keys and providers that Bifrost itself changes
// while it works: what it found out when it last asked for the models.
var passing = map[string]bool{"status": true, "description": true, "provider_status": true}

func (j *job) providerRecord(path, name string) record {
	what := quoted("provider %s", name)
	var of value // whose keys these are
	var keys listing
	return record{
		what: what, passing: passing,
		read: func(ctx context.Context) (value, *Error) { return j.getNamed(ctx, path, "provider", name) },
		steps: func(top value, p place) (steps []walker.Step, f *Error) {
			if p.key == "" {
				return p.steps, nil
			}
			if of != top {
				if keys, f = keysAt(path).index(top); f != nil {
					return nil, f
				}
				of = top
			}
			n, f := keys.number(p.key)
			return append([]walker.Step{{Name: "keys"}, {Index: n, IsIndex: true}}, p.steps...), f
		},
		check: checkProvider,
		path:  func(value) string { return path },
	}
}

// checkProvider looks at what Bifrost would reset if it were not in the body.
func checkProvider(top value, places []place) *Error {
	const what = "the provider"
	for _, name := range []string{"network_config", "concurrency_and_buffer_size"} {
		if top.member(name).kind() != '{' {
			return unknownShape(what, "has no "+name)
		}
	}
	if top.member("keys").doc != nil {
		keys, f := top.list(what, "keys")
		if f != nil {
			return f
		}
		for _, k := range keys {
			if id, _ := k.member("id").text(); id == "" {
				return unknownShape(what, "has a key without an id")
			}
			if k.member("value").doc == nil {
				return unknownShape(what, "has a key without a value")
			}
		}
	}
	// The one map of values that Bifrost takes as they are, masks included.
	headers := []walker.Step{{Name: "network_config"}, {Name: "extra_headers"}}
	var changed [][]walker.Step
	for _, p := range places {
		changed = append(changed, p.steps)
	}
	if len(top.member("network_config").member("extra_headers").texts(veiled, headers, changed)) > 0 {
		return unknownShape(what, "masks its extra_headers")
	}
	return nil
}

// keysAt are the keys of the provider at a path.
func keysAt(path string) collection {
	return collection{path: path + "/keys", one: path + "/keys", in: "keys", what: "key", id: "id"}
}

func (j *job) keyRecord(path, name string) record {
	r := j.record(keysAt(path), name)
	r.passing = passing
	r.check = func(top value, _ []place) *Error {
		// Without them Bifrost denies all models, or takes the key out of use.
		models := top.member("models")
		if _, _, weight := top.member("weight").number(); models.isSet() && models.kind() != '[' || !weight {
			return unknownShape(r.what, "has no models and weight")
		}
		return nil
	}
	return r
}
