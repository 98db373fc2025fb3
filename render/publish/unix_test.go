//go:build unix

package publish

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// child runs the test binary as one of children.
func child(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	// The race detector would have each child linger a second at its end.
	cmd.Env = append(os.Environ(), childEnv+"="+name, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// rootOnly is for what only root can set up: files of other users.
func rootOnly(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make files of other users")
	}
}

const nobody = 65534

func init() {
	// publish PATH OWNER: one publishing by a user without rights.
	children["publish"] = func(args []string) {
		if os.Geteuid() == 0 {
			for _, err := range []error{syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody)} {
				if err != nil {
					fmt.Println(err)
					os.Exit(3)
				}
			}
		}
		var o Options
		if args[1] != "" {
			owner, err := ParseOwner(args[1])
			if err != nil {
				fmt.Println(err)
				os.Exit(3)
			}
			o.Owner = &owner
		}
		target, err := Check(args[0], nil, o)
		if err == nil {
			_, err = target.Write([]byte("new"))
		}
		if e, ok := err.(*Error); ok {
			fmt.Printf("%s: %s; %s\n", e.Op, e, e.Hint)
			os.Exit(1)
		}
	}
}

func TestMode(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "config.json")
	for _, umask := range []int{0, 0o022, 0o077, 0o277, 0o777} {
		for _, c := range []struct{ before, ask, want fs.FileMode }{
			{0, 0, 0o600},         // absent
			{0o644, 0, 0o600},     // looser, though the bytes are the same
			{0o400, 0, 0o600},     // tighter
			{0o600, 0o640, 0o640}, // loosened on purpose
			{0o600, 0o400, 0o400},
			{0o600 | fs.ModeSetuid, 0o600, 0o600},
		} {
			must(t, os.RemoveAll(path))
			if c.before != 0 {
				put(t, path, "same", c.before)
			}
			old := syscall.Umask(umask)
			changed := write(t, check(t, path, Options{Mode: c.ask}), "same")
			syscall.Umask(old)
			if !changed {
				t.Errorf("%v to %v: not reported as a change", c.before, c.ask)
			}
			wantMode(t, path, c.want)
			wantContent(t, path, "same")
			wantNames(t, dir, "config.json")
		}
	}
	for _, mode := range []fs.FileMode{0o606, 0o200, 0o600 | fs.ModeSetuid, 0o1600} {
		if _, err := Check(path, nil, Options{Mode: mode}); err == nil {
			t.Errorf("mode %o is taken", mode)
		}
	}
}

func TestOwner(t *testing.T) {
	rootOnly(t)
	dir := folder(t)
	path := filepath.Join(dir, "config.json")
	for _, c := range []struct {
		owner    *Owner
		uid, gid int
	}{
		{&Owner{1234, -1}, 1234, 0},
		{&Owner{1234, 567}, 1234, 567},
		{&Owner{-1, 567}, 0, 567},
		{nil, 0, 567}, // in a directory of root's it keeps what it has
	} {
		for _, want := range []bool{true, false} {
			target := check(t, path, Options{Mode: 0o640, Owner: c.owner})
			// A group that is left as it is says nothing about an old file's.
			if changed := write(t, target, "S3CRET"); changed != (want && c.owner != nil) {
				t.Errorf("%v: changed is %v", c.owner, changed)
			}
			info, err := os.Stat(path)
			must(t, err)
			if uid, gid := ids(info); uid != c.uid || gid != c.gid {
				t.Errorf("%v: file belongs to %d:%d", c.owner, uid, gid)
			}
			wantMode(t, path, 0o640)
		}
	}
}

func TestParseOwner(t *testing.T) {
	me, err := user.Current()
	must(t, err)
	uid, err := strconv.Atoi(me.Uid)
	must(t, err)
	for s, want := range map[string]Owner{
		"1000":             {1000, -1},
		"1000:2000":        {1000, 2000},
		":0":               {-1, 0},
		"4294967294":       {4294967294, -1},
		me.Username:        {uid, -1},
		me.Username + ":7": {uid, 7},
	} {
		got, err := ParseOwner(s)
		if got != want || err != nil {
			t.Errorf("%s: got %v, %v", s, got, err)
		}
		if again, err := ParseOwner(got.String()); again != got || err != nil {
			t.Errorf("%s: written as %q and read as %v, %v", s, got, again, err)
		}
	}
	for s, why := range map[string]string{
		"":                     "is incomplete",
		":":                    "is incomplete",
		"1000:":                "is incomplete",
		"no-such-user-here":    `user "no-such-user-here" is not known here`,
		"0:no-such-group-here": `group "no-such-group-here" is not known here`,
		"4294967295":           "is no possible number",
		"99999999999":          "is no possible number",
		"-1":                   `user "-1" is not known here`,
		"1:2:3":                `group "2:3" is not known here`,
	} {
		_, err := ParseOwner(s)
		wantError(t, err, "parse", why, "number")
	}
}

// What an unprivileged process may not do is said before anything is fetched.
func TestWithoutRights(t *testing.T) {
	for _, c := range []struct {
		name, owner string
		setup       func(t *testing.T, dir string)
		want        string // empty: it works
		root        bool
	}{
		{name: "own directory", setup: func(*testing.T, string) {}},
		{name: "own numbers", owner: "self", setup: func(*testing.T, string) {}},
		{name: "read-only directory", setup: func(t *testing.T, dir string) {
			must(t, os.Chmod(dir, 0o555))
		}, want: "check: PATH: cannot write in the directory DIR as uid UID: permission denied; give this process's user the right to read, write and search DIR, or publish elsewhere"},
		{name: "directory that cannot be searched", setup: func(t *testing.T, dir string) {
			must(t, os.Chmod(dir, 0o600))
		}, want: "check: PATH: cannot look at PATH: permission denied; give this"},
		{name: "drop box", setup: func(t *testing.T, dir string) {
			must(t, os.Chmod(dir, 0o300))
		}, want: "check: PATH: cannot write in the directory DIR"},
		{name: "give away", owner: "1234:5", setup: func(*testing.T, string) {},
			want: "check: PATH: cannot give the file to 1234:5: this process is uid UID and lacks CAP_CHOWN; run as root"},
		{name: "foreign group", owner: ":1234", setup: func(*testing.T, string) {},
			want: "check: PATH: cannot give the file to :1234: this process"},
		{name: "file of another", root: true, setup: func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "config.json"), "old", 0o600)
		}},
		{name: "file of another in a sticky directory", root: true, setup: func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "config.json"), "old", 0o600)
			must(t, os.Chown(dir, 0, -1))
			must(t, os.Chmod(dir, 0o777|fs.ModeSticky))
		}, want: "check: PATH: belongs to uid 0, and in the sticky directory DIR only its owner may replace it; remove it"},
		{name: "link of another", root: true, setup: func(t *testing.T, dir string) {
			must(t, os.Symlink("x", filepath.Join(dir, "config.json")))
			must(t, os.Lchown(filepath.Join(dir, "config.json"), 1234, -1))
		}, want: "check: PATH: the link PATH is not followed: it belongs to uid 1234, so others than us (uid UID) and root may decide"},
		{name: "link in a directory of another", root: true, setup: func(t *testing.T, dir string) {
			must(t, os.Symlink("x", filepath.Join(dir, "config.json")))
			must(t, os.Chown(dir, 1234, -1))
			must(t, os.Chmod(dir, 0o755))
		}, want: "check: PATH: the link PATH is not followed: its directory belongs to uid 1234, so"},
		{name: "link of root", root: true, setup: func(t *testing.T, dir string) {
			must(t, os.Symlink("x", filepath.Join(dir, "config.json")))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.root {
				rootOnly(t)
			}
			top := folder(t)
			for d := top; d != filepath.Dir(d) && strings.Contains(d, "TestWithoutRights"); d = filepath.Dir(d) {
				must(t, os.Chmod(d, 0o755))
			}
			dir := filepath.Join(top, "d")
			must(t, os.Mkdir(dir, 0o700))
			uid := os.Geteuid()
			if uid == 0 {
				uid = nobody
				must(t, os.Chown(dir, nobody, nobody))
			}
			t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
			c.setup(t, dir)
			path := filepath.Join(dir, "config.json")
			owner := c.owner
			if owner == "self" {
				owner = strconv.Itoa(uid)
			}
			out, err := child(t, "publish", path, owner).CombinedOutput()
			want := strings.NewReplacer("PATH", path, "DIR", dir, "UID", strconv.Itoa(uid)).Replace(c.want)
			if (err == nil) != (want == "") || !strings.HasPrefix(string(out), want) {
				t.Fatalf("got %v: %s\nwant %s", err, out, want)
			}
			if want == "" {
				wantContent(t, path, "new")
			}
		})
	}
}

// sweepable is a leftover's name as create makes it.
func sweepable(base string) string { return "." + base + "." + strings.Repeat("A2", 13) + tempSuffix }

func TestSweep(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "config.json")
	target := check(t, path, Options{})
	write(t, target, "S3CRET")
	stale := filepath.Join(dir, sweepable("config.json"))
	for _, mode := range []fs.FileMode{0o600, 0o400} {
		put(t, stale, "S3CRET half", mode)
		if write(t, target, "S3CRET") { // also when there is nothing to write
			t.Error("reported as changed")
		}
		wantNames(t, dir, "config.json")
	}

	// None of these is a leftover of ours.
	strangers := []string{
		sweepable("other.json"),
		sweepable("config.json") + "x",
		strings.ToLower(sweepable("config.json")),
		".config.json.AAAA.tmp",
		".config.json..tmp",
		".config.json.tmp",
		".config.json.swp",
		".config.json." + strings.Repeat("1", tempRandom) + ".tmp",
		"config.json.tmp",
	}
	for _, name := range strangers {
		put(t, filepath.Join(dir, name), "keep", 0o600)
	}
	must(t, os.Mkdir(stale, 0o700))
	link := filepath.Join(dir, "."+"config.json."+strings.Repeat("B", tempRandom)+".tmp")
	must(t, os.Symlink(strangers[0], link))
	fifo := filepath.Join(dir, "."+"config.json."+strings.Repeat("C", tempRandom)+".tmp")
	must(t, unix.Mkfifo(fifo, 0o600))
	write(t, target, "S3CRET 2")
	for _, name := range append(strangers, filepath.Base(stale), filepath.Base(link), filepath.Base(fifo)) {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s was swept away", name)
		}
	}
}

func TestSweepAsksForOwner(t *testing.T) {
	rootOnly(t)
	dir := folder(t)
	path := filepath.Join(dir, "config.json")
	stale := filepath.Join(dir, sweepable("config.json"))
	put(t, stale, "S3CRET", 0o600)
	must(t, os.Chown(stale, 1234, -1))
	write(t, check(t, path, Options{}), "S3CRET")
	wantNames(t, dir, sweepable("config.json"), "config.json")
	write(t, check(t, path, Options{Owner: &Owner{1234, -1}}), "S3CRET")
	wantNames(t, dir, "config.json")
}

// A living process keeps its temporary file, also before it has its lock.
func TestSweepSparesTheLiving(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "config.json")
	target, other := check(t, path, Options{}), check(t, path, Options{})

	staged, err := target.Stage([]byte("first"))
	must(t, err)
	defer staged.Discard()
	write(t, other, "second")
	if changed, err := staged.Commit(); !changed || err != nil {
		t.Fatalf("commit gives %v, %v", changed, err)
	}
	wantContent(t, path, "first")

	faulty, creations := system, 0
	faulty.create = func(dir *os.Root, name string) (*os.File, error) {
		f, err := system.create(dir, name)
		if creations++; creations < 3 {
			other.sweep(dir) // between create and lock
		}
		return f, err
	}
	target.sys = &faulty
	write(t, target, "third")
	wantContent(t, path, "third")
	wantNames(t, dir, "config.json")
	if creations != 3 {
		t.Errorf("%d files were created, want 3", creations)
	}

	creations = -1000
	_, err = target.Write([]byte("S3CRET"))
	wantError(t, err, "stage", "other processes keep removing our temporary file", "one process at a time")
	wantNames(t, dir, "config.json")
}

// TestLike: what every system shows of a file, Windows its 0666 too, is what its
// successor may have.
func TestLike(t *testing.T) {
	t.Chdir(folder(t))
	for mode, want := range map[fs.FileMode]fs.FileMode{0o666: 0o664, 0o600: 0o600, 0o644: 0o644, 0o222: 0o620, 0o444: 0o444} {
		put(t, "old", "x", 0o600)
		must(t, os.Chmod("old", mode))
		info, err := os.Stat("old")
		must(t, err)
		o := Like(info)
		if o.Mode != want || o.Owner != nil {
			t.Errorf("the successor of %04o has %04o of %v, want %04o", mode, o.Mode, o.Owner, want)
		}
		check(t, "old", o)
		must(t, os.Remove("old"))
	}
}

// TestOwnerOfWhatIsThere: a file keeps its owner where nobody else can have put it
// there, and what it does not keep is told.
func TestOwnerOfWhatIsThere(t *testing.T) {
	rootOnly(t)
	for name, test := range map[string]struct {
		dirUID  int
		dirMode os.FileMode
		owner   *Owner
		want    Owner
		warning string
	}{
		"root's directory":        {0, 0o755, nil, Owner{1234, 1235}, "its mode changes from 0644 to 0600"},
		"the owner's":             {1234, 0o755, nil, Owner{1234, 1235}, "its mode changes from 0644 to 0600"},
		"somebody else's":         {1300, 0o755, nil, Owner{0, 0}, "it belongs to 1234:1235 with mode 0644 and will belong to uid 0 with mode 0600"},
		"one that a group writes": {0, 0o775, nil, Owner{0, 0}, "it belongs to 1234:1235"},
		"one that all write":      {0, 0o1777, nil, Owner{0, 0}, "it belongs to 1234:1235"},
		"another is asked for":    {0, 0o755, &Owner{1400, 1401}, Owner{1400, 1401}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(folder(t), "app")
			must(t, os.Mkdir(dir, 0o755))
			path := filepath.Join(dir, "config.json")
			must(t, os.WriteFile(path, []byte("old"), 0o644))
			must(t, os.Chmod(path, 0o644))
			must(t, os.Chown(path, 1234, 1235))
			must(t, os.Chown(dir, test.dirUID, 0))
			must(t, os.Chmod(dir, test.dirMode&0o777|os.ModeSticky*(test.dirMode>>9&1)))
			target := check(t, path, Options{Owner: test.owner})
			if said := strings.Join(target.Warnings, "\n"); !strings.Contains(said, test.warning) || test.warning == "" && strings.Contains(said, "1234") {
				t.Errorf("warned: %s", said)
			}
			if _, err := target.Write([]byte("new")); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			must(t, err)
			if uid, gid := ids(info); (Owner{uid, gid}) != test.want || info.Mode() != 0o600 {
				t.Errorf("it has %d:%d and %v", uid, gid, info.Mode())
			}
			again := check(t, path, Options{Owner: test.owner})
			if said := strings.Join(again.Warnings, "\n"); strings.Contains(said, "mode changes") || strings.Contains(said, "will belong") {
				t.Errorf("told twice: %s", said)
			}
			if same, err := again.Same([]byte("new")); err != nil || !same {
				t.Errorf("the next run would write again: %v", err)
			}
		})
	}
}

// What was unlocked is free at once, also while a process that is being started, in which
// every open file of ours is open until its program runs, still has the file that was locked.
func TestUnlockedWhileStarting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	must(t, os.WriteFile(path, nil, 0o600))
	unlock, err := Lock(path)
	must(t, err)
	if _, err := Lock(path); !errors.Is(err, ErrLocked) {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	must(t, err)
	want := info.Sys().(*syscall.Stat_t)
	copied := false
	for fd := range 256 {
		var st syscall.Stat_t
		if syscall.Fstat(fd, &st) != nil || st.Ino != want.Ino || st.Dev != want.Dev {
			continue
		}
		other, err := syscall.Dup(fd)
		must(t, err)
		defer func() { must(t, syscall.Close(other)) }()
		copied = true
		break
	}
	if !copied {
		t.Fatal("the locked file is not open")
	}
	unlock()
	again, err := Lock(path)
	must(t, err)
	again()
}
