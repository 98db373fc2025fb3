package hashivault

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/hashivault/vaulttest"
	"bifrost-secrets/sources/sourcetest"
)

// The suite against a real server, with an AppRole that has the policy that
// explain prints and no more.
func TestServerConformance(t *testing.T) {
	v := vaulttest.StartServer(t)
	s := setup()
	for _, ability := range []sourcetest.Ability{sourcetest.Throttling, sourcetest.Hanging, sourcetest.Breaking, sourcetest.Expiring, sourcetest.Counting} {
		s.Lacks[ability] = "a real server cannot be made to misbehave: see TestFakeConformance"
	}
	s.Start = func(t *testing.T, o sources.Options) *sourcetest.Backend {
		mount := v.Mount(t, "", 2)
		probe := &source{mount: mount}
		policy := string(probe.WritePolicy(nil, false, ""))
		id, secret := v.Role(t, "", mount, policy, nil)
		again := opener(t, settings("address", v.URL, "mount_path", mount, "role_id", id, "secret_id", secret), o)
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
