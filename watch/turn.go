package watch

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"bifrost-secrets/render"
)

// Brought is a secret whose new value a restart brings.
type Brought struct{ Secret, Version string } // Version is empty where the backend has none

// bringing is what the next restart brings.
type bringing struct {
	all      []Brought
	entities []render.Entity
}

// Turns has the restarts of a cluster made one after the other. It is safe for
// concurrent use.
type Turns interface {
	// Known reports whether there is a cluster. Without one, Take returns at once.
	Known() bool
	// Take waits for a turn, and returns what gives it back. waits is called where
	// it has to wait, before is why the last Take for this restart has failed, if it
	// has. It ends with ctx, which the turn outlives.
	Take(ctx context.Context, before error, waits func()) (giveBack func(), err error)
	// Rejected says which values a Bifrost of another watcher has rejected, and
	// where and when: by the name of the secret.
	Rejected(ctx context.Context, brought []Brought) map[string]string
	// Reject tells the others that ours has rejected one of them.
	Reject(ctx context.Context, brought []Brought)
}

// What became of a turn, for the [Observer].
const (
	TurnTaken    = "taken"     // Bifrost was restarted in it
	TurnWithout  = "without"   // there was none to be had, and Bifrost was restarted all the same
	TurnKept     = "last good" // another's Bifrost has rejected the values, and ours was left alone
	TurnRejected = "rejected"  // Bifrost rejected the values, and the others were told
)

const (
	// clusterSplay is what [Supervisor] has for Splay in a cluster where that is
	// nothing and there is no turn to be had.
	clusterSplay = 5 * time.Minute
	// rejectTimeout bounds telling the others, which the turn is held for.
	rejectTimeout = 10 * time.Second
	// settleAgain is how soon it is looked again whether Bifrost is ready.
	settleAgain = time.Second
)

// asking is a turn that is waited for.
type asking struct {
	ctx     context.Context // ends with the wait
	request *restartRequest // who waits for the restart; may be nil
	began   time.Time
	end     context.CancelFunc
}

// turn is a turn that is held.
type turn struct {
	giveBack func()
	began    time.Time
	settled  time.Time     // when it is given back; zero until Bifrost answers
	until    time.Time     // when it is given back whatever Bifrost does
	told     chan struct{} // is closed when the others were told of a rejection; nil where there is none
}

// turned is what came of asking for a turn, or for rejections.
type turned struct {
	of       *asking
	waits    bool
	giveBack func()
	brought  *bringing // what was looked for in rejected
	rejected map[string]string
	err      error
}

// brings notes which secrets the next start is for, beside those that it is for
// already.
func (s *Supervisor) brings(u Update) {
	names := map[string]bool{}
	if before := s.brought.Load(); before != nil {
		for _, b := range before.all {
			names[b.Secret] = true
		}
	}
	for _, c := range u.Changed {
		if c.Secret != "" {
			names[c.Secret] = true
		}
	}
	b := &bringing{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		b.all = append(b.all, Brought{name, u.Rendering.Versions[name]})
	}
	if u.Rendering.Plan != nil {
		b.entities = u.Rendering.Plan.Entities()
	}
	s.brought.Store(b)
}

// restartInTurn is restart, where there is a cluster once it is this watcher's
// turn.
func (s *Supervisor) restartInTurn(ctx context.Context, q *restartRequest) []Outcome {
	s.pending = time.Time{}
	if s.Turns == nil || !s.Turns.Known() || s.turn != nil {
		return s.restart(ctx, s.wanted != s.current, q)
	}
	asked, end := context.WithCancel(s.life)
	a := &asking{ctx: asked, request: q, began: time.Now(), end: end}
	s.mu.Lock()
	s.asking = a
	s.mu.Unlock()
	before := s.noTurn
	go func() {
		giveBack, err := s.Turns.Take(asked, before, func() { s.report(asked, turned{of: a, waits: true}) })
		e := turned{of: a, giveBack: giveBack, err: err}
		if err == nil {
			e.brought = s.brought.Load()
			e.rejected = s.rejected(asked, e.brought)
		}
		s.reportTurn(e)
	}()
	return nil
}

// reportTurn is report, and gives a turn back that nobody waits for any more.
func (s *Supervisor) reportTurn(e turned) {
	if !s.report(e.of.ctx, e) && e.giveBack != nil {
		e.giveBack()
	}
}

func (s *Supervisor) report(ctx context.Context, e turned) bool {
	select {
	case s.turns <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Supervisor) rejected(ctx context.Context, brought *bringing) map[string]string {
	if brought == nil || len(brought.all) == 0 {
		return nil
	}
	return stillRejected(s.Turns.Rejected(ctx, brought.all), brought.all, brought.entities)
}

// Reconsider has it looked whether a value that Bifrost is still to be restarted
// for was rejected elsewhere.
func (s *Supervisor) Reconsider() {
	s.init()
	select {
	case s.reconsider <- struct{}{}:
	default: // it is looked anyway
	}
}

// reconsidered looks whether what is waited for was rejected.
func (s *Supervisor) reconsidered() {
	if s.wanted == s.current || s.waiting || s.asking == nil && s.pending.IsZero() {
		return
	}
	a, brought := s.asking, s.brought.Load()
	go func() {
		if why := s.rejected(s.life, brought); len(why) > 0 {
			s.report(s.life, turned{of: a, brought: brought, rejected: why})
		}
	}()
}

// onTurn goes on with what came of asking.
func (s *Supervisor) onTurn(ctx context.Context, e turned) {
	drop := func() {
		if e.giveBack != nil {
			go e.giveBack()
		}
	}
	a := e.of
	if a != s.asking {
		drop()
		return
	}
	answer := func(state State, reason string) {
		if a != nil && a.request != nil {
			a.request.reply <- outcomesOf(a.request.update, state, reason)
			a.request = nil
		}
	}
	switch {
	case e.waits:
		if a.request != nil {
			s.Log.Info("waiting for the turn to restart Bifrost: another of the cluster is being restarted")
		}
		answer(RestartRequired, waitsForTurn)
		return
	case ctx.Err() != nil || s.ending():
		drop()
		answer(Failed, "Bifrost is about to end")
		s.forgetTurn()
	case len(e.rejected) > 0 && e.brought == s.brought.Load():
		drop()
		first := e.rejected[slices.Min(slices.Collect(maps.Keys(e.rejected)))]
		answer(RestartRequired, first+"; Bifrost goes on with the last good values")
		s.forgetTurn()
		s.pending, s.noTurn = time.Time{}, nil
		s.observeTurn(TurnKept)
		why := map[Brought]string{}
		for _, b := range e.brought.all {
			if reason := e.rejected[b.Secret]; reason != "" {
				why[b] = reason
			}
		}
		s.Loop.RejectedElsewhere(s.current, why)
	case a == nil || e.giveBack == nil && e.err == nil: // what was looked for has changed meanwhile
	case e.err != nil && s.noTurn == nil:
		splay := s.Splay
		if splay == 0 {
			splay = clusterSplay
		}
		s.pending, s.noTurn = time.Now().Add(rand.N(splay+1)), e.err
		at := s.pending.Format(time.TimeOnly)
		s.Log.Warn("there is no turn to be had in the cluster", "waited", waited(a.began), "restart_at", at, "reason", e.err.Error())
		answer(RestartRequired, "Bifrost is restarted at "+at+", since there is no turn to be had in the cluster")
		s.forgetTurn()
	case e.brought != s.brought.Load(): // there is something newer, or no turn to be had and nothing was looked for
		go func() {
			e.brought = s.brought.Load()
			e.rejected = s.rejected(a.ctx, e.brought)
			s.reportTurn(e)
		}()
	default:
		q := a.request
		s.forgetTurn()
		s.noTurn = nil
		if e.err != nil {
			s.Log.Warn("Bifrost is restarted without a turn in the cluster", "reason", e.err.Error())
			s.observeTurn(TurnWithout)
		} else {
			s.Log.Info("it is our turn to restart Bifrost", "waited", waited(a.began))
			s.observeTurn(TurnTaken)
			s.hold(&turn{giveBack: e.giveBack, began: time.Now()})
			s.extend()
		}
		if out := s.restart(ctx, s.wanted != s.current, q); out != nil && q != nil {
			q.reply <- out
		}
	}
}

const waitsForTurn = "Bifrost is restarted when it is its turn: another of the cluster is being restarted"

func waited(since time.Time) string { return time.Since(since).Round(time.Millisecond).String() }

func (s *Supervisor) observeTurn(what string) {
	if s.Observer != nil {
		s.Observer.Turned(what)
	}
}

// abandon ends the asking for a turn, and tells who waits for the restart.
func (s *Supervisor) abandon(state State, reason string) {
	if a := s.asking; a != nil && a.request != nil {
		a.request.reply <- outcomesOf(a.request.update, state, reason)
		a.request = nil
	}
	s.forgetTurn()
}

// forgetTurn ends the asking for a turn.
func (s *Supervisor) forgetTurn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asking != nil {
		s.asking.end()
		s.asking = nil
	}
}

func (s *Supervisor) hold(t *turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn = t
}

// extend lets a turn last for another start of Bifrost.
func (s *Supervisor) extend() {
	if s.turn != nil {
		s.turn.settled, s.turn.until = time.Time{}, time.Now().Add(s.Patience+s.Settle)
	}
}

// settles has the turn given back after a while in which Bifrost is ready; where it
// was started with new values, not before it is too late to reject them, so that the
// next does not begin with what this one ends over. Who has set a short while is not
// held up for longer than twice that.
func (s *Supervisor) settles() {
	if s.turn == nil {
		return
	}
	s.turn.settled = time.Now().Add(s.Settle)
	if grace := s.started.Add(min(startGrace, 2*s.Settle)); s.rotation && grace.After(s.turn.settled) {
		s.turn.settled = grace
	}
	if s.turn.settled.After(s.turn.until) {
		s.turn.until = s.turn.settled
	}
}

// turnTime returns when the turn that is held is to be looked at; zero where
// there is none.
func (s *Supervisor) turnTime() time.Time {
	switch {
	case s.turn == nil:
		return time.Time{}
	case s.turn.settled.IsZero() || s.turn.until.Before(s.turn.settled):
		return s.turn.until
	}
	return s.turn.settled
}

// lookAtTurn gives the turn back where it is time to.
func (s *Supervisor) lookAtTurn(now time.Time) {
	t := s.turn
	switch {
	case t == nil || s.turnTime().After(now):
	case t.settled.IsZero() || t.settled.After(now):
		s.Log.Warn("Bifrost was not ready in time, and the turn to restart goes to the next of the cluster", "held", waited(t.began))
		s.giveTurnBack()
	case s.ready() != nil:
		t.settled = now.Add(settleAgain)
	default:
		s.Log.Info("the turn to restart goes to the next of the cluster", "held", waited(t.began))
		s.giveTurnBack()
	}
}

func (s *Supervisor) ready() error {
	if s.Ready != nil {
		return s.Ready()
	}
	return s.Answering()
}

// giveTurnBack ends the turn, once the others were told what they have to know.
func (s *Supervisor) giveTurnBack() {
	t := s.turn
	if t == nil {
		return
	}
	s.hold(nil)
	go func() {
		if t.told != nil {
			<-t.told
		}
		t.giveBack()
	}()
}

// rejects tells the others of what the child has rejected.
func (s *Supervisor) rejects(blamed []Brought) {
	s.telling = false
	if s.Turns == nil || !s.Turns.Known() || len(blamed) == 0 {
		return
	}
	told := make(chan struct{})
	s.observeTurn(TurnRejected)
	if s.turn != nil {
		s.turn.told = told
	}
	go func() {
		defer close(told)
		ctx, cancel := context.WithTimeout(s.life, rejectTimeout)
		defer cancel()
		s.Turns.Reject(ctx, blamed)
	}()
}

// turnStatus says how it stands with the turn; empty where there is nothing to say.
// The lock is held.
func (s *Supervisor) turnStatus() string {
	switch {
	case s.turn != nil:
		return "our turn to restart, since " + s.turn.began.Format(time.TimeOnly)
	case s.asking != nil:
		return "waiting for our turn to restart, since " + s.asking.began.Format(time.TimeOnly)
	}
	return ""
}
