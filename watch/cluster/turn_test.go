package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/postgres/pgtest"
)

// taking is a turn that is asked for.
type taking struct {
	t        testing.TB
	waits    chan struct{}
	done     chan struct{}
	giveBack func()
	err      error
}

func (w *watcher) take(turn Turn, before error) *taking {
	k := &taking{t: w.t, waits: make(chan struct{}, 1), done: make(chan struct{})}
	turn.Waits = func() { k.waits <- struct{}{} }
	if turn.Hold == 0 {
		turn.Hold = limit
	}
	turn.Parallel = max(turn.Parallel, 1)
	go func() {
		defer close(k.done)
		k.giveBack, k.err = w.Take(context.Background(), turn, before)
	}()
	return k
}

func (k *taking) await(what chan struct{}, of string) {
	k.t.Helper()
	select {
	case <-what:
	case <-time.After(limit):
		k.t.Fatalf("no %s", of)
	}
}

// had waits until the turn was had.
func (k *taking) had() *taking {
	k.t.Helper()
	k.await(k.done, "turn")
	if k.err != nil {
		k.t.Fatalf("no turn: %v (%s)", k.err, sources.HintOf(k.err))
	}
	return k
}

func (k *taking) failed() error {
	k.t.Helper()
	k.await(k.done, "end")
	if k.err == nil {
		k.giveBack()
		k.t.Fatal("a turn was had")
	}
	return k.err
}

const waitingTurns = "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"

// waiting waits until the turn is waited for, in the database as well.
func (k *taking) waiting(d *pgtest.Database) *taking {
	k.t.Helper()
	d.Await(k.t, "1", waitingTurns)
	return k
}

// Turns go from one to the next: when they are given back, and when the one whose turn
// it is dies.
func TestTurns(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	to := target(t, d, d.Port)
	a, b := join(t, at(to)), join(t, at(to))
	began := time.Now()
	first := a.take(Turn{}, nil).had()
	atOnce := time.Since(began) < saysAfter // on a busy machine, to connect takes its time as well
	second := b.take(Turn{}, nil).waiting(d)
	second.await(second.waits, "word that there is a wait")
	first.giveBack()
	second.had()
	if atOnce && len(first.waits) > 0 {
		t.Error("who had not to wait says so")
	}
	third := a.take(Turn{}, nil).waiting(d)
	d.Await(t, "1", "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", turnOf+a.id) // the first has gone
	if n := d.Terminate(t, turnOf+a.id) + d.Terminate(t, turnOf+b.id); n != "11" {                    // the one that waits as well
		t.Errorf("%s were ended", n)
	}
	if err := third.failed(); sources.KindOf(err) != sources.Unreachable {
		t.Errorf("%v", err)
	}
	a.take(Turn{}, third.err).had().giveBack()
	second.giveBack() // what is gone
	// Who ends while it waits leaves nothing behind.
	first = a.take(Turn{}, nil).had()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { time.Sleep(100 * time.Millisecond); cancel() }()
	if _, err := b.Take(ctx, Turn{Parallel: 1, Hold: limit}, nil); err == nil || ctx.Err() == nil {
		t.Errorf("%v", err)
	}
	first.giveBack()
	b.take(Turn{}, nil).had().giveBack()
}

// As many as may restart at a time, and no more; whoever comes waits for the turn that
// the fewest wait for.
func TestParallelTurns(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	to := target(t, d, d.Port)
	const watchers, parallel = 8, 3
	var mu sync.Mutex
	now, most, had := 0, 0, 0
	count := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		now += n
		most = max(most, now)
		had += max(n, 0)
	}
	var all sync.WaitGroup
	var full sync.WaitGroup
	full.Add(parallel) // the first ones wait for each other
	for i := range watchers {
		w := join(t, at(to))
		got := make(chan struct{})
		all.Go(func() {
			giveBack, err := w.Take(t.Context(), Turn{Parallel: parallel, Hold: limit}, nil)
			close(got)
			if err != nil {
				t.Error(i, err)
				return
			}
			count(1)
			mu.Lock()
			first := had <= parallel
			mu.Unlock()
			if first {
				full.Done()
			}
			full.Wait()
			count(-1)
			giveBack()
		})
		if i < parallel { // those who look at once may all see the same one free, and wait for it
			<-got
		}
	}
	all.Wait()
	if most != parallel || had != watchers {
		t.Errorf("%d had a turn, %d at a time", had, most)
	}
}

// Only a few wait with a connection each, and all the same everybody has a turn.
func TestTurnsOfMany(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	to := target(t, d, d.Port)
	held := join(t, at(to)).take(Turn{}, nil).had()
	var waiting []*taking
	for n := range mostWaiting {
		waiting = append(waiting, join(t, at(to)).take(Turn{}, nil))
		d.Await(t, fmt.Sprint(n+1), waitingTurns)
	}
	var many []*taking
	for range 4 {
		w, stays := join(t, at(to)), make(chan struct{}, 1)
		w.away = func() time.Duration {
			select {
			case stays <- struct{}{}:
			default:
			}
			return 20 * time.Millisecond
		}
		k := w.take(Turn{}, nil)
		k.await(stays, "word that it stays away")
		many = append(many, k)
	}
	if n := d.Text(t, waitingTurns); n != fmt.Sprint(mostWaiting) {
		t.Errorf("%s wait with a connection", n)
	}
	// Who has waited in vain before does not wait for that again.
	var stuck *StuckError
	if err := join(t, at(to)).take(Turn{}, &StuckError{"somebody has it"}).failed(); !errors.As(err, &stuck) || !strings.Contains(err.Error(), errCrowded.Error()) {
		t.Errorf("%v", err)
	}
	held.giveBack()
	for _, k := range waiting {
		k.had().giveBack()
	}
	for _, k := range many {
		go func() {
			<-k.done
			if k.err == nil {
				k.giveBack()
			}
		}()
	}
	for _, k := range many {
		k.had()
	}
}

// Nobody waits for ever: not for one who hangs, not for somebody else's lock, and not
// for a server that is gone.
func TestTurnIsBounded(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{NoTLS: true})
	d := server.Database(t)
	to := target(t, d, d.Port)
	a, b := join(t, at(to)), join(t, at(to))
	hanging := a.take(Turn{Hold: 3 * time.Second}, nil).had()
	next := b.take(Turn{}, nil).had() // PostgreSQL has ended the connection of the other
	hanging.giveBack()
	next.giveBack()

	role := d.Role(t, "x")
	conn, err := pgx.Connect(t.Context(), d.As(role, "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	lock := func(what string) {
		if _, err := conn.Exec(t.Context(), fmt.Sprintf("SELECT %s(%d, 0)", what, TurnClass)); err != nil {
			t.Fatal(err)
		}
	}
	lock("pg_advisory_lock")
	// On a busy machine the server would take it for hung, if it were given no longer
	// than it waits.
	b.newTurn = func(ctx context.Context, _, patience time.Duration) (session, error) {
		return b.newSession(ctx, limit, patience)
	}
	var stuck *StuckError
	err = b.take(Turn{Hold: 300 * time.Millisecond}, nil).failed()
	if !errors.As(err, &stuck) || !strings.Contains(err.Error(), fmt.Sprintf("held by %q (process ", role)) {
		t.Errorf("%v", err)
	}
	// What is tried once more takes no hour.
	if err = b.take(Turn{Hold: time.Hour}, err).failed(); !errors.As(err, &stuck) {
		t.Errorf("%v", err)
	}
	other := b.take(Turn{Parallel: 2, Hold: 300 * time.Millisecond}, nil).had() // the one of two that nobody has
	other.giveBack()
	lock("pg_advisory_unlock")
	b.take(Turn{}, err).had().giveBack()

	held := a.take(Turn{}, nil).had()
	waiting := b.take(Turn{}, nil).waiting(d)
	server.Stop(t)
	if err := waiting.failed(); sources.KindOf(err) != sources.Unreachable {
		t.Errorf("%v", err)
	}
	held.giveBack()
	if err := b.take(Turn{}, nil).failed(); sources.KindOf(err) != sources.Unreachable {
		t.Errorf("%v", err)
	}
	server.Restart(t)
	b.take(Turn{}, nil).had().giveBack()
}

// Behind a pooler in transaction mode no turn is taken: the lock would stay with the
// pooler's own connection.
func TestTurnBehindPooler(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	proxy := d.Proxy(t)
	w := join(t, at(target(t, d, proxy.Port)))
	w.take(Turn{}, nil).had().giveBack()
	proxy.Pool()
	err := w.take(Turn{}, nil).failed()
	if sources.KindOf(err) != sources.BadSettings || !strings.Contains(err.Error(), "a pooler in transaction mode") {
		t.Errorf("%v", err)
	}
	d.Await(t, "0", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
}
