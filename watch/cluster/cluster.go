// Package cluster makes a flush of one watcher a flush of all: each listens on a
// channel of a PostgreSQL that all of them reach, and the one that is flushed
// notifies the others. They take turns to restart, tell each other what a Bifrost has
// rejected, and may list themselves in a table. No value of a secret goes this way,
// nor anything of one.
//
// It is a help, and nothing waits for it: while the database is down, everybody
// goes on refreshing at their ticks, and is asked to refresh once when it is
// back.
package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
)

// Channel is where a flush is told of. Its name is a promise: whoever notifies
// it, psql too, flushes every watcher. The payload is the sender's mark; with
// " rejected" behind it, it has the others look for rejections instead.
const Channel = "bifrost_secrets_flush"

// Reason says why a refresh is asked for.
type Reason string

// The reasons.
const (
	Flushed Reason = "flushed"   // another watcher was flushed
	Changed Reason = "changed"   // a secret was written to a store in the database
	Missed  Reason = "reconnect" // what was told of while the database was not reached is not known
)

const (
	firstPause = 200 * time.Millisecond // before the first try to reconnect
	mostPause  = 30 * time.Second
	startLimit = 5 * time.Second  // of the first try, which the caller waits for
	tryLimit   = 15 * time.Second // of each later one
	// idleLimit is how long nothing may be heard before the server is asked
	// whether it is still there: a connection can die without a word.
	idleLimit = time.Minute
)

// Config says where and to what to listen.
type Config struct {
	Target *database.Target
	// Flushes is whether to listen on [Channel].
	Flushes bool
	// Stores are channels that stores in the same database notify when they are
	// written to.
	Stores []string
	// Splay spreads the refreshes of many watchers: each waits a random time
	// below it. Zero means no wait.
	Splay time.Duration
	// OnFlush asks for a refresh. It is called on a goroutine of its own, never
	// twice at a time; what is told of while it runs makes one more call.
	OnFlush func(Reason)
	// OnReject is told that another watcher's Bifrost has rejected values, which
	// [Member.Rejected] knows by then. It is called as OnFlush is, on another
	// goroutine. It may be nil.
	OnReject func()
	// Listed is whether the watcher lists itself in [WatchersTable], for who asks
	// for [Member.Peers]: that writes names of secrets into the database.
	Listed bool
	// Log takes what happens to the connection. It may be nil.
	Log *slog.Logger

	pause func(tries int) time.Duration // nil for the one with jitter
	idle  time.Duration                 // zero for idleLimit

	gather time.Duration // zero for gatherFor
	reply  time.Duration // zero for tryLimit
	first  time.Duration // zero for startLimit
	leave  time.Duration // zero for leaveLimit
}

// what says what is listened for.
func (c *Config) what() string {
	switch {
	case !c.Flushes:
		return "changes of the store"
	case len(c.Stores) == 0:
		return "flushes of the cluster"
	}
	return "flushes of the cluster and changes of the store"
}

// Status is what is known of the connection.
type Status struct {
	Up     bool      // it listens
	Since  time.Time // since when it does, or does not
	Reason string    // why it does not; nothing secret
	Heard  int       // notifications so far, without those of our own
}

// Member is one listener. It is safe for concurrent use.
type Member struct {
	config Config
	id     string
	stop   context.CancelFunc
	all    sync.WaitGroup
	asked  chan Reason   // of capacity 1: more than one reason to refresh is one
	told   chan struct{} // of a rejection; of capacity 1

	// These are of the goroutine that listens.
	idle time.Duration // as in the config, or less
	cut  time.Duration // how long nothing was heard before the connection was last lost

	// These are of the turns; tests have others.
	newTurn func(ctx context.Context, hold, patience time.Duration) (session, error)
	read    func(context.Context, []Secret) (map[Secret]Rejection, error)
	away    func() time.Duration

	mu      sync.Mutex
	status  Status
	flushed time.Time            // when a flush was last told of
	known   map[Secret]Rejection // as they were last read
	shown   *shown
	wake    context.CancelFunc // ends the wait for notifications
}

// Listen begins to listen and returns once that was tried: after five seconds
// at most. Where the database cannot be reached it goes on trying, and the error
// is nil, since nothing depends on it; see [Member.Status]. An error is of kind
// BadSettings: something stands in front of the database that swallows
// notifications, a pooler in transaction mode. Close, or the end of ctx, ends
// it.
func Listen(ctx context.Context, config Config) (*Member, error) {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	config.idle = cmp.Or(config.idle, idleLimit)
	config.reply = cmp.Or(config.reply, tryLimit)
	config.first = cmp.Or(config.first, startLimit)
	config.gather = cmp.Or(config.gather, gatherFor)
	config.leave = cmp.Or(config.leave, leaveLimit)
	if config.pause == nil {
		config.pause = pause
	}
	ctx, stop := context.WithCancel(ctx)
	m := &Member{config: config, id: rand.Text(), stop: stop, idle: config.idle, asked: make(chan Reason, 1), told: make(chan struct{}, 1), status: Status{Since: time.Now()}}
	m.newTurn, m.read, m.away = m.newSession, m.readRejections, away
	first, cancel := context.WithTimeout(ctx, config.first)
	defer cancel()
	conn, err := m.connect(first)
	if sources.KindOf(err) == sources.BadSettings {
		stop()
		return nil, err
	}
	if err == nil {
		m.is(Status{Up: true})
	} else {
		m.is(Status{Reason: err.Error()})
	}
	m.all.Go(func() { m.deliver(ctx) })
	m.all.Go(func() { m.deliverRejections(ctx) })
	m.all.Go(func() { m.keep(ctx, conn, err) })
	return m, nil
}

// Close ends listening and waits for it, and for a call of OnFlush.
func (m *Member) Close() {
	m.stop()
	m.all.Wait()
}

// Status tells of the connection.
func (m *Member) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status
}

// Notify flushes all other members. It makes a connection of its own, so that
// it works through any pooler. Errors are *sources.Error.
func (m *Member) Notify(ctx context.Context) error {
	m.Flushed()
	return tell(ctx, m.config.Target, Channel, mark(m.id))
}

// Flushed notes that this watcher is flushed, which ends rejections that have no
// version. Notify does so too.
func (m *Member) Flushed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flushed = time.Now()
}

// mark is a payload. Something random makes each another, so that one is never
// taken for the other: PostgreSQL may deliver equal ones once.
func mark(id string) string { return id + " " + rand.Text()[:8] }

func tell(ctx context.Context, target *database.Target, channel, payload string) error {
	conn, err := target.Connect(ctx)
	if err != nil {
		return err
	}
	defer database.Close(conn)
	_, err = conn.Exec(ctx, "SELECT pg_notify($1, $2)", channel, payload)
	return target.Explain(err)
}

// channels are those to listen on.
func (m *Member) channels() []string {
	if m.config.Flushes {
		return append([]string{Channel}, m.config.Stores...)
	}
	return m.config.Stores
}

// keep listens until ctx ends, over one connection after the other. It begins
// with conn, or with the error that there is in place of one.
func (m *Member) keep(ctx context.Context, conn *pgx.Conn, err error) {
	for tries := 0; ; tries++ {
		if err == nil {
			m.is(Status{Up: true})
			if tries > 0 {
				m.ask(Missed)
			}
			tries = 0
			err = m.hear(ctx, conn)
			database.Close(conn)
		}
		if ctx.Err() != nil {
			return
		}
		m.is(Status{Reason: err.Error()})
		select {
		case <-ctx.Done():
			return
		case <-time.After(m.config.pause(tries)):
		}
		attempt, cancel := context.WithTimeout(ctx, tryLimit)
		conn, err = m.connect(attempt)
		cancel()
	}
}

// pause doubles with each try, and has a random part so that a fleet that lost
// the database together does not come back together.
func pause(tries int) time.Duration {
	longest := mostPause
	if tries < 8 {
		longest = min(firstPause<<tries, mostPause)
	}
	return longest/2 + mathrand.N(longest/2)
}

// is says how the connection is, if that is new.
func (m *Member) is(now Status) {
	m.mu.Lock()
	before := m.status
	now.Heard, now.Since = before.Heard, time.Now()
	if now.Up == before.Up && (before.Up || before.Reason != "") {
		now.Since = before.Since
	}
	m.status = now
	m.mu.Unlock()
	switch {
	case now.Up && !before.Up:
		m.config.Log.Info("listening for "+m.config.what(), "database", m.config.Target.Describe())
	case !now.Up && now.Reason != before.Reason:
		m.config.Log.Warn("not listening for "+m.config.what()+"; secrets are still refreshed at their interval", "reason", now.Reason)
	}
}

// connect makes a connection that listens, and shows that it does.
func (m *Member) connect(ctx context.Context) (*pgx.Conn, error) {
	target := m.config.Target.As("bifrost-secrets cluster")
	conn, err := target.Connect(ctx)
	if err != nil {
		return nil, err
	}
	for _, channel := range m.channels() {
		if _, err = conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
			break
		}
	}
	if err == nil {
		err = m.prove(ctx, conn)
	}
	if err != nil {
		database.Close(conn)
		return nil, target.Explain(err)
	}
	return conn, nil
}
