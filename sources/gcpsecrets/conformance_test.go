package gcpsecrets

import (
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/cloudtest"
	"bifrost-secrets/sources/gcpsecrets/gcptest"
	"bifrost-secrets/sources/internal/sourcetest"
	"bifrost-secrets/sources/perkey"
)

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Setup{
		Column: "gcp",
		Lacks:  map[sourcetest.Ability]string{sourcetest.Recovery: "gcp deletes at once"},
		Names: []string{
			"x", strings.Repeat("n", 255), "a/b/c", "AZaz09_-", "-x", "a//b", "/a", "a--b", "a_b", "a-x41-b", strings.Repeat("/", 51),
			"prod gateway: é=+.@#\"'", "a-x2F-b/c", "..", "a/../b", "%2F",
		},
		BadNames: []string{
			"", "a\x00b", "a\nb", "\xff", strings.Repeat("n", 256), strings.Repeat("/", 52), "a-x2F-b",
			"projects/p/secrets/a b", "projects/p", "projects/p/locations/europe-west1/secrets/x",
		},
		AtOnce: perkey.AtOnce,
		Start: func(t *testing.T, o sources.Options) *sourcetest.Backend {
			f := gcptest.StartFake(t)
			again := func() sources.Source { return open(t, f, o) }
			id := func(name string) string {
				id, err := Names.ID(name)
				if err != nil {
					t.Fatal(err)
				}
				return id
			}
			return &sourcetest.Backend{
				Source: again(), Again: again,
				Seed:       func(name, text string) { f.Put(id(name), []byte(text)) },
				SeedBinary: func(name string, b []byte) { f.Put(id(name), b) },
				Deny:       func(name string) { f.Deny(id(name)) },
				Throttle:   func() { f.Set(cloudtest.Faults{Throttle: cloudtest.Always}) },
				Hang:       func() { f.Set(cloudtest.Faults{Hang: true}) },
				Between:    func() { f.Set(cloudtest.Faults{Between: cloudtest.Always}) },
				Break:      func() { f.Set(cloudtest.Faults{Garble: cloudtest.Always}) },
				Expire:     f.Expire,
				Refuse:     f.RefuseAll,
				DenyWrites: func() { f.Set(cloudtest.Faults{DenyWrites: true}) },
				Rotate:     func(name string) { f.Rotate(id(name)) },
				Versions:   func(name string) int { return f.Versions(id(name)) },
				Liar:       &f.Liar, Elsewhere: "https://" + cloudtest.Elsewhere,
				Metadata: f.Metadata, Requests: f.Total, MostAtOnce: f.MostAtOnce,
			}
		},
	})
}
