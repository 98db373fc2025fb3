package lint

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"bifrost-secrets/walker"
)

// Fingerprints returns a name for each finding of a document that stays the same
// when lines move and when elements do: it is made of the rule and the path, in
// which an element of an array goes by its name or id, where it has one. Of
// findings of one rule at one place, each has its own. No value goes into it. doc
// is nil for findings that stand in no text.
func Fingerprints(doc *walker.Document, findings []Finding) []string {
	called := map[string]string{}
	if doc != nil {
		for i := range findings {
			for at, c := range []byte(findings[i].Path) {
				if c == ']' {
					called[findings[i].Path[:at+1]] = ""
				}
			}
		}
		if len(called) > 0 {
			callElements(doc, called)
		}
	}
	type place struct{ rule, path string }
	nth := map[place]int{}
	all := make([]string, len(findings))
	for i := range findings {
		p := place{findings[i].Rule, steady(findings[i].Path, called)}
		hash := fnv.New64a()
		_, _ = fmt.Fprintf(hash, "%s\x00%s\x00%d", p.rule, p.path, nth[p])
		nth[p]++
		all[i] = fmt.Sprintf("%016x", hash.Sum64())
	}
	return all
}

// steady returns a path in which elements go by what they are called.
func steady(path string, called map[string]string) string {
	var out strings.Builder
	from := 0
	for at, c := range []byte(path) {
		name := ""
		if c == ']' {
			name = called[path[:at+1]]
		}
		if open := strings.LastIndexByte(path[:at+1], '['); name != "" && open >= from {
			out.WriteString(path[from:open])
			out.WriteString("[")
			out.WriteString(strconv.Quote(name))
			out.WriteString("]")
			from = at + 1
		}
	}
	return out.String() + path[from:]
}

// callElements notes what elements are called whose paths called has.
func callElements(doc *walker.Document, called map[string]string) {
	doc.Visit(func(path []byte, member walker.Span, at int) bool {
		if _, asked := called[string(path)]; !asked || member.End > 0 || doc.Bytes()[at] != '{' {
			return true
		}
		o := doc.ObjectAt(at)
		for _, name := range []string{"name", "id"} {
			if m, ok := doc.Find(o, name); ok && doc.String(m.Value) != "" {
				called[string(path)] = name + "=" + doc.String(m.Value)
				break
			}
		}
		return true
	})
}
