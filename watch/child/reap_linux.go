package child

import (
	"bytes"
	"context"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// patience is how long an ended process is left to whoever may have started it,
// where that cannot be told, and again how often to look after those.
const (
	patience = 10 * time.Second
	again    = time.Second
)

// Reap waits for the ended processes that others have left to us, as PID 1 or
// as a child subreaper (PR_SET_CHILD_SUBREAPER), until ctx ends. Where neither
// is so it returns at once. What this program has started itself, by this
// package or by os/exec anywhere, keeps its status for whoever waits for it.
func Reap(ctx context.Context) {
	if os.Getpid() != 1 && !isSubreaper() {
		return
	}
	r := reaper{started: startedHere, patience: patience, reaped: func(int) {}}
	r.run(ctx)
}

func isSubreaper() bool {
	var is int32
	err := unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&is)), 0, 0, 0)
	return err == nil && is != 0
}

type reaper struct {
	started  func() (pids map[int]bool, sure bool)
	patience time.Duration
	reaped   func(pid int)

	since map[int]time.Time // when an ended process was first seen, where started is not sure
}

func (r *reaper) run(ctx context.Context) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	for {
		var later <-chan time.Time
		if r.sweep() {
			later = time.After(again)
		}
		select {
		case <-ctx.Done():
			return
		case <-ended:
		case <-later:
		}
	}
}

// sweep reaps what is to be reaped, and reports whether something is left that
// no signal will tell of any more.
func (r *reaper) sweep() bool {
	for {
		if count, left := r.pass(); count == 0 {
			return left
		}
	}
}

func (r *reaper) pass() (count int, left bool) {
	// Nothing is started meanwhile, so no number can turn into one of ours.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	before := r.since
	r.since = map[int]time.Time{}
	ended := endedChildren()
	if len(ended) == 0 {
		return 0, false
	}
	ours, sure := r.started()
	for _, pid := range ended {
		switch first, seen := before[pid]; {
		case ours[pid]:
			left = true // it may hide others
			continue
		case sure, seen && time.Since(first) >= r.patience:
		case !seen:
			first = time.Now()
			fallthrough
		default:
			r.since[pid], left = first, true
			continue
		}
		if got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err == nil && got == pid {
			count++
			r.reaped(pid)
		}
	}
	return count, left
}

// endedChildren lists the children that have ended and were not waited for. The
// kernel shows the first only, the same each time; to see those behind it takes
// the numbers of all processes, from a /proc that has ours.
func endedChildren() []int {
	first := peek(unix.P_ALL, 0)
	if first == 0 {
		return nil
	}
	pids := []int{first}
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(os.Getpid()) {
		return pids
	}
	dir, err := os.Open("/proc")
	if err != nil {
		return pids
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid != first && peek(unix.P_PID, pid) != 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// peek returns the number of an ended child, which stays to be waited for, and 0
// if there is none.
func peek(kind, id int) int {
	var info unix.Siginfo
	if err := unix.Waitid(kind, id, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
		return 0
	}
	return int((*childInfo)(unsafe.Pointer(&info)).pid)
}

// startedHere lists the children that this program has started and not waited
// for yet. The os package holds a pidfd of each, from the fork to the wait.
// sure is false where it does not (a kernel before 5.4, a sandbox), or where the
// list of our own files cannot be read (another user than root before 5.14).
func startedHere() (pids map[int]bool, sure bool) {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return nil, false
	}
	defer self.Release()
	if self.WithHandle(func(uintptr) {}) != nil {
		return nil, false
	}
	status, err := os.ReadFile("/proc/self/status")
	depth := len(numbers(status, "NSpid:"))
	files, err2 := os.ReadDir("/proc/self/fd")
	if err != nil || err2 != nil || depth == 0 {
		return nil, false
	}
	pids = map[int]bool{}
	for _, file := range files {
		to, err := os.Readlink("/proc/self/fd/" + file.Name())
		if err != nil || to != "anon_inode:[pidfd]" && !strings.HasPrefix(to, "pidfd:") {
			continue // closed meanwhile, or something else
		}
		info, err := os.ReadFile("/proc/self/fdinfo/" + file.Name())
		if err != nil && !os.IsNotExist(err) {
			return nil, false
		}
		// The numbers in each namespace from that of /proc down to the
		// process's own; ours is as deep as we are.
		if all := numbers(info, "NSpid:"); len(all) >= depth {
			pids[all[depth-1]] = true
		}
	}
	return pids, true
}

// numbers returns the numbers on the line of a file of /proc that begins with key.
func numbers(file []byte, key string) []int {
	var all []int
	for line := range bytes.Lines(file) {
		rest, ok := bytes.CutPrefix(line, []byte(key))
		if !ok {
			continue
		}
		for word := range bytes.FieldsSeq(rest) {
			if n, err := strconv.Atoi(string(word)); err == nil {
				all = append(all, n)
			}
		}
	}
	return all
}
