package hashivault

import (
	"strings"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/hashivault/vaulttest"
	"bifrost-secrets/sources/internal/sourcetest"
	"bifrost-secrets/sources/perkey"
)

// setup is what the fake and a real server have in common.
func setup() sourcetest.Setup {
	return sourcetest.Setup{
		Lacks: map[sourcetest.Ability]string{
			sourcetest.Binary:   "a document is JSON, which holds text alone",
			sourcetest.Naming:   "an answer is a document without a name",
			sourcetest.Rotation: "the key-value engine rotates nothing by itself",
		},
		Names:    []string{"x", strings.Repeat("n", maxName), "a/b/c", `AZaz09_+=.@-~!$&'(),;:[]{}|^"<>` + "`", "a b/c d", "%2e%2e/%20%", "...", "..a/.b/c..", "é/世界", "data/data", "metadata/x", "-x"},
		BadNames: []string{"", "/a", "a/", "a//b", "a/../b", "..", "./a", "a#b", "a\nb", "\xff", strings.Repeat("n", sources.Vault.Names.Max+1), "\u200b"},
		Foreign:  []string{"a?b", "a*", `a\b`, " a", "a /b", strings.Repeat("n", maxName+1), "a b*"},
		AtOnce:   perkey.AtOnce,
	}
}

func opener(t *testing.T, set sources.Settings, o sources.Options) func() sources.Source {
	o.Getenv = environment(nil)
	return func() sources.Source {
		s, err := Backend.Open(t.Context(), set, o)
		if err != nil {
			t.Fatal(err)
		}
		core(s).wait = 2 * time.Millisecond
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
}

func core(s sources.Source) *source {
	if w, ok := s.(*store); ok {
		return w.source
	}
	return s.(*source)
}

func onFake(f *vaulttest.Fake, again func() sources.Source) *sourcetest.Backend {
	return &sourcetest.Backend{
		Source: again(), Again: again, Seed: f.Put,
		Deny:     func(name string) { f.Deny("secret/data/"+name, "read") },
		Throttle: func() { f.Set(vaulttest.Faults{Throttle: true}) },
		Hang:     func() { f.Set(vaulttest.Faults{Hang: true}) },
		Between:  func() { f.Set(vaulttest.Faults{Between: true}) },
		Break:    func() { f.Set(vaulttest.Faults{Garble: true}) },
		Expire:   f.Expire,
		Refuse:   f.RefuseAll,
		DenyWrites: func() {
			for _, name := range []string{"key", "new"} {
				for _, what := range []string{"data", "metadata", "delete"} {
					f.Deny("secret/"+what+"/"+name, "create", "update", "patch", "delete")
				}
			}
		},
		Versions: f.Versions, Metadata: f.Metadata,
		Liar: &f.Liar, Elsewhere: f.Elsewhere(),
		Requests: f.Requests, MostAtOnce: f.MostAtOnce,
	}
}

func TestFakeConformance(t *testing.T) {
	t.Parallel()
	s := setup()
	s.Column = "vault"
	s.Start = func(t *testing.T, o sources.Options) *sourcetest.Backend {
		f := vaulttest.StartFake(t)
		return onFake(f, opener(t, role(f), o))
	}
	sourcetest.Run(t, s)
}

// A token that somebody else made cannot be made anew.
func TestFakeConformanceWithToken(t *testing.T) {
	t.Parallel()
	s := setup()
	s.Stays = true
	s.Start = func(t *testing.T, o sources.Options) *sourcetest.Backend {
		f := vaulttest.StartFake(t)
		f.CASRequired()
		f.Vault()
		return onFake(f, opener(t, sourcetest.Settings("address", f.URL, "token", f.Token(time.Hour, true, 0)), o))
	}
	sourcetest.Run(t, s)
}

// The policy that explain prints is enough for all that the suite does.
func TestFakeConformanceWithPolicy(t *testing.T) {
	t.Parallel()
	s := setup()
	s.Start = func(t *testing.T, o sources.Options) *sourcetest.Backend {
		f := vaulttest.StartFake(t)
		again := opener(t, role(f), o)
		b := onFake(f, again)
		f.SetPolicy(core(b.Source).WritePolicy(nil, ""))
		return b
	}
	sourcetest.Run(t, s)
}
