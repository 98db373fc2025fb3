package hashivault

import (
	"net/url"
	"path"
	"testing"
)

// FuzzNames holds the check of names against what the client makes of a path.
func FuzzNames(f *testing.F) {
	for _, name := range append(setup().Names, setup().BadNames...) {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkName(name) != nil {
			return
		}
		const mount = "/v1/secret/data/"
		sent := (&url.URL{Path: path.Join("", mount+name)}).RequestURI()
		if back, err := url.ParseRequestURI(sent); err != nil || back.Path != mount+name || back.RawQuery != "" {
			t.Errorf("%q would be asked for as %q", name, sent)
		}
	})
}
