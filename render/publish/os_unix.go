//go:build unix

package publish

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// posix says that files have owners and modes.
const posix = true

// openRead opens what may turn out to be no file at all: a pipe must not hold
// us up.
const openRead = os.O_RDONLY | unix.O_NONBLOCK

// maxLinks is the number of links at which Linux stops too.
const maxLinks = 40

// locate follows path, one name at a time, to where the file itself stands, and
// notes it in t. It returns what is there, or nil.
func (t *Target) locate(path string) (fs.FileInfo, error) {
	at, rest := "/", strings.Split(path, "/")
	if !filepath.IsAbs(path) {
		// Not os.Getwd, which believes $PWD with its links: nobody typed those.
		wd, err := syscall.Getwd()
		if err != nil {
			return nil, t.refuse("cannot find the working directory", "give an absolute path", err)
		}
		rest = append(strings.Split(wd, "/"), rest...)
	}
	for links := 0; len(rest) > 0; {
		name, last := rest[0], len(rest) == 1
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at) // at has no links, so this is where .. leads
			continue
		}
		here := filepath.Join(at, name)
		// Behind these are open files, which a rename does not reach.
		if strings.HasPrefix(here, "/proc/") || here == "/dev/fd" {
			return nil, t.refuse("leads to "+here+", which is no place for a file", hintFile, nil)
		}
		info, err := os.Lstat(here)
		switch {
		case errors.Is(err, fs.ErrNotExist) && last:
			t.at(at, name)
			return nil, nil
		case errors.Is(err, fs.ErrNotExist):
			dir := here
			if links == 0 {
				dir = filepath.Dir(path) // in the caller's words, and whole
			}
			return nil, t.refuse("the directory "+here+" does not exist", "make it first: mkdir -p -m 700 "+dir, nil)
		case err != nil:
			return nil, t.refuse("cannot look at "+here, "", err)
		case info.Mode()&fs.ModeSymlink != 0:
			if links++; links > maxLinks {
				return nil, t.refuse("leads through too many links", "see where they lead: namei -l "+path, syscall.ELOOP)
			}
			if err := t.checkLink(at, info); err != nil {
				return nil, err
			}
			to, err := os.Readlink(here)
			if err != nil {
				return nil, t.refuse("cannot read the link "+here, "", err)
			}
			if filepath.IsAbs(to) {
				at = "/"
			}
			rest = append(strings.Split(to, "/"), rest...)
		case last:
			t.at(at, name)
			return info, nil
		case !info.IsDir():
			return nil, t.refuse(here+" is not a directory", "", nil)
		default:
			t.warn(here, info)
			at = here
		}
	}
	// The path ended in a dot, or a link in a slash.
	return nil, t.isDirectory()
}

// checkLink refuses a link in dir that somebody else made or could remake.
func (t *Target) checkLink(dir string, link fs.FileInfo) error {
	path, why := filepath.Join(dir, link.Name()), ""
	if uid, _ := ids(link); !trusted(uid) {
		why = fmt.Sprintf("it belongs to uid %d", uid)
	} else if info, err := os.Lstat(dir); err != nil {
		return t.refuse("cannot look at "+dir, "", err)
	} else if uid, _ := ids(info); !trusted(uid) {
		why = fmt.Sprintf("its directory belongs to uid %d", uid)
	} else if by := writers(info); by != "" {
		why = fmt.Sprintf("its directory is writable by %s", by)
	}
	if why == "" {
		return nil
	}
	return t.refuse(fmt.Sprintf("the link %s is not followed: %s, so others than us (uid %d) and root may decide where it leads", path, why, os.Geteuid()),
		"give the path that the link leads to, if that is what you mean", nil)
}

// warn notes who besides us could replace the published file, or a directory on
// the way to it. The file's future owner may. In a sticky directory others
// cannot: each thing there is its owner's.
func (t *Target) warn(path string, dir fs.FileInfo) {
	uid, _ := ids(dir)
	by := writers(dir)
	switch {
	case !trusted(uid) && uid != t.owner.UID:
		by = fmt.Sprintf("uid %d, its owner", uid)
	case dir.Mode()&fs.ModeSticky != 0:
		return
	}
	if by == "" {
		return
	}
	warning := fmt.Sprintf("%s: others could replace this file: the directory %s is writable by %s", t.asked, path, by)
	if !slices.Contains(t.Warnings, warning) { // links lead through it twice
		t.Warnings = append(t.Warnings, warning)
	}
}

// trusted reports whether a user is us, or root, who needs no tricks.
func trusted(uid int) bool { return uid == 0 || uid == os.Geteuid() }

// writers says who besides a directory's owner may make links and files in it.
func writers(dir fs.FileInfo) string {
	switch mode := dir.Mode(); {
	case mode&0o002 != 0:
		return "everybody"
	case mode&0o020 != 0:
		return "its group"
	}
	return ""
}

// checkOwner refuses an owner that the system would not let us set.
func (t *Target) checkOwner() error {
	uid, gid := t.owner.UID, t.owner.GID
	if t.owner == ours || mayChown() {
		return nil
	}
	groups, _ := os.Getgroups()
	if (uid < 0 || uid == os.Geteuid()) && (gid < 0 || gid == os.Getegid() || slices.Contains(groups, gid)) {
		return nil
	}
	return t.refuse(fmt.Sprintf("cannot give the file to %s: this process is uid %d and lacks CAP_CHOWN", t.owner, os.Geteuid()), hintOwner, nil)
}

// keepOwner has the target keep the owner of the file that is there, where that is
// safe, and warns of what the file will not keep.
func (t *Target) keepOwner(file fs.FileInfo, o Options) {
	if !t.given(file) {
		return // somebody else is asked for
	}
	uid, gid := ids(file)
	dirUID, dirGID := ids(t.dirInfo)
	ownersAlone := t.dirInfo.Mode()&0o022 == 0 && (dirUID == 0 || dirUID == uid)
	others := uid != os.Geteuid() || gid != os.Getegid() && gid != dirGID
	if o.Owner == nil && others && ownersAlone && mayChown() {
		t.owner, others = Owner{UID: uid, GID: gid}, false
	}
	switch lost := file.Mode().Perm() &^ t.mode; {
	case o.Owner == nil && others:
		t.Warnings = append(t.Warnings, fmt.Sprintf("%s: it belongs to %d:%d with mode %04o and will belong to uid %d with mode %04o; give --owner and --file-mode if others must read it",
			t.asked, uid, gid, file.Mode().Perm(), os.Geteuid(), t.mode))
	case uid != os.Geteuid() && t.mode == 0o600 && lost&0o044 != 0:
		t.Warnings = append(t.Warnings, fmt.Sprintf("%s: its mode changes from %04o to %04o; give --file-mode if others must read it", t.asked, file.Mode().Perm(), t.mode))
	}
}

// mayChown reports whether we may set the owner of files: on Linux by the capability,
// which a root in a container may lack and another user may have.
func mayChown() bool {
	const chown = 1 << 0 // CAP_CHOWN
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		for line := range strings.Lines(string(status)) {
			if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
				caps, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
				return err == nil && caps&chown != 0
			}
		}
	}
	return os.Geteuid() == 0
}

// checkAccess refuses a directory that we may not write in. Reading is needed to
// sync it.
func (t *Target) checkAccess(file fs.FileInfo) error {
	err := unix.Faccessat(unix.AT_FDCWD, t.dir, unix.R_OK|unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	if err != nil {
		return t.refuse(fmt.Sprintf("cannot write in the directory %s as uid %d", t.dir, os.Geteuid()), "", err)
	}
	if file == nil || t.dirInfo.Mode()&fs.ModeSticky == 0 || os.Geteuid() == 0 {
		return nil
	}
	dirUID, _ := ids(t.dirInfo)
	if uid, _ := ids(file); uid != os.Geteuid() && dirUID != os.Geteuid() {
		return t.refuse(fmt.Sprintf("belongs to uid %d, and in the sticky directory %s only its owner may replace it", uid, t.dir),
			"remove it, or publish to a directory of your own", nil)
	}
	return nil
}

// mountPoint reports whether something is mounted on the file itself, as Docker
// does for `-v file:file`. Other systems than Linux have no such list; there the
// rename tells.
func mountPoint(path string) bool {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	defer f.Close()
	// The list writes these four bytes in octal.
	escaped := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(path)
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadString('\n')
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == escaped {
			return true
		}
		if err != nil {
			return false
		}
	}
}

// readOnly reports whether nothing in a directory can be renamed by us.
func readOnly(dir string) bool {
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK, unix.AT_EACCESS) != nil
}

func ids(info fs.FileInfo) (uid, gid int) {
	st := info.Sys().(*syscall.Stat_t)
	return int(st.Uid), int(st.Gid)
}

// ownerOf returns the owner of a file, for its successor. A file of our own needs
// none: to set it takes a right that we may lack.
func ownerOf(info fs.FileInfo) *Owner {
	uid, gid := ids(info)
	if uid == os.Geteuid() && gid == os.Getegid() {
		return nil
	}
	return &Owner{UID: uid, GID: gid}
}

// given reports whether a file shows the owner that it was given.
func (t *Target) given(info fs.FileInfo) bool {
	uid, gid := ids(info)
	return (t.owner.UID < 0 || uid == t.owner.UID) && (t.owner.GID < 0 || gid == t.owner.GID)
}

// owned reports whether a file shows the owner that a file published now would
// have. What is not given is ours then; some directories hand their group down.
func (t *Target) owned(info fs.FileInfo) bool {
	uid, gid := ids(info)
	_, dirGID := ids(t.dirInfo)
	return t.given(info) && (t.owner.UID >= 0 || uid == os.Geteuid()) &&
		(t.owner.GID >= 0 || gid == os.Getegid() || gid == dirGID)
}

// mayBeOurs reports whether a process like this one could have left the file.
// It may have been killed before or after it gave the file away.
func (t *Target) mayBeOurs(info fs.FileInfo) bool {
	uid, _ := ids(info)
	return uid == os.Geteuid() || uid == t.owner.UID
}

// lock waits for the lock of a file that is to be ours; only a sweep could hold
// it, and not for long. Where a filesystem has no locks we go without: no sweep
// gets one there either.
func lock(f *os.File) error {
	err := flock(f, unix.LOCK_EX)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, unix.ENOLCK) {
		return nil
	}
	return err
}

// tryLock reports whether nobody holds the file's lock, and keeps anybody from
// taking it until f is closed. It is a shared lock, since NFS wants a file open
// for writing for any other.
func tryLock(f *os.File) bool { return flock(f, unix.LOCK_SH|unix.LOCK_NB) == nil }

// heldElsewhere takes the lock of a file for itself, and reports whether another
// process has it.
func heldElsewhere(f *os.File) bool {
	return errors.Is(flock(f, unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// endLock ends the lock of a file, also for whoever else has the file open by f.
func endLock(f *os.File) { _ = flock(f, unix.LOCK_UN) }

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// syncDir makes a rename last. Some filesystems cannot sync a directory and say
// so; they have nothing better to offer.
func syncDir(root *os.Root) error {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Sync(); !errors.Is(err, unix.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
