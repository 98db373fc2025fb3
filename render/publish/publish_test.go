package publish

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWrite(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "config.json")
	target := check(t, path, Options{})
	if target.Path != path {
		t.Errorf("path is %s, want %s", target.Path, path)
	}
	for _, content := range []string{"one", strings.Repeat("S3CRET", 100_000), "", "one"} {
		if !write(t, target, content) {
			t.Error("reported as unchanged")
		}
		wantContent(t, path, content)
		wantMode(t, path, 0o600)
		wantNames(t, dir, "config.json")
	}
}

func TestUnchangedWritesNothing(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "config.json")
	content := strings.Repeat("S3CRET", 50_000)
	target := check(t, path, Options{})
	write(t, target, content)
	long := time.Unix(1_000_000_000, 0)
	must(t, os.Chtimes(path, long, long))
	must(t, os.Chtimes(dir, long, long))
	before, err := os.Stat(path)
	must(t, err)

	if same, err := target.Same([]byte(content)); !same || err != nil {
		t.Errorf("Same gives %v, %v", same, err)
	}
	target = check(t, path, Options{})
	if write(t, target, content) {
		t.Error("reported as changed")
	}
	after, err := os.Stat(path)
	must(t, err)
	parent, err := os.Stat(dir)
	must(t, err)
	if !os.SameFile(before, after) || !after.ModTime().Equal(long) || !parent.ModTime().Equal(long) {
		t.Error("something was written")
	}
}

func TestSame(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "config.json")
	target := check(t, path, Options{})
	content := strings.Repeat("S3CRET", 50_000)
	for name, c := range map[string]struct {
		there string
		want  bool
	}{
		"same":           {content, true},
		"shorter":        {content[1:], false},
		"longer":         {content + "x", false},
		"first differs":  {"x" + content[1:], false},
		"last differs":   {content[1:] + "x", false},
		"nothing at all": {"", false},
	} {
		put(t, path, c.there, 0o600)
		if same, err := target.Same([]byte(content)); same != c.want || err != nil {
			t.Errorf("%s: got %v, %v", name, same, err)
		}
	}
	must(t, os.Remove(path))
	if same, err := target.Same(nil); same || err != nil {
		t.Errorf("absent file: got %v, %v", same, err)
	}
}

// Two files that belong together: nothing moves before both are staged.
func TestStageThenCommit(t *testing.T) {
	dir := folder(t)
	env, config := filepath.Join(dir, "bifrost.env"), filepath.Join(dir, "config.json")
	put(t, config, "old", 0o600)
	first, err := check(t, env, Options{}).Stage([]byte("A=S3CRET"))
	must(t, err)
	defer first.Discard()
	second, err := check(t, config, Options{}).Stage([]byte("new"))
	must(t, err)
	defer second.Discard()
	wantContent(t, config, "old")
	if _, err := os.Stat(env); err == nil {
		t.Error("the first is in place before its commit")
	}
	for _, s := range []*Staged{first, second} {
		if changed, err := s.Commit(); !changed || err != nil {
			t.Errorf("commit gives %v, %v", changed, err)
		}
		_, err := s.Commit()
		wantError(t, err, "commit", "was committed or discarded before", "")
	}
	wantContent(t, env, "A=S3CRET")
	wantContent(t, config, "new")
	wantNames(t, dir, "bifrost.env", "config.json")
}

// A time that was set is that of the file from the moment on in which it is in place.
func TestSetTime(t *testing.T) {
	path := filepath.Join(folder(t), "config.json")
	target, at := check(t, path, Options{}), time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, other := range []time.Time{at, at.Add(time.Hour)} { // the second time it is the same file
		staged, err := target.Stage([]byte("S3CRET"))
		must(t, err)
		must(t, staged.SetTime(other))
		_, err = staged.Commit()
		must(t, err)
		info, err := os.Stat(path)
		must(t, err)
		if !info.ModTime().Equal(at) {
			t.Errorf("the time is %v, want %v", info.ModTime(), at)
		}
	}
}

func TestDiscard(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "config.json")
	put(t, path, "old", 0o600)
	staged, err := check(t, path, Options{}).Stage([]byte("new"))
	must(t, err)
	staged.Discard()
	staged.Discard()
	wantContent(t, path, "old")
	wantNames(t, dir, "config.json")
	_, err = staged.Commit()
	wantError(t, err, "commit", "was committed or discarded before", "")

	same, err := check(t, path, Options{}).Stage([]byte("old"))
	must(t, err)
	if changed, err := same.Commit(); changed || err != nil {
		t.Errorf("commit of the same gives %v, %v", changed, err)
	}
	same.Discard()
}

func TestDirectoryReplacedSinceCheck(t *testing.T) {
	dir := filepath.Join(folder(t), "d")
	must(t, os.Mkdir(dir, 0o700))
	target := check(t, filepath.Join(dir, "config.json"), Options{})
	must(t, os.Rename(dir, dir+".away"))
	_, err := target.Write([]byte("S3CRET"))
	wantError(t, err, "stage", "cannot open the directory "+dir, "")
	must(t, os.Mkdir(dir, 0o700))
	_, err = target.Write([]byte("S3CRET"))
	wantError(t, err, "stage", "was replaced after it was checked", "run again")
	if _, err := target.Same(nil); err == nil {
		t.Error("Same is not told")
	}
	wantNames(t, dir)
}

func TestDirectoryMissing(t *testing.T) {
	dir := folder(t)
	for _, missing := range []string{"a", filepath.Join("a", "b", "c")} {
		_, err := Check(filepath.Join(dir, missing, "config.json"), nil, Options{})
		wantError(t, err, "check", "does not exist", "make it first")
	}
}

func TestParseMode(t *testing.T) {
	for s, want := range map[string]os.FileMode{"600": 0o600, "0600": 0o600, "0640": 0o640, "444": 0o444, "0755": 0o755, "660": 0o660} {
		if got, err := ParseMode(s); got != want || err != nil {
			t.Errorf("%s: got %v, %v", s, got, err)
		}
	}
	for s, why := range map[string]string{
		"":       "is no octal number",
		"rw":     "is no octal number",
		"0800":   "is no octal number",
		"-600":   "is no octal number",
		"777777": "is no octal number",
		"0666":   "lets everybody write",
		"0602":   "lets everybody write",
		"4600":   "more than the nine",
		"1644":   "more than the nine",
		"0":      "does not let the owner read",
		"0240":   "does not let the owner read",
	} {
		_, err := ParseMode(s)
		wantError(t, err, "parse", why, "0640")
	}
}
