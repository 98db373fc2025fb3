package bifrost

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
)

// pages reads a list to its end: where Bifrost shows a page of it, the next ones
// follow. tree is an object that has the list as the member in, and raw its text.
// id is the path of what tells one element from another.
func (s *session) pages(ctx context.Context, path, in, id string) (tree any, raw []byte, f *fault) {
	if tree, raw, f = s.get(ctx, path); f != nil {
		return nil, nil, f
	}
	return s.rest(ctx, path, in, id, tree, raw)
}

// rest reads the pages after the first one, if there are any.
func (s *session) rest(ctx context.Context, path, in, id string, tree any, raw []byte) (any, []byte, *fault) {
	first, _ := tree.(map[string]any)
	total, counted := first["total_count"].(json.Number)
	elements, isList := first[in].([]any)
	want, err := total.Int64()
	if !counted || !isList || err != nil || want <= int64(len(elements)) {
		return tree, raw, nil
	}
	var texts []string
	seen := map[string]bool{}
	take := func(list gjson.Result) (n int) {
		list.ForEach(func(_, e gjson.Result) bool {
			n++
			if name := e.Get(id).String(); name == "" || !seen[name] { // one that was created meanwhile shifts the rest
				seen[name] = true
				texts = append(texts, e.Raw)
			}
			return true
		})
		return n
	}
	if hasDuplicates(raw) {
		return nil, nil, unknownShape(path, "has an object with two members of one name")
	}
	size := len(raw)
	for at := take(gjson.GetBytes(raw, in)); int64(at) < want; {
		_, next, f := s.get(ctx, fmt.Sprintf("%s?limit=%d&offset=%d", path, pageSize, at))
		if f != nil {
			return nil, nil, f
		}
		if hasDuplicates(next) {
			return nil, nil, unknownShape(path, "has an object with two members of one name")
		}
		had := len(texts)
		n := take(gjson.GetBytes(next, in))
		if size += len(next); size > maxAnswer {
			return nil, nil, unknownShape(path, fmt.Sprintf("is longer than %d MiB", maxAnswer>>20))
		}
		if len(texts) == had {
			return nil, nil, &fault{state: watch.Failed, reason: fmt.Sprintf("bifrost's list at %s ends after %d of %d", path, at, want), hint: "is somebody else changing it? it is tried again"}
		}
		at += n
	}
	raw = []byte("{" + walker.Quote(in) + ":[" + strings.Join(texts, ",") + "]}")
	tree, f := decode(path, raw)
	return tree, raw, f
}

// pageSize is the most that Bifrost shows at a time.
const pageSize = 100
