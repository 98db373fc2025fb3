package sources

import (
	"fmt"
	"os"
	"strings"
	"unicode"
)

// Trim returns text without the white space at its ends: what Unicode calls so,
// and the byte order mark and the other characters without a width that editors
// and copying leave behind. No credential, address or path of a file that a
// client takes from a setting has any there; a mounted file and an `echo` do.
func Trim(text string) string {
	return strings.TrimFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune("\ufeff\u200b\u200c\u200d\u200e\u200f\u2060", r)
	})
}

// Trimmed returns options under which the client of f sees its variables
// without white space at their ends, and warns of each that has some, by name.
// Clients read the environment of the process by themselves, so it is set there
// as well where it is the one that o knows; what a child process is given is
// not touched.
func (f Facts) Trimmed(o Options) Options {
	given := map[string]string{}
	for _, name := range f.Variables {
		value, ok := o.Getenv(name)
		text := Trim(value)
		if !ok || text == value {
			continue
		}
		o.Warn(fmt.Sprintf("the variable %s has white space at an end, which is left out", name))
		given[name] = text
		if own, ok := os.LookupEnv(name); ok && own == value {
			_ = os.Setenv(name, text) // the name is a constant, and a value of the environment is fit for it
		}
	}
	if len(given) > 0 {
		getenv := o.Getenv
		o.Getenv = func(name string) (string, bool) {
			if text, ok := given[name]; ok {
				return text, true
			}
			return getenv(name)
		}
	}
	return o
}
