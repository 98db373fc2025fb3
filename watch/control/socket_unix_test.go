//go:build unix

package control

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
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

// While one process looks whether the place is free and takes it, no other
// does: both would find it free.
func TestSocketIsTakenByOne(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	unlock, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := listenOn(path); err == nil || !strings.Contains(err.Error(), "another process is setting up a socket there") {
		t.Errorf("%v %v", s, err)
	}
	unlock()
	s, err := listenOn(path)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func TestNoSocket(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "file")
	write(t, plain, "mine")
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
	if got, err := os.ReadFile(plain); err != nil || string(got) != "mine" {
		t.Errorf("the file has %q (%v)", got, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
}
