package hashivault

import (
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/hashivault/vaulttest"
	"bifrost-secrets/sources/internal/sourcetest"
)

func TestPolicy(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	for _, name := range []string{"bifrost/a", "b", "c"} {
		f.Put(name, "x")
	}
	s := open(t, role(f), nil)
	policy := s.Policy([]string{"b", "bifrost/a", "b", "../c"})
	const want = `path "secret/data/b" {
  capabilities = ["read"]
}

path "secret/data/bifrost/a" {
  capabilities = ["read"]
}
`
	if string(policy) != want {
		t.Errorf("the policy is\n%s", policy)
	}
	f.SetPolicy(policy)
	got := s.fetch(t, "bifrost/a", "b", "c")
	sourcetest.WantValue(t, got["bifrost/a"], "x")
	sourcetest.WantValue(t, got["b"], "x")
	sourcetest.WantKind(t, got["c"].Err, sources.Denied)
	f.PutDocument("old", "b", `{"k":"v"}`)
	old := open(t, role(f, "mount_path", "old", "namespace", "team-a"), nil)
	f.SetPolicy([]byte(`path "*" { capabilities = ["read"] }`))
	old.fetch(t, "b")
	if got, want := string(old.Policy([]string{"b"})), "# in the namespace team-a\npath \"old/b\" {\n  capabilities = [\"read\"]\n}\n"; got != want {
		t.Errorf("the policy of version 1 is\n%s", got)
	}
}

func TestWritePolicy(t *testing.T) {
	t.Parallel()
	const want = `path "secret/data/b" {
  capabilities = ["read"]
}

path "secret/data/gateways/eu/*" {
  capabilities = ["create", "read", "update"]
}

path "secret/metadata/gateways/eu/*" {
  capabilities = ["create", "read", "update", "patch", "list", "delete"]
}

path "secret/delete/gateways/eu/*" {
  capabilities = ["update"]
}
`
	if got := string(open(t, sourcetest.Settings(), nil).WritePolicy([]string{"b", "gateways/eu/a"}, "gateways/eu/")); got != want {
		t.Errorf("the policy is\n%s", got)
	}
}
