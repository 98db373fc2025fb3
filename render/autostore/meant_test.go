package autostore

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets"
	"bifrost-secrets/sources/azurevault"
	"bifrost-secrets/sources/file"
	"bifrost-secrets/sources/gcpsecrets"
	"bifrost-secrets/sources/hashivault"
	"bifrost-secrets/walker"
)

// forms are the ways in which a value of a document may name the secret n: what
// Bifrost reads, what it does not and a person meant, and what stands in the way.
// Each returns JSON.
var forms = map[string]func(n string) string{
	"plain":             func(n string) string { return quoteJSON("vault." + n) },
	"fragment":          func(n string) string { return quoteJSON("vault." + n + "#a/b") },
	"space":             func(n string) string { return quoteJSON(" vault." + n + "\n") },
	"inner space":       func(n string) string { return quoteJSON("vault. " + strings.ReplaceAll(n, "/", " / ")) },
	"line break":        func(n string) string { return quoteJSON("vault." + n[:len(n)-2] + "\r\n" + n[len(n)-2:]) },
	"capital":           func(n string) string { return quoteJSON("Vault." + n) },
	"capitals":          func(n string) string { return quoteJSON(strings.ToUpper("vault." + n)) },
	"quoted":            func(n string) string { return quoteJSON(`"vault.` + n + `"`) },
	"single quotes":     func(n string) string { return quoteJSON(`'vault.` + n + `'`) },
	"curly quotes":      func(n string) string { return quoteJSON("\u201cvault." + n + "\u201d") },
	"shell":             func(n string) string { return quoteJSON("${vault." + n + "}") },
	"template":          func(n string) string { return quoteJSON("{{ vault." + n + " }}") },
	"command":           func(n string) string { return quoteJSON("$(vault " + n + ")") },
	"bearer":            func(n string) string { return quoteJSON("Bearer vault." + n) },
	"url":               func(n string) string { return quoteJSON("https://user:vault." + n + "@example.com/x") },
	"longer":            func(n string) string { return quoteJSON("see (vault." + n + "), or ask") },
	"colon":             func(n string) string { return quoteJSON("vault:" + n) },
	"slash":             func(n string) string { return quoteJSON("vault/" + n + "#k") },
	"no dot":            func(n string) string { return quoteJSON("vault" + n) },
	"underscore":        func(n string) string { return quoteJSON("vault_" + n) },
	"mount":             func(n string) string { return quoteJSON("vault.secret/data/" + n) },
	"vals":              func(n string) string { return quoteJSON("ref+vault://secret/" + n + "#/k") },
	"no scheme":         func(n string) string { return quoteJSON(n) },
	"env":               func(n string) string { return quoteJSON("env." + n) },
	"two slashes":       func(n string) string { return quoteJSON("vault.//" + strings.ReplaceAll(n, "/", "//") + "/") },
	"dots":              func(n string) string { return quoteJSON("vault.x/../" + n) },
	"backslashes":       func(n string) string { return quoteJSON(`vault.` + strings.ReplaceAll(n, "/", `\`)) },
	"percent":           func(n string) string { return quoteJSON("vault." + url.PathEscape(n)) },
	"percent twice":     func(n string) string { return quoteJSON("vault." + url.PathEscape(url.PathEscape(n))) },
	"entities":          func(n string) string { return quoteJSON("vault." + strings.ReplaceAll(n, "/", "&#x2F;")) },
	"full width":        func(n string) string { return quoteJSON(wide("vault." + n)) },
	"zero width":        func(n string) string { return quoteJSON("\ufeffvau\u200blt." + n[:4] + "\u00ad" + n[4:] + "\u200e") },
	"other hyphens":     func(n string) string { return quoteJSON("vault." + strings.ReplaceAll(n, "-", "\u2011")) },
	"bad escapes":       func(n string) string { return strings.ReplaceAll(quoteJSON("vault."+n+"#\u00e9"), "/", `\/`) },
	"all escapes":       func(n string) string { return allEscapes("vault." + n) },
	"json":              func(n string) string { return quoteJSON(allEscapes("vault." + n)) },
	"document":          func(n string) string { return quoteJSON(`{"type": "vault", "ref": "vault.` + n + `"}`) },
	"value":             func(n string) string { return `{"value": ` + quoteJSON("vault."+n) + `}` },
	"ref":               func(n string) string { return `{"ref": ` + quoteJSON("vault."+n) + `}` },
	"typed":             func(n string) string { return `{"value": "", "type": "vault", "ref": ` + quoteJSON("vault."+n) + `}` },
	"ref without vault": func(n string) string { return `{"type": "vault", "ref": ` + quoteJSON(n) + `}` },
	"not in force": func(n string) string {
		return `{"type": "env", "ref": "env.X", "value": ` + quoteJSON("vault."+n) + `}`
	},
	"ref not in force": func(n string) string {
		return `{"type": "plain_text", "value": "x", "ref": ` + quoteJSON("vault."+n) + `}`
	},
	"env_var":          func(n string) string { return `{"from_env": true, "env_var": ` + quoteJSON("vault."+n) + `}` },
	"twice":            func(n string) string { return `{"value": ` + quoteJSON("vault."+n) + `, "value": "x"}` },
	"unknown type":     func(n string) string { return `{"type": "secret", "secret": ` + quoteJSON(n) + `}` },
	"name of a member": func(n string) string { return `{` + quoteJSON("vault."+n) + `: true}` },
	"deep":             func(n string) string { return `[[{"a": [` + quoteJSON("x=vault."+n) + `]}]]` },
	"number beside":    func(n string) string { return `{"value": 7, "ref": ` + quoteJSON("vault."+n) + `}` },
	"variable": func(n string) string {
		return quoteJSON("env." + render.EnvName(walker.Reference{Scheme: walker.Vault, Name: n}))
	},
}

func quoteJSON(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text)
	return strings.TrimSuffix(b.String(), "\n")
}

func allEscapes(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		fmt.Fprintf(&b, `\u%04X`, c)
	}
	return `"` + b.String() + `"`
}

func wide(text string) string {
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f && r != '-' && r != '=' {
			return r + 0xfee0
		}
		return r
	}, text)
}

// kinds are the backends whose names are told apart, each with more ways to
// spell one.
func kinds(t *testing.T) map[string]struct {
	ids   func(string) []string
	forms map[string]func(n string) string
} {
	t.Helper()
	open := func(b sources.Backend, settings map[string]string) func(string) []string {
		set := sources.Settings{}
		for key, text := range settings {
			set[key] = sources.NewSecret([]byte(text))
		}
		s, err := b.Open(t.Context(), set, sources.Options{Getenv: os.LookupEnv, Warn: func(string) {}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s.(sources.Inspector).Identities
	}
	azureID := func(n string) string { id, _ := azurevault.Names.ID(n); return id }
	gcpID := func(n string) string { id, _ := gcpsecrets.Names.ID(n); return id }
	const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
	return map[string]struct {
		ids   func(string) []string
		forms map[string]func(n string) string
	}{
		"aws": {open(awssecrets.Backend, map[string]string{"region": "eu-west-1"}), map[string]func(n string) string{
			"arn":             func(n string) string { return quoteJSON("vault." + arn + n + "-aB3dE6") },
			"half an arn":     func(n string) string { return quoteJSON("vault." + arn + n) },
			"arn, key":        func(n string) string { return quoteJSON("Vault." + arn + n + "-aB3dE6#key") },
			"arn, no scheme":  func(n string) string { return quoteJSON(" " + arn + n + "-aB3dE6") },
			"arn in a text":   func(n string) string { return quoteJSON("it is in " + arn + n + "-aB3dE6, I think") },
			"arn, as a value": func(n string) string { return `{"value": ` + quoteJSON("${vault."+arn+n+"-aB3dE6}") + `}` },
		}},
		"azure": {open(azurevault.Backend, map[string]string{"vault_url": "https://kv.vault.azure.net"}), map[string]func(n string) string{
			"id":      func(n string) string { return quoteJSON("vault." + azureID(n)) },
			"address": func(n string) string { return quoteJSON("vault.https://kv.vault.azure.net/secrets/" + azureID(n)) },
			"version": func(n string) string {
				return quoteJSON("https://KV.vault.azure.net/secrets/" + strings.ToUpper(azureID(n)) + "/0123456789abcdef0123456789abcdef")
			},
			"in a text": func(n string) string {
				return quoteJSON("@Microsoft.KeyVault(SecretUri=https://kv.vault.azure.net/secrets/" + azureID(n) + "/)")
			},
		}},
		"gcp": {open(gcpsecrets.Backend, map[string]string{"project_id": "p-1"}), map[string]func(n string) string{
			"id":       func(n string) string { return quoteJSON("vault." + gcpID(n)) },
			"resource": func(n string) string { return quoteJSON("vault.projects/p-1/secrets/" + gcpID(n)) },
			"version":  func(n string) string { return quoteJSON("vault.projects/p-1/secrets/" + gcpID(n) + "/versions/7#k") },
			"no scheme": func(n string) string {
				return quoteJSON("gcpsm://projects/42/secrets/" + gcpID(n) + "/versions/latest")
			},
		}},
		"vault": {open(hashivault.Backend, map[string]string{"address": "https://vault.example:8200", "token": "x"}), map[string]func(n string) string{
			"address": func(n string) string {
				return quoteJSON("https://vault.example:8200/v1/secret/data/" + n + "?version=2")
			},
		}},
		"file": {open(file.Backend, map[string]string{"path": t.TempDir()}), map[string]func(n string) string{
			"age":  func(n string) string { return quoteJSON("vault." + n + ".age") },
			"path": func(n string) string { return quoteJSON("/run/secrets/" + n) },
		}},
	}
}

// readings returns the names of the secrets that any version of Bifrost would ask
// for, going by docs and code of Bifrost and by nothing of ours: the string form,
// and the precedence of the object forms of each version.
func readings(v any, yield func(name string)) {
	vault := func(text string) {
		if rest, ok := strings.CutPrefix(text, "vault."); ok {
			name, _, _ := strings.Cut(rest, "#")
			yield(name)
		}
	}
	switch v := v.(type) {
	case string:
		vault(v)
	case []any:
		for _, one := range v {
			readings(one, yield)
		}
	case map[string]any:
		ref, _ := v["ref"].(string)
		value, _ := v["value"].(string)
		switch v["type"] {
		case "vault":
			vault(ref)
		case nil, "":
			vault(ref)
			vault(value) // from its database, Bifrost takes it for a reference
		}
		for _, one := range v {
			readings(one, yield)
		}
	}
}

// raced is true under the race detector, which takes ten times as long.
var raced bool

// Of random documents with references in every form, alias and near miss, what is
// stored is pruned: what a text means is there afterwards, and what none means is
// gone. What is meant is known from how the document was made; what Bifrost and
// render would ask for is found out by them.
func TestNothingMeantIsPruned(t *testing.T) {
	t.Parallel()
	documents := 10_000
	if testing.Short() || raced {
		documents = 1_000
	}
	all := kinds(t)
	backends := slices.Sorted(maps.Keys(all))
	used := map[string]int{}
	kept, gone := 0, 0
	for i := range documents {
		r := rand.New(rand.NewPCG(7, uint64(i)))
		kind := backends[i%len(backends)]
		m := newMemory()
		m.ids = all[kind].ids
		ways := maps.Clone(forms)
		for name, form := range all[kind].forms {
			ways[kind+": "+name] = form
		}
		names := slices.Sorted(maps.Keys(ways))
		// What is stored: plain text in some fields.
		var keys, headers []string
		n := 2 + r.IntN(5)
		for k := range n {
			id := pick(r, "k", "key-", "Main", "team x/", "é", "a.b", "10", "k_") + fmt.Sprint(k)
			keys = append(keys, fmt.Sprintf(`{"id": %s, "value": "sk-%d"}`, quoteJSON(id), r.IntN(1e6)))
			headers = append(headers, fmt.Sprintf(`"X-H%d": "h-%d"`, k, r.IntN(1e6)))
		}
		config := func(keys, headers []string, more string) string {
			return `{"providers": {"openai": {"keys": [` + strings.Join(keys, ", ") + `], "network_config": {"extra_headers": {` + strings.Join(headers, ", ") + `}}}}` + more +
				`, "config_store": {"enabled": false, "vault_store": {"enabled": true, "type": "test"}}}`
		}
		p := plan(t, config(keys, headers, ""), m, options())
		if err := p.Store(context.Background()); err != nil {
			t.Fatal(err)
		}
		stored := slices.Sorted(maps.Keys(m.items))
		if len(stored) != 2*n {
			t.Fatalf("%d: stored are %v: %+v", i, stored, p.Items)
		}
		// A document that means some of it.
		meant := map[string]string{}
		var places [4][]string
		for _, name := range stored {
			if r.IntN(3) == 0 {
				continue
			}
			form := names[(i+r.IntN(len(names)))%len(names)]
			if form == "other hyphens" && !strings.Contains(name, "-") {
				form = "plain"
			}
			meant[name] = form
			used[form]++
			text := ways[form](name)
			at := r.IntN(len(places))
			places[at] = append(places[at], text)
		}
		for at := range keys {
			keys[at] = fmt.Sprintf(`{"name": "n%d", "value": "env.X%d"}`, at, at)
		}
		for k, text := range places[0] {
			keys = append(keys, fmt.Sprintf(`{"name": "m%d", "value": %s}`, k, text))
		}
		headers = nil
		for k, text := range places[1] {
			headers = append(headers, fmt.Sprintf(`"X-M%d": %s`, k, text))
		}
		text := config(keys, headers, `, "plugins": [{"name": "own", "config": {"a": [`+strings.Join(places[2], ", ")+`]}}], "nowhere": {"else": [`+strings.Join(places[3], ", ")+`]}`)
		doc := parse(t, text)
		found, err := FindUnused(context.Background(), doc, m, options(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := found.Execute(context.Background(), m, "gw", sources.DeleteOptions{Now: true}); err != nil {
			t.Fatal(err)
		}
		for _, name := range stored {
			_, there := m.items[name]
			if form, ok := meant[name]; ok != there {
				t.Errorf("%d, %s: %s is there: %v; it is meant by %q\n%s", i, kind, name, there, form, text)
			} else if there {
				kept++
			} else {
				gone++
			}
		}
		there := func(who, name string) {
			for _, one := range stored {
				if m.items[one] == nil && slices.ContainsFunc(m.ids(name), func(id string) bool { return slices.Contains(m.ids(one), id) }) {
					t.Errorf("%d, %s: %s wants %s, which is gone\n%s", i, kind, who, one, text)
				}
			}
		}
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		readings(v, func(name string) { there("Bifrost", name) })
		if i%10 == 0 { // it sees less than the others
			if rendered, err := render.NewPlan(doc, options().Store, render.Options{Mode: render.Inline, Getenv: options().Getenv}); err == nil {
				for _, name := range rendered.Secrets {
					there("render", name)
				}
			}
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	for form := range forms {
		if used[form] == 0 {
			t.Errorf("no document had the form %q", form)
		}
	}
	t.Logf("%d documents, %d forms: %d secrets were meant and kept, %d were not and are gone", documents, len(used), kept, gone)
}

func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

// Whatever stands around a reference, it means its secret.
func FuzzMeant(f *testing.F) {
	for _, around := range []string{"", "%", "&#", `\u00`, "vault.", "{{", "\x00", "..", "arn:aws:", "\u00ad", "%zz%2F"} {
		f.Add(around, around)
	}
	const name = "bifrost/config_keys/k-1/value"
	f.Fuzz(func(t *testing.T, before, after string) {
		m := NewMeant(newMemory(), "bifrost", map[string][]string{name: nil, "bifrost/other/secret": nil})
		m.Text("here", before+" vault."+name+" "+after)
		if place, ok := m.By(name); !ok || place != "here" {
			t.Errorf("%q and %q hide it", before, after)
		}
	})
}
