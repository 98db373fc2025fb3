package publish

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxName is the longest file name that filesystems take.
const maxName = 255

// Check finds out, before any secret is fetched, whether path can be published
// to: whatever can be known to fail is an [*Error] now. It changes nothing.
//
// inputs are the files that are read (as [os.Stat] describes them); none of
// them can be the target, whichever links lead there. The directory must exist
// and be ours to read, write and search; the target must be a regular file or
// absent, and no mount point.
//
// Where no owner is given, the file keeps the one that it has, if root or that
// owner alone can write its directory: a file that anybody else could have put
// there would be handed the secrets. Its mode is never kept. What changes of
// either is a warning.
//
// A symbolic link at path or on the way to it is followed only where nobody but
// root and us could have made it: the link and the directory it stands in
// belong to one of the two, and neither group nor others may write there. The
// link stays; what it leads to is replaced.
func Check(path string, inputs []fs.FileInfo, o Options) (*Target, error) {
	t := &Target{asked: path, mode: o.Mode, owner: ours, sys: &system}
	if t.mode == 0 {
		t.mode = 0o600
	}
	if o.Owner != nil {
		t.owner = *o.Owner
	}
	if err := checkMode(t.mode); err != nil {
		return nil, err
	}
	switch {
	case path == "":
		return nil, t.refuse("no file is named to publish to", hintFile, nil)
	case path == "-":
		return nil, t.refuse("standard output cannot be published to", hintFile, nil)
	case os.IsPathSeparator(path[len(path)-1]):
		return nil, t.refuse("names a directory, not a file", "give the name of a file in it", nil)
	}
	if err := t.checkOwner(); err != nil {
		return nil, err
	}
	info, err := t.locate(path)
	if err != nil {
		return nil, err
	}
	if info != nil {
		if err := t.checkFile(info, inputs); err != nil {
			return nil, err
		}
	}
	if most := maxName - len("..") - tempRandom - len(tempSuffix); len(t.base) > most {
		return nil, t.refuse(fmt.Sprintf("the file's name is too long: %d bytes", len(t.base)), fmt.Sprintf("use at most %d bytes", most), nil)
	}
	if t.dirInfo, err = os.Stat(t.dir); err != nil {
		return nil, t.refuse("cannot look at the directory "+t.dir, "", err)
	}
	if err := t.checkAccess(info); err != nil {
		return nil, err
	}
	if info != nil {
		t.keepOwner(info, o)
	}
	return t, nil
}

// checkFile judges what stands at the target now.
func (t *Target) checkFile(info fs.FileInfo, inputs []fs.FileInfo) error {
	if info.IsDir() {
		return t.isDirectory()
	}
	if !info.Mode().IsRegular() {
		return t.refuse("is a "+kind(info.Mode())+", not a file", hintFile, nil)
	}
	for _, in := range inputs {
		if os.SameFile(in, info) {
			return t.refuse("is the file "+in.Name()+" that is read: its references would be lost",
				"publish to another file", nil)
		}
	}
	if mountPoint(t.Path) {
		return t.refuse("is a mount point, which a rename cannot replace", hintMount, nil)
	}
	return nil
}

// Fixed reports whether a file has to stay where it stands: it is mounted there, or
// it or its directory is read-only.
func Fixed(path string) bool {
	path, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && (info.Mode().Perm()&0o222 == 0 || mountPoint(path) || readOnly(filepath.Dir(path)))
}

func (t *Target) isDirectory() *Error {
	hint := "give the name of a file in it: " + filepath.Join(t.asked, "config.json")
	if filepath.Ext(t.asked) == ".json" {
		hint = "remove it: a mount has made it where its file was missing"
	}
	return t.refuse("is a directory", hint, nil)
}

func kind(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeDevice != 0:
		return "device"
	}
	return "special file"
}

func (t *Target) at(dir, base string) {
	t.dir, t.base, t.Path = dir, base, filepath.Join(dir, base)
}

func (t *Target) refuse(message, hint string, err error) *Error {
	return t.fail("check", message, hint, err)
}
