package hashivault

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Policy returns the least policy that lets names be read, in the HCL of Vault and
// OpenBao, for people to paste. There are no batches, so it asks for nothing for
// them. The engine is taken to have version 2, unless it has been asked.
func (s *source) Policy(names []string) []byte {
	return s.rules(nil, names)
}

// WritePolicy returns the least policy that lets names be read and secrets whose
// name begins with prefix be stored, looked at, listed and deleted.
func (s *source) WritePolicy(names []string, prefix string) []byte {
	under := strings.TrimPrefix(strings.Trim(prefix, "/")+"/*", "/")
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return strings.HasPrefix(name, strings.TrimSuffix(under, "*")) // it is allowed with the rest
	})
	return s.rules([]rule{
		{"data", under, `"create", "read", "update"`},
		{"metadata", under, `"create", "read", "update", "patch", "list", "delete"`},
		{"delete", under, `"update"`},
	}, names)
}

// rule is one path of a policy.
type rule struct{ what, path, capabilities string }

func (s *source) rules(rules []rule, names []string) []byte {
	e := s.engine.Load()
	if e == nil {
		e = &engine{version: 2}
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	for i := len(names) - 1; i >= 0; i-- {
		// A star at the end of a path stands for anything: such a name cannot be
		// allowed alone.
		if checkName(names[i]) == nil && !strings.HasSuffix(names[i], "*") {
			rules = slices.Insert(rules, 0, rule{"data", names[i], `"read"`})
		}
	}
	var b bytes.Buffer
	if s.namespace != "" {
		fmt.Fprintf(&b, "# in the namespace %s\n", s.namespace)
	}
	for i, r := range rules {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "path %s {\n  capabilities = [%s]\n}\n", quote(e.path(s.mount, r.what, r.path)), r.capabilities)
	}
	return b.Bytes()
}

// quote writes a path as a string of HCL. A plus sign between slashes would
// stand for any part of a path: there is no way to write that one alone.
func quote(path string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `${`, `$${`).Replace(path) + `"`
}
