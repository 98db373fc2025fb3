package bifrost_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/watch/bifrost/bifrosttest"
)

// TestFaithful holds the Bifrost in memory against the real one: what it
// answers has to be there as well, and of the same type.
func TestFaithful(t *testing.T) {
	if os.Getenv("BIFROST_BIN") == "" {
		t.Skip("BIFROST_BIN is not set: this test starts a real Bifrost; name its binary there to run it")
	}
	u := bifrosttest.NewUpstream(t)
	doc := first.render(t, u)
	theirs := newReal(t).start(t, doc)
	version, err := client(t, theirs, nil).Version(t.Context(), doc)
	if err != nil {
		t.Fatal(err)
	}
	known := bifrosttest.Versions[len(bifrosttest.Versions)-1]
	for _, v := range bifrosttest.Versions {
		if number, _, _ := strings.Cut(v, "-"); strings.HasPrefix(version, "v"+number) || strings.HasPrefix(number, "1.4") && strings.HasPrefix(version, "v1.4") {
			known = v
		}
	}
	s := &stub{bifrosttest.New(t, known)}
	ours := s.start(t, doc)
	for _, path := range []string{
		"/health", "/api/version", "/api/providers", "/api/providers/openai", "/api/providers/none", "/api/providers/openai/keys",
		"/api/providers/none/keys", "/api/mcp/clients", "/api/plugins/otel", "/api/plugins/none", "/api/config", "/api/none",
	} {
		if path == "/api/mcp/clients" && !hasMCP(t, theirs, first.password) {
			t.Log("this build of Bifrost has no MCP")
			continue
		}
		a, b := shape(t, ours+path), shape(t, theirs+path)
		for _, place := range slices.Sorted(maps.Keys(a)) {
			if b[place] != a[place] && b[place] != "null" && a[place] != "null" {
				t.Errorf("%s: %s is %q here and %q there", path, place, a[place], b[place])
			}
		}
		for _, place := range slices.Sorted(maps.Keys(b)) {
			if _, ok := a[place]; !ok {
				t.Logf("%s: only there: %s", path, place)
			}
		}
	}
}

// shape returns the types of all members of an answer, and its status.
func shape(t *testing.T, url string) map[string]string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", first.password)
	resp, err := plain.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	all := map[string]string{"status": fmt.Sprint(resp.StatusCode)}
	var tree any
	if json.NewDecoder(resp.Body).Decode(&tree) != nil {
		all["body"] = "no json"
		return all
	}
	var look func(at string, v any)
	look = func(at string, v any) {
		all[at] = strings.TrimPrefix(fmt.Sprintf("%T", v), "map[string]")
		switch x := v.(type) {
		case nil:
			all[at] = "null"
		case map[string]any:
			for name, inner := range x {
				look(at+"."+name, inner)
			}
		case []any:
			for _, inner := range x {
				look(at+"[]", inner)
			}
		}
	}
	look("", tree)
	return all
}
