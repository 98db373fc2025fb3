package file

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bifrost-secrets/sources"
)

// storeAt opens a path for writing.
func storeAt(t *testing.T, settings map[string]string) sources.Store {
	t.Helper()
	set := sources.Settings{}
	for key, text := range settings {
		set[key] = sources.NewSecret([]byte(text))
	}
	s, err := Backend.Open(t.Context(), set, sources.Options{Getenv: os.LookupEnv, Warn: func(string) {}, Write: true})
	if err != nil {
		t.Fatal(err)
	}
	return s.(sources.Store)
}

func directoryOf(s sources.Store) *directory { return s.(*directoryStore).directory }

// killed is what ends a writer in the middle.
type killed struct{}

// killAt ends do before its n-th change of a file, as a killed process ends: what
// it would have done on the way out, it does not do. It reports whether do got
// so far.
func killAt(s sources.Store, n int, do func()) (dead bool) {
	directoryOf(s).do = func(_ string, call func() error) error {
		if n--; n == 0 {
			panic(killed{})
		}
		return call()
	}
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(killed); !ok {
				panic(r)
			}
			dead = true
		}
	}()
	do()
	return false
}

// Whenever a writer is killed, every secret has its old or its new value, and
// doing it again leads to the same end.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes hundreds of writes")
	}
	t.Parallel()
	key, _ := newIdentity(t)
	text := func(s string) sources.Secret { return sources.NewSecret([]byte(canary + s)) }
	mark := sources.Mark{Owner: "prod", Path: "a.b"}
	layouts := map[string]func(t *testing.T) map[string]string{
		"directory": func(t *testing.T) map[string]string { return map[string]string{"path": t.TempDir()} },
		"encrypted directory": func(t *testing.T) map[string]string {
			return map[string]string{"path": t.TempDir(), "identity": key}
		},
	}
	// put does what a caller does: it looks, compares, and writes what differs.
	put := func(t *testing.T, s sources.Store, name, value string) error {
		item := s.Inspect(t.Context(), []string{name})[name]
		if item.Err != nil {
			return item.Err
		}
		if item.Exists && string(s.Fetch(t.Context(), []string{name})[name].Value.Reveal()) == canary+value {
			return nil
		}
		_, err := s.Put(t.Context(), sources.Write{Name: name, Value: text(value), Mark: mark, Expect: item.Version, Token: sources.NewToken()})
		return err
	}
	remove := func(t *testing.T, s sources.Store, name, _ string) error {
		return s.Delete(t.Context(), name, "prod", sources.DeleteOptions{})
	}
	for layout, start := range layouts {
		for _, c := range []struct {
			name, secret, old, end string // "" where there is none
			do                     func(*testing.T, sources.Store, string, string) error
		}{
			{"create", "app/new", "", "new", put},
			{"change", "app/key", "old", "new", put},
			{"delete", "app/key", "old", "", remove},
		} {
			t.Run(layout+" "+c.name, func(t *testing.T) {
				t.Parallel()
				for n := 1; ; n++ {
					settings := start(t)
					s := storeAt(t, settings)
					for _, name := range []string{"app/key", "app/other"} {
						if err := put(t, s, name, "old"); err != nil {
							t.Fatal(err)
						}
					}
					var err error
					if !killAt(s, n, func() { err = c.do(t, s, c.secret, c.end) }) {
						if err != nil || n < 5 {
							t.Fatalf("it ended after %d changes: %v", n, err)
						}
						t.Logf("killed at each of %d changes", n-1)
						return
					}
					s = storeAt(t, settings)
					got := s.Fetch(t.Context(), []string{c.secret, "app/other"})
					if v := string(got["app/other"].Value.Reveal()); v != canary+"old" {
						t.Errorf("killed at %d: another secret was lost: %v", n, got["app/other"].Err)
					}
					v := strings.TrimPrefix(string(got[c.secret].Value.Reveal()), canary)
					if got[c.secret].Err != nil && sources.KindOf(got[c.secret].Err) != sources.NotFound || v != c.old && v != c.end {
						t.Errorf("killed at %d: it is neither old nor new: %d bytes, %v", n, len(v), got[c.secret].Err)
					}
					if err := c.do(t, s, c.secret, c.end); err != nil {
						t.Errorf("killed at %d, and again: %v (%s)", n, err, sources.HintOf(err))
					}
					result, item := s.Fetch(t.Context(), []string{c.secret})[c.secret], s.Inspect(t.Context(), []string{c.secret})[c.secret]
					if v := strings.TrimPrefix(string(result.Value.Reveal()), canary); v != c.end || item.Exists != (c.end != "") {
						t.Errorf("killed at %d, and again: %+v, %v", n, item, result.Err)
					}
					if item.Exists && (item.Mark == nil || *item.Mark != mark) {
						t.Errorf("killed at %d, and again: it has the mark %v", n, item.Mark)
					}
					// The next writer removes what was left.
					if err := put(t, s, "app/last", "last"); err != nil {
						t.Error(err)
					}
					for _, path := range files(t, filepath.Dir(settings["path"]), filepath.Base(settings["path"])) {
						if strings.HasSuffix(path, tempSuffix) {
							t.Errorf("killed at %d: %s was left", n, path)
						}
					}
				}
			})
		}
	}
}

// files returns what is in a directory, or in that of a file.
func files(t *testing.T, dir, base string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil {
		t.Fatal(base, err)
	}
	return all
}
