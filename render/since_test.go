package render

import (
	"strings"
	"testing"

	"bifrost-secrets/sources"
)

// What an earlier life has published is told apart from what is rendered now by its
// values, and by nothing but them.
func TestSince(t *testing.T) {
	doc := `{"config_store": {"vault_store": {"type": "aws-secrets-manager"}, "enabled": false}, "a": "x\/y",
 "providers": {"openai": {"keys": [{"value": "vault.a"}, {"value": "vault.b#k"}, {"value": "sk-a\/b"}, {"value": "vault.a"}]}}}`
	render := func(a, b string) *Rendering {
		t.Helper()
		r, problems := planOf(t, doc).Render(Values{
			"a": {Value: sources.NewSecret([]byte(a))}, "b": {Value: sources.NewSecret([]byte(`{"k": "` + b + `"}`))},
		})
		if problems != nil {
			t.Fatal(problems)
		}
		return r
	}
	hard := `q"\` + "\\\t é"
	was := string(render(hard, "b1").Document())
	for name, test := range map[string]struct {
		a, b, was, want string
	}{
		"nothing":            {hard, "b1", was, ""},
		"one of two":         {hard, "b2", was, "providers.openai.keys[1].value"},
		"twice":              {"a2", "b1", was, "providers.openai.keys[0].value providers.openai.keys[3].value"},
		"another document":   {hard, "b1", strings.Replace(was, `"a"`, `"A"`, 1), "edited"},
		"another spelling":   {hard, "b1", strings.Replace(was, `sk-a/b`, `sk-a\/b`, 1), "edited"},
		"one that goes on":   {hard, "b2", was + " ", "edited"},
		"one that ends":      {hard, "b1", was[:len(was)-1], "edited"},
		"one within a value": {hard, "b1", was[:strings.Index(was, "b1")], "edited"},
		"no string":          {hard, "b1", strings.Replace(was, `"b1"`, `12`, 1), "edited"},
		"nothing at all":     {hard, "b1", "", "edited"},
	} {
		r := render(test.a, test.b)
		changed, edited := r.Since([]byte(test.was))
		var paths []string
		for _, c := range changed {
			paths = append(paths, c.Path)
		}
		got := strings.Join(paths, " ")
		if edited {
			if len(changed) != len(r.Values()) {
				t.Errorf("%s: edited, and %d fields", name, len(changed))
			}
			got = "edited"
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}
