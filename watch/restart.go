package watch

//lint:file-ignore ST1005 an error may begin with Bifrost, which is a name

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// awaited is a restart whose child has not answered yet.
type awaited struct {
	began, until time.Time
	request      *restartRequest // who waits for it; may be nil
}

// restart replaces the child. Where the new one cannot be started at all, that
// is as if it had ended at once. It returns what became of the request, if there
// is one, and nil where that is known when Bifrost answers.
func (s *Supervisor) restart(ctx context.Context, rotation bool, q *restartRequest) []Outcome {
	out := func(state State, reason string) []Outcome {
		if q == nil {
			return nil
		}
		return outcomesOf(q.update, state, reason)
	}
	s.pending = time.Time{}
	began := time.Now()
	s.mu.Lock()
	s.going = true // who asks whether it is ready hears of it before it is gone
	s.mu.Unlock()
	s.Loop.Look()
	s.drain()
	s.stop()
	if ctx.Err() != nil || s.ending() {
		return out(Failed, "Bifrost is about to end")
	}
	err := s.start(s.wanted, rotation)
	s.extend()
	if err != nil {
		if !rotation {
			s.fatal = err
			return out(Failed, "Bifrost could not be started")
		}
		s.Log.Error("Bifrost could not be started", "error", err.Error())
		s.reject(false) // it has rejected nothing
		s.Loop.Rejected(s.current, "it could not be started: "+err.Error())
		return out(RestartRequired, rolledBack)
	}
	s.mu.Lock()
	s.restarts++
	judged := s.judged
	s.mu.Unlock()
	if s.Observer != nil {
		s.Observer.Restarted()
	}
	s.awaited = &awaited{began: began, until: time.Now().Add(s.Patience), request: q}
	if s.unwait == nil || !judged {
		s.restarted()
		return out(InForce, "")
	}
	return nil
}

// keep drops the restart that is to come, for an update that has brought back what the
// child was started with.
func (s *Supervisor) keep(u Update) []Outcome {
	s.forgetTurn()
	s.current, s.wanted, s.pending, s.noTurn = u.Rendering, u.Rendering, time.Time{}, nil
	s.brought.Store(nil)
	if s.graced {
		s.Loop.Accepted(s.current)
	}
	s.Loop.Again()
	out := outcomesOf(u, InForce, "")
	for i := range out {
		out[i].runs = true
	}
	return out
}

const (
	isRejected = "values that Bifrost rejected are about to be rolled back"
	rolledBack = "Bifrost ended over it, and the last good values are about to be put back"
)

// restarted tells that the child of a restart is there.
func (s *Supervisor) restarted() {
	s.Log.Info("restarted Bifrost", "pid", s.child.PID(), "took", time.Since(s.awaited.began).Round(time.Millisecond).String())
	s.awaited = nil
	s.settles()
	s.Loop.Look()
	s.Loop.Restarted()
}

// answers notes that the child has answered.
func (s *Supervisor) answers() {
	s.mu.Lock()
	s.answered, s.judged = true, true
	s.mu.Unlock()
	if s.awaited == nil {
		s.Loop.Look()
		return
	}
	s.reply(InForce, "")
	s.restarted()
}

// reply tells who waits for the restart under way.
func (s *Supervisor) reply(state State, reason string) {
	if s.awaited == nil || s.awaited.request == nil {
		return
	}
	s.awaited.request.reply <- outcomesOf(s.awaited.request.update, state, reason)
	s.awaited.request = nil
}

// Answering says why Bifrost should not be sent requests: there is none, it is
// being replaced, or the one that was started has not answered yet. A child that
// is the first and does not answer within Patience is taken for one that cannot
// be asked.
func (s *Supervisor) Answering() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.leaving:
		return errors.New("Bifrost is about to end")
	case s.going:
		return errors.New("Bifrost is being restarted")
	case s.child == nil:
		return errors.New("there is no Bifrost running")
	case s.Answers == nil || s.answered || !s.judged && time.Since(s.first) > s.Patience:
		return nil
	}
	return fmt.Errorf("Bifrost was started %s ago and does not answer yet", time.Since(s.started).Round(100*time.Millisecond))
}

// Status tells of the child.
func (s *Supervisor) Status() BifrostStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := BifrostStatus{Started: s.started, Restarts: s.restarts, Turn: s.turnStatus(), Waiting: s.asking != nil}
	if s.child != nil {
		b.PID = s.child.PID()
	}
	return b
}

// Running says why there is no child.
func (s *Supervisor) Running() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == nil {
		return errors.New("there is no Bifrost running")
	}
	return nil
}

// endsWithin is how long a child may take to end after a signal: while it does,
// nothing is started anew.
const endsWithin = time.Minute

func (s *Supervisor) ending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.signalled.IsZero() && time.Since(s.signalled) < endsWithin
}

// Signalled notes that the child was sent a signal: one that ends after SIGINT, SIGQUIT
// or SIGTERM was asked to, and is not started again.
func (s *Supervisor) Signalled(sig os.Signal) {
	if sig != syscall.SIGINT && sig != syscall.SIGQUIT && sig != syscall.SIGTERM {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signalled = time.Now()
	s.leaving = s.leaving || sig == syscall.SIGTERM
}

// drain lets whoever follows /readyz take notice before the child is asked to end.
func (s *Supervisor) drain() {
	if s.child == nil || s.Drain <= 0 {
		return
	}
	timer := time.NewTimer(s.Drain)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.child.Done():
	}
}

// killed reports whether a status is that of a process which somebody else has ended,
// be it the kernel for want of memory: that says nothing of what it was started with.
func killed(code int) bool {
	return code == 128+int(syscall.SIGKILL) || code == 128+int(syscall.SIGTERM)
}

// startGrace is how long after a start for new values a child that ends is taken not to
// have liked them.
const startGrace = 10 * time.Second
