//go:build unix

package control

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// listenOn opens a server on a socket, with nobody serving.
func listenOn(path string) (*Server, error) {
	return Open(idle(), Options{Listen: []string{"unix:" + path}})
}

func TestSocketIsPrivate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	before := syscall.Umask(0)
	s, err := listenOn(path)
	syscall.Umask(before)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("its mode is %v", info.Mode())
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("beside it there are %v (%v)", entries, err)
	}
	s.Close()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("afterwards: %v", err)
	}
}

// What a killed process left is replaced; it had no time to clean up.
func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	r := start(t, idle(), func(o *Options) { o.Listen = []string{"unix:" + path} })
	if code, _, _ := ask(t, overUnix(t, path), http.MethodGet, "http://control"+HealthPath, ""); code != 200 {
		t.Errorf("%d", code)
	}
	_ = r.stop()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestPeerIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	start(t, idle(), func(o *Options) { o.Listen = []string{"unix:" + path} })
	if s, err := listenOn(path); err == nil || !strings.Contains(err.Error(), "something else listens there") {
		t.Errorf("%v %v", s, err)
	}
	if code, _, _ := ask(t, overUnix(t, path), http.MethodGet, "http://control"+HealthPath, ""); code != 200 {
		t.Errorf("the peer answers %d", code)
	}
}

// A socket that somebody else has put in our place is not ours to remove.
func TestSuccessorIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first, err := listenOn(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := listenOn(path)
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the successor's socket: %v", err)
	}
	second.Close()
}

// However many start at once, on one socket one listens, and each other that has a
// socket of its own does too.
func TestSocketsStartTogether(t *testing.T) {
	dir := t.TempDir()
	// Whoever can open the folder cannot hold anybody up.
	stranger, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if err := syscall.Flock(int(stranger.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	listening := make(chan *Server, 40)
	for i := range 40 {
		all.Go(func() {
			path := filepath.Join(dir, "own"+strconv.Itoa(i))
			if i%2 == 0 {
				path = filepath.Join(dir, "same")
			}
			s, err := listenOn(path)
			switch {
			case err == nil:
				listening <- s
			case i%2 != 0 || !strings.Contains(err.Error(), "something else listens there"):
				t.Errorf("%s: %v", path, err)
			}
		})
	}
	all.Wait()
	close(listening)
	n := 0
	for s := range listening {
		n++
		t.Cleanup(s.Close)
	}
	entries, err := os.ReadDir(dir)
	if n != 21 || err != nil || len(entries) != 21 {
		t.Errorf("%d listen, want 21; there are %v (%v)", n, entries, err)
	}
}

// One that sets up the socket is waited for, and not for ever; the hint says who it is.
func TestSocketLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l")
	unlock, err := lock(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(path, 0); !errors.Is(err, errStarting) {
		t.Errorf("got %v", err)
	}
	got := make(chan error, 1)
	go func() {
		second, err := lock(path, 2*time.Minute)
		if err == nil {
			second()
		}
		got <- err
	}()
	unlock()
	if err := <-got; err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock stays: %v", err)
	}
	for what, place := range map[string]func(path string) error{
		"a pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a link": func(path string) error { return os.Symlink("/dev/null", path) },
	} {
		path := filepath.Join(t.TempDir(), "s")
		if err := place(filepath.Join(filepath.Dir(path), ".s.lock")); err != nil {
			t.Fatal(err)
		}
		if _, err := listenOn(path); err == nil || !strings.Contains(err.Error(), "the lock beside it belongs to somebody else") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestNoSocket(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "file")
	write(t, plain, "ours")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(plain, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		plain:                           "it is no socket",
		link:                            "it is no socket",
		filepath.Join(dir, "none", "s"): "there is no folder " + filepath.Join(dir, "none"),
		filepath.Join(plain, "s"):       "there is no folder",
		"":                              "names no file",
		"@control":                      "abstract",
		filepath.Join(dir, strings.Repeat("x", 200)): "too long",
		filepath.Join(dir, strings.Repeat("x", 300)): "too long",
	} {
		if s, err := listenOn(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v %v, want %s", path, s, err, want)
		}
	}
	if got, err := os.ReadFile(plain); err != nil || string(got) != "ours" {
		t.Errorf("the file has %q (%v)", got, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
}

// A file of tokens belongs to who uses it, or to root.
func TestOwnerOfTokens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if tokens, err := ReadTokens(path); err != nil || len(tokens) != 1 {
		t.Fatal(len(tokens), err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	if err := os.Chown(path, 65534, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadTokens(path); err == nil || !strings.Contains(err.Error(), "belongs to user 65534, who can change the tokens") {
		t.Errorf("got %v", err)
	}
}
