package watch

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// pollEvery is how often the files are looked at beside the events, which some
// filesystems do not send and which end with the directory that they are of.
const pollEvery = 15 * time.Second

// Files tells of changes of files. It is the directories that are watched, so
// that a file may be renamed into its place, come late, or go and come back; and
// every directory on the way of a symbolic link, so that Kubernetes' swap of
// `..data` is seen.
type Files struct {
	changed func()
	log     *slog.Logger
	poll    time.Duration
	events  *fsnotify.Watcher // nil where the system has no events

	mu     sync.Mutex // guards what follows
	paths  []string
	places places
	state  string
}

// places are the names in each directory that count. The empty name stands for
// every one.
type places map[string]map[string]bool

// NewFiles makes a Files that watches nothing yet, and that must be run. changed
// is called for every change and must not block.
func NewFiles(changed func(), log *slog.Logger) *Files {
	f := &Files{changed: changed, log: log, poll: pollEvery}
	var err error
	if f.events, err = fsnotify.NewWatcher(); err != nil { // there is the poll
		log.Warn("file events are not available; files are checked periodically", "error", err.Error(), "every", f.poll.String())
	}
	return f
}

// Watch says which files and directories to look at. Every change after it has
// returned is told of.
func (f *Files) Watch(paths []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paths = paths
	f.look()
	f.state = f.fingerprint()
}

// Run watches until ctx ends.
func (f *Files) Run(ctx context.Context) {
	tick := time.NewTicker(f.poll)
	defer tick.Stop()
	var seen chan fsnotify.Event
	var failed chan error
	if f.events != nil {
		seen, failed = f.events.Events, f.events.Errors
		defer func() { _ = f.events.Close() }()
	}
	for {
		tell := false
		select {
		case <-ctx.Done():
			return
		case e := <-seen:
			tell = f.saw(e)
		case err := <-failed:
			// Events were lost: anything may have changed.
			f.log.Debug("file events were lost", "error", err.Error())
			tell = true
		case <-tick.C:
			tell = f.differs()
		}
		if tell {
			f.changed()
		}
	}
}

// saw reports whether an event counts.
func (f *Files) saw(e fsnotify.Event) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.counts(e) {
		return false
	}
	f.look() // a link may lead elsewhere now
	return true
}

// differs reports whether the files are others than when it was last asked.
func (f *Files) differs() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	before := f.state
	f.state = f.fingerprint()
	return f.state != before
}

// dataLink is the link that Kubernetes swaps.
const dataLink = "..data"

func (f *Files) counts(e fsnotify.Event) bool {
	dir, name := filepath.Split(e.Name)
	names, ok := f.places[filepath.Clean(dir)]
	if !ok { // the directory itself
		_, ok = f.places[filepath.Clean(e.Name)]
		return ok
	}
	return names[""] || names[name] || name == dataLink
}

// look finds the directories to watch anew, and watches them.
func (f *Files) look() {
	now := places{}
	for _, path := range f.paths {
		now.add(path)
	}
	if f.events != nil {
		for dir := range f.places {
			if _, still := now[dir]; !still {
				_ = f.events.Remove(dir) // it may be gone
			}
		}
		for dir := range now {
			// Adding twice is harmless, and needed where the directory is
			// another one of the same name.
			if err := f.events.Add(dir); err != nil {
				f.log.Debug("a directory cannot be watched yet", "directory", dir, "error", err.Error())
			}
		}
	}
	f.places = now
}

// maxLinks is how many links in a row are followed, as Linux does.
const maxLinks = 40

// add notes a path, and what its links lead to.
func (p places) add(path string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return
	}
	for range maxLinks {
		dir, name := filepath.Split(path)
		dir = filepath.Clean(dir)
		p.name(dir, name)
		if real, err := filepath.EvalSymlinks(dir); err == nil && real != dir {
			p.parents(dir)
			dir = real
			p.name(dir, name)
		}
		target, err := os.Readlink(filepath.Join(dir, name))
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		path = target
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		p.name(path, "")
	}
}

// parents notes each directory above that is a link.
func (p places) parents(dir string) {
	for up := filepath.Dir(dir); up != dir; dir, up = up, filepath.Dir(up) {
		if info, err := os.Lstat(dir); err == nil && info.Mode()&os.ModeSymlink != 0 {
			p.name(up, filepath.Base(dir))
		}
	}
}

func (p places) name(dir, name string) {
	if p[dir] == nil {
		p[dir] = map[string]bool{}
	}
	p[dir][name] = true
}

// entriesSeen bounds what the poll looks at in one directory.
const entriesSeen = 10_000

// fingerprint sums up the files: which they are, how large, and when they were
// changed.
func (f *Files) fingerprint() string {
	var b strings.Builder
	note := func(path string, link bool) {
		info, err := os.Stat(path)
		if err != nil {
			fmt.Fprintf(&b, "%s -\n", path)
			return
		}
		real := ""
		if link { // which is slow to follow
			real, _ = filepath.EvalSymlinks(path)
		}
		// No number of the file itself: there are filesystems where it gets another one
		// now and then.
		fmt.Fprintf(&b, "%s %s %d %d %d %v\n", path, real, info.Size(), info.ModTime().UnixNano(), putInPlace(info), info.Mode())
	}
	for _, dir := range slices.Sorted(maps.Keys(f.places)) {
		for name := range f.places[dir] {
			if name != "" {
				continue
			}
			real, _ := filepath.EvalSymlinks(dir)
			fmt.Fprintf(&b, "%s %s\n", dir, real)
			entries, _ := os.ReadDir(dir)
			for _, e := range entries[:min(len(entries), entriesSeen)] {
				note(filepath.Join(dir, e.Name()), e.Type()&fs.ModeSymlink != 0)
			}
		}
	}
	for _, path := range f.paths {
		note(path, true)
	}
	return b.String()
}
