package render

import (
	"testing"

	"bifrost-secrets/walker"
)

// A key that changes is refused, in each mode and over a change of format; the
// same key is not, however it is written.
func TestKeepsKey(t *testing.T) {
	const doc = `{"encryption_key":"vault.k","providers":{}}`
	key := "it's a \"key\" $\\`"
	build := func(mode Mode, value string) *Rendering {
		d, err := walker.Parse("config.json", []byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		p, err := NewPlan(d, awsStore, Options{Mode: mode, Getenv: none})
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Resolve(t.Context(), &memory{values: map[string]string{"k": value}})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	const refused = "config.json:1:19: encryption_key: the key is not the one in the file that is in place; a changed key makes Bifrost's database unreadable"
	before := build(Inline, key).Document()
	for value, want := range map[string]string{key: "", key + "x": refused} {
		if err := build(Inline, value).KeepsKey("out.json", "", before, nil); errText(err) != want {
			t.Errorf("inline: %v", err)
		}
		for _, was := range EnvFormats {
			old, now := build(EnvMode, key), build(EnvMode, value)
			oldEnv, err := old.EnvFile(was)
			if err != nil {
				t.Fatal(err)
			}
			if err := now.KeepsKey("out.json", "", old.Document(), oldEnv); errText(err) != want {
				t.Errorf("after %s: %v", was, err)
			}
		}
	}
	// From inline to env mode, and where the env file is gone.
	r := build(EnvMode, key)
	if err := r.KeepsKey("out.json", "", r.Document(), nil); err != nil {
		t.Error(err)
	}
	if err := r.KeepsKey("out.json", "", before, nil); err != nil {
		t.Error(err)
	}
	if err := r.KeepsKey("out.json", "", build(Inline, "other").Document(), nil); errText(err) != refused {
		t.Errorf("from inline to env: %v", err)
	}
	// Nothing to compare with is no reason to stop.
	r = build(Inline, key)
	for name, old := range map[string]string{"none": "", "broken": "{", "no key": "{}", "empty": `{"encryption_key":""}`, "env mode": `{"encryption_key":"env.BIFROST_SECRET_0"}`} {
		if err := r.KeepsKey("out.json", "", []byte(old), nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The key is what Bifrost will take for it, wherever that stands.
func TestEncryptionKey(t *testing.T) {
	env := map[string]string{"KEY": "from-env", "BIFROST_ENCRYPTION_KEY": "fallback", "EMPTY": ""}
	getenv := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	for _, one := range []struct {
		doc    string
		mode   Mode
		getenv func(string) (string, bool)
		want   string
		secret string
	}{
		{`{"encryption_key":"vault.k"}`, Inline, nil, "from-vault", "k"},
		{`{"encryption_key":"vault.k"}`, EnvMode, nil, "from-vault", "k"},
		{`{"encryption_key":"literal"}`, Inline, getenv, "literal", ""},
		{`{"encryption_key":"env.KEY"}`, Inline, getenv, "from-env", ""},
		{`{"encryption_key":"env.KEY"}`, Inline, nil, "", ""},
		{`{"encryption_key":"env.EMPTY"}`, Inline, getenv, "fallback", ""},
		{`{"encryption_key":""}`, Inline, getenv, "fallback", ""},
		{`{}`, Inline, getenv, "fallback", ""},
		{`{}`, Inline, none, "", ""},
		{`{}`, Inline, nil, "", ""},
	} {
		d, err := walker.Parse("config.json", []byte(one.doc))
		if err != nil {
			t.Fatal(err)
		}
		p, err := NewPlan(d, awsStore, Options{Mode: one.mode, Getenv: none})
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Resolve(t.Context(), &memory{values: map[string]string{"k": "from-vault"}})
		if err != nil {
			t.Fatal(err)
		}
		key, secret, ok := r.EncryptionKey(one.getenv)
		if string(key.Reveal()) != one.want || secret != one.secret || ok != (one.want != "") {
			t.Errorf("%s in mode %s: %q of %q, %v", one.doc, one.mode, key.Reveal(), secret, ok)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
