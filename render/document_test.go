package render

import (
	"context"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// documents is a source whose secrets are objects: a reference to a whole one
// returns another text than the one that fragments are keys of.
type documents struct{ memory }

func (d *documents) Fetch(_ context.Context, names []string) map[string]sources.Result {
	out := map[string]sources.Result{}
	for _, name := range names {
		out[name] = sources.Result{Value: sources.NewSecret([]byte("whole")), Document: sources.NewSecret([]byte(`{"key": "part"}`))}
	}
	return out
}

func TestFragmentsOfADocument(t *testing.T) {
	d, err := walker.Parse("config.json", []byte(`{"providers": {"openai": {"keys": [{"value": "vault.a"}, {"value": "vault.a#key"}]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPlan(d, awsStore, Options{Mode: Inline, Getenv: none})
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Resolve(t.Context(), &documents{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(r.Document()), `{"providers": {"openai": {"keys": [{"value": "whole"}, {"value": "part"}]}}}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
