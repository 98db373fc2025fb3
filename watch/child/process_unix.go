//go:build unix

package child

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Process is a started child. Its methods may be called by several goroutines.
type Process struct {
	cmd         *exec.Cmd
	terminal    terminal
	stopTimeout time.Duration
	done        chan struct{}
	status      Status // set before done is closed

	mu       sync.Mutex
	ended    bool // its number, and its group's, may be another's from here on
	asked    bool // a SIGTERM was sent
	stopping bool
	deadline *time.Timer // nil before there is one
	killed   time.Time
}

// Start starts a process. An error is a *StartError, or ctx's when it had ended
// already. When ctx ends later, the process is stopped as by [Process.Stop].
func Start(ctx context.Context, spec Spec) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cmd, err := command(spec)
	if err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, stopTimeout: spec.StopTimeout, done: make(chan struct{})}
	if p.stopTimeout <= 0 {
		p.stopTimeout = DefaultStopTimeout
	}
	started := make(chan error)
	go p.run(ctx, started)
	if err := <-started; err != nil {
		return nil, explain(spec, cmd.Path, err)
	}
	return p, nil
}

// run starts the process and stays with it until it has ended, all on one
// thread: Linux kills the child when the thread that started it ends, and not
// the process.
func (p *Process) run(ctx context.Context, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p.cmd.SysProcAttr = &syscall.SysProcAttr{}
	p.terminal.open(p.cmd.SysProcAttr)
	defer p.terminal.close()
	dieWithUs(p.cmd.SysProcAttr)
	err := p.cmd.Start()
	p.terminal.handed()
	if err != nil {
		started <- err
		return
	}
	started <- nil
	unhook := context.AfterFunc(ctx, func() { p.Stop(context.Background()) })
	defer unhook()

	p.awaitEnd()
	p.endGroup()
	p.mu.Lock()
	p.ended = true
	if p.deadline != nil {
		p.deadline.Stop()
	}
	p.mu.Unlock()
	err = p.cmd.Wait()
	p.status = statusOf(p.cmd.ProcessState, err)
	p.terminal.takeBack(p.PID())
	close(p.done)
}

// PID is the number of the process, also when it has ended.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended and its status is known.
func (p *Process) Done() <-chan struct{} { return p.done }

// Status waits for the end of the process and says how it ended.
func (p *Process) Status() Status {
	<-p.done
	return p.status
}

// Signal sends a signal to the process, and to it alone. It returns
// os.ErrProcessDone when the process has ended. A SIGTERM to a process that
// Stop has asked to end is not sent again.
func (p *Process) Signal(sig os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return os.ErrProcessDone
	}
	if sig == syscall.SIGTERM {
		if p.stopping {
			return nil
		}
		p.asked = true
	}
	return p.cmd.Process.Signal(sig)
}

// Stop ends the process: SIGTERM, and SIGKILL after the stop timeout or when
// ctx ends. SIGKILL goes to the whole group of the child where it has one,
// since a child that is killed ends none of its own; and those whom it leaves there
// when it ends, whatever it ends by, get SIGTERM then. Where a SIGTERM was passed
// on before, Stop sends no second one and only lets the time run. Further calls
// wait for the same end. It returns when the process and its group have ended.
func (p *Process) Stop(ctx context.Context) Status {
	p.mu.Lock()
	if !p.ended && !p.stopping {
		p.stopping = true
		if !p.asked {
			_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails only where it has just ended
		}
		_ = p.cmd.Process.Signal(syscall.SIGCONT) // a stopped process does not hear the other
		p.hurry(p.stopTimeout)
	}
	p.mu.Unlock()
	select {
	case <-p.done:
	case <-ctx.Done():
		p.kill()
	}
	return p.Status()
}

// hurry has the process killed after a while. The lock is held.
func (p *Process) hurry(most time.Duration) {
	if p.deadline == nil {
		p.deadline = time.AfterFunc(most, p.kill)
	}
}

func (p *Process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.killed = time.Now()
	killGroup(p.PID())
	_ = p.cmd.Process.Kill() // it may have left its group
}

// statusOf returns the status of an ended process.
func statusOf(state *os.ProcessState, err error) Status {
	if state == nil {
		return Status{Code: 125, Err: err}
	}
	if wait, ok := state.Sys().(syscall.WaitStatus); ok && wait.Signaled() {
		return Status{Code: 128 + int(wait.Signal()), Signal: wait.Signal()}
	}
	return Status{Code: state.ExitCode()}
}
