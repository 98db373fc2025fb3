package bifrost

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"bifrost-secrets/walker"
)

// collection is a list of the API, of objects that are found by their names.
type collection struct {
	path  string
	one   string // the path of one, less its id
	in    string // the member that is the list
	what  string // the word for one of it
	inner string // the member of an element that the object stands in; empty where it is the element
	id    string // the member of the object that tells it from another
}

func (c collection) object(element value) value {
	if c.inner != "" {
		element = element.member(c.inner)
	}
	return element
}

// listing is a collection that was read.
type listing struct {
	collection
	objects []value
	numbers map[string]int // by name; -1 where several have it
	fault   *Error         // of an object that cannot be told from others
}

// index looks at the names in a list, which is a member of top.
func (c collection) index(top value) (listing, *Error) {
	l := listing{collection: c, numbers: map[string]int{}}
	elements, f := top.list("the list of "+c.in, c.in)
	for i, e := range elements {
		o := c.object(e)
		name, named := o.member("name").text()
		_, twice := l.numbers[name]
		switch {
		case o.kind() != '{':
			l.fault = unknownShape("a "+c.what, "has no "+c.inner)
		case !named:
			l.fault = unknownShape("a "+c.what, "has no name")
		case twice:
			l.numbers[name] = -1
		default:
			l.numbers[name] = i
		}
		l.objects = append(l.objects, o)
	}
	return l, f
}

// number returns which object has a name.
func (l listing) number(name string) (int, *Error) {
	n, ok := l.numbers[name]
	switch {
	case l.fault != nil:
		return 0, l.fault
	case !ok:
		return 0, absent(l.what, name)
	case n < 0:
		return 0, unknownShape("the list", quoted("has more than one "+l.what+" that is called %s", name))
	}
	return n, nil
}

// find returns the one object that has a name.
func (l listing) find(name string) (value, *Error) {
	n, f := l.number(name)
	if f != nil {
		return value{}, f
	}
	if id, _ := l.objects[n].member(l.id).text(); id == "" {
		return value{}, unknownShape("a "+l.what, "has no "+l.id)
	}
	return l.objects[n], nil
}

// record is the one object that has a name.
func (j *job) record(c collection, name string) record {
	return record{
		what: quoted(c.what+" %s", name),
		read: func(ctx context.Context) (value, *Error) {
			l, f := j.list(ctx, c)
			if f != nil {
				return value{}, f
			}
			return l.find(name)
		},
		path: func(top value) string {
			id, _ := top.member(c.id).text()
			return c.one + "/" + url.PathEscape(id)
		},
	}
}

// pageSize is the most that Bifrost shows at a time.
const pageSize = 100

// list reads a list to its end: where Bifrost shows a page of it, the next ones follow.
func (s *session) list(ctx context.Context, c collection) (listing, *Error) {
	first, f := s.get(ctx, c.path)
	if f != nil {
		return listing{}, f
	}
	want, counted, _ := first.member("total_count").number()
	list := first.member(c.in)
	if !counted || list.kind() != '[' || want <= int64(len(list.children())) {
		return c.index(first)
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
			return listing{}, unknownShape(c.path, fmt.Sprintf("is longer than %d MiB", maxAnswer>>20))
		}
		if int64(at) >= want {
			break
		}
		if len(texts) == had {
			return listing{}, later(fmt.Sprintf("bifrost's list at %s ends after %d of %d", c.path, at, want), "is somebody else changing it? it is tried again")
		}
		if page, f = s.get(ctx, fmt.Sprintf("%s?limit=%d&offset=%d", c.path, pageSize, at)); f != nil {
			if errors.Is(f.Err, errAbsent) || errors.Is(f.Err, errOther) { // the list itself is there
				f.Err = nil
			}
			return listing{}, f
		}
	}
	all, f := parse(c.path, []byte("{"+walker.Quote(c.in)+":["+strings.Join(texts, ",")+"]}"))
	if f != nil {
		return listing{}, f
	}
	return c.index(all)
}
