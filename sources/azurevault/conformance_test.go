package azurevault

import (
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/azurevault/azuretest"
	"bifrost-secrets/sources/cloudtest"
	"bifrost-secrets/sources/internal/sourcetest"
	"bifrost-secrets/sources/perkey"
)

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Setup{
		Column: "azure",
		Lacks: map[sourcetest.Ability]string{
			sourcetest.Binary:        "a value is text",
			sourcetest.CompareAndSet: "SetSecret has no condition",
			sourcetest.CreateOnce:    "SetSecret has no condition",
		},
		Names: []string{
			"x", strings.Repeat("n", 127), "a/b/c", "AZaz09-", "-x", "a//b", "/a", "a--b", "a_b", "a-x41-b", strings.Repeat("/", 25),
			"prod gateway: é=+.@#\"'", "a-x2F-b/c", "..", "a/../b", "%2F",
		},
		BadNames: []string{
			"", "a\x00b", "a\nb", "\xff", strings.Repeat("n", 128), strings.Repeat("n", 300), strings.Repeat("/", 26), "a-x2F-b", "A-X2f-B",
			"https://other.vault.azure.net/secrets/x", azuretest.URL + "/secrets/a_b", azuretest.URL + "/secrets/x/y", azuretest.URL + "/keys/x",
		},
		AtOnce: perkey.AtOnce, Resends: 2,
		Start: func(t *testing.T, o sources.Options) *sourcetest.Backend {
			f := azuretest.StartFake(t)
			again := func() sources.Source { return open(t, f, o) }
			inVault := func(name string) string {
				id, err := Names.ID(name)
				if err != nil {
					t.Fatal(err)
				}
				return id
			}
			return &sourcetest.Backend{
				Source: again(), Again: again,
				Seed:       func(name, text string) { f.Put(inVault(name), text) },
				Deny:       func(name string) { f.Deny(inVault(name)) },
				Throttle:   func() { f.Set(cloudtest.Faults{Throttle: cloudtest.Always}) },
				Hang:       func() { f.Set(cloudtest.Faults{Hang: true}) },
				Between:    func() { f.Set(cloudtest.Faults{Between: cloudtest.Always}) },
				Break:      func() { f.Set(cloudtest.Faults{Garble: cloudtest.Always}) },
				Expire:     f.Expire,
				Refuse:     f.RefuseAll,
				DenyWrites: func() { f.Set(cloudtest.Faults{DenyWrites: true}) },
				Rotate:     func(name string) { f.Manage(inVault(name)) },
				Versions:   func(name string) int { return f.Versions(inVault(name)) },
				Liar:       &f.Liar, Elsewhere: "https://" + cloudtest.Elsewhere,
				Metadata: f.Metadata, Requests: f.Total, MostAtOnce: f.MostAtOnce,
			}
		},
	})
}
