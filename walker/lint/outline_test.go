package lint

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"bifrost-secrets/walker"
)

// The outline goes over the document in a way of its own. What it finds must be
// what walker finds: doubled members, objects, and the paths of fields.
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
	starts := map[string][]int{}
	for _, k := range o.keys {
		starts["providers.*.keys[]"] = append(starts["providers.*.keys[]"], k.start)
	}
	for at, pattern := range map[int]string{
		atConfigStore: "config_store", atVaultStore: storePath, atVaultBlock: storePath + ".*", atPlugin: "plugins[]", atStdio: "mcp.client_configs[].stdio_config",
	} {
		for _, object := range o.objects[at] {
			starts[pattern] = append(starts[pattern], object.Start)
		}
	}
	for _, pattern := range []string{"providers.*.keys[]", "config_store", storePath, storePath + ".*", "plugins[]", "mcp.client_configs[].stdio_config"} {
		n := 0
		doc.Each(pattern, func(want walker.Object) {
			if n >= len(starts[pattern]) || starts[pattern][n] != want.Start {
				t.Fatalf("the object at %d, %s, is not found", want.Start, pattern)
			}
			if got := pathsOf(doc, want.Start)[want.Start]; got != want.Path {
				t.Errorf("the path at %d is %q, want %q", want.Start, got, want.Path)
			}
			n++
		})
		if n != len(starts[pattern]) {
			t.Errorf("%d objects at %s, want %d", len(starts[pattern]), pattern, n)
		}
	}
	paths := map[int]string{}
	var offsets []int
	doc.Walk(func(f *walker.Field) bool {
		paths[f.Start] = f.Path
		offsets = append(offsets, f.Start)
		return true
	})
	for offset, got := range pathsOf(doc, offsets...) {
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
