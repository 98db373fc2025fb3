package hashivault

import (
	"net/url"
	"path"
	"testing"
	"unicode/utf8"

	"bifrost-secrets/walker"
)

// FuzzNames holds the check of names against lint's rule for the same, which is
// written otherwise, and against what the client makes of a path.
func FuzzNames(f *testing.F) {
	for _, name := range append(setup().Names, setup().BadNames...) {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		good := checkName(name) == nil
		if said := walker.CheckName(backendType, name); utf8.ValidString(name) && good != (said == nil) {
			t.Errorf("%q: %t here, and lint says %v", name, good, said)
		}
		if !good {
			return
		}
		const mount = "/v1/secret/data/"
		sent := (&url.URL{Path: path.Join("", mount+name)}).RequestURI()
		if back, err := url.ParseRequestURI(sent); err != nil || back.Path != mount+name || back.RawQuery != "" {
			t.Errorf("%q would be asked for as %q", name, sent)
		}
	})
}
