package autostore

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// config has a plaintext secret in fields of many kinds, with spacing and
// escapes that must stay as they are.
const config = `{
  "encryption_key": "correct horse",
  "providers": {"openai": { "keys":[
     {"id":"k-1", "name": "main", "value":"sk-plain\u0041-1" , "weight": 1.50},
     {"name": "second", "value": {"value":"sk-plain-2"}, "azure_key_config": {"endpoint": "https://a.example", "client_secret": "azure-1"}}],
     "network_config": {"extra_headers": {"X-Api Key": "head\\er"}}}},
  "governance": {"virtual_keys": [{"id": "vk", "value": "sk-bf-1"}, {"name":"by ref", "value": "vault.kept#x"}]},
  "mcp": {"client_configs": [{"client_id": "c/1", "name": "tickets", "headers": {"Authorization": "Bearer é"}}]},
  "plugins": [{"name": "maxim", "config": {"api_key": "maxim-1"}}],
  "webhooks": [{"secret": "hook"}, {"secret": "hook 2"}],
  "auth_config": {"admin_username": "admin", "admin_password": "<redacted>"},
  "config_store": {"enabled": true, "type": "sqlite",
    "vault_store": {"enabled": true, "type": "test", "access_mode": "read_and_write", "aws": {"secret_access_key": "stays"}}}
}
`

func parse(t *testing.T, text string) *walker.Document {
	t.Helper()
	doc, err := walker.Parse("config.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func options() Options {
	return Options{
		Store: &render.VaultStore{Type: "test", Enabled: true}, Gateway: "gw",
		Getenv: func(string) (string, bool) { return "", false },
		IsKey:  func(text string) bool { return strings.Contains(text, "ghp_") },
	}
}

func plan(t *testing.T, text string, m *memory, o Options) *Plan {
	t.Helper()
	p, err := NewPlan(context.Background(), parse(t, text), m, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// resolved renders a document and returns the text of every field that has one.
func resolved(t *testing.T, text string, m *memory) map[string]string {
	t.Helper()
	doc := parse(t, text)
	store, err := render.StoreFromDocument(doc)
	if err != nil {
		t.Fatal(err)
	}
	p, err := render.NewPlan(doc, store, render.Options{Mode: render.Inline, Getenv: options().Getenv})
	if err != nil {
		t.Fatal(err)
	}
	values := render.Values(m.Fetch(context.Background(), p.Secrets))
	values["kept"] = sources.Result{Value: sources.NewSecret([]byte(`{"x": "sk-bf-kept"}`))}
	r, problems := p.Render(values)
	if problems != nil {
		t.Fatal(problems)
	}
	out := map[string]string{}
	parse(t, string(r.Document())).Walk(func(f *walker.Field) bool {
		out[f.Path] = f.Text()
		return true
	})
	return out
}

func TestNames(t *testing.T) {
	want := `encryption_key = bifrost/encryption_key
providers.openai.keys[0].value = bifrost/config_keys/k-1/value
providers.openai.keys[1].value = bifrost/config_keys/second/value
providers.openai.keys[1].azure_key_config.client_secret = bifrost/config_keys/second/azure_client_secret
providers.openai.network_config.extra_headers["X-Api Key"] = bifrost/config_providers/openai/network_config/extra_headers/X-Api=20Key
governance.virtual_keys[0].value = bifrost/governance_virtual_keys/vk/value
mcp.client_configs[0].headers.Authorization = bifrost/config_mcp_clients/c=2F1/headers/Authorization
plugins[0].config.api_key = bifrost/config_plugins/maxim/config/api_key
webhooks[0].secret = bifrost/webhooks/0/secret
webhooks[1].secret = bifrost/webhooks/1/secret
`
	var got strings.Builder
	for _, it := range Plaintext(parse(t, config), Options{}) {
		got.WriteString(it.Path + " = " + it.Name + "\n")
	}
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

// The table is made of patterns that the catalogue has, each is reached, and the
// page for people has it too.
func TestTemplates(t *testing.T) {
	page, err := os.ReadFile("../../docs/migrate.md")
	if err != nil {
		t.Fatal(err)
	}
	met := map[string]bool{}
	for _, e := range walker.Catalogue() {
		met[templateOf(e.Pattern).pattern] = true
	}
	for _, one := range templates() {
		row := "| `" + one.pattern + "` | `" + strings.ReplaceAll(one.name, "|", `\|`) + "` |"
		if !strings.Contains(string(page), "\n"+row+"\n") {
			t.Errorf("docs/migrate.md has no row %s", row)
		}
		if !met[one.pattern] {
			t.Errorf("no field has its name by the line %s", one.pattern)
		}
	}
}

func TestStoreAndAgain(t *testing.T) {
	m := newMemory()
	p := plan(t, config, m, options())
	if n, writes := len(p.Items), p.Count(New); n != 10 || writes != 10 {
		t.Fatalf("%d items, %d new: %+v", n, writes, p.Items)
	}
	before := resolved(t, config, m)
	if err := p.Store(context.Background()); err != nil {
		t.Fatal(err)
	}
	rewritten := string(p.Rewritten())
	for _, value := range []string{"sk-plain", "azure-1", "correct horse", "maxim-1", "hook", "head"} {
		if strings.Contains(rewritten, `"`+value) && value != "head" {
			t.Errorf("%s still stands in the document", value)
		}
	}
	if after := resolved(t, rewritten, m); len(after) != len(before) {
		t.Errorf("%d fields, %d before", len(after), len(before))
	} else {
		for path, text := range before {
			if after[path] != text {
				t.Errorf("%s is %q, and was %q", path, after[path], text)
			}
		}
	}
	// Outside of the values every byte is as it was.
	for _, piece := range []string{`"value":"vault.bifrost/config_keys/k-1/value" , "weight": 1.50}`, `{ "keys":[` + "\n", `"admin_password": "<redacted>"`, `"aws": {"secret_access_key": "stays"}`} {
		if !strings.Contains(rewritten, piece) {
			t.Errorf("%s is not in the document:\n%s", piece, rewritten)
		}
	}
	// The rewritten document has nothing left to store; the old one finds all as
	// it is.
	if again := plan(t, rewritten, m, options()); len(again.Items) != 0 {
		t.Errorf("still to store: %+v", again.Items)
	}
	again := plan(t, config, m, options())
	if again.Count(Unchanged) != 10 {
		t.Errorf("not all unchanged: %+v", again.Items)
	}
	puts := m.puts
	if err := again.Store(context.Background()); err != nil || m.puts != puts {
		t.Errorf("%v, %d writes more", err, m.puts-puts)
	}
	changed := plan(t, strings.Replace(config, "sk-plain-2", "sk-plain-3", 1), m, options())
	if changed.Count(Changed) != 1 || changed.Count(Unchanged) != 9 {
		t.Errorf("%+v", changed.Items)
	}
	if err := changed.Store(context.Background()); err != nil || m.puts != puts+1 || m.items["bifrost/config_keys/second/value"].versions != 2 {
		t.Errorf("%v, %d writes more", err, m.puts-puts)
	}
}

func TestRefusals(t *testing.T) {
	one := func(value string) string {
		return `{"providers": {"p": {"keys": [{"name": "k", "value": ` + value + `}]}}}`
	}
	const name = "bifrost/config_keys/k/value"
	for what, c := range map[string]struct {
		text   string
		set    func(*memory)
		reason string
	}{
		"foreign":   {one(`"v"`), func(m *memory) { m.items[name] = &kept{value: "v", versions: 1} }, "not stored by bifrost-secrets"},
		"another's": {one(`"v"`), func(m *memory) { m.items[name] = &kept{versions: 1, mark: &sources.Mark{Owner: "eve"}} }, `belongs to the gateway "eve"`},
		"rotated":   {one(`"v"`), func(m *memory) { m.items[name] = &kept{versions: 1, rotated: true, mark: &sources.Mark{Owner: "gw"}} }, "under rotation"},
		"deleted": {one(`"v"`), func(m *memory) {
			m.items[name] = &kept{versions: 1, gone: doomsday, mark: &sources.Mark{Owner: "gw"}}
		}, "scheduled for deletion"},
		"denied": {one(`"v"`), func(m *memory) {
			m.before = func(op, _ string) error {
				if op == "fetch" {
					return &sources.Error{Kind: sources.Denied, Message: "not allowed"}
				}
				return nil
			}
			m.items[name] = &kept{versions: 1, mark: &sources.Mark{Owner: "gw"}}
		}, "not allowed"},
		"too large":                {one(`"` + strings.Repeat("v", 1025) + `"`), nil, "1025 bytes and 1024 are the most"},
		"line break":               {one(`"v\n"`), nil, "ends with a line break"},
		"quotes":                   {one(`"\"v\""`), nil, "double quote"},
		"NUL":                      {one(`"a\u0000b"`), nil, "NUL byte"},
		"a literal that refers":    {one(`{"value": "env.X", "type": "plain_text"}`), nil, "begins with env. or vault."},
		"not virtual":              {`{"governance": {"virtual_keys": [{"id": "a", "value": "plain"}]}}`, nil, "sk-bf-"},
		"twice":                    {`{"providers": {"p": {"keys": [{"name": "k", "value": "a"}]}, "q": {"keys": [{"name": "k", "value": "b"}]}}}`, nil, "the same name as providers."},
		"twice in one object":      {one(`"a", "value": "b"`), nil, "stands twice"},
		"a name that is the value": {`{"providers": {"p": {"keys": [{"name": "not a/real key", "value": "not a/real key"}]}}}`, nil, "a key stands in the name"},
		"a name that is a key":     {`{"providers": {"p": {"keys": [{"name": "ghp_notReal", "value": "v"}]}}}`, nil, "a key stands in the name"},
		"another spelling":         {`{"providers": {"p": {"keys": [{"name": "k", "value": "a"}, {"name": "x", "value": "vault.BIFROST/config_keys/K/value#x"}]}}}`, nil, "refers to the secret of that name already"},
		"taken":                    {`{"providers": {"p": {"keys": [{"name": "k", "value": "a"}, {"name": "x", "value": "vault.` + name + `"}]}}}`, nil, "refers to the secret of that name already"},
	} {
		t.Run(what, func(t *testing.T) {
			m := newMemory()
			if c.set != nil {
				c.set(m)
			}
			p := plan(t, c.text, m, options())
			if p.Count(Refuse) == 0 || !strings.Contains(p.Items[0].Reason, c.reason) {
				t.Fatalf("%+v", p.Items)
			}
			if p.Items[0].Reason == "" || strings.Contains(p.Items[0].Name, "ghp_") || m.puts > 0 {
				t.Errorf("%+v, %d writes", p.Items[0], m.puts)
			}
			if string(p.Rewritten()) != c.text {
				t.Errorf("rewritten to %s", p.Rewritten())
			}
		})
	}
}

// A name that no reference could spell is refused before anything is written.
func TestUnspeakableNames(t *testing.T) {
	for _, prefix := range []string{"team#1", " team", "a\x01"} {
		m, o := newMemory(), options()
		o.Prefix = prefix
		p := plan(t, config, m, o)
		if p.Count(Refuse) != 10 || !strings.Contains(p.Items[0].Reason, "no reference can name") {
			t.Errorf("%q: %+v", prefix, p.Items[0])
		}
		if string(p.Rewritten()) != config {
			t.Errorf("%q: rewritten", prefix)
		}
	}
}

// However the writing stops, the document as it is still resolves to the same
// values, and the next run finishes.
func TestStopsAndConverges(t *testing.T) {
	for stopAt := range 60 {
		m := newMemory()
		calls := 0
		stopped := errors.New("stopped")
		m.before = func(op, name string) error {
			m.mu.Lock()
			defer m.mu.Unlock()
			if calls++; calls > stopAt {
				return &sources.Error{Kind: sources.Unreachable, Name: name, Message: "gone", Err: stopped}
			}
			return nil
		}
		p, err := NewPlan(context.Background(), parse(t, config), m, options())
		if err == nil && p.Count(Refuse) == 0 {
			err = p.Store(context.Background())
		}
		m.before = newMemory().before
		again := plan(t, config, m, options())
		if n := again.Count(New) + again.Count(Unchanged); n != 10 {
			t.Fatalf("stopped at %d: %+v", stopAt, again.Items)
		}
		if err := again.Store(context.Background()); err != nil {
			t.Fatalf("stopped at %d: %v", stopAt, err)
		}
		for name, k := range m.items {
			if k.versions != 1 {
				t.Errorf("stopped at %d: %s has %d versions", stopAt, name, k.versions)
			}
		}
		if err == nil && p.Count(Refuse) == 0 && stopAt < 30 {
			t.Errorf("not stopped at %d", stopAt)
		}
	}
}

// What another run stores between our look and our write is not overwritten.
func TestConflict(t *testing.T) {
	m := newMemory()
	p := plan(t, config, m, options())
	m.items["bifrost/webhooks/0/secret"] = &kept{value: "theirs", versions: 1, mark: &sources.Mark{Owner: "gw"}}
	var failed *render.Problems
	if err := p.Store(context.Background()); !errors.As(err, &failed) || len(failed.List) != 1 || failed.List[0].Kind != sources.Conflict || failed.Retryable() {
		t.Fatal(failed)
	}
	if m.items["bifrost/webhooks/0/secret"].value != "theirs" {
		t.Error("overwritten")
	}
}

// A value that comes back another is noticed before the document is touched.
func TestReadBack(t *testing.T) {
	m := newMemory()
	p := plan(t, config, m, options())
	m.before = func(op, name string) error {
		if op == "fetch" && strings.HasSuffix(name, "hook/value") || op == "fetch" && name == "bifrost/encryption_key" {
			m.mu.Lock()
			m.items[name].value += " "
			m.mu.Unlock()
		}
		return nil
	}
	if err := p.Store(context.Background()); err == nil || !strings.Contains(err.Error(), "returned another value") {
		t.Fatal(err)
	}
}

func TestDown(t *testing.T) {
	m := newMemory()
	m.before = func(_, name string) error {
		return &sources.Error{Kind: sources.Unreachable, Name: name, Message: "no answer"}
	}
	if _, err := NewPlan(context.Background(), parse(t, config), m, options()); sources.KindOf(err) != sources.Unreachable {
		t.Fatal(err)
	}
}

func TestFindUnused(t *testing.T) {
	m := newMemory()
	put := func(name, owner, path string) {
		m.items[name] = &kept{versions: 1, mark: &sources.Mark{Owner: owner, Path: path}}
	}
	put("bifrost/a", "gw", "a")
	put("bifrost/b", "gw", "b")
	put("bifrost/c", "gw", "c") // in a field of no kind that is known
	put("bifrost/d", "gw", "d") // by a fragment
	put("bifrost/e", "other", "e")
	put("bifrost/f", "gw", "") // put by hand
	put("bifrostly/g", "gw", "g")
	put("bifrost/h", "gw", "h")
	m.items["bifrost/h"].gone = doomsday
	m.items["bifrost/i"] = &kept{versions: 1}
	put("bifrost/j", "gw", "j") // named in a database
	put("bifrost/K", "gw", "k") // spelled otherwise
	doc := parse(t, `{"encryption_key": "vault.bifrost/a", "nowhere": {"x": "vault.bifrost/c"}, "auth_config": {"admin_password": "vault.bifrost/d#k", "admin_username": "vault.BIFROST/k"}}`)
	p, err := FindUnused(context.Background(), doc, m, options(), func(see func(place, text string)) error {
		see("a database", "vault.bifrost/j")
		return nil
	})
	if err != nil || len(p.Delete) != 1 || p.Delete[0].Name != "bifrost/b" || p.Kept != 5 || len(p.Gone) != 1 {
		t.Fatalf("%+v %v", p, err)
	}
	n, err := p.Execute(context.Background(), m, "gw", sources.DeleteOptions{Now: true})
	if n != 1 || err != nil || m.items["bifrost/b"] != nil || len(m.items) != 10 {
		t.Errorf("%d %v %d left", n, err, len(m.items))
	}
}

// A masked value, as an exported config has it, means what was stored from there.
func TestMaskedIsMeant(t *testing.T) {
	m := newMemory()
	for _, name := range []string{"bifrost/config_keys/k-1/value", "bifrost/config_keys/k-2/value"} {
		m.items[name] = &kept{versions: 1, mark: &sources.Mark{Owner: "gw", Path: "a"}}
	}
	p, err := FindUnused(context.Background(), parse(t, `{"providers": {"openai": {"keys": [{"id": "k-1", "value": "<redacted>"}]}}}`), m, options(), nil)
	if err != nil || p.Kept != 1 || len(p.Delete) != 1 || p.Delete[0].Name != "bifrost/config_keys/k-2/value" {
		t.Errorf("%+v %v", p, err)
	}
}

// A variable of env mode that nobody knows the meaning of could be any secret.
func TestUnknownVariable(t *testing.T) {
	m := newMemory()
	m.items["bifrost/a"] = &kept{versions: 1, mark: &sources.Mark{Owner: "gw", Path: "a"}}
	whole := render.EnvName(walker.Reference{Scheme: walker.Vault, Name: "bifrost/a"})
	key := render.EnvName(walker.Reference{Scheme: walker.Vault, Name: "bifrost/a", Key: "k", Fragment: true})
	for text, want := range map[string]string{
		`{"a": "env.` + whole + `"}`:                            "",
		`{"a": "env.` + key + `"}`:                              "config.json:1:7 has the variable " + key,
		`{"a": "env.` + key + `", "b": "vault.bifrost/a#k"}`:    "",
		`{"a": "$` + key + `"}`:                                 "config.json:1:7 has the variable",
		`{"a": "env.BIFROST_SECRET_OF_MINE"}`:                   "",
		`{"` + strings.Replace(key, "_", `\u005f`, 1) + `": 1}`: "config.json:1:2 has the variable",
	} {
		p, err := FindUnused(context.Background(), parse(t, text), m, options(), nil)
		if want != "" && (err == nil || !strings.Contains(err.Error(), want) || sources.HintOf(err) == "") || want == "" && err != nil {
			t.Errorf("%s: %+v %v", text, p, err)
		}
	}
}

func TestUnscanned(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                                     "sqlite",
		`{"config_store": {"enabled": true}}`:    "sqlite",
		`{"config_store": {"enabled": false}}`:   "",
		`{"config_store": {"type": "postgres"}}`: "postgres",
		`{"Config_Store": {"Type": "postgres", "enabled": true}}`: "postgres",
	} {
		if got := Unscanned(parse(t, text)); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// Whatever stands between two slashes can be read back, and no two texts share
// a segment.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", ".", "..", "a/b", "=", "=2F", "é\x00", "X-Api Key"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		segment := escape(s)
		if back, ok := unescape(segment); !ok || back != s {
			t.Errorf("%q became %q, which is read as %q", s, segment, back)
		}
		if strings.ContainsAny(segment, "/#% ") || segment == "" || segment[0] == '.' {
			t.Errorf("%q became %q", s, segment)
		}
		if err, _ := sources.CheckName("aws-secrets-manager", "p/"+segment); err != "" && len(segment) < 500 {
			t.Error(err)
		}
	})
}
