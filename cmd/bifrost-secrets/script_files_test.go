package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/rogpeppe/go-internal/testscript"
)

// The commands in this file make and look at files that a script cannot spell.

// put writes a file that is private.
func put(ts *testscript.TestScript, name, content string) {
	path := ts.MkAbs(name)
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o700))
	ts.Check(os.WriteFile(path, []byte(content), 0o600))
}

func arguments(ts *testscript.TestScript, neg bool, args []string, usage string) {
	if neg || len(args) != len(strings.Fields(usage))-1 {
		ts.Fatalf("usage: %s", usage)
	}
}

// doRaw writes a text with Go's escapes: raw bad.json '{"a": "\xff"}'. A double
// quote stands for itself.
func doRaw(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "raw file text")
	text, err := strconv.Unquote(`"` + strings.ReplaceAll(args[1], `"`, `\x22`) + `"`)
	ts.Check(err)
	put(ts, args[0], text)
}

// doNested writes a document of so many objects in each other.
func doNested(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "nested file levels")
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	put(ts, args[0], strings.Repeat(`{"a":`, n)+"1"+strings.Repeat("}", n))
}

// doLong writes a text so many times: long file 1000 x.
func doLong(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "long file times text")
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	put(ts, args[0], strings.Repeat(args[2], n))
}

// doSparse makes a file of so many bytes that takes no space.
func doSparse(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "sparse file bytes")
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	put(ts, args[0], "")
	ts.Check(os.Truncate(ts.MkAbs(args[0]), size))
}

// doExpand puts the values of $NAME into a file.
func doExpand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "expand file")
	put(ts, args[0], os.Expand(ts.ReadFile(args[0]), ts.Getenv))
}

func doFifo(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "fifo file")
	ts.Check(syscall.Mkfifo(ts.MkAbs(args[0]), 0o600))
}

func doHardlink(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "hardlink new old")
	ts.Check(os.Link(ts.MkAbs(args[1]), ts.MkAbs(args[0])))
}

// doTouch sets the time of a file: touch file 2026-01-02T03:04:05Z.
func doTouch(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "touch file time")
	at, err := time.Parse(time.RFC3339, args[1])
	ts.Check(err)
	ts.Check(os.Chtimes(ts.MkAbs(args[0]), at, at))
}

// doIs checks the mode of a file, and its owner where one is given: is out.json
// -rw-r----- 1234:5678.
func doIs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: is file mode [uid:gid]")
	}
	info, err := os.Lstat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := info.Mode().String(); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
	st := info.Sys().(*syscall.Stat_t)
	if got := fmt.Sprintf("%d:%d", st.Uid, st.Gid); len(args) == 3 && got != args[2] {
		ts.Fatalf("%s belongs to %s, want %s", args[0], got, args[2])
	}
}

type ageIdentity struct{ *age.X25519Identity }

func newAgeIdentity() (*ageIdentity, error) {
	id, err := age.GenerateX25519Identity()
	return &ageIdentity{id}, err
}

// doAgeKey makes an identity, writes it to a file and puts it into a variable:
// age-key key.txt AGE_KEY. What is encrypted from now on is for it; key.txt.pub has
// the recipient.
func doAgeKey(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "age-key file variable")
	id, err := newAgeIdentity()
	ts.Check(err)
	of(ts).age = id
	put(ts, args[0], "# a comment, as age-keygen writes one\n"+id.String()+"\n")
	put(ts, args[0]+".pub", id.Recipient().String()+"\n")
	ts.Setenv(args[1], id.String())
}

// doAgeEncrypt encrypts a text: age-encrypt file text. A file whose name ends in
// .asc is armored.
func doAgeEncrypt(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "age-encrypt file text")
	content, err := of(ts).age.seal(args[1], strings.Contains(args[0], ".asc"))
	ts.Check(err)
	put(ts, args[0], content)
}

func (id *ageIdentity) seal(text string, armored bool) (string, error) {
	var b strings.Builder
	if !armored {
		w, err := age.Encrypt(&b, id.Recipient())
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err == nil {
			err = w.Close()
		}
		return b.String(), err
	}
	a := armor.NewWriter(&b)
	w, err := age.Encrypt(a, id.Recipient())
	if err != nil {
		return "", err
	}
	if _, err := w.Write([]byte(text)); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	err = a.Close()
	return b.String(), err
}

// nobody is the user that unprivileged becomes.
const nobody = 65534

// unprivilegedUser is the user that unprivileged runs as.
func unprivilegedUser() int {
	if uid := os.Geteuid(); uid != 0 {
		return uid
	}
	return nobody
}

// unprivileged is a program that runs another one as a user whom file modes
// stop. Where it is root, it makes nobody the owner of all of $WORK, and becomes him.
func unprivileged() {
	if err := becomeNobody(); err != nil {
		fmt.Fprintln(os.Stderr, "unprivileged:", err)
		os.Exit(125)
	}
	path, err := exec.LookPath(os.Args[1])
	if err == nil {
		err = syscall.Exec(path, os.Args[1:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, "unprivileged:", err)
	os.Exit(125)
}

func becomeNobody() error {
	if os.Geteuid() != 0 {
		return nil
	}
	work := os.Getenv("WORK")
	err := filepath.WalkDir(work, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobody, nobody)
	})
	if err != nil {
		return err
	}
	// Where coverage is written is root's; what is run as nobody goes uncounted.
	if os.Getenv("GOCOVERDIR") != "" {
		if err := os.Setenv("GOCOVERDIR", work); err != nil {
			return err
		}
	}
	// The folders that testscript made are root's alone, and a umask may be strict.
	program, err := os.Executable()
	if err != nil {
		return err
	}
	bin := filepath.Dir(program)
	for _, dir := range []string{filepath.Dir(work), filepath.Dir(bin), bin} {
		if err := os.Chmod(dir, 0o711); err != nil {
			return err
		}
	}
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setgid(nobody); err != nil {
		return err
	}
	return syscall.Setuid(nobody)
}

// showEnvironment is a program that prints its environment, each variable with
// a NUL behind it.
func showEnvironment() {
	for _, one := range os.Environ() {
		fmt.Print(one + "\x00")
	}
}
