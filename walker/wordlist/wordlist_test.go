package wordlist_test

import (
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/walker/wordlist"
)

func TestSet(t *testing.T) {
	s := wordlist.Set{List: "key api_key  token"}
	for word, want := range map[string]bool{"key": true, "api_key": true, "token": true, "": false, "key api_key": false, "Key": false} {
		if got := s.Has(word); got != want {
			t.Errorf("%q: %v", word, got)
		}
	}
}

func TestParts(t *testing.T) {
	p := wordlist.Parts{List: "fake your -here …"}
	for text, want := range map[string]bool{"": false, "fake": true, "a fake one": true, "put-it-here": true, "here": false, "yo": false, "abc…": true, "fak": false, "you are": false, "you're, your": true} {
		if got := p.In(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// The table holds what it was made of, and no order is changed that matters.
func TestIndex(t *testing.T) {
	all := []string{"b2", "\xff", "a", "b1", "\x00x", "b2", "z"}
	table := wordlist.Index(slices.Values(all), func(s string) string { return s })
	for c := range 256 {
		var want []string
		for _, one := range all {
			if strings.HasPrefix(one, string([]byte{byte(c)})) {
				want = append(want, one)
			}
		}
		if got := table.Of(byte(c)); !slices.Equal(got, want) {
			t.Errorf("%#x: %q, want %q", c, got, want)
		}
	}
}
