package hashivault

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/hashivault/vaulttest"
	"bifrost-secrets/sources/internal/sourcetest"
)

// The suite against a real server, with an AppRole that has the policy that
// explain prints and no more.
func TestServerConformance(t *testing.T) {
	v := vaulttest.StartServer(t)
	s := setup()
	for _, ability := range []sourcetest.Ability{sourcetest.Throttling, sourcetest.Hanging, sourcetest.Breaking, sourcetest.Proxied, sourcetest.Expiring, sourcetest.Counting, sourcetest.Lying} {
		s.Lacks[ability] = "a real server cannot be made to misbehave: see TestFakeConformance"
	}
	s.Start = func(t *testing.T, o sources.Options) *sourcetest.Backend {
		mount := v.Mount(t, "", 2)
		probe := &source{mount: mount}
		policy := string(probe.WritePolicy(nil, ""))
		id, secret := v.Role(t, "", mount, policy, nil)
		again := opener(t, sourcetest.Settings("address", v.URL, "mount_path", mount, "role_id", id, "secret_id", secret), o)
		return &sourcetest.Backend{
			Source: again(), Again: again,
			Seed: func(name, text string) {
				v.Write(t, "", mount+"/data/"+name, map[string]any{"data": map[string]any{"value": text}})
			},
			Deny: func(name string) {
				v.SetPolicy(t, "", mount, policy+fmt.Sprintf("\npath %q {\n  capabilities = [\"deny\"]\n}\n", mount+"/data/"+name))
			},
			DenyWrites: func() {
				v.SetPolicy(t, "", mount, fmt.Sprintf("path %q {\n  capabilities = [\"read\", \"list\"]\n}\n", mount+"/*"))
			},
			Versions: func(name string) int {
				got, err := v.Client.Logical().ReadWithContext(t.Context(), mount+"/metadata/"+name)
				if err != nil {
					t.Fatal(err)
				}
				return len(got.Data["versions"].(map[string]any))
			},
			Metadata: func() string {
				names, err := core(again()).List(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				var said strings.Builder
				for _, item := range names {
					got, err := v.Client.Logical().ReadWithContext(t.Context(), mount+"/metadata/"+item.Name)
					if err != nil {
						t.Fatal(err)
					}
					b, err := json.Marshal(got.Data)
					if err != nil {
						t.Fatal(err)
					}
					said.Write(b)
				}
				return said.String()
			},
		}
	}
	sourcetest.Run(t, s)
}

// serverRole returns the settings for an AppRole of its own on a real server.
func serverRole(t *testing.T, v *vaulttest.Server, namespace, mount, policy string, role map[string]any) sources.Settings {
	id, secret := v.Role(t, namespace, mount, policy, role)
	return sourcetest.Settings("address", v.URL, "namespace", namespace, "mount_path", mount, "role_id", id, "secret_id", secret)
}

func TestServer(t *testing.T) {
	v := vaulttest.StartServer(t)
	seed := func(t *testing.T, namespace, mount, name string) {
		v.Write(t, namespace, mount+"/data/"+name, map[string]any{"data": map[string]any{"key": "of " + name}})
	}
	const readAll = "path \"*\" {\n  capabilities = [\"read\", \"list\"]\n}\n"

	t.Run("policy", func(t *testing.T) {
		mount := v.Mount(t, "", 2)
		seed(t, "", mount, "a")
		seed(t, "", mount, "b")
		policy := (&source{mount: mount}).Policy([]string{"a"})
		got := open(t, serverRole(t, v, "", mount, string(policy), nil), nil).fetch(t, "a", "b")
		sourcetest.WantValue(t, got["a"], "of a")
		if e := sourcetest.WantKind(t, got["b"].Err, sources.Denied); e.Hint != "allow read on "+mount+"/data/b in a policy of the token" {
			t.Errorf("the hint is %q", e.Hint)
		}
	})
	t.Run("expired while open", func(t *testing.T) {
		mount := v.Mount(t, "", 2)
		seed(t, "", mount, "a")
		s := open(t, serverRole(t, v, "", mount, readAll, map[string]any{"token_ttl": "2s", "token_max_ttl": "3s"}), nil)
		sourcetest.WantValue(t, s.fetch(t, "a")["a"], "of a")
		s.log.await(t, "vault token renewed")
		s.log.await(t, "vault token ends")
		sourcetest.WantValue(t, s.fetch(t, "a")["a"], "of a")
		if n := strings.Count(s.log.String(), `"vault sign-in"`); n != 2 {
			t.Errorf("%d logins", n)
		}
	})
	t.Run("revoked", func(t *testing.T) {
		mount := v.Mount(t, "", 2)
		seed(t, "", mount, "a")
		seed(t, "", mount, "b")
		set := serverRole(t, v, "", mount, readAll, nil)
		s := open(t, set, nil)
		sourcetest.WantValue(t, s.fetch(t, "a")["a"], "of a")
		token := s.client.Token()
		fixed := open(t, sourcetest.Settings("address", v.URL, "mount_path", mount, "token", token), nil)
		sourcetest.WantValue(t, fixed.fetch(t, "a")["a"], "of a")
		v.Write(t, "", "auth/token/revoke", map[string]any{"token": token})
		got := s.fetch(t, "a", "b")
		sourcetest.WantValue(t, got["a"], "of a")
		sourcetest.WantValue(t, got["b"], "of b")
		sourcetest.WantKind(t, fixed.fetch(t, "a")["a"].Err, sources.NoLogin)
	})
	t.Run("version 1", func(t *testing.T) {
		mount := v.Mount(t, "", 1)
		v.Write(t, "", mount+"/a/b", map[string]any{"x": "1", "y": 1.5})
		s := open(t, serverRole(t, v, "", mount, readAll, nil), nil)
		sourcetest.WantValue(t, s.fetch(t, "a/b")["a/b"], `{"x":"1","y":1.5}`)
		items, err := s.List(t.Context(), "")
		if err != nil || len(items) != 1 || items[0].Name != "a/b" {
			t.Errorf("the list is %+v, %v", items, err)
		}
	})
	t.Run("deleted and destroyed", func(t *testing.T) {
		mount := v.Mount(t, "", 2)
		seed(t, "", mount, "a")
		seed(t, "", mount, "b")
		v.Write(t, "", mount+"/delete/a", map[string]any{"versions": []int{1}})
		v.Write(t, "", mount+"/destroy/b", map[string]any{"versions": []int{1}})
		got := open(t, serverRole(t, v, "", mount, readAll, nil), nil).fetch(t, "a", "b")
		sourcetest.WantKind(t, got["a"].Err, sources.Disabled)
		sourcetest.WantKind(t, got["b"].Err, sources.Disabled)
	})
	t.Run("check-and-set required", func(t *testing.T) {
		mount := v.Mount(t, "", 2)
		v.Write(t, "", mount+"/config", map[string]any{"cas_required": true})
		s := &store{open(t, serverRole(t, v, "", mount, string((&source{mount: mount}).WritePolicy(nil, "")), nil), nil).source}
		mustPut(t, s, one("a", "1", ""), "1")
		mustPut(t, s, one("a", "2", "1"), "2")
	})
	t.Run("wrong", func(t *testing.T) {
		sourcetest.WantKind(t, open(t, sourcetest.Settings("address", v.URL, "role_id", "x", "secret_id", "y"), nil).fetch(t, "a")["a"].Err, sources.NoLogin)
		sourcetest.WantKind(t, open(t, sourcetest.Settings("address", v.URL, "token", "x"), nil).fetch(t, "a")["a"].Err, sources.NoLogin)
		sourcetest.WantKind(t, open(t, sourcetest.Settings("address", v.URL, "token", vaulttest.Root, "mount_path", "none"), nil).fetch(t, "a")["a"].Err, sources.NotFound)
		sourcetest.WantKind(t, open(t, sourcetest.Settings("address", v.URL, "token", vaulttest.Root, "mount_path", "cubbyhole"), nil).fetch(t, "a")["a"].Err, sources.BadSettings)
	})
	if !v.Bao {
		t.Log("NAMESPACES ARE NOT TESTED: the free edition of HashiCorp Vault has none")
		return
	}
	t.Run("namespaces", func(t *testing.T) {
		v.Write(t, "", "sys/namespaces/team", nil)
		v.Write(t, "team", "sys/auth/approle", map[string]any{"type": "approle"})
		mount := v.Mount(t, "team", 2)
		seed(t, "team", mount, "a")
		policy := (&source{mount: mount}).WritePolicy(nil, "")
		s := open(t, serverRole(t, v, "team", mount, string(policy), nil), nil)
		sourcetest.WantValue(t, s.fetch(t, "a")["a"], "of a")
		mustPut(t, &store{s.source}, one("b", "1", ""), "1")
		set := sourcetest.Settings("address", v.URL, "namespace", "none", "token", vaulttest.Root)
		if e := sourcetest.WantKind(t, open(t, set, nil).fetch(t, "a")["a"].Err, sources.NoLogin); !strings.Contains(e.Message, "no namespace none") {
			t.Errorf("said %q", e.Message)
		}
	})
}
