package bifrost

import (
	"context"
	"fmt"
	"strings"

	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
)

// pageSize is the most that Bifrost shows at a time.
const pageSize = 100

// pages reads a list to its end: where Bifrost shows a page of it, the next ones
// follow. The result is an object that has the list as the member in. id are the
// members that lead to what tells one element from another.
func (s *session) pages(ctx context.Context, path, in string, id ...string) (value, *Error) {
	first, f := s.get(ctx, path)
	if f != nil {
		return value{}, f
	}
	want, counted, _ := first.member("total_count").number()
	list := first.member(in)
	if !counted || list.kind() != '[' || want <= int64(len(list.children())) {
		return first, nil
	}
	var texts []string
	seen := map[string]bool{}
	size, at := 0, 0
	for page := first; ; {
		had := len(texts)
		for _, e := range page.member(in).children() {
			at++
			known := e
			for _, name := range id {
				known = known.member(name)
			}
			if is := string(known.raw()); is == "" || !seen[is] { // one that was created meanwhile shifts the rest
				seen[is] = true
				texts = append(texts, string(e.raw()))
			}
		}
		if size += len(page.raw()); size > maxAnswer {
			return value{}, unknownShape(path, fmt.Sprintf("is longer than %d MiB", maxAnswer>>20))
		}
		if int64(at) >= want {
			break
		}
		if len(texts) == had {
			return value{}, &Error{state: watch.Failed, Reason: fmt.Sprintf("bifrost's list at %s ends after %d of %d", path, at, want), Hint: "is somebody else changing it? it is tried again"}
		}
		if page, f = s.get(ctx, fmt.Sprintf("%s?limit=%d&offset=%d", path, pageSize, at)); f != nil {
			return value{}, f
		}
	}
	return parse(path, []byte("{"+walker.Quote(in)+":["+strings.Join(texts, ",")+"]}"))
}
