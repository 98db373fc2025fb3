package file

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"bifrost-secrets/sources"
)

// asOrdinaryUser calls f with the permissions of a user that is not root, whom
// no file mode stops. The user for file access is a thread's own on Linux.
func asOrdinaryUser(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() == 0 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := syscall.Setfsuid(65534); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := syscall.Setfsuid(0); err != nil {
				t.Error(err)
			}
		}()
	}
	f()
}

func TestDenied(t *testing.T) {
	dir := t.TempDir()
	key, to := newIdentity(t)
	mount, closed := filepath.Join(dir, "mount"), filepath.Join(dir, "closed")
	chmod := func(path string, mode fs.FileMode) {
		t.Helper()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(mount, "denied"), canary)
	write(t, filepath.Join(mount, "allowed"), canary)
	write(t, filepath.Join(mount, "sealed"), to(canary))
	write(t, filepath.Join(mount, "sub", "a"), canary)
	write(t, filepath.Join(closed, "a"), canary)
	identity := write(t, filepath.Join(dir, "key.txt"), key)
	file := write(t, filepath.Join(dir, "s.json"), `{"a":"CANARY"}`)

	directory, shut, document := openAt(t, mount, identity), openAt(t, closed), openAt(t, file)
	for _, path := range []string{filepath.Join(mount, "denied"), filepath.Join(mount, "sub"), closed, identity, file} {
		chmod(path, 0)
	}
	chmod(filepath.Join(mount, "allowed"), 0o644)
	chmod(filepath.Join(mount, "sealed"), 0o644)
	chmod(mount, 0o755)
	chmod(filepath.Dir(dir), 0o755)
	chmod(dir, 0o755)

	ctx := context.Background()
	asOrdinaryUser(t, func() {
		wantError(t, document.one(t, "a").Err, sources.Denied, "no permission to read "+file, "runs as user")
		wantError(t, document.Ping(ctx, ""), sources.Denied)
		wantError(t, shut.one(t, "a").Err, sources.Denied, "no permission to read")
		wantError(t, shut.Ping(ctx, ""), sources.Denied, "no permission to read "+closed)

		directory.wantValue(t, "allowed", canary)
		directory.wantError(t, "denied", sources.Denied, `no permission to read "denied" in `+mount)
		directory.wantError(t, "sub/a", sources.Denied, `no permission to read "sub/a" in `+mount)
		directory.wantError(t, "sealed", sources.NoLogin,
			"no permission to read the file that vault_store.file.identity names")
		_, err := openWith(map[string]string{"path": filepath.Join(closed, "s.json")}, "")
		wantError(t, err, sources.Denied, "no permission to read")
	})
	chmod(closed, 0o700) // so that it can be removed
	chmod(filepath.Join(mount, "sub"), 0o700)
}

func TestWriteDenied(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "mount")
	write(t, filepath.Join(dir, "key"), canary)
	for _, path := range []string{filepath.Dir(top), top, dir} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := storeAt(t, map[string]string{"path": dir})
	asOrdinaryUser(t, func() {
		_, err := s.Put(context.Background(), writeTo("new", "1", ""))
		wantError(t, err, sources.Denied, "no permission to write", "runs as user")
		wantError(t, s.Delete(context.Background(), "new", "prod", sources.DeleteOptions{}), sources.Denied, "no permission to write")
	})
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("something was made: %v, %v", entries, err)
	}
}

// A secret whose file belongs to another user stays as it is: who may read it
// would otherwise change.
func TestWriteOtherOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a file of another user")
	}
	top := t.TempDir()
	dir := filepath.Join(top, "mount")
	s := storeAt(t, map[string]string{"path": filepath.Dir(write(t, filepath.Join(dir, "x"), canary))})
	version := mustPut(t, s, "key", "1", "")
	for _, path := range []string{filepath.Dir(top), top, dir, filepath.Join(dir, marksFolder)} {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{filepath.Join(dir, "key"), filepath.Join(dir, lockSuffix), filepath.Join(dir, markPath("key", settled))} {
		if err := os.Chmod(path, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, dir)
	asOrdinaryUser(t, func() {
		_, err := s.Put(context.Background(), writeTo("key", "2", version))
		wantError(t, err, sources.Denied, `"key" in `+dir+" belongs to another user", "as root")
	})
	if after := tree(t, dir); !maps.Equal(before, after) {
		t.Errorf("it was %v, and is %v", before, after)
	}
}
