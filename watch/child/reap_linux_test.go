package child

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	orphanCount = 300
	ownCount    = 200
)

func init() { plays["reap"] = reapAll }

// reapAll gets orphans and starts processes of its own at the same time, and
// prints how many of each went right. Its word says as who.
func reapAll(args []string) {
	must := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	// Long enough for Go to take the ends of what is its own, on a busy machine too.
	r := reaper{started: startedHere, patience: 5 * time.Second}
	if os.Getpid() != 1 {
		must(unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	}
	if !isSubreaper() && os.Getpid() != 1 {
		fmt.Println("not a subreaper")
	}
	switch args[0] {
	case "nobody": // another user, and a /proc/self that is root's
		must(syscall.Setuid(65534))
		must(unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
	case "unsure":
		r.started = func() (map[int]bool, bool) { return nil, false }
	}
	if _, sure := r.started(); sure == (args[0] == "unsure") {
		fmt.Println("sure:", sure)
	}

	// One of ours that ended first, and that nobody waits for yet.
	slow := exec.Command("sh", "-c", "exit 9")
	if args[0] != "unsure" {
		must(slow.Start())
		must(unix.Waitid(unix.P_PID, slow.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil))
	}

	reaped := make(chan int, 2*orphanCount)
	r.reaped = func(pid int) { reaped <- pid }
	ctx, end := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { r.run(ctx); close(over) }()

	var wg sync.WaitGroup
	right := make(chan bool, ownCount)
	for lane := range 4 {
		wg.Go(func() {
			for i := range ownCount / 4 {
				code := (lane*50+i)%250 + 1
				err := exec.Command("sh", "-c", fmt.Sprintf("exit %d", code)).Run()
				exit, ok := err.(*exec.ExitError)
				right <- ok && exit.ExitCode() == code
			}
		})
	}
	litter := exec.Command("sh", "-c", fmt.Sprintf("i=0; while [ $i -lt %d ]; do (exit 3 &); i=$((i+1)); done", orphanCount))
	must(litter.Run())
	for range orphanCount {
		<-reaped
	}
	wg.Wait()
	close(right)
	good := 0
	for ok := range right {
		if ok {
			good++
		}
	}
	if args[0] != "unsure" {
		if exit, ok := slow.Wait().(*exec.ExitError); !ok || exit.ExitCode() != 9 {
			fmt.Println("the status of the slow one was stolen")
		}
	}
	end()
	<-over
	fmt.Println("right", good, "orphans", orphanCount, "more", len(reaped), "left", len(endedChildren()))
}

func TestReap(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts many processes")
	}
	t.Parallel()
	asFirst(t, func(t *testing.T, first bool) {
		for _, as := range []string{"root", "nobody", "unsure"} {
			args := []string{os.Args[0], as}
			if first {
				args = append([]string{"unshare", "--pid", "--fork", "--mount-proc", "--kill-child=KILL"}, args...)
			}
			s := launch(t, exec.Command(args[0], args[1:]...), "reap", "")
			s.want(fmt.Sprintf("right %d orphans %d more 0 left 0", ownCount, orphanCount))
			s.wantEnd()
		}
	})
}

// Where nobody's orphans come to us there is nothing to do.
func TestReapIsOverAtOnce(t *testing.T) {
	t.Parallel()
	Reap(context.Background())
}
