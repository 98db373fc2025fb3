//go:build unix

package file

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker/regular"
)

func fifo(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSpecialFiles would hang if a pipe were ever opened for reading.
func TestSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	mount := filepath.Join(dir, "mount")
	fifo(t, filepath.Join(mount, "pipe"))
	link(t, "pipe", filepath.Join(mount, "link"))
	t.Chdir(mount) // the path of a socket is limited to about 100 bytes
	var listen net.ListenConfig
	socket, err := listen.Listen(t.Context(), "unix", "socket")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()

	o := openAt(t, mount)
	o.wantError(t, "pipe", sources.Unusable, `"pipe" in `+mount+" is a named pipe", "only regular files")
	o.wantError(t, "link", sources.Unusable, "is a named pipe")
	o.wantError(t, "socket", sources.Unusable, "is a socket")
	o.wantError(t, "pipe/below", sources.NotFound, mount+" holds 3 names")
	openAt(t, "/dev").wantError(t, "zero", sources.Unusable, "is a device")

	_, err = openWith(map[string]string{"path": filepath.Join(mount, "pipe")}, "")
	wantError(t, err, sources.BadSettings, "is a named pipe", "must be a directory")
}

func TestBecomesPipe(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "s.json"), `{}`)
	mount := filepath.Join(dir, "mount")
	write(t, filepath.Join(mount, "a"), canary)
	directory, document := openAt(t, mount), openAt(t, file)
	if err := os.RemoveAll(mount); err != nil {
		t.Fatal(err)
	}
	fifo(t, mount)
	directory.wantError(t, "a", sources.Unreachable, "no directory "+mount)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	fifo(t, file)
	document.wantError(t, "a", sources.Unusable, "is a named pipe")
}

// late says of every file that it is like the one at path.
type late struct {
	regular.Anywhere
	path string
}

func (l late) Stat(string) (os.FileInfo, error) { return os.Stat(l.path) }

// TestBecomesPipeBetween has a pipe where Stat saw a regular file.
func TestBecomesPipeBetween(t *testing.T) {
	dir := t.TempDir()
	like := write(t, filepath.Join(dir, "regular"), canary)
	_, err := readFile(late{path: like}, fifo(t, filepath.Join(dir, "pipe")), "it", 10, nil)
	wantError(t, err, sources.Unusable, "it is a named pipe")
}
