package lint

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"bifrost-secrets/walker"
)

// What the outline finds must be what is found in the plainest way, and a path the
// same whichever way leads to it.
func checkOutline(t *testing.T, doc *walker.Document) {
	t.Helper()
	o := outlineOf(doc)
	var doubles []int
	duplicates(doc, 0, func(again walker.Span) { doubles = append(doubles, again.Start) })
	slices.Sort(doubles)
	var found []int
	for _, d := range o.doubles {
		found = append(found, d.again.Name.Start)
	}
	slices.Sort(found)
	if !slices.Equal(doubles, found) {
		t.Errorf("doubled members at %v, want %v", found, doubles)
	}
	for _, pattern := range []string{"providers.*.keys[]", "config_store", storePath, storePath + ".*", "plugins[]", "mcp.client_configs[].stdio_config"} {
		doc.Each(pattern, func(want walker.Object) {
			if got := doc.Paths(want.Start)[want.Start]; got != want.Path {
				t.Errorf("the path at %d is %q, want %q", want.Start, got, want.Path)
			}
		})
	}
	paths := map[int]string{}
	var offsets []int
	doc.Walk(func(f *walker.Field) bool {
		paths[f.Start] = f.Path
		offsets = append(offsets, f.Start)
		return true
	})
	for offset, got := range doc.Paths(offsets...) {
		if got != paths[offset] {
			t.Errorf("the path at %d is %q, want %q", offset, got, paths[offset])
		}
	}
}

// duplicates calls yield for each name in the container at i that its object has
// had before.
func duplicates(doc *walker.Document, i int, yield func(walker.Span)) {
	seen := map[string]bool{}
	for doc.Bytes()[i] <= ' ' {
		i++
	}
	if c := doc.Bytes()[i]; c != '{' && c != '[' {
		return
	}
	doc.Children(i, func(name walker.Span, at int) int {
		if text := string(doc.Text(name)); text != "" {
			if seen[text] {
				yield(name)
			}
			seen[text] = true
		}
		duplicates(doc, at, yield)
		return 0
	})
}

func FuzzOutline(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(err, "no documents")
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"a\"[b":{"k\u00e9y":[[{"":"env.X","\u0061":"vault.y","\ud83d\ude00":"env.Z","\u0007":"env.B","\u202e":"env.C"}]]},"a":1,"a":2}`))
	f.Add([]byte(`{"providerſ":{"x":{"\u006beys":[{"name":"\"","value":1}]}},"mcp":{"Client_Configs":[{"stdio_config":{}},[]]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if doc, err := walker.Parse("c", data); err == nil {
			checkOutline(t, doc)
		}
	})
}
