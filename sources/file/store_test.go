package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"bifrost-secrets/sources"
)

func writeTo(name, text, expect string) sources.Write {
	return sources.Write{
		Name: name, Value: sources.NewSecret([]byte(canary + text)), Expect: expect, Token: sources.NewToken(),
		Mark: sources.Mark{Owner: "prod", Path: "a.b"},
	}
}

func mustPut(t *testing.T, s sources.Store, name, text, expect string) (version string) {
	t.Helper()
	version, err := s.Put(t.Context(), writeTo(name, text, expect))
	if err != nil {
		t.Fatalf("%v (%s)", err, sources.HintOf(err))
	}
	return version
}

func wantMode(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != mode {
		t.Errorf("%s has mode %v, want %v", path, info.Mode(), mode)
	}
}

func TestStoreModes(t *testing.T) {
	dir := t.TempDir()
	s := storeAt(t, map[string]string{"path": dir})
	version := mustPut(t, s, "app/sub/key", "1", "")
	path := filepath.Join(dir, "app", "sub", "key")
	wantMode(t, path, 0o600)
	wantMode(t, filepath.Join(dir, "app"), 0o700|fs.ModeDir)
	wantMode(t, filepath.Join(dir, marksFolder), 0o700|fs.ModeDir)
	wantMode(t, filepath.Join(dir, markPath("app/sub/key", settled)), 0o600)
	wantMode(t, filepath.Join(dir, lockSuffix), 0o600)

	// Who may read a file that is there stays who may.
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, "app/sub/key", "2", version)
	wantMode(t, path, 0o640)
}

func TestStoreRefuses(t *testing.T) {
	dir := t.TempDir()
	outside := write(t, filepath.Join(t.TempDir(), "outside"), canary)
	write(t, filepath.Join(dir, "real"), canary)
	write(t, filepath.Join(dir, "sub", "x"), canary)
	link(t, "real", filepath.Join(dir, "linked"))
	link(t, outside, filepath.Join(dir, "escape"))
	link(t, filepath.Dir(outside), filepath.Join(dir, "way"))
	s := storeAt(t, map[string]string{"path": dir})
	for _, c := range []struct {
		name string
		kind sources.Kind
		part string
	}{
		{"linked", sources.Refused, "is a symbolic link"},
		{"escape", sources.Unusable, "symbolic link out of that directory"},
		{"way/outside", sources.Unusable, "out of that directory"},
		{"sub", sources.Refused, "is a folder of other secrets"},
		{"real/x", sources.Refused, `"real" is a secret itself`},
		{"real/x/y", sources.Refused, `"real" is a secret itself`},
		{"key.age", sources.Refused, "take a name that does not end in .age"},
		{"real", sources.Refused, "was not stored by bifrost-secrets"},
		{strings.Repeat("n", 256), sources.BadName, "too long a name"},
	} {
		_, err := s.Put(t.Context(), writeTo(c.name, "new", ""))
		wantError(t, err, c.kind, c.part)
	}
	for path, want := range map[string]string{outside: canary, filepath.Join(dir, "real"): canary} {
		if b, err := os.ReadFile(path); err != nil || string(b) != want {
			t.Errorf("%s was touched: %v", path, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, strings.Repeat("n", 256))); !errors.Is(err, fs.ErrNotExist) && err == nil {
		t.Error("a file of that name is there")
	}
	for _, name := range []string{"linked", "sub", "sub/x"} {
		if err := s.Delete(t.Context(), name, "prod", sources.DeleteOptions{}); name != "sub" {
			wantError(t, err, sources.Refused, "was not stored by bifrost-secrets")
		}
	}
}

// A volume of Kubernetes is seen by its link `..data`, before anything is made.
func TestStoreKubernetes(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "..2026", "key"), canary)
	link(t, "..2026", filepath.Join(dir, "..data"))
	link(t, "..data/key", filepath.Join(dir, "key"))
	s := storeAt(t, map[string]string{"path": dir})
	for _, name := range []string{"key", "new"} {
		_, err := s.Put(t.Context(), writeTo(name, "1", ""))
		wantError(t, err, sources.Refused, "is a volume of Kubernetes", "change the Secret")
	}
	wantError(t, s.Delete(t.Context(), "key", "prod", sources.DeleteOptions{}), sources.Refused, "is a volume of Kubernetes")
	items, err := s.List(t.Context(), "")
	if err != nil || len(items) != 1 || items[0].Name != "key" {
		t.Errorf("listed %v, %v", items, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		t.Errorf("something was made: %v, %v", entries, err)
	}
	// One below, mounted into a directory of ours.
	s = storeAt(t, map[string]string{"path": filepath.Dir(dir)})
	_, err = s.Put(t.Context(), writeTo(filepath.Base(dir)+"/new", "1", ""))
	wantError(t, err, sources.Refused, "is a volume of Kubernetes")
}

func TestStoreRecipients(t *testing.T) {
	dir := t.TempDir()
	mine, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	quantum, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	both := encrypt(t, canary, mine.Recipient(), theirs.Recipient())
	list := write(t, filepath.Join(dir, "recipients.txt"), "# ours\n"+mine.Recipient().String()+"\n"+theirs.Recipient().String()+"\n")
	open := func(content string, more map[string]string) (s sources.Store, path, version string) {
		path = write(t, filepath.Join(t.TempDir(), "key"), content)
		settings := map[string]string{"path": filepath.Dir(path), "identity": mine.String()}
		for key, text := range more {
			settings[key] = text
		}
		s = storeAt(t, settings)
		if err := directoryOf(s).locked(t.Context(), func(root *os.Root) error {
			return directoryOf(s).saveMark(root, "key", entry{Owner: "prod"}) // it is ours
		}); err != nil {
			t.Fatal(err)
		}
		return s, path, s.Inspect(t.Context(), []string{"key"})["key"].Version
	}

	// Others who could read it must be able to afterwards.
	s, _, at := open(armored(t, both), nil)
	_, err = s.Put(t.Context(), writeTo("key", "1", at))
	wantError(t, err, sources.Refused, "is encrypted for 2 keys, and only 1", "recipients")
	for _, recipients := range []string{
		mine.Recipient().String() + ", " + theirs.Recipient().String(),
		mine.Recipient().String() + "\n" + theirs.Recipient().String(),
		list,
	} {
		s, path, at := open(armored(t, both), map[string]string{"recipients": recipients})
		mustPut(t, s, "key", "1", at)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(b), "-----BEGIN AGE") || strings.Contains(string(b), canary) {
			t.Error("it is not armored any more")
		}
		openAt(t, filepath.Dir(path), theirs.String()).wantValue(t, "key", canary+"1")
		openAt(t, filepath.Dir(path), mine.String()).wantValue(t, "key", canary+"1")
	}

	for text, part := range map[string]string{
		theirs.Recipient().String(): "does not have the key of",
		theirs.String():             "holds an identity, which is secret",
		"age1nonsense":              "cannot be read",
		filepath.Join(dir, "none"):  "does not exist",
		mine.Recipient().String() + "," + quantum.Recipient().String(): "cannot be used together",
	} {
		s, path, at := open(both, map[string]string{"recipients": text})
		_, err := s.Put(t.Context(), writeTo("key", "1", at))
		wantError(t, err, sources.BadSettings, part)
		if b, _ := os.ReadFile(path); string(b) != both {
			t.Error("the file was touched")
		}
	}

	// A directory: plain files stay plain, new ones are encrypted, also for
	// somebody who could not read them.
	folder := t.TempDir()
	plain := storeAt(t, map[string]string{"path": folder})
	version := mustPut(t, plain, "plain", "1", "")
	for _, settings := range []map[string]string{
		{"path": folder, "identity": quantum.String()},
		{"path": folder, "recipients": theirs.Recipient().String()},
	} {
		s := storeAt(t, settings)
		name := "new-" + strings.ToLower(settings["recipients"])[:min(len(settings["recipients"]), 4)]
		mustPut(t, s, name, "1", "")
		b, err := os.ReadFile(filepath.Join(folder, name+".age"))
		if err != nil || !strings.HasPrefix(string(b), binaryHeader) {
			t.Errorf("%s: %v", name, err)
		}
		version = mustPut(t, s, "plain", "2", version)
	}
	openAt(t, folder).wantValue(t, "plain", canary+"2")
	openAt(t, folder, quantum.String()).wantValue(t, "new-", canary+"1")
	openAt(t, folder, theirs.String()).wantValue(t, "new-age1", canary+"1")
}

// TestStoreStaysSealed: what was encrypted, or says so by its name, is never
// replaced by plain text, whatever somebody has made of it meanwhile.
func TestStoreStaysSealed(t *testing.T) {
	key, to := newIdentity(t)
	for name, content := range map[string]string{
		"key":     byteOrderMark + armored(t, to(canary)),
		"key.age": byteOrderMark + strings.ReplaceAll(armored(t, to(canary)), "\n", "\r\n"),
		"KEY.age": canary,
		"nil.age": "",
	} {
		dir := t.TempDir()
		path := write(t, filepath.Join(dir, name), content)
		name = strings.TrimSuffix(name, ".age")
		mark := func(s sources.Store) (version string) {
			if err := directoryOf(s).locked(t.Context(), func(root *os.Root) error {
				return directoryOf(s).saveMark(root, name, entry{Owner: "prod"}) // it is ours
			}); err != nil {
				t.Fatal(err)
			}
			return s.Inspect(t.Context(), []string{name})[name].Version
		}
		s := storeAt(t, map[string]string{"path": dir})
		_, err := s.Put(t.Context(), writeTo(name, "1", mark(s)))
		wantError(t, err, sources.BadSettings, "is to be encrypted with age, but")
		s = storeAt(t, map[string]string{"path": dir, "identity": key})
		mustPut(t, s, name, "1", mark(s))
		if b, err := os.ReadFile(path); err != nil || strings.Contains(string(b), canary) {
			t.Errorf("%s holds plain text (%v)", name, err)
		}
		openAt(t, dir, key).wantValue(t, name, canary+"1")
	}
}

// Another process that has the lock is waited for, and not for ever.
func TestStoreLock(t *testing.T) {
	dir := t.TempDir()
	s := storeAt(t, map[string]string{"path": dir})
	f, err := os.OpenFile(filepath.Join(dir, lockSuffix), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if taken, err := lock(f); !taken || err != nil {
		t.Fatal(taken, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	do := directoryOf(s).do
	directoryOf(s).do = func(op string, call func() error) error {
		if op == "lock" {
			time.AfterFunc(5*lockPoll, cancel) // not before it waits, on a busy machine
		}
		return do(op, call)
	}
	_, err = s.Put(ctx, writeTo("key", "1", ""))
	wantError(t, err, sources.Unreachable, "another process has the lock")
	directoryOf(s).do = do
	time.AfterFunc(3*lockPoll, func() { _ = f.Close() })
	mustPut(t, s, "key", "1", "")
}

// What says whose a secret is, and cannot be read, keeps everybody from writing.
func TestStoreMarks(t *testing.T) {
	dir := t.TempDir()
	s := storeAt(t, map[string]string{"path": dir})
	mustPut(t, s, "key", "1", "")
	mustPut(t, s, "other", "1", "")
	mark := filepath.Join(dir, markPath("key", settled))
	refuses := func() {
		t.Helper()
		item := s.Inspect(t.Context(), []string{"key"})["key"]
		wantError(t, item.Err, sources.Unusable, "it says which secrets are ours", "restore it")
		_, err := s.Put(t.Context(), writeTo("key", "2", ""))
		wantError(t, err, sources.Unusable)
		wantError(t, s.Delete(t.Context(), "key", "prod", sources.DeleteOptions{}), sources.Unusable)
		_, err = s.List(t.Context(), "")
		wantError(t, err, sources.Unusable)
		openAt(t, dir).wantValue(t, "key", canary+"1")
	}
	for _, content := range []string{"", "{", "[]", "{}", `{"owner": 3}`, `{"owner": ""}`, "null", `{"` + canary + `": "x"}`} {
		write(t, mark, content)
		refuses()
		// The others go on.
		if item := s.Inspect(t.Context(), []string{"other"})["other"]; item.Err != nil || item.Mark == nil {
			t.Errorf("another secret: %+v", item)
		}
	}
	// Without it that one is not ours.
	if err := os.Remove(mark); err != nil {
		t.Fatal(err)
	}
	_, err := s.Put(t.Context(), writeTo("key", "2", ""))
	wantError(t, err, sources.Refused, "was not stored by bifrost-secrets")
	if err := os.RemoveAll(filepath.Join(dir, marksFolder)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, marksFolder), "")
	refuses()
}

// A JSON file is read, and nothing opens it for writing.
func TestStoreDocument(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "all.json"), `{"key": "CANARY"}`)
	settings := sources.Settings{"path": sources.NewSecret([]byte(path))}
	_, err := Backend.Open(t.Context(), settings, sources.Options{Getenv: os.LookupEnv, Warn: func(string) {}, Write: true})
	wantError(t, err, sources.BadSettings, path+" is a JSON file, which is read and never written", "name a directory")
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("something was made: %v, %v", entries, err)
	}
}
