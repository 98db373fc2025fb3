package bifrost

import (
	"context"
	"fmt"
	"strings"

	"bifrost-secrets/walker"
)

// collection is a list of the API, of objects that are found by their names.
type collection struct {
	path  string
	in    string // the member that is the list
	what  string // the word for one of it
	inner string // the member of an element that the object stands in; empty where it is the element
	id    string // the member of the object that tells it from another
}

// find returns the one object that has a name.
func (c collection) find(list value, name string) (value, *Error) {
	all, f := list.list("the list of "+c.in, c.in)
	if f != nil {
		return value{}, f
	}
	n, f := c.number(all, name)
	if f != nil {
		return value{}, f
	}
	found := c.object(all[n])
	if id, _ := found.member(c.id).text(); id == "" {
		return value{}, unknownShape("a "+c.what, "has no "+c.id)
	}
	return found, nil
}

func (c collection) object(element value) value {
	if c.inner == "" {
		return element
	}
	return element.member(c.inner)
}

// number returns which of all has a name.
func (c collection) number(all []value, name string) (int, *Error) {
	found := -1
	for i, e := range all {
		o := c.object(e)
		got, ok := o.member("name").text()
		switch {
		case o.kind() != '{':
			return 0, unknownShape("a "+c.what, "has no "+c.inner)
		case !ok:
			return 0, unknownShape("a "+c.what, "has no name")
		case got != name:
		case found >= 0:
			return 0, unknownShape("the list", quoted("has more than one "+c.what+" that is called %s", name))
		default:
			found = i
		}
	}
	if found < 0 {
		return 0, absent(c.what, name)
	}
	return found, nil
}

// read reads the one object that has a name.
func (s *session) read(ctx context.Context, c collection, name string) (value, *Error) {
	list, f := s.list(ctx, c)
	if f != nil {
		return value{}, f
	}
	return c.find(list, name)
}

// pageSize is the most that Bifrost shows at a time.
const pageSize = 100

// list reads a list to its end: where Bifrost shows a page of it, the next ones
// follow. The result is an object that has the list as a member.
func (s *session) list(ctx context.Context, c collection) (value, *Error) {
	first, f := s.get(ctx, c.path)
	if f != nil {
		return value{}, f
	}
	want, counted, _ := first.member("total_count").number()
	list := first.member(c.in)
	if !counted || list.kind() != '[' || want <= int64(len(list.children())) {
		return first, nil
	}
	var texts []string
	seen := map[string]bool{}
	size, at := 0, 0
	for page := first; ; {
		had := len(texts)
		for _, e := range page.member(c.in).children() {
			at++
			if id := string(c.object(e).member(c.id).raw()); id == "" || !seen[id] { // one that was created meanwhile shifts the rest
				seen[id] = true
				texts = append(texts, string(e.raw()))
			}
		}
		if size += len(page.raw()); size > maxAnswer {
			return value{}, unknownShape(c.path, fmt.Sprintf("is longer than %d MiB", maxAnswer>>20))
		}
		if int64(at) >= want {
			break
		}
		if len(texts) == had {
			return value{}, later(fmt.Sprintf("bifrost's list at %s ends after %d of %d", c.path, at, want), "is somebody else changing it? it is tried again")
		}
		if page, f = s.get(ctx, fmt.Sprintf("%s?limit=%d&offset=%d", c.path, pageSize, at)); f != nil {
			return value{}, f
		}
	}
	return parse(c.path, []byte("{"+walker.Quote(c.in)+":["+strings.Join(texts, ",")+"]}"))
}
