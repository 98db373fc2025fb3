package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"bifrost-secrets/sources"
)

// lockSuffix ends the name of the lock of those who write, which stands beside the
// secrets, hidden so that no read takes it for one.
const lockSuffix = ".bifrost-secrets.lock"

// entry is the mark of one secret.
type entry struct {
	Owner   string `json:"owner"`
	Path    string `json:"path"`
	Version string `json:"version"` // that our last write made
	Token   string `json:"token"`   // of our last write

	pending bool // it counts for that version alone: see directory_marks.go
}

// mark returns what others may know of it; nil stays nil.
func (e *entry) mark() *sources.Mark {
	if e == nil {
		return nil
	}
	return &sources.Mark{Owner: e.Owner, Path: e.Path}
}

// lockPoll is how often a lock that is taken is tried again.
const lockPoll = 10 * time.Millisecond

// locked runs write while no other process and no other call writes.
func (d *directory) locked(ctx context.Context, write func(root *os.Root) error) error {
	select {
	case d.mu <- struct{}{}:
		defer func() { <-d.mu }()
	case <-ctx.Done():
		return stopped(ctx, d.path)
	}
	if ctx.Err() != nil {
		return stopped(ctx, d.path)
	}
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return writeFailure(d.path, err)
	}
	defer func() { _ = root.Close() }()
	if _, err := root.Lstat("..data"); err == nil {
		return kubernetes(d.path)
	}
	path := filepath.Join(d.path, lockSuffix)
	var f *os.File
	err = d.do("lock", func() (err error) {
		f, err = root.OpenFile(lockSuffix, os.O_RDWR|os.O_CREATE, 0o600)
		return err
	})
	if f == nil || err != nil {
		return writeFailure(path, err)
	}
	defer func() { _ = f.Close() }() // which ends the lock
	for {
		taken, err := lock(f)
		if err != nil {
			return writeFailure(path, err)
		}
		if taken {
			return write(root)
		}
		wait := time.NewTimer(lockPoll)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return &sources.Error{
				Kind: sources.Unreachable, Message: "another process has the lock " + path + " and did not give it up in time",
				Err: context.Cause(ctx),
			}
		}
	}
}

func kubernetes(dir string) error {
	return sources.NewError(sources.Refused, dir+" is a volume of Kubernetes, which nobody else can write to",
		"change the Secret that it is mounted from, or let vault_store.file.path name another directory")
}

// writeFailure puts an error of writing into words; nil stays nil.
func writeFailure(subject string, err error) error {
	var known *sources.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	}
	e := failure(subject, err)
	switch {
	case errors.Is(err, errOtherOwner):
		e.Kind, e.Message = sources.Denied, "the file of "+subject+" belongs to another user, and a new one cannot be given to them"
		e.Hint = "run as its owner or as root, or give the file to the user that this runs as"
	case errors.Is(err, fs.ErrPermission):
		e.Message = "no permission to write " + subject
	case readOnly(err):
		e.Kind, e.Message = sources.Denied, subject+" cannot be written: its file system is mounted read-only"
		e.Hint = "mount it for writing, or let vault_store.file.path name another place"
	case noSpace(err):
		e.Kind, e.Message = sources.Unreachable, subject+" cannot be written: no space is left"
		e.Hint = "free some space, inodes or quota on its file system"
	case busy(err):
		e.Kind, e.Message = sources.Refused, subject+" is mounted by itself, and cannot be replaced"
		e.Hint = "mount the directory that holds it"
	case e.Kind == sources.BadName:
		e.Hint = "take a shorter name"
	case e.Kind == sources.Unreachable:
		e.Message = subject + " cannot be written: " + reason(err)
	}
	return e
}
