package file

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"bifrost-secrets/sources"
)

// tree returns all that is in a directory but its lock: of each file the mode, the
// time and the content. Folders for marks do not count.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		marks := entry.IsDir() && strings.HasPrefix(path, filepath.Join(dir, marksFolder))
		if err != nil || path == dir || entry.Name() == lockSuffix || marks {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		at := strings.TrimPrefix(path, dir)
		if all[at] = info.Mode().String(); !entry.IsDir() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			all[at] += fmt.Sprint(" ", info.ModTime().UnixNano(), " ", string(b))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Every step of every write fails once, with every error that it may give, before
// it does anything and after it did. Each time it is an error and no panic, every
// secret has its old value or the new one whole, and is ours as before; where it
// has the old one, nothing else is left either. Doing it again leads to the end.
func TestEveryStepFails(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes thousands of writes")
	}
	t.Parallel()
	key, _ := newIdentity(t)
	mark := sources.Mark{Owner: "prod", Path: "a.b"}
	errs := []error{
		syscall.ENOSPC, syscall.EIO, syscall.EPERM, syscall.EROFS, errors.New("nothing that is known"),
	}
	open := func(settings map[string]string, at func(op string, call func() error) error) sources.Store {
		s := storeAt(t, settings)
		directoryOf(s).do = func(op string, call func() error) error {
			if op == "sync" || op == "syncDir" {
				call = func() error { return nil } // no system goes down here, and it takes the time
			}
			return at(op, call)
		}
		return s
	}
	well := func(_ string, call func() error) error { return call() }
	put := func(s sources.Store, name, text string) error {
		item := s.Inspect(t.Context(), []string{name})[name]
		if item.Err != nil {
			return item.Err
		}
		if item.Exists && string(s.Fetch(t.Context(), []string{name})[name].Value.Reveal()) == canary+text {
			return nil
		}
		_, err := s.Put(t.Context(), writeTo(name, text, item.Version))
		return err
	}
	remove := func(s sources.Store, name, _ string) error {
		return s.Delete(t.Context(), name, "prod", sources.DeleteOptions{})
	}
	calls := map[string]int{}
	tried := 0
	for _, identity := range []string{"", key} {
		for _, c := range []struct {
			name, secret, old, end string // "" where there is none
			do                     func(sources.Store, string, string) error
		}{
			{"create", "new/folder/" + strings.Repeat("n", maxStem), "", "new", put},
			{"change", "app/key", "old", "new", put},
			{"delete", "app/key", "old", "", remove},
		} {
			for i, injected := range errs {
				if identity != "" && i > 1 {
					break // encryption comes before the first step
				}
				for n := 1; ; n++ {
					settings := map[string]string{"path": t.TempDir()}
					if identity != "" {
						settings["identity"] = identity
					}
					for _, name := range []string{"app/key", "app/other"} {
						if err := put(open(settings, well), name, "old"); err != nil {
							t.Fatal(err)
						}
					}
					before := tree(t, settings["path"])
					step, at := "", 0
					s := open(settings, func(op string, call func() error) error {
						if at++; at != n {
							return call()
						}
						step = op
						if i%2 == 1 {
							_ = call() // what it says is not what it did
						}
						return injected
					})
					err := c.do(s, c.secret, c.end)
					if step == "" {
						if err != nil || n < 5 {
							t.Fatalf("%s ended after %d steps: %v", c.name, n-1, err)
						}
						break
					}
					tried++
					calls[step]++
					when := fmt.Sprintf("%s, %v at step %d, %s", c.name, injected, n, step)
					now := storeAt(t, settings)
					got := now.Fetch(t.Context(), []string{c.secret, "app/other"})
					items := now.Inspect(t.Context(), []string{c.secret, "app/other"})
					if v := string(got["app/other"].Value.Reveal()); v != canary+"old" || items["app/other"].Mark == nil {
						t.Errorf("%s: another secret was lost: %v", when, got["app/other"].Err)
					}
					v := strings.TrimPrefix(string(got[c.secret].Value.Reveal()), canary)
					if got[c.secret].Err != nil && sources.KindOf(got[c.secret].Err) != sources.NotFound || v != c.old && v != c.end {
						t.Errorf("%s: it is neither old nor new: %d bytes, %v", when, len(v), got[c.secret].Err)
					}
					if item := items[c.secret]; item.Exists && (item.Mark == nil || *item.Mark != mark) {
						t.Errorf("%s: it has the mark %v", when, item.Mark)
					}
					var known *sources.Error
					quiet := step == "discard" || step == "sweep" || step == "rmdir"
					if !errors.As(err, &known) && !quiet || known != nil && (known.Message == "" || strings.Contains(known.Message, tempPrefix+"r")) {
						t.Errorf("%s: the error is %v", when, err)
					}
					after := tree(t, settings["path"])
					if v == c.old && i%2 == 0 && !maps.Equal(before, after) {
						t.Errorf("%s: it was\n%v\nand is\n%v", when, before, after)
					}
					at = 1 << 20
					for _, s := range []sources.Store{s, open(settings, well)} { // the same process, and another
						if err := c.do(s, c.secret, c.end); err != nil {
							t.Errorf("%s, and again: %v (%s)", when, err, sources.HintOf(err))
						}
						result, item := s.Fetch(t.Context(), []string{c.secret})[c.secret], s.Inspect(t.Context(), []string{c.secret})[c.secret]
						if v := strings.TrimPrefix(string(result.Value.Reveal()), canary); v != c.end || item.Exists != (c.end != "") || item.Exists && item.Mark == nil {
							t.Errorf("%s, and again: %+v, %v", when, item, result.Err)
						}
					}
					if err := put(s, "app/last", "last"); err != nil {
						t.Error(err)
					}
					for _, path := range files(t, settings["path"], "") {
						if strings.HasSuffix(path, tempSuffix) || strings.HasSuffix(path, pending) {
							t.Errorf("%s: %s was left", when, path)
						}
					}
				}
			}
		}
	}
	for _, step := range strings.Fields("lock mkdir create like write chtimes sync close rename syncDir settle unsettle remove forget") {
		if calls[step] == 0 {
			t.Errorf("%s was never called", step)
		}
	}
	t.Logf("%d faults: %v", tried, calls)
}

// The hint for a full disk, as the person at the command line sees it.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	s := storeAt(t, map[string]string{"path": dir})
	directoryOf(s).do = func(op string, call func() error) error {
		if op == "write" {
			return &fs.PathError{Op: "write", Path: tempPrefix, Err: syscall.ENOSPC}
		}
		return call()
	}
	_, err := s.Put(t.Context(), writeTo("key", "1", ""))
	wantError(t, err, sources.Unreachable, `"key" in `+dir+" cannot be written: no space is left", "free some space")
}
