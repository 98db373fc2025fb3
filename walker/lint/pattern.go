package lint

import (
	"regexp"
	"sync"
)

// pattern is a regular expression that is compiled when it is first needed: all
// of them together would take as long as all else that the program does before
// it looks at a document.
type pattern func() *regexp.Regexp

func lazy(expr string) pattern {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// MatchString is that of the expression.
func (p pattern) MatchString(s string) bool { return p().MatchString(s) }

// FindStringSubmatch is that of the expression.
func (p pattern) FindStringSubmatch(s string) []string { return p().FindStringSubmatch(s) }
