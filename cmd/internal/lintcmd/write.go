package lintcmd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"bifrost-secrets/render/publish"
	"bifrost-secrets/walker"
	"bifrost-secrets/walker/regular"
)

// writeBack puts text in the place of a file's content, which must still be old
// but for a byte order mark, which is kept. The file is replaced whole or not at
// all, and keeps its owner and its mode, but that not everybody may write it; where
// the name is a link, what it leads to is replaced.
func writeBack(name string, old, text []byte) error {
	fail := func(hint, format string, args ...any) error {
		return usage(hint, "%s: is not repaired: %s", name, fmt.Sprintf(format, args...))
	}
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return fail("", "%s", regular.Cause(err))
	}
	info, err := os.Lstat(real)
	if err != nil {
		return fail("", "%s", regular.Cause(err))
	}
	if !info.Mode().IsRegular() {
		return fail("use --diff", "it is not a regular file")
	}
	if info.Mode()&0o200 == 0 { // replacing it would work, and is not what its owner wants
		return fail("chmod u+w it, or use --diff", "it is read-only")
	}
	now, _, err := regular.ReadFile(real, walker.MaxSize)
	if err != nil {
		return fail("", "%s", regular.Cause(err))
	}
	mark, same := bytes.CutSuffix(now, old)
	if !same || len(mark) > 0 && string(mark) != "\xef\xbb\xbf" {
		return fail("run it again", "it was changed in the meantime")
	}
	return replace(name, "is not repaired", append(mark, text...), real, publish.Like(info))
}

// replace puts a new file in the place of the one at path, or where there is none. A
// failure begins with name, and with what that means for it.
func replace(name, what string, text []byte, path string, o publish.Options) error {
	target, err := publish.Check(path, nil, o)
	if err == nil {
		var changed bool
		if changed, err = target.Write(text); changed {
			return nil // a folder that cannot be synced is no failure once the file is in place
		}
	}
	var failed *publish.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &failed):
		return usage("", "%s: %s: %s", name, what, regular.Cause(err))
	case errors.Is(err, fs.ErrPermission) || o.Owner != nil:
		failed.Hint = "run it as the user whose file it is, who may write to its folder"
	}
	return usage(failed.Hint, "%s: %s: %s", name, what, failed.Message)
}
