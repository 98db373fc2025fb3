package walker

import (
	"sync"
	"testing"
)

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
	if _, err := Rows(good, columns, parseEntry); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		"a.b\tsecret", "a.b\thidden\tstring\tyes\tlive\t-\t-\t-", "a.b\tsecret\ttext\tyes\tlive\t-\t-\t-", "a.b\tsecret\tstring\t2\tlive\t-\t-\t-",
		"a.b\tsecret\tstring\tyes\tnow\t-\t-\t-", "a..b\tsecret\tstring\tyes\tlive\t-\t-\t-", "a.**\tsecret\tstring\tyes\tlive\t-\t-\t-",
		"a.b\tsecret\tzone\tyes\tlive\t-\t-\t-", "a.b\tsecret\tstring\tyes\tlive\tc.name=x\t-\t-", "a.b\tsecret\tstring\tyes\tlive\tname=x\t-\t-", "a.b\tsecret\tstring\tyes\tlive\ta.name\t-\t-",
	} {
		if entries, err := Rows(bad, columns, parseEntry); err == nil {
			t.Errorf("%q is taken for %v", bad, entries)
		}
	}
}

// Every command that reads a document waits for the catalogue to be compiled.
func TestCompilesForLittle(t *testing.T) {
	const most = 100 // allocations
	if n := testing.AllocsPerRun(1, func() { compile(catalogueText) }); n > most {
		t.Errorf("it takes %.0f allocations, want at most %d", n, most)
	}
}

// The catalogue is compiled as documents need it, whoever reads them at the same
// time.
func TestCompilesForManyAtOnce(t *testing.T) {
	root := compile(catalogueText)
	doc := []byte(`{"plugins":[{"name":"kafka","config":{"ca_cert":"env.C"}}],"providers":{"a":{"keys":[{"value":"vault.x"}]}},"mcp":{"client_configs":[{"headers":{"a":"b"}}]}}`)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if found, ok := scan(doc, root); !ok || len(found.fields) != 1 || len(found.fields[0]) != 3 {
				t.Errorf("found %v", found.fields)
			}
		})
	}
	all.Wait()
}
