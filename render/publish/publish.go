// Package publish puts a file that holds secrets in its place: whole or not at
// all, and never readable by more people than asked for.
//
// A new file is written beside the old one under a hidden name, with mode 0600
// from its first moment; it gets its owner, then its content, then its mode, is
// synced, and only then takes the old one's place by a rename. Whatever fails on
// the way, and wherever the process is killed, the name leads to the old file
// or to the new one in full. What a killed process leaves behind is as private
// as the file itself, and the next publishing removes it.
//
// Mode bits are set by fchmod, so the umask has no say. Nor has a default ACL of
// the directory while the mode allows the group nothing: the group bits are the
// ACL's mask. A mode such as 0640 opens that mask, and the entries that the
// directory's ACL hands down then apply as far as it lets them. (ACLs that know
// no mask, macOS's and NFSv4's, apply in any case.)
package publish

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// Target is a place that [Check] found fit to publish to. It is meant for one
// refresh: checking is cheap, the next refresh checks
// anew.
type Target struct {
	// Path is where the file itself stands: absolute, every link followed. Two
	// targets with one Path would overwrite each other.
	Path string
	// Warnings are what does not stop the work but should be seen, one line
	// each: who else could replace the published file.
	Warnings []string

	asked     string // the path as the caller spelled it, for messages
	dir, base string // of Path
	dirInfo   fs.FileInfo
	mode      fs.FileMode
	owner     Owner
	sys       *sys
}

// Write publishes content: [Target.Stage] and [Staged.Commit] in one.
func (t *Target) Write(content []byte) (changed bool, err error) {
	s, err := t.Stage(content)
	if err != nil {
		return false, err
	}
	defer s.Discard()
	return s.Commit()
}

// Stage does all of publishing but the last step: the content lies on the disk
// under a temporary name, synced, with its owner and mode. When the file is
// there already with the same bytes, mode and owner, nothing is written at all.
//
// Where several files must change together, stage all of them before the first
// is committed: what can fail has then failed. Every Staged must be committed
// or discarded. On an error nothing is left behind. content is only read, and
// not kept.
func (t *Target) Stage(content []byte) (*Staged, error) {
	root, err := t.open()
	if err != nil {
		return nil, err
	}
	t.sweep(root)
	s := &Staged{t: t, root: root}
	if t.same(root, content) {
		s.same = true
		s.Discard()
		return s, nil
	}
	if err := s.fill(content); err != nil {
		s.Discard()
		return nil, err
	}
	return s, nil
}

// open opens the directory. All work on the files in it goes through the open
// directory, so that it cannot be exchanged half way.
func (t *Target) open() (*os.Root, error) {
	root, err := os.OpenRoot(t.dir)
	if err != nil {
		return nil, t.fail("stage", "cannot open the directory "+t.dir, "", err)
	}
	if info, err := root.Stat("."); err != nil || !os.SameFile(info, t.dirInfo) {
		root.Close()
		return nil, t.fail("stage", fmt.Sprintf("the directory %s was replaced after it was checked", t.dir), "run again", err)
	}
	return root, nil
}

func (t *Target) same(root *os.Root, content []byte) bool {
	info, err := root.Lstat(t.base)
	if err != nil || !t.fits(info) || info.Size() != int64(len(content)) {
		return false
	}
	f, err := root.OpenFile(t.base, openRead, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	buf := make([]byte, 64<<10)
	defer clear(buf)
	for {
		n, err := f.Read(buf)
		if !bytes.HasPrefix(content, buf[:n]) {
			return false
		}
		content = content[n:]
		if err != nil {
			return errors.Is(err, io.EOF) && len(content) == 0
		}
	}
}

// fits reports whether a file has exactly the mode and the owner asked for.
func (t *Target) fits(info fs.FileInfo) bool {
	if !posix {
		return info.Mode().IsRegular()
	}
	return info.Mode() == t.mode && t.owned(info)
}

// Staged is a file that waits to be put in place.
type Staged struct {
	t    *Target
	same bool     // the target has it all already; there is no temporary file
	root *os.Root // nil once committed or discarded
	f    *os.File
	name string // of the temporary file; empty while there is none
}

// Commit puts the staged file in place and syncs the directory. It reports
// whether it changed anything: false without an error where the same file was
// there before.
//
// On an error the old file stands untouched and the staged one is gone, with
// one exception: true with an error means that the new file is in place and
// only the syncing of the directory failed, so a power cut may bring the old
// one back.
func (s *Staged) Commit() (changed bool, err error) {
	if s.same {
		return false, nil
	}
	t := s.t
	if s.root == nil {
		return false, t.fail("commit", "the staged file was committed or discarded before", "", nil)
	}
	defer s.Discard()
	if err := t.sys.rename(s.root, s.name, t.base); err != nil {
		hint := ""
		switch {
		case errors.Is(err, syscall.EBUSY), errors.Is(err, syscall.EXDEV):
			hint = hintMount
		case errors.Is(err, fs.ErrPermission):
			hint = "see whether the file that is there is immutable (lsattr), or belongs to somebody else in a sticky directory"
		}
		return false, t.fail("commit", "cannot put the new file in place", hint, err)
	}
	s.name = ""
	if err := t.sys.syncDir(s.root); err != nil {
		return true, t.fail("commit", "the new file is in place, but its directory "+t.dir+" could not be synced", "", err)
	}
	return true, nil
}

// SetTime has the file that is put in place say that it was changed at that time. Where
// the target has it all already, its time stays.
func (s *Staged) SetTime(at time.Time) error {
	if s.name == "" {
		return nil
	}
	if err := s.root.Chtimes(s.name, at, at); err != nil {
		return s.t.fail("stage", "cannot set the time of the temporary file", "", err)
	}
	return nil
}

// Discard removes the temporary file of a Staged that was not committed. After
// a commit, or a second time, it does nothing.
func (s *Staged) Discard() {
	if s.name != "" {
		_ = s.t.sys.remove(s.root, s.name)
		s.name = ""
	}
	// The file is closed last: closing releases the lock, and until then no
	// other process touches the name.
	if s.f != nil {
		_ = s.f.Close() // it is synced, or it is gone
		s.f = nil
	}
	if s.root != nil {
		_ = s.root.Close()
		s.root = nil
	}
}

func (s *Staged) fill(content []byte) error {
	t, sys := s.t, s.t.sys
	if err := s.create(); err != nil {
		return err
	}
	// While the file is empty: its owner, and of its mode what is the owner's.
	// What the system refuses is so refused before a secret is on the disk. The
	// rest of the mode comes last, when it can no longer show the file to the
	// wrong group or half written.
	private := t.mode &^ 0o077
	if err := s.setMode(private); err != nil {
		return err
	}
	if t.owner != ours {
		if err := sys.chown(s.f, t.owner.UID, t.owner.GID); err != nil {
			return t.fail("stage", "cannot give the file to "+t.owner.String(), hintOwner, err)
		}
	}
	if err := s.verify(private); err != nil {
		return err
	}
	n, err := sys.write(s.f, content)
	if err == nil && n < len(content) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return t.fail("stage", "cannot write the temporary file", "", err)
	}
	if t.mode != private {
		if err := s.setMode(t.mode); err != nil {
			return err
		}
		if err := s.verify(t.mode); err != nil {
			return err
		}
	}
	if err := sys.sync(s.f); err != nil {
		return t.fail("stage", "cannot sync the temporary file", "", err)
	}
	return nil
}

func (s *Staged) setMode(mode fs.FileMode) error {
	if !posix {
		return nil
	}
	if err := s.t.sys.chmod(s.f, mode); err != nil {
		return s.t.fail("stage", fmt.Sprintf("cannot set mode %04o", mode), hintOwner, err)
	}
	return nil
}

// verify sees whether mode and owner were kept: some filesystems (FAT, SMB)
// take any without an error and go on showing the file to everybody.
func (s *Staged) verify(mode fs.FileMode) error {
	if !posix {
		return nil
	}
	t := s.t
	info, err := t.sys.stat(s.f)
	if err != nil {
		return t.fail("stage", "cannot look at the temporary file", "", err)
	}
	what := ""
	if got := info.Mode(); got != mode {
		what = fmt.Sprintf("file modes: it shows %04o where %04o was set", got.Perm(), mode)
	} else if !t.given(info) {
		what = "file owners: it does not show " + t.owner.String()
	}
	if what == "" {
		return nil
	}
	return t.fail("stage", "the filesystem of "+t.dir+" does not keep "+what, "publish to one that does, such as a tmpfs", nil)
}
