package render

import (
	"context"
	"errors"
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// keyEntry is the catalogue's line for the value of a key.
func keyEntry(t *testing.T) *walker.Entry {
	t.Helper()
	for i, e := range walker.Catalogue() {
		if e.Pattern == "providers.*.keys[].value" {
			return &walker.Catalogue()[i]
		}
	}
	t.Fatal("the catalogue has no keys")
	return nil
}

func TestBeside(t *testing.T) {
	doc, err := walker.Parse("config.json", []byte(`{"providers":{"openai":{"keys":[{"name":"a","value":"vault.shared"}]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	ref := func(name string) walker.Reference { return walker.Reference{Scheme: walker.Vault, Name: name} }
	entry := keyEntry(t)
	beside := []Beside{{ref("shared"), entry, "config_keys/1/value", ""}, {ref("other"), entry, "config_keys/2/value", ""}}
	values := Values{"shared": {Value: sources.NewSecret([]byte("sk-1")), Version: "1"}, "other": {Value: sources.NewSecret([]byte("sk-2"))}}
	for _, mode := range []Mode{Inline, EnvMode} {
		plan, err := NewPlan(doc, awsStore, Options{Mode: mode, Beside: beside, Getenv: func(string) (string, bool) { return "", false }})
		if err != nil || len(plan.Secrets) != 2 || plan.Resolved() != 1 || len(plan.Uses(nil)) != 1 {
			t.Fatal(err, plan)
		}
		r, problems := plan.Render(values)
		if problems != nil {
			t.Fatal(problems)
		}
		vars, err := r.Environment()
		if err != nil || len(vars) != 2 {
			t.Errorf("%s: %v %v", mode, vars, err)
		}
		if text := string(r.Document()); strings.Contains(text, "sk-2") || strings.Contains(text, "sk-1") != (mode == Inline) {
			t.Errorf("%s: %s", mode, text)
		}
		// A new value of what stands beside the document is a change, which goes into the environment.
		newer, _ := plan.Render(Values{"shared": values["shared"], "other": {Value: sources.NewSecret([]byte("sk-3"))}})
		changed, edited := newer.Changes(r)
		if edited || len(changed) != 1 || changed[0].Path != "config_keys/2/value" || changed[0].How != ValueInEnv || changed[0].Line != 0 {
			t.Errorf("%s: %+v %t", mode, changed, edited)
		}
		// A value that Bifrost would break on is refused, by its place.
		_, problems = plan.Render(Values{"shared": values["shared"], "other": {Value: sources.NewSecret([]byte("env.X"))}})
		if problems == nil || len(problems.List) != 1 || problems.Line(&problems.List[0]) != "config.json: config_keys/2/value: vault.other: the value itself begins with env. or vault., so Bifrost would take it for a reference" {
			t.Errorf("%s: %v", mode, problems)
		}
	}
	var problems *Problems
	if _, err := NewPlan(doc, nil, Options{Mode: EnvMode, Beside: beside}); !errors.As(err, &problems) || len(problems.List[0].Places) != 3 {
		t.Error(err)
	}
	if _, err := NewPlan(doc, awsStore, Options{Mode: EnvMode, Beside: []Beside{{ref("not a name!"), entry, "config_keys/3/value", ""}}}); !errors.As(err, &problems) || !strings.Contains(err.Error(), "config_keys/3/value: vault.not a name!") {
		t.Error(err)
	}
	plan, err := NewPlan(doc, awsStore, Options{Mode: EnvMode, Beside: beside})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Resolve(context.Background(), failing{}); !errors.As(err, &problems) || !strings.Contains(err.Error(), "config_keys/2/value: vault.other: gone") {
		t.Error(err)
	}
}

// failing is a source that has nothing.
type failing struct{ sources.Source }

func (failing) Fetch(_ context.Context, names []string) map[string]sources.Result {
	out := map[string]sources.Result{}
	for _, name := range names {
		out[name] = sources.Result{Err: &sources.Error{Kind: sources.NotFound, Name: name, Message: "gone"}}
	}
	return out
}
