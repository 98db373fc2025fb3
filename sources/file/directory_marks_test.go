package file

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"bifrost-secrets/sources"
)

// person makes a secret by hand, at a time of its own.
func person(t *testing.T, dir, name string) {
	t.Helper()
	replace(t, filepath.Join(dir, filepath.FromSlash(name)), canary+"theirs")
}

// gone takes a secret away by hand.
func gone(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, filepath.FromSlash(name))); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
}

// Wherever a writer was killed that made or deleted a secret, what a person then
// puts there is theirs, even before anybody writes again.
func TestKilledThenByHand(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		there bool
		do    func(t *testing.T, s sources.Store) error
	}{
		"create": {false, func(t *testing.T, s sources.Store) error {
			_, err := s.Put(t.Context(), writeTo("app/key", "1", ""))
			return err
		}},
		"delete": {true, func(t *testing.T, s sources.Store) error {
			return s.Delete(t.Context(), "app/key", "prod", sources.DeleteOptions{})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			left := 0
			for n := 1; ; n++ {
				dir := t.TempDir()
				open := func() sources.Store { return storeAt(t, map[string]string{"path": dir}) }
				s := open()
				mustPut(t, s, "app/other", "1", "")
				if c.there {
					mustPut(t, s, "app/key", "1", "")
				}
				var err error
				if !killAt(s, n, func() { err = c.do(t, s) }) {
					if err != nil || left == 0 {
						t.Fatalf("killed %d times, and a mark was left %d times: %v", n-1, left, err)
					}
					return
				}
				if _, err := os.Lstat(filepath.Join(dir, "app", "key")); err == nil {
					continue // a person would change what is ours
				}
				for _, suffix := range []string{settled, pending} {
					if _, err := os.Lstat(filepath.Join(dir, markPath("app/key", suffix))); err == nil {
						left++
					}
				}
				person(t, dir, "app/key")
				for _, s := range []sources.Store{s, open()} {
					directoryOf(s).do = newDirectory(nil).do
					item := s.Inspect(t.Context(), []string{"app/key"})["app/key"]
					if item.Err != nil || !item.Exists || item.Mark != nil {
						t.Errorf("killed at %d: it is taken for ours: %+v", n, item)
					}
					items, err := s.List(t.Context(), "app/")
					if err != nil || len(items) != 2 || items[0].Mark != nil || items[1].Mark == nil {
						t.Errorf("killed at %d: listed %+v, %v", n, items, err)
					}
				}
				s = open()
				_, err = s.Put(t.Context(), writeTo("app/key", "2", versionAt(t, s, "app/key")))
				wantError(t, err, sources.Refused, "was not stored by bifrost-secrets")
				wantError(t, s.Delete(t.Context(), "app/key", "prod", sources.DeleteOptions{}), sources.Refused, "was not stored")
				openAt(t, dir).wantValue(t, "app/key", canary+"theirs")
				if _, err := os.Lstat(filepath.Join(dir, markPath("app/key", pending))); err == nil {
					t.Errorf("killed at %d: the writer after that left a mark that counts for nothing", n)
				}
			}
		})
	}
}

func versionAt(t *testing.T, s sources.Store, name string) string {
	t.Helper()
	item := s.Inspect(t.Context(), []string{name})[name]
	if item.Err != nil {
		t.Fatal(item.Err)
	}
	return item.Version
}

// A secret of ours stays so whatever a person does to it, also where the writer
// that made it was killed at the last moment and another one wrote since.
func TestSettled(t *testing.T) {
	dir := t.TempDir()
	open := func() sources.Store { return storeAt(t, map[string]string{"path": dir}) }
	for n := 1; ; n++ {
		s := open()
		name := fmt.Sprintf("key%d", n)
		if !killAt(s, n, func() { mustPut(t, s, name, "1", "") }) {
			break
		}
		s = open()
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			continue
		}
		mustPut(t, s, "other", fmt.Sprint(n), versionAt(t, s, "other"))
		person(t, dir, name)
		item := s.Inspect(t.Context(), []string{name})[name]
		if item.Err != nil || item.Mark == nil {
			t.Errorf("killed at %d: not ours any more: %+v", n, item)
		}
		mustPut(t, s, name, "2", item.Version)
		openAt(t, dir).wantValue(t, name, canary+"2")
	}
}

// Killed in a deletion of what a person has changed, it is still ours, and what
// was written with the old token is not taken for what is there.
func TestKilledDeletingChanged(t *testing.T) {
	for n := 1; ; n++ {
		dir := t.TempDir()
		s := storeAt(t, map[string]string{"path": dir})
		w := writeTo("key", "1", "")
		if _, err := s.Put(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		person(t, dir, "key")
		if !killAt(s, n, func() { _ = s.Delete(t.Context(), "key", "prod", sources.DeleteOptions{}) }) {
			return
		}
		s = storeAt(t, map[string]string{"path": dir})
		if item := s.Inspect(t.Context(), []string{"key"})["key"]; item.Exists {
			if item.Mark == nil {
				t.Errorf("killed at %d: not ours any more", n)
			}
			_, err := s.Put(t.Context(), w)
			wantError(t, err, sources.Conflict, "was made meanwhile")
		}
		if err := s.Delete(t.Context(), "key", "prod", sources.DeleteOptions{}); err != nil {
			t.Error(err)
		}
		for _, path := range files(t, filepath.Join(dir, marksFolder), "") {
			if filepath.Ext(path) == settled || filepath.Ext(path) == pending {
				t.Errorf("killed at %d: %s was left", n, path)
			}
		}
	}
}

// The mark of what somebody took away is removed by the next process that writes.
func TestTakenAway(t *testing.T) {
	dir := t.TempDir()
	s := storeAt(t, map[string]string{"path": dir})
	for _, name := range []string{"app/key", "deleted", "again"} {
		mustPut(t, s, name, "1", "")
		gone(t, dir, name)
	}
	if err := s.Delete(t.Context(), "deleted", "prod", sources.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	mustPut(t, s, "again", "2", "")
	person(t, dir, "deleted")
	s = storeAt(t, map[string]string{"path": dir})
	mustPut(t, s, "other", "1", "")
	person(t, dir, "app/key")
	for name, ours := range map[string]bool{"app/key": false, "deleted": false, "again": true, "other": true} {
		if item := s.Inspect(t.Context(), []string{name})[name]; item.Err != nil || (item.Mark != nil) != ours {
			t.Errorf("%s: %+v", name, item)
		}
	}
}

// Nobody sees a secret of ours without its mark, at no moment of a write.
func TestMarkedAlways(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes hundreds of writes")
	}
	t.Parallel()
	dir := t.TempDir()
	s := storeAt(t, map[string]string{"path": dir})
	reader := storeAt(t, map[string]string{"path": dir})
	seen := 0
	look := func() {
		items, err := reader.List(t.Context(), "")
		if err != nil {
			t.Error(err)
		}
		for _, item := range append(items, reader.Inspect(t.Context(), []string{"key"})["key"]) {
			if item.Exists && item.Mark == nil || item.Err != nil {
				t.Errorf("%+v", item)
			}
			if item.Exists {
				seen++
			}
		}
	}
	directoryOf(s).do = func(_ string, call func() error) error {
		look()
		return call()
	}
	writes := func() {
		version := mustPut(t, s, "key", "1", "")
		mustPut(t, s, "key", "2", version)
		if err := s.Delete(t.Context(), "key", "prod", sources.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}
	writes()
	if seen == 0 {
		t.Error("nothing was seen")
	}
	// And between two looks of one reader.
	directoryOf(s).do = newDirectory(nil).do
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					item := reader.Inspect(t.Context(), []string{"key"})["key"]
					if item.Exists && item.Mark == nil || item.Err != nil {
						t.Errorf("%+v", item)
					}
				}
			}
		})
	}
	for range 25 {
		writes()
	}
	close(done)
	readers.Wait()
}

// No read takes the folder of the marks for secrets.
func TestMarksHidden(t *testing.T) {
	dir := t.TempDir()
	s := storeAt(t, map[string]string{"path": dir})
	mustPut(t, s, "key", "1", "")
	for _, prefix := range []string{"", ".", ".bifrost-secrets", ".bifrost-secrets/", ".bifrost-secrets/k"} {
		items, err := s.List(t.Context(), prefix)
		want := 0
		if prefix == "" {
			want = 1
		}
		if err != nil || len(items) != want {
			t.Errorf("%q: listed %v, %v", prefix, items, err)
		}
	}
	o := openAt(t, dir)
	o.wantError(t, filepath.ToSlash(markPath("key", settled)), sources.BadName)
	o.wantError(t, "kay", sources.NotFound, `did you mean "key"? `+dir+" holds one name")
	if err := s.Ping(t.Context(), ""); err != nil {
		t.Error(err)
	}
}

func FuzzMarkPath(f *testing.F) {
	for _, name := range []string{
		"key", "app/key", "app/key.json", "key.pending", "a b+c%2F=~", "é\U0001f511", strings.Repeat("n", 255), strings.Repeat("n", maxStem) + ".",
		strings.Repeat("n", maxStem) + "..", strings.Repeat("/é", 400), "x=", "NUL", "a:b", "\xff",
	} {
		f.Add(name, name+"x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if a == "" || b == "" || len(a)+len(b) > 1<<16 {
			return
		}
		for _, suffix := range []string{settled, pending} {
			at := markPath(a, suffix)
			if !filepath.IsLocal(at) {
				t.Fatalf("%q is elsewhere", at)
			}
			for _, part := range strings.Split(at, string(filepath.Separator)) {
				if len(part) > 255 || part == "" {
					t.Errorf("%q is no name of a file", part)
				}
			}
			if name, s, ok := markedName(filepath.ToSlash(at)); name != a || s != suffix || !ok {
				t.Errorf("%q is back as %q, %q, %v", a, name, s, ok)
			}
			for _, other := range []string{markPath(b, settled), markPath(b, pending)} {
				if a != b && (other == at || strings.HasPrefix(other, at+string(filepath.Separator))) {
					t.Errorf("%q and %q have marks in each other's way: %q, %q", a, b, at, other)
				}
			}
		}
	})
}

// The names of folders, lengths and case are the file system's; a mark follows.
func TestMarkNames(t *testing.T) {
	dir := t.TempDir()
	s := storeAt(t, map[string]string{"path": dir})
	long := strings.Repeat("é/", 150) + strings.Repeat("n", 250)
	names := []string{"a", "a.json", "a.pending", "b=", "b/=c", "c+d e%20", long, long + ".", strings.Repeat("n", 199) + "."}
	versions := map[string]string{}
	for _, name := range names {
		versions[name] = mustPut(t, s, name, "1", "")
	}
	// What else somebody puts there is none of ours.
	foreign := []string{"README", "%zz.json", "sub/x.json", ".json"}
	for _, other := range foreign {
		write(t, filepath.Join(dir, marksFolder, filepath.FromSlash(other)), "x")
	}
	s = storeAt(t, map[string]string{"path": dir})
	for _, name := range names {
		mustPut(t, s, name, "2", versions[name])
	}
	items, err := s.List(t.Context(), "")
	if err != nil || len(items) != len(names) {
		t.Errorf("listed %d, %v", len(items), err)
	}
	for _, item := range items {
		if item.Mark == nil || item.Mark.Owner != "prod" {
			t.Errorf("%q: %v", item.Name, item.Mark)
		}
		if err := s.Delete(t.Context(), item.Name, "prod", sources.DeleteOptions{}); err != nil {
			t.Errorf("%q: %v", item.Name, err)
		}
	}
	for _, other := range foreign {
		if _, err := os.Lstat(filepath.Join(dir, marksFolder, filepath.FromSlash(other))); err != nil {
			t.Error(err)
		}
	}
}
