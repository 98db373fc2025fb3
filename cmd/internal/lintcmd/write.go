package lintcmd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"bifrost-secrets/walker"
)

// writeBack puts text in the place of a file's content, which must still be old
// but for a byte order mark, which is kept. The file is replaced whole or not at
// all, and keeps its mode and owner; where the name is a link, what it leads to
// is replaced.
func writeBack(name string, old, text []byte) error {
	fail := func(hint, format string, args ...any) error {
		return &Failure{Code: exitUsage, Reason: fmt.Sprintf("%s: is not repaired: ", name) + fmt.Sprintf(format, args...), Hint: hint}
	}
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return fail("", "%s", cause(err))
	}
	info, err := os.Lstat(real)
	if err != nil {
		return fail("", "%s", cause(err))
	}
	if !info.Mode().IsRegular() {
		return fail("use --diff", "it is not a regular file")
	}
	now, err := walker.ReadRegular(real, walker.MaxSize)
	if err != nil {
		return fail("", "%s", cause(err))
	}
	mark, same := bytes.CutSuffix(now, old)
	if !same || len(mark) > 0 && string(mark) != "\xef\xbb\xbf" {
		return fail("run it again", "it was changed in the meantime")
	}
	temp, err := os.CreateTemp(filepath.Dir(real), ".bifrost-secrets-lint-*")
	if err != nil {
		return fail("let the user write to its folder", "%s", cause(err))
	}
	err = fill(temp, info, append(mark, text...))
	if closed := temp.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temp.Name(), real)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
		if errors.Is(err, errOwner) {
			return fail("run it as the user whose file it is", "%s", err)
		}
		return fail("", "%s", cause(err))
	}
	syncFolder(filepath.Dir(real))
	return nil
}

var errOwner = errors.New("its owner cannot be kept")

// fill writes the new content and makes the file like the old one. The owner
// goes before the mode, since a change of it takes bits of the mode away.
func fill(temp *os.File, like os.FileInfo, text []byte) error {
	if _, err := temp.Write(text); err != nil {
		return err
	}
	if err := keepOwner(temp, like); err != nil {
		return fmt.Errorf("%w: %s", errOwner, cause(err))
	}
	if err := temp.Chmod(like.Mode().Perm()); err != nil {
		return err
	}
	return temp.Sync()
}

// syncFolder makes the new name last. The file is in place and whole by then, so
// a folder that cannot be synced is no failure.
func syncFolder(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}
