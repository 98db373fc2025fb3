package walker

import "testing"

// No two lines of the catalogue are about one place.
func TestCatalogueNamesEachPlaceOnce(t *testing.T) {
	seen := map[[2]string]bool{}
	for _, e := range Catalogue() {
		place := [2]string{e.Pattern, e.Selector}
		if seen[place] {
			t.Errorf("two lines stand for %s %s", e.Pattern, e.Selector)
		}
		seen[place] = true
	}
}

// A fault of the catalogue is one of the build.
func TestParseCatalogue(t *testing.T) {
	const good = "a.b\tsecret\tstring\t2.1\tnever\ta.name=x\t-\t-"
	if _, err := parseCatalogue(good); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		"a.b\tsecret", "a.b\thidden\tstring\tyes\tlive\t-\t-\t-", "a.b\tsecret\ttext\tyes\tlive\t-\t-\t-", "a.b\tsecret\tstring\t2\tlive\t-\t-\t-",
		"a.b\tsecret\tstring\tyes\tnow\t-\t-\t-", "a..b\tsecret\tstring\tyes\tlive\t-\t-\t-", "a.**\tsecret\tstring\tyes\tlive\t-\t-\t-",
		"a.b\tsecret\tzone\tyes\tlive\t-\t-\t-", "a.b\tsecret\tstring\tyes\tlive\tc.name=x\t-\t-", "a.b\tsecret\tstring\tyes\tlive\ta.name\t-\t-",
	} {
		if entries, err := parseCatalogue(bad); err == nil {
			t.Errorf("%q is taken for %v", bad, entries)
		}
	}
}

// Every command that reads a document waits for the catalogue to be compiled.
func TestCompilesForLittle(t *testing.T) {
	const most = 8000 // allocations
	if n := testing.AllocsPerRun(1, func() {
		if _, err := compile(catalogueText); err != nil {
			t.Fatal(err)
		}
	}); n > most {
		t.Errorf("it takes %.0f allocations, want at most %d", n, most)
	}
}
