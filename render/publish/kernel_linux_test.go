package publish

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func init() {
	// mounts DIR: what the kernel itself says, in a mount namespace of our own.
	children["mounts"] = func(args []string) {
		dir := args[0]
		try := func(what string, err error) {
			if err != nil {
				fmt.Println(what, err)
				os.Exit(3)
			}
		}
		say := func(what string, err error) {
			e, _ := errors.AsType[*Error](err)
			if e == nil {
				e = &Error{}
			}
			fmt.Printf("%s: %s: %s; %s\n", what, e.Op, e.Message, e.Hint)
		}
		try("private", unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))

		path, host := filepath.Join(dir, `a file\with 	blanks`), filepath.Join(dir, "host.json")
		try("write", os.WriteFile(path, []byte("old"), 0o600))
		try("write", os.WriteFile(host, []byte("old"), 0o600))
		before, err := Check(path, nil, Options{})
		try("check", err)
		try("bind", unix.Mount(host, path, "", unix.MS_BIND, ""))
		_, err = Check(path, nil, Options{})
		say("bind", err)
		_, err = before.Write([]byte("new"))
		say("late", err)
		_, err = Check(host, nil, Options{})
		say("host", err)
		fmt.Printf("fixed: %v, and where it comes from: %v\n", Fixed(path), Fixed(host))

		small := filepath.Join(dir, "small")
		path = filepath.Join(small, "config.json")
		try("mkdir", os.Mkdir(small, 0o700))
		try("tmpfs", unix.Mount("tmpfs", small, "tmpfs", 0, "size=64k,mode=700"))
		target, err := Check(path, nil, Options{})
		try("check", err)
		_, err = target.Write([]byte("old"))
		say("fits", err)
		_, err = target.Write(make([]byte, 200_000))
		say("full", err)
		content, err := os.ReadFile(path)
		fmt.Printf("then: %s, %v\n", content, err)
		names, err := filepath.Glob(filepath.Join(small, ".*"))
		fmt.Printf("left: %v, %v\n", names, err)

		try("remount", unix.Mount("", small, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		_, err = Check(path, nil, Options{})
		say("read-only", err)
		fmt.Printf("fixed: %v\n", Fixed(path))
	}
}

func TestMounts(t *testing.T) {
	dir := folder(t)
	cmd := child(t, "mounts", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Skipf("this system gives no mount namespaces: %v", err)
	}
	// The second publishing to the bind mount is what a kernel without
	// /proc/self/mountinfo comes to.
	want := strings.ReplaceAll(`bind: check: is a mount point, which a rename cannot replace; mount the directory that holds
late: commit: cannot put the new file in place: device or resource busy; mount the directory that holds
host: : ;
fixed: true, and where it comes from: false
fits: : ;
full: stage: cannot write the temporary file: no space left on device; free some space, or inodes, on the filesystem of DIR/small
then: old, <nil>
left: [], <nil>
read-only: check: cannot write in the directory DIR/small as uid 0: read-only file system; the filesystem is read-only: publish to
fixed: true`, "DIR", dir)
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	for i, line := range strings.Split(want, "\n") {
		if i >= len(got) || !strings.HasPrefix(got[i], line) {
			t.Fatalf("got %v:\n%s\nwant\n%s", err, out, want)
		}
	}
}

// A default ACL of the directory that lets uid 1234 read and write opens
// nothing, as long as the mode allows the group nothing.
func TestDefaultACL(t *testing.T) {
	dir := folder(t)
	acl := binary.LittleEndian.AppendUint32(nil, 2) // version
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{0x01, 7, ^uint32(0)}, {0x02, 7, 1234}, {0x04, 7, ^uint32(0)}, {0x10, 7, ^uint32(0)}, {0x20, 7, ^uint32(0)}} {
		acl = binary.LittleEndian.AppendUint16(acl, e.tag)
		acl = binary.LittleEndian.AppendUint16(acl, e.perm)
		acl = binary.LittleEndian.AppendUint32(acl, e.id)
	}
	if err := unix.Setxattr(dir, "system.posix_acl_default", acl, 0); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this filesystem has no ACLs")
	} else {
		must(t, err)
	}
	path := filepath.Join(dir, "config.json")
	write(t, check(t, path, Options{}), "S3CRET")
	wantMode(t, path, 0o600)
	got := make([]byte, 256)
	n, err := unix.Getxattr(path, "system.posix_acl_access", got)
	must(t, err)
	for got := got[4:n]; len(got) > 0; got = got[8:] {
		if tag, perm := binary.LittleEndian.Uint16(got), binary.LittleEndian.Uint16(got[2:]); tag == 0x10 && perm != 0 {
			t.Errorf("the ACL's mask is %o", perm)
		}
	}
}
