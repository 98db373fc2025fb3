package publish

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// Options say how the published file shall be.
type Options struct {
	// Mode is set exactly as asked; 0 means 0600. It must let the owner read,
	// and must not let everybody write.
	Mode fs.FileMode
	// Owner is who the file is given to; nil leaves it ours.
	Owner *Owner
}

// Like returns the options by which the successor of a file has its owner and its
// mode, but that not everybody may write it, as Windows says of every file, and that
// its owner may read it.
func Like(info fs.FileInfo) Options {
	return Options{Mode: info.Mode().Perm()&^0o002 | 0o400, Owner: ownerOf(info)}
}

// Owner is a user and a group, by number. -1 leaves that half as it is.
type Owner struct{ UID, GID int }

// ours is the owner that a file has anyway.
var ours = Owner{UID: -1, GID: -1}

// String returns the owner as [ParseOwner] takes it.
func (o Owner) String() string {
	s := ""
	if o.UID >= 0 {
		s = strconv.Itoa(o.UID)
	}
	if o.GID >= 0 {
		s += ":" + strconv.Itoa(o.GID)
	}
	return s
}

// ParseOwner reads `user`, `user:group` or `:group`, each a name or a number,
// with the meaning that they have to chown(1): without a group the group is left
// as it is. A number need not belong to anybody. On Windows it is an error.
func ParseOwner(s string) (Owner, error) {
	if !posix {
		return Owner{}, &Error{Op: "parse", Message: "this system has no file owners that could be set", Hint: "leave the owner out"}
	}
	name, group, hasGroup := strings.Cut(s, ":")
	if s == "" || hasGroup && group == "" {
		return Owner{}, &Error{
			Op: "parse", Message: fmt.Sprintf("owner %q is incomplete", s),
			Hint: "write user, user:group or :group, by name or by number",
		}
	}
	o := ours
	var err error
	if name != "" {
		o.UID, err = number("user", name, userID)
	}
	if err == nil && hasGroup {
		o.GID, err = number("group", group, groupID)
	}
	if err != nil {
		return Owner{}, err
	}
	return o, nil
}

// number returns the id of a user or group. Digits are a number, whoever may have
// them for a name.
func number(kind, s string, lookup func(string) (string, error)) (int, error) {
	id := s
	if strings.Trim(s, "0123456789") != "" {
		var err error
		if id, err = lookup(s); err != nil {
			return 0, &Error{
				Op: "parse", Message: fmt.Sprintf("%s %q is not known here", kind, s),
				Hint: "give its number: a container often lacks the names of the host", Err: err,
			}
		}
	}
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil || n == math.MaxUint32 || int(n) < 0 { // the largest is chown's "leave as it is"
		return 0, &Error{Op: "parse", Message: fmt.Sprintf("%s %q is no possible number", kind, s), Hint: "numbers go from 0 to 4294967294", Err: err}
	}
	return int(n), nil
}

func userID(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

func groupID(name string) (string, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}

// ParseMode reads a mode in octal: `600`, `0640`. It refuses what
// [Options].Mode refuses.
func ParseMode(s string) (fs.FileMode, error) {
	const hint = "write it in octal, such as 0640"
	n, err := strconv.ParseUint(s, 8, 16)
	if err != nil {
		return 0, &Error{Op: "parse", Message: fmt.Sprintf("mode %q is no octal number", s), Hint: hint, Err: err}
	}
	mode := fs.FileMode(n)
	if err := checkMode(mode); err != nil {
		return 0, err
	}
	return mode, nil
}

func checkMode(mode fs.FileMode) error {
	why := ""
	switch {
	case mode&^0o777 != 0:
		why = "has more than the nine permission bits"
	case mode&0o002 != 0:
		why = "lets everybody write the file"
	case mode&0o400 == 0:
		why = "does not let the owner read the file"
	default:
		return nil
	}
	return &Error{Op: "parse", Message: fmt.Sprintf("mode %04o %s", uint32(mode), why), Hint: "use 0600, or 0640 to let a group read"}
}

// Error is a failure to publish. It never holds anything of the content.
type Error struct {
	Op      string // where it failed: "parse", "check", "stage" or "commit"
	Path    string // the target as the caller spelled it; empty for "parse"
	Message string // what went wrong and why, lower case, no full stop
	Hint    string // what to do about it; may be empty
	Err     error  // the cause, for errors.Is and errors.As; Message tells of it
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Message
	}
	return e.Path + ": " + e.Message
}

func (e *Error) Unwrap() error { return e.Err }

func (e *Error) Advice() string { return e.Hint }

// ExitCode tells a target that cannot be published to from a write that failed.
func (e *Error) ExitCode() int {
	if e.Op == "check" {
		return 2
	}
	return 1
}

// fail makes an error of the system's. hint is what to do about a plain refusal;
// where err tells of something else, such as a full disk, that has its own.
func (t *Target) fail(op, what, hint string, err error) *Error {
	if err != nil {
		what += ": " + reason(err)
	}
	return &Error{Op: op, Path: t.asked, Message: what, Hint: hintFor(err, t.dir, hint), Err: err}
}

// reason is what the system said, without the call and the paths that package
// os puts around it: they name the temporary file, which nobody knows.
func reason(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return err.Error()
}

const (
	hintMount = "mount the directory that holds the file, not the single file: a mounted file cannot be replaced, only overwritten"
	hintOwner = "run as root (with CAP_CHOWN, and CAP_FOWNER for a mode beyond 0600), give an owner that the container's user namespace has, or leave the owner out"
	hintFile  = "give a regular file: publishing replaces the file by a rename, so that no reader sees half of it"
)

func hintFor(err error, dir, refused string) string {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "free some space, or inodes, on the filesystem of " + dir
	case errors.Is(err, syscall.EDQUOT):
		return "free some of the quota on the filesystem of " + dir
	case errors.Is(err, syscall.EROFS):
		return "the filesystem is read-only: publish to a writable volume, such as a tmpfs"
	case errors.Is(err, syscall.EIO):
		return "the disk or the network filesystem failed: see the system's log"
	case refused != "":
		return refused
	case errors.Is(err, fs.ErrPermission):
		if dir == "" {
			dir = "the directories on the way to it"
		}
		return "give this process's user the right to read, write and search " + dir + ", or publish elsewhere"
	}
	return ""
}
