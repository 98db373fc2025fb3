package lintcmd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
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
	switch err := replaceFile(real, append(mark, text...), info); {
	case errors.Is(err, errOwner):
		return fail("run it as the user whose file it is", "%s", err)
	case errors.Is(err, fs.ErrPermission):
		return fail("let the user write to its folder", "%s", cause(err))
	case err != nil:
		return fail("", "%s", cause(err))
	}
	return nil
}

// replaceFile puts a new file in the place of one, whole or not at all. It has the
// mode of like and its owner or, where that is nil, those of a new file that all
// may read.
func replaceFile(name string, text []byte, like os.FileInfo) error {
	dir := filepath.Dir(name)
	temp, err := os.CreateTemp(dir, ".bifrost-secrets-lint-*")
	if err != nil {
		return err
	}
	err = fill(temp, like, text)
	if closed := temp.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temp.Name(), name)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
		return err
	}
	// The file is in place and whole by now, so a folder that cannot be synced is no
	// failure.
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
	return nil
}

var errOwner = errors.New("its owner cannot be kept")

// fill writes the new content and makes the file like the old one. The owner
// goes before the mode, since a change of it takes bits of the mode away.
func fill(temp *os.File, like os.FileInfo, text []byte) error {
	if _, err := temp.Write(text); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if like != nil {
		if err := keepOwner(temp, like); err != nil {
			return fmt.Errorf("%w: %s", errOwner, cause(err))
		}
		mode = like.Mode().Perm()
	}
	if err := temp.Chmod(mode); err != nil {
		return err
	}
	return temp.Sync()
}
