package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bifrost-secrets/sources"
)

func TestDirectoryValues(t *testing.T) {
	dir := t.TempDir()
	values := map[string]string{
		"plain":           canary,
		"newline":         canary + "\r\n\n",
		"binary":          "\x00\xff" + canary,
		"empty":           "",
		"db/main/pass":    canary + "1",
		"with space#é.v1": canary + "2",
		"limit":           strings.Repeat("x", sources.MaxValue),
	}
	for name, value := range values {
		write(t, filepath.Join(dir, name), value)
	}
	link(t, "db/main/../main/pass", filepath.Join(dir, "linked"))
	values["linked"] = canary + "1"
	link(t, "main", filepath.Join(dir, "db", "alias"))
	values["db/alias/pass"] = canary + "1"

	o := openAt(t, dir)
	names := make([]string, 0, len(values))
	for name, value := range values {
		o.wantValue(t, name, value)
		names = append(names, name)
	}
	results := o.Fetch(t.Context(), names)
	for name, value := range values {
		if string(results[name].Value.Reveal()) != value {
			t.Errorf("%q differs when read with others", name)
		}
	}
	if len(o.warnings) > 0 {
		t.Errorf("warnings %q", o.warnings)
	}
}

func TestDirectoryRefuses(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "mount")
	outside := write(t, filepath.Join(top, "outside"), canary)
	write(t, filepath.Join(dir, "real"), canary)
	write(t, filepath.Join(dir, "..data", "x"), canary)
	write(t, filepath.Join(dir, ".hidden"), canary)
	write(t, filepath.Join(dir, "sub", "x"), canary)
	write(t, filepath.Join(dir, "large"), canary+strings.Repeat("x", sources.MaxValue))
	sparse := write(t, filepath.Join(dir, "sparse"), "")
	if err := os.Truncate(sparse, 1<<40); err != nil {
		t.Fatal(err)
	}
	link(t, outside, filepath.Join(dir, "absolute"))
	link(t, filepath.Join(dir, "real"), filepath.Join(dir, "absolute-inside"))
	link(t, "../outside", filepath.Join(dir, "escape"))
	link(t, "sub/../../outside", filepath.Join(dir, "escape-long"))
	link(t, "..", filepath.Join(dir, "up"))
	link(t, "nothing", filepath.Join(dir, "dangling"))
	link(t, "loop", filepath.Join(dir, "loop"))

	tests := []struct {
		name  string
		kind  sources.Kind
		parts []string
	}{
		{"", sources.BadName, nil},
		{".", sources.BadName, nil},
		{"..", sources.BadName, nil},
		{"/real", sources.BadName, []string{`"/real" cannot be`}},
		{outside, sources.BadName, nil},
		{"../outside", sources.BadName, nil},
		{"sub/../real", sources.BadName, nil},
		{"sub/./x", sources.BadName, nil},
		{"sub//x", sources.BadName, nil},
		{"real/", sources.BadName, nil},
		{"re\x00al", sources.BadName, nil},
		{"re\xffal", sources.BadName, nil},
		{"..data/x", sources.BadName, []string{"begins with two dots"}},
		{".bifrost-secrets/x", sources.BadName, nil},
		{"sub/.bifrost-secrets.x", sources.BadName, nil},
		{"sub/.hidden", sources.NotFound, nil},
		{strings.Repeat("n", 300), sources.BadName, []string{"too long"}},
		{"sub", sources.Unusable, []string{`"sub" in ` + dir + " is a directory"}},
		{"large", sources.Unusable, []string{"larger than the limit of 1048576 bytes"}},
		{"sparse", sources.Unusable, []string{"larger than"}},
		{"absolute", sources.Unusable, []string{`"absolute" in ` + dir + " is a symbolic link out of", "relative"}},
		{"absolute-inside", sources.Unusable, []string{"an absolute one is refused"}},
		{"escape", sources.Unusable, []string{"out of that directory"}},
		{"escape-long", sources.Unusable, []string{"out of that directory"}},
		{"up/outside", sources.Unusable, []string{"out of that directory"}},
		{"loop", sources.Unreachable, []string{"cannot be read: too many levels of symbolic links"}},
		{"dangling", sources.NotFound, []string{"link to what does not exist"}},
		{"real/x", sources.NotFound, []string{`no file "real/x"`}},
		{"reel", sources.NotFound, []string{`no file "reel" in ` + dir, `did you mean "real"?`, "holds 11 names"}},
		{"zzzzzz", sources.NotFound, []string{`holds 11 names: "absolute", "absolute-inside", "dangling", ...`}},
		{"sub/other", sources.NotFound, []string{filepath.Join(dir, "sub") + ` holds one name: "sub/x"`}},
		{"gone/y", sources.NotFound, []string{dir + " holds 11 names"}},
	}
	o := openAt(t, dir)
	for _, test := range tests {
		t.Run(strings.ReplaceAll(test.name, "/", "|"), func(t *testing.T) {
			o.wantError(t, test.name, test.kind, test.parts...)
			var e *sources.Error
			if errors.As(o.one(t, test.name).Err, &e) && e.Name != test.name {
				t.Errorf("the error is of %q", e.Name)
			}
		})
	}
	if err := os.Mkdir(filepath.Join(dir, "none"), 0o700); err != nil {
		t.Fatal(err)
	}
	openAt(t, filepath.Join(dir, "none")).wantError(t, "x", sources.NotFound, "holds no secret")
	if !errors.Is(o.one(t, "zzzzzz").Err, fs.ErrNotExist) {
		t.Error("not found is not fs.ErrNotExist")
	}
}

func TestDirectoryVersion(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "a"), canary)
	at := time.Date(2026, 1, 2, 3, 4, 5, 600, time.FixedZone("", 3600))
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	link(t, "a", filepath.Join(dir, "b"))
	o := openAt(t, dir)
	for _, name := range []string{"a", "b"} {
		if got, want := o.one(t, name).Version, "2026-01-02T02:04:05.0000006Z"; got != want {
			t.Errorf("version of %q: %s, want %s", name, got, want)
		}
	}
}

// TestGrowing reads a file that another writer never stops adding to.
func TestGrowing(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "log"), strings.Repeat("x", sources.MaxValue-100))
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for size := 0; size < 64<<20; size += 3 {
			select {
			case <-stop:
				return
			default:
				_, _ = f.WriteString(canary)
			}
		}
	})
	o := openAt(t, dir)
	for range 20 {
		if result := o.one(t, "log"); result.Err != nil {
			wantError(t, result.Err, sources.Unusable, "larger than")
		} else if result.Value.Len() > sources.MaxValue {
			t.Errorf("a value of %d bytes", result.Value.Len())
		}
	}
	close(stop)
	writer.Wait()
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// volume is a Kubernetes volume as the kubelet's AtomicWriter lays it out.
type volume struct {
	dir    string
	number int
}

// swap puts the next generation in force: each of names then holds its number.
func (v *volume) swap(names ...string) error {
	v.number++
	generation := fmt.Sprintf("..2026_01_01_00_00_00.%d", v.number)
	old, _ := os.Readlink(filepath.Join(v.dir, "..data"))
	for _, name := range names {
		path := filepath.Join(v.dir, generation, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, fmt.Appendf(nil, "%d", v.number), 0o600); err != nil {
			return err
		}
		first, _, _ := strings.Cut(name, "/")
		visible := filepath.Join(v.dir, first)
		if _, err := os.Lstat(visible); err != nil {
			if err := os.Symlink("..data/"+first, visible); err != nil {
				return err
			}
		}
	}
	next := filepath.Join(v.dir, "..data_tmp")
	if err := os.Symlink(generation, next); err != nil {
		return err
	}
	if err := os.Rename(next, filepath.Join(v.dir, "..data")); err != nil {
		return err
	}
	if old == "" {
		return nil
	}
	return os.RemoveAll(filepath.Join(v.dir, old))
}

var mounted = []string{"password", "user", "nested/path/key"}

func newVolume(t *testing.T) (*volume, *opened, []string) {
	t.Helper()
	top := t.TempDir()
	v := &volume{dir: filepath.Join(top, "db")}
	if err := os.Mkdir(v.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := v.swap(mounted...); err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(mounted))
	for _, name := range mounted {
		names = append(names, "db/"+name)
	}
	return v, openAt(t, top), names
}

func (v *volume) wantNow(t *testing.T, results map[string]sources.Result) {
	t.Helper()
	for name, result := range results {
		if result.Err != nil {
			t.Fatalf("%q: %v", name, result.Err)
		}
		if got, want := string(result.Value.Reveal()), fmt.Sprint(v.number); got != want {
			t.Errorf("%q is of generation %s, want %s", name, got, want)
		}
	}
}

func TestKubernetesLayout(t *testing.T) {
	v, o, names := newVolume(t)
	for range 3 {
		v.wantNow(t, o.Fetch(t.Context(), names))
		if err := v.swap(mounted...); err != nil {
			t.Fatal(err)
		}
	}
	// The volume itself as the directory, and through its own link.
	for _, dir := range []string{v.dir, filepath.Join(v.dir, "..data")} {
		v.wantNow(t, openAt(t, dir).Fetch(t.Context(), mounted))
	}
	openAt(t, v.dir).wantError(t, "passwort", sources.NotFound, `did you mean "password"?`, "holds 3 names")
}

// swapping is a context that runs next when it is asked for the nth time
// whether it has ended, which is between two files.
type swapping struct {
	context.Context
	n    int
	next func()
}

func (s *swapping) Err() error {
	if s.n--; s.n == 0 {
		s.next()
	}
	return nil
}

func TestKubernetesSwapWhileReading(t *testing.T) {
	for n := 1; n <= 3; n++ {
		v, o, names := newVolume(t)
		v.wantNow(t, o.Fetch(&swapping{t.Context(), n, func() {
			if err := v.swap(mounted...); err != nil {
				t.Error(err)
			}
		}}, names))
	}
}

func TestKubernetesConcurrentSwaps(t *testing.T) {
	if testing.Short() {
		t.Skip("it swaps 200 times")
	}
	v, o, names := newVolume(t)
	for range 200 {
		var swap sync.WaitGroup
		swap.Go(func() {
			if err := v.swap(mounted...); err != nil {
				t.Error(err)
			}
		})
		results := o.Fetch(t.Context(), names)
		swap.Wait()
		values := make(map[string]bool)
		for name, result := range results {
			if result.Err != nil {
				t.Fatalf("%q: %v", name, result.Err)
			}
			values[string(result.Value.Reveal())] = true
		}
		if len(values) != 1 {
			t.Fatalf("one Fetch gave values of %d generations", len(values))
		}
	}
}

// TestKubernetesRestlessVolume ends although the volume never comes to rest.
func TestKubernetesRestlessVolume(t *testing.T) {
	v, o, names := newVolume(t)
	ctx := &swapping{Context: t.Context(), n: 1}
	ctx.next = func() {
		ctx.n = 1
		if err := v.swap(mounted...); err != nil {
			t.Error(err)
		}
	}
	if results := o.Fetch(ctx, names); len(results) != len(names) {
		t.Errorf("%d results", len(results))
	}
}

func TestConcurrentFetch(t *testing.T) {
	dir := t.TempDir()
	names := make([]string, 50)
	object := []string{}
	for i := range names {
		names[i] = fmt.Sprintf("name%d", i)
		write(t, filepath.Join(dir, "mount", names[i]), canary+names[i])
		object = append(object, fmt.Sprintf("%q:%q", names[i], canary+names[i]))
	}
	file := write(t, filepath.Join(dir, "s.json"), "{"+strings.Join(object, ",")+"}")
	for _, path := range []string{filepath.Join(dir, "mount"), file} {
		o := openAt(t, path)
		var fetches sync.WaitGroup
		for range 8 {
			fetches.Go(func() {
				for name, result := range o.Fetch(context.Background(), names) {
					if string(result.Value.Reveal()) != canary+name {
						t.Errorf("%q: %v", name, result.Err)
					}
				}
			})
		}
		fetches.Wait()
	}
}
