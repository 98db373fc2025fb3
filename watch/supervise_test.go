package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"bifrost-secrets/render"
)

// fakeChild is a process that ends when it is told to.
type fakeChild struct {
	pid   int
	with  *render.Rendering
	slow  time.Duration // it takes to stop
	done  chan struct{}
	once  sync.Once
	code  int
	stops int

	stopped *int // its status when it is stopped; nil: that of SIGTERM
}

func (c *fakeChild) PID() int              { return c.pid }
func (c *fakeChild) Done() <-chan struct{} { return c.done }
func (c *fakeChild) Code() int             { return c.code }

func (c *fakeChild) Stop(context.Context) {
	c.stops++
	<-time.After(c.slow)
	if c.stopped != nil {
		c.end(*c.stopped)
	}
	c.end(143)
}

func (c *fakeChild) end(code int) {
	c.once.Do(func() {
		c.code = code
		close(c.done)
	})
}

// supervised starts children and notes what the loop would be told.
type supervised struct {
	*Supervisor
	mu       sync.Mutex
	children []*fakeChild
	fail     error
	told     []string
	names    map[*render.Rendering]string
	lives    time.Duration // a child over the value bad; zero: a second
}

func newSupervised() *supervised {
	n := &supervised{names: map[*render.Rendering]string{nil: ""}}
	n.Supervisor = &Supervisor{
		Start: n.start, Loop: n, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		MinInterval: time.Minute,
	}
	return n
}

func (n *supervised) name(name string) *render.Rendering {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := &render.Rendering{}
	n.names[r] = name
	return r
}

func (n *supervised) start(r *render.Rendering) (Child, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fail != nil {
		return nil, n.fail
	}
	c := &fakeChild{pid: 100 + len(n.children), with: r, done: make(chan struct{})}
	n.children = append(n.children, c)
	return c, nil
}

func (n *supervised) say(what string, r *render.Rendering, more string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, what+n.names[r]+more)
}

// breaks makes every start fail; nil makes it work again.
func (n *supervised) breaks(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fail = err
}

func (n *supervised) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.children)
}

func (n *supervised) Restarted()                        { n.say("restarted", nil, "") }
func (n *supervised) Again()                            { n.say("again", nil, "") }
func (*supervised) Look()                               {}
func (*supervised) Owes(Update, *render.Rendering) bool { return true }
func (n *supervised) Accepted(r *render.Rendering)      { n.say("accepted ", r, "") }
func (n *supervised) Rejected(r *render.Rendering, reason string) {
	n.say("rejected ", r, ": "+reason)
}

func (n *supervised) Killed(r *render.Rendering, reason string) {
	n.say("rejected ", r, ": "+reason)
}

func (n *supervised) RejectedElsewhere(r *render.Rendering, why map[Brought]string) {
	n.say("rejected elsewhere ", r, fmt.Sprint(why))
}

// heard returns what the loop was told since the last call, and what each child
// was started with.
func (n *supervised) heard() string {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	text := strings.Join(n.told, ", ")
	n.told = nil
	return text
}

func (n *supervised) last() *fakeChild {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.children[len(n.children)-1]
}

// run runs the supervisor. The function that it returns waits for its end.
func (n *supervised) run(ctx context.Context, first *render.Rendering) (wait func() (int, error)) {
	done := make(chan struct{})
	var code int
	var err error
	go func() {
		defer close(done)
		code, err = n.Run(ctx, first)
	}()
	synctest.Wait()
	return func() (int, error) {
		<-done
		return code, err
	}
}

func (n *supervised) apply(t *testing.T, r *render.Rendering, rollback bool) Outcome {
	t.Helper()
	out := n.Apply(t.Context(), Update{Trigger: Tick, Rendering: r, Edited: true, Rollback: rollback})
	if len(out) != 1 {
		t.Fatalf("outcomes: %v", out)
	}
	return out[0]
}

func TestSupervisorRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSupervised()
		ctx, cancel := context.WithCancel(t.Context())
		first, second, third := n.name("first"), n.name("second"), n.name("third")
		wait := n.run(ctx, first)
		check(t, n.heard(), "restarted")
		<-time.After(2 * time.Minute)
		check(t, n.heard(), "accepted first")
		began := time.Now()
		check(t, n.apply(t, second, false).State, InForce)
		check(t, time.Since(began), 0)
		check(t, n.children[0].stops, 1)
		check(t, n.last().with, second)
		check(t, n.heard(), "restarted")
		// The next one is too soon, and is made when it may be, with the newest.
		<-time.After(20 * time.Second)
		check(t, n.heard(), "accepted second")
		o := n.apply(t, n.name("never"), false)
		check(t, o.State, RestartRequired)
		check(t, strings.HasPrefix(o.Reason, "Bifrost is restarted at "), true)
		check(t, n.apply(t, third, false).State, RestartRequired)
		check(t, n.count(), 2)
		<-time.After(40 * time.Second)
		check(t, n.heard(), "restarted")
		check(t, n.last().with, third)
		check(t, n.Status().Restarts, 2)
		check(t, n.Status().PID, 102)
		cancel()
		code, err := wait()
		check(t, code, 143)
		check(t, err, nil)
		check(t, n.Running() != nil, true)
		check(t, n.apply(t, first, false).State, Failed)
	})
}

func TestSupervisorSplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSupervised()
		n.MinInterval, n.Splay = 0, 10*time.Minute
		ctx, cancel := context.WithCancel(t.Context())
		wait := n.run(ctx, n.name("first"))
		late := 0
		for range 20 {
			before := n.count()
			if n.apply(t, n.name("next"), false).State == RestartRequired {
				late++
			}
			<-time.After(10 * time.Minute)
			synctest.Wait()
			check(t, n.count(), before+1)
		}
		check(t, late > 15, true)
		cancel()
		wait()
	})
}

// A child that does not live with new values gets the old ones back at once, and
// one that ends later ends exec.
func TestSupervisorRejects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSupervised()
		good, bad := n.name("good"), n.name("bad")
		wait := n.run(t.Context(), good)
		<-time.After(2 * time.Minute)
		n.apply(t, bad, false)
		n.heard()
		<-time.After(3 * time.Second)
		n.last().end(3)
		check(t, n.heard(), "rejected bad: Bifrost ended with status 3, 3s after it was started with it")
		check(t, n.Running() != nil, true)
		check(t, n.apply(t, n.name("meanwhile"), false).State, RestartRequired)
		check(t, n.apply(t, good, true).State, InForce)
		check(t, n.last().with, good)
		check(t, n.heard(), "restarted")
		// Not for the sake of new values: this is its own end.
		<-time.After(3 * time.Second)
		n.last().end(4)
		code, _ := wait()
		check(t, code, 4)
	})
}

// Values that a process cannot even be started with are rolled back too.
func TestSupervisorCannotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSupervised()
		good := n.name("good")
		wait := n.run(t.Context(), good)
		<-time.After(2 * time.Minute)
		n.heard()
		n.breaks(errors.New("argument list too long"))
		n.apply(t, n.name("bad"), false)
		check(t, n.heard(), "rejected bad: it could not be started: argument list too long")
		n.breaks(nil)
		n.apply(t, good, true)
		check(t, n.last().with, good)
		// And where not even the good ones do, that is the end.
		<-time.After(2 * time.Minute)
		n.breaks(errors.New("no such file"))
		n.apply(t, n.name("bad"), false)
		n.apply(t, good, true)
		_, err := wait()
		check(t, err.Error(), "no such file")

		n = newSupervised()
		n.breaks(errors.New("no such file"))
		_, err = n.Run(t.Context(), good)
		check(t, err.Error(), "no such file")
	})
}

// A child that was told to end is not started again, whatever its status.
func TestSupervisorTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSupervised()
		wait := n.run(t.Context(), n.name("first"))
		<-time.After(2 * time.Minute)
		n.apply(t, n.name("second"), false)
		n.Signalled(syscall.SIGUSR1)
		n.Signalled(syscall.SIGINT)
		check(t, n.apply(t, n.name("third"), false).State, Failed)
		n.last().end(130) // within its grace
		code, _ := wait()
		check(t, code, 130)
		check(t, strings.Contains(n.heard(), "rejected"), false)
	})
}

// The end waits for a child that takes its time, also in the middle of a restart.
func TestSupervisorEndsInRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSupervised()
		ctx, cancel := context.WithCancel(t.Context())
		wait := n.run(ctx, n.name("first"))
		<-time.After(2 * time.Minute)
		n.last().slow = 5 * time.Second
		began := time.Now()
		go n.Apply(t.Context(), Update{Rendering: n.name("second")})
		<-time.After(time.Second)
		cancel()
		code, _ := wait()
		check(t, code, 143)
		check(t, time.Since(began), 5*time.Second)
		check(t, n.count(), 1)
	})
}

// The log says how Bifrost has ended, also where it has before anybody looks, and in the
// middle of a restart.
func TestSupervisorSaysTheEnd(t *testing.T) {
	for name, slow := range map[string]time.Duration{"at once": 0, "in a restart": 5 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newSupervised()
				var log strings.Builder
				n.Log = slog.New(slog.NewTextHandler(&log, nil))
				ctx, cancel := context.WithCancel(t.Context())
				wait := n.run(ctx, n.name("first"))
				if slow > 0 {
					n.last().slow = slow
					go n.Apply(t.Context(), Update{Rendering: n.name("second")})
					<-time.After(n.MinInterval + time.Second)
				}
				n.Signalled(syscall.SIGTERM)
				n.last().end(5)
				cancel()
				code, _ := wait()
				check(t, code, 5)
				if got := strings.Count(log.String(), `msg="Bifrost ended" status=5 `); got != 1 {
					t.Errorf("%d lines say it: %s", got, log.String())
				}
			})
		})
	}
}

func check[T comparable](t *testing.T, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// What ends before its beginning starts nothing.
func TestSupervisorEndsBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSupervised()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := n.Run(ctx, n.name("first"))
		check(t, errors.Is(err, context.Canceled), true)
		check(t, n.count(), 0)
		check(t, n.apply(t, n.name("second"), false).State, Failed)
	})
}

// Where nothing runs and the last good values do not come back, that is a failure,
// whatever the status of the child before.
func TestSupervisorNotPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSupervised()
		wait := n.run(t.Context(), n.name("good"))
		<-time.After(2 * time.Minute)
		n.last().stopped = new(int) // it ends well when it is asked to
		n.breaks(errors.New("argument list too long"))
		n.apply(t, n.name("bad"), false)
		began := time.Now()
		_, err := wait()
		check(t, time.Since(began), rollbackTimeout)
		if err == nil || !strings.Contains(err.Error(), "could not be put back") {
			t.Errorf("error: %v", err)
		}
	})
}

// A child that panics at its end, after it was told to stop, is no failure of the
// rotation: it is what the next one does that counts.
func TestPanicsAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSupervised()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		wait := n.run(ctx, n.name("first"))
		<-time.After(2 * time.Minute)
		n.heard()
		panics := 2
		n.last().stopped = &panics
		check(t, n.apply(t, n.name("second"), false).State, InForce)
		<-time.After(2 * time.Minute)
		check(t, n.heard(), "restarted, accepted second")
		check(t, n.count(), 2)
		cancel()
		_, err := wait()
		check(t, err, nil)
	})
}
