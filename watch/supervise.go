package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"bifrost-secrets/render"
)

// Child is a running Bifrost.
type Child interface {
	PID() int
	// Stop asks the child to end, waits, and kills it in the end. It returns
	// when the child is gone.
	Stop(context.Context)
	Done() <-chan struct{}
	// Code is the status of a child that is done, as a shell has it.
	Code() int
}

// Supervisor owns the child: it starts it, starts it anew for new values, and
// tells the loop how it went. It is the [Applier] called restart.
type Supervisor struct {
	// Start starts a child with what was rendered, which is nil where the file of
	// an earlier life is used.
	Start func(*render.Rendering) (Child, error)
	Loop  interface {
		Restarted()
		Again()
		Accepted(*render.Rendering)
		Rejected(r *render.Rendering, reason string)
		Killed(r *render.Rendering, reason string)
		RejectedElsewhere(r *render.Rendering, why map[Brought]string)
		Look()
		Owes(u Update, current *render.Rendering) bool
	}
	Observer Observer // may be nil
	Log      *slog.Logger
	// Answers waits until the child that was started answers as a Bifrost that is
	// ready, or ctx ends, and then returns nil or why it does not. It may be nil:
	// then a child that runs is taken for ready.
	Answers func(ctx context.Context) error
	// Patience is how long a start waits for an answer before it is told of as it
	// is, and how long the first child may take before it is taken for one that
	// cannot be asked.
	Patience time.Duration

	MinInterval time.Duration // between two starts that values are the cause of
	Splay       time.Duration // a restart comes up to so much later; in a cluster, where there is no turn to be had

	Turns  Turns         // of the cluster; may be nil
	Settle time.Duration // how long a restarted child has to be ready before the next of the cluster may be
	Ready  func() error  // why /readyz fails; nil: Answering
	Drain  time.Duration // from /readyz failing to the child being asked to end

	requests   chan restartRequest
	up         chan Child // it answers
	turns      chan turned
	reconsider chan struct{}
	gone       chan struct{}
	once       sync.Once
	life       context.Context // of Run
	brought    atomic.Pointer[bringing]

	// These are of the goroutine that runs Run.
	current  *render.Rendering  // what the child was started with
	wanted   *render.Rendering  // what the next start is to be with
	rotation bool               // the child was started for the sake of new values
	waiting  bool               // for the loop to take values back
	pending  time.Time          // when wanted is to be started; zero where it is not
	graced   bool               // the child's grace is over
	fatal    error              // there is nothing left to be started
	awaited  *awaited           // the restart that is over when the child answers
	unwait   context.CancelFunc // ends the wait for an answer; nil without Answers
	noTurn   error              // why the last turn that was asked for was not to be had
	telling  bool               // the others are to hear of what is about to be rolled back

	mu        sync.Mutex
	child     Child // nil while there is none
	going     bool  // the child is about to be replaced
	leaving   bool  // the child is asked to end for good
	answered  bool  // the child has answered
	judged    bool  // some child has, so that one that does not is not ready
	started   time.Time
	first     time.Time // when the first child was started
	restarts  int
	signalled time.Time // when the child was last sent a signal that should end it
	last      int       // the status of the child before
	asking    *asking   // nil where no turn is waited for
	turn      *turn     // nil where none is held
}

type restartRequest struct {
	update Update
	reply  chan []Outcome
}

// rollbackTimeout is how long the loop may take to put the last good file back.
const rollbackTimeout = 30 * time.Second

func (s *Supervisor) init() {
	s.once.Do(func() {
		s.requests, s.up, s.gone = make(chan restartRequest), make(chan Child), make(chan struct{})
		s.turns, s.reconsider = make(chan turned), make(chan struct{}, 1)
	})
}

// Kind implements [Applier].
func (*Supervisor) Kind() string { return "restart" }

// Apply implements [Applier]. Where the next restart may not be made yet, its
// time is the outcome, and the loop is told when it was made.
func (s *Supervisor) Apply(ctx context.Context, u Update) []Outcome {
	s.init()
	q := restartRequest{update: u, reply: make(chan []Outcome, 1)}
	select {
	case s.requests <- q:
	case <-s.gone:
		return outcomesOf(u, Failed, "Bifrost has ended")
	case <-ctx.Done():
		return outcomesOf(u, Failed, "there was no time left to restart Bifrost")
	}
	select {
	case out := <-q.reply:
		return out
	case <-s.gone:
		return outcomesOf(u, Failed, "Bifrost has ended")
	}
}

func outcomesOf(u Update, state State, reason string) []Outcome {
	out := each(u.Changed, state, reason, "")
	if u.Edited {
		out = append(out, Outcome{Path: WholeDocument, State: state, Reason: reason})
	}
	return out
}

// Run starts the child and looks after it until it ends for good or ctx does,
// whereupon the child is stopped. code is the child's status. The error says why
// there was none to be had: it could not be started, the last good values did not
// come back, or ctx had ended before.
func (s *Supervisor) Run(ctx context.Context, first *render.Rendering) (code int, err error) {
	s.init()
	defer close(s.gone)
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	life, end := context.WithCancel(ctx)
	defer end()
	s.life = life
	if err := s.start(first, false); err != nil {
		return 0, err
	}
	defer s.giveTurnBack()
	defer s.forgetTurn()
	s.Loop.Look()
	s.Loop.Restarted()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if s.fatal != nil {
			return 0, s.fatal
		}
		if s.child == nil && s.ending() { // it was asked to in a restart
			s.Log.Info("Bifrost ended", "status", s.last, "after", time.Since(s.started).Round(time.Millisecond).String())
			return s.last, nil
		}
		s.setTimer(timer)
		var done <-chan struct{}
		if s.child != nil {
			done = s.child.Done()
		}
		select {
		case <-ctx.Done():
			asked := time.Now()
			s.mu.Lock()
			s.leaving = true
			s.mu.Unlock()
			s.drain()
			code := s.stop()
			s.Log.Info("Bifrost ended", "status", code, "took", time.Since(asked).Round(time.Millisecond).String())
			return code, nil
		case q := <-s.requests:
			if out := s.request(ctx, &q); out != nil {
				q.reply <- out
			}
		case c := <-s.up:
			if c == s.child {
				s.answers()
			}
		case e := <-s.turns:
			s.onTurn(ctx, e)
		case <-s.reconsider:
			s.reconsidered()
		case <-timer.C:
			s.onTime(ctx)
		case <-done:
			if over, code := s.ended(ctx); over {
				return code, nil
			}
		}
	}
}

// setTimer sets the timer to what comes next: a restart, or the end of the
// child's grace.
func (s *Supervisor) setTimer(timer *time.Timer) {
	at := s.pending
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	switch {
	case s.child == nil:
	case s.awaited == nil && !s.graced:
		sooner(s.started.Add(startGrace))
	case s.awaited != nil && s.awaited.request != nil:
		sooner(s.awaited.until)
	}
	if t := s.turnTime(); !t.IsZero() {
		sooner(t)
	}
	if at.IsZero() {
		timer.Stop()
		return
	}
	timer.Reset(time.Until(at))
}

func (s *Supervisor) onTime(ctx context.Context) {
	now := time.Now()
	if s.child != nil && s.awaited != nil && !s.awaited.until.After(now) {
		s.reply(InForce, "Bifrost was started with it, and has not answered within "+s.Patience.String())
	}
	if s.child != nil && s.awaited == nil && !s.graced && !s.started.Add(startGrace).After(now) {
		s.graced = true
		s.Loop.Accepted(s.current)
	}
	s.lookAtTurn(now)
	if s.pending.IsZero() || s.pending.After(now) {
		return
	}
	s.pending = time.Time{}
	if s.waiting {
		s.fatal = errors.New("no Bifrost is running: the last good values could not be put back within " + rollbackTimeout.String())
		return
	}
	s.restartInTurn(ctx, nil)
}

// request restarts for an update, now or later. It returns nil where the outcome
// is known when Bifrost answers.
func (s *Supervisor) request(ctx context.Context, q *restartRequest) []Outcome {
	u := q.update
	switch {
	case ctx.Err() != nil || s.ending():
		return outcomesOf(u, Failed, "Bifrost is about to end")
	case u.Rollback:
		s.forgetTurn()
		kept := s.child != nil && !s.waiting && u.Elsewhere && u.Runs == s.current
		s.waiting, s.wanted = false, u.Rendering
		if s.telling {
			s.rejects(u.Blamed)
		}
		if kept { // it was never started with what another's Bifrost has rejected
			return s.keep(u)
		}
		return s.restart(ctx, false, q)
	case s.waiting:
		return outcomesOf(u, RestartRequired, isRejected)
	}
	if s.child != nil && (s.asking != nil || !s.pending.IsZero()) && !s.Loop.Owes(u, s.current) {
		return s.keep(u)
	}
	s.wanted = u.Rendering
	s.brings(u)
	if s.asking != nil {
		return outcomesOf(u, RestartRequired, waitsForTurn)
	}
	now := time.Now()
	at := s.pending
	if at.IsZero() {
		splay := s.Splay
		if s.Turns != nil && s.Turns.Known() { // they are apart by themselves
			splay = 0
		}
		at = now.Add(rand.N(splay + 1))
		if first := s.started.Add(s.MinInterval); at.Before(first) {
			at = first.Add(rand.N(splay + 1))
		}
	}
	if at.After(now) {
		s.pending = at
		return outcomesOf(u, RestartRequired, "Bifrost is restarted at "+at.Format(time.TimeOnly))
	}
	return s.restartInTurn(ctx, q)
}

func (s *Supervisor) start(r *render.Rendering, rotation bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	child, err := s.Start(r)
	s.current, s.wanted, s.rotation, s.graced = r, r, rotation, false
	s.brought.Store(nil)
	if err != nil {
		return err
	}
	s.child, s.started, s.going, s.answered = child, time.Now(), false, false
	if s.first.IsZero() {
		s.first = s.started
	}
	if s.Answers != nil {
		var ctx context.Context
		ctx, s.unwait = context.WithCancel(context.Background())
		go func() {
			if s.Answers(ctx) != nil {
				return
			}
			select {
			case s.up <- child:
			case <-ctx.Done():
			}
		}()
	}
	return nil
}

// stop ends the child and returns its status.
func (s *Supervisor) stop() int {
	if s.child == nil {
		return s.last
	}
	s.child.Stop(context.Background())
	<-s.child.Done()
	return s.forget()
}

// forget takes a child away that is done, and returns its status.
func (s *Supervisor) forget() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.child = s.child.Code(), nil
	if s.unwait != nil {
		s.unwait()
	}
	return s.last
}

// ended decides what follows from the end of a child that nobody stopped.
func (s *Supervisor) ended(ctx context.Context) (over bool, code int) {
	code = s.forget()
	after := time.Since(s.started)
	early := s.rotation && (after <= startGrace && !s.graced || s.awaited != nil)
	if early && ctx.Err() == nil && !s.ending() {
		s.reply(RestartRequired, rolledBack)
		s.awaited = nil
		after := after.Round(time.Millisecond).String() + " after it was started with it"
		if killed(code) {
			s.reject(false)
			s.Loop.Killed(s.current, fmt.Sprintf("Bifrost was killed (status %d), %s", code, after))
		} else {
			s.reject(true)
			s.Loop.Rejected(s.current, fmt.Sprintf("Bifrost ended with status %d, %s", code, after))
		}
		return false, 0
	}
	attrs := []any{"status", code, "after", after.Round(time.Millisecond).String()}
	if code == 0 && after < startGrace {
		attrs = append(attrs, "hint", "the command has to stay in the foreground, since exec ends with it")
	}
	s.Log.Info("Bifrost ended", attrs...)
	return true, code
}

// reject waits for the loop, which is about to be told, to roll back what the child did
// not live with, and has the others told of it where tell says so.
func (s *Supervisor) reject(tell bool) {
	s.abandon(RestartRequired, isRejected)
	s.waiting, s.pending, s.telling = true, time.Now().Add(rollbackTimeout), tell
	s.extend()
}
