//go:build unix

package file

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"bifrost-secrets/sources"
)

// What a system says of a write is put into words, with the file meant and not
// the temporary one.
func TestWriteFailure(t *testing.T) {
	for _, c := range []struct {
		errno syscall.Errno
		kind  sources.Kind
		parts []string
	}{
		{syscall.EROFS, sources.Denied, []string{"is mounted read-only", "mount it for writing"}},
		{syscall.EACCES, sources.Denied, []string{"no permission to write", "runs as user"}},
		{syscall.EPERM, sources.Denied, []string{"no permission to write"}},
		{syscall.ENOSPC, sources.Unreachable, []string{"no space is left", "free some space"}},
		{syscall.EDQUOT, sources.Unreachable, []string{"no space is left", "quota"}},
		{syscall.EBUSY, sources.Refused, []string{"is mounted by itself", "mount the directory"}},
		{syscall.EXDEV, sources.Refused, []string{"is mounted by itself"}},
		{syscall.ENAMETOOLONG, sources.BadName, []string{"too long a name", "shorter"}},
		{syscall.EIO, sources.Unreachable, []string{"cannot be written: input/output error"}},
	} {
		err := writeFailure("secrets/key", &os.PathError{Op: "rename", Path: ".bifrost-secrets.X.tmp", Err: c.errno})
		wantError(t, err, c.kind, c.parts...)
		if text := err.Error(); !strings.Contains(text, "secrets/key") || strings.Contains(text, ".tmp") {
			t.Errorf("%v: %s", c.errno, text)
		}
		if !errors.Is(err, c.errno) {
			t.Errorf("%v is not the cause of %v", c.errno, err)
		}
	}
	refusal := refused("key", "it was changed", "look")
	if writeFailure("x", nil) != nil || writeFailure("x", refusal) != refusal {
		t.Error("what is in words already was changed")
	}
	wantError(t, writeFailure("dir", fs.ErrNotExist), sources.NotFound, "dir does not exist")
}
