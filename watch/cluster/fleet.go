package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
	"bifrost-secrets/watch"
)

// WatchersTable has a row for each watcher that lists itself. The first that may
// makes it. What stands there is shown, and decides nothing.
const WatchersTable = "public.bifrost_secrets_watchers"

const (
	watchersMade = `CREATE TABLE ` + WatchersTable + ` (
		id text PRIMARY KEY,
		host text NOT NULL,
		version text NOT NULL,
		bifrost text NOT NULL,
		source text NOT NULL,
		refreshed timestamptz NOT NULL,
		seen timestamptz NOT NULL DEFAULT now(),
		held jsonb NOT NULL)`

	beatEvery = time.Minute
	// gatherFor is how long a change is waited with for what belongs to it.
	gatherFor = time.Second
	// watchersKept is how long a row stays that is not renewed.
	watchersKept = "10 minutes"
	leaveLimit   = 2 * time.Second
	// heldRead is how many bytes of references are read, of all watchers together: an
	// answer to `status --cluster` may have twice as many.
	heldRead   = 32 << 20
	refusedFor = 10 * time.Minute // before the table is tried for again
)

// listener is a connection that listens: a *pgx.Conn, or one of a test.
type listener interface {
	executor
	WaitForNotification(ctx context.Context) (*pgconn.Notification, error)
	IsClosed() bool
}

// listing is what a member has written of its watcher over the connection that there
// is. It is of the goroutine that listens.
type listing struct {
	reason string    // why the table cannot be had; empty while it can
	again  time.Time // when that is tried again
	ready  bool      // it is there, and ours
	looked *shown    // what was looked at last
	held   string    // its references, as JSON
	text   string    // what stands in the row, less its times
	beat   time.Time
}

// shown is what is to stand in the row.
type shown struct {
	peer watch.Peer
	at   time.Time
}

// Show has the others see what a watcher tells of itself, where Config says that it
// is listed. It returns at once.
func (m *Member) Show(p watch.Peer) {
	p.ID = m.id
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shown = &shown{p, time.Now()}
	if m.wake != nil {
		m.wake()
	}
}

// list writes what is due to be written, and returns when there is more, and whether
// the server has answered meanwhile. An error is that of a connection which is lost.
func (m *Member) list(ctx context.Context, conn listener, l *listing, what *shown) (next time.Time, answered bool, err error) {
	now := time.Now()
	if what == nil || !m.config.Listed || now.Before(l.again) {
		return now.Add(m.config.idle), false, nil
	}
	p := &what.peer
	if l.looked != what {
		held, err := json.Marshal(p.References)
		if err != nil {
			return now, false, err
		}
		l.looked, l.held = what, string(held)
	}
	text := l.held + p.Bifrost + "\n" + p.Source
	changed := text != l.text
	switch {
	case changed && now.Before(what.at.Add(m.config.gather)):
		return what.at.Add(m.config.gather), false, nil
	case !changed && now.Before(l.beat):
		return l.beat, false, nil
	}
	// What was begun is brought to its end, so that there is a connection to leave by.
	ended := ctx
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryLimit)
	defer cancel()
	defer context.AfterFunc(ended, func() { time.AfterFunc(m.config.leave, cancel) })()
	if !l.ready {
		// Whoever has locked the table may not keep flushes from being heard.
		if _, err = conn.Exec(ctx, "SET lock_timeout = '1s'"); err == nil {
			err = haveOurs(ctx, conn, WatchersTable, watchersMade)
		}
	}
	if l.ready = err == nil; l.ready && !changed {
		var tag pgconn.CommandTag
		tag, err = conn.Exec(ctx, sweep+`UPDATE ONLY `+WatchersTable+` SET seen = now(), refreshed = now() - make_interval(secs => $2) WHERE id = $1`, p.ID, ago(p.Refreshed))
		changed = err == nil && tag.RowsAffected() == 0 // it was swept
	}
	if err == nil && changed {
		_, err = conn.Exec(ctx, sweep+`INSERT INTO `+WatchersTable+` (id, host, version, bifrost, source, refreshed, held)
			VALUES ($1, $3, $4, $5, $6, now() - make_interval(secs => $2), $7)
			ON CONFLICT (id) DO UPDATE SET bifrost = excluded.bifrost, source = excluded.source, refreshed = excluded.refreshed, seen = now(), held = excluded.held`,
			p.ID, ago(p.Refreshed), p.Host, p.Version, p.Bifrost, p.Source, l.held)
	}
	if err == nil {
		l.text, l.beat, l.reason = text, now.Add(beatEvery), ""
		return l.beat, true, nil
	}
	if conn.IsClosed() || ctx.Err() != nil {
		return now, false, err
	}
	why := m.config.Target.Explain(err).Error()
	if why != l.reason {
		m.config.Log.Warn("this watcher is not listed in the table of the cluster", "reason", why, "hint", cmp.Or(sources.HintOf(err), "let the role make tables in the schema public; the rest works without"))
	}
	l.reason, l.again, l.ready = why, now.Add(refusedFor), false
	return now.Add(m.config.idle), true, nil
}

// sweep takes the rows of those away that have gone without a word.
const sweep = `WITH gone AS (DELETE FROM ONLY ` + WatchersTable + ` WHERE seen < now() - interval '` + watchersKept + `' AND id <> $1) `

// ago returns how long ago a time was, in seconds: the clocks of hosts may differ.
func ago(t time.Time) float64 { return time.Since(t).Seconds() }

// looked returns what is to stand in the row by now.
func (m *Member) looked() *shown {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.shown
}

// leave takes the row of a watcher away that ends, be it of an earlier connection.
func (m *Member) leave(ctx context.Context, conn listener, l *listing) {
	if m.looked() == nil || !m.config.Listed || l.reason != "" || conn.IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.config.leave)
	defer cancel()
	_, _ = conn.Exec(ctx, "DELETE FROM ONLY "+WatchersTable+" WHERE id = $1", m.id) // else it is swept
}

// wakes has Show end a wait, at once where something was shown since it was looked.
func (m *Member) wakes(cancel context.CancelFunc, looked *shown) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wake = cancel
	if m.shown != looked {
		cancel()
	}
}

// Peers returns the watchers that are listed. Where all that they tell is more than can
// be read, it is the longest that is not. Errors are *sources.Error.
func (m *Member) Peers(ctx context.Context) ([]watch.Peer, error) {
	conn, err := m.config.Target.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer database.Close(conn)
	there, err := ours(ctx, conn, WatchersTable)
	if !there || err != nil {
		return nil, m.config.Target.Explain(err)
	}
	rows, err := conn.Query(ctx, `SELECT w.id, left(w.host, 253), left(w.version, 64), left(w.bifrost, 64), left(w.source, 500),
			CASE WHEN sum(octet_length(w.held::text)) OVER (ORDER BY octet_length(w.held::text), w.id) <= $3 THEN w.held END,
			extract(epoch FROM now() - w.refreshed)::float8, extract(epoch FROM now() - w.seen)::float8,
			EXISTS (SELECT FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)
				WHERE l.locktype = 'advisory' AND l.granted AND l.classid::bigint = $1 AND l.objsubid = 2 AND a.application_name = $2 || w.id)
		FROM ONLY `+WatchersTable+` w LIMIT 1000`, int64(TurnClass), turnOf, heldRead)
	if err != nil {
		return nil, m.config.Target.Explain(err)
	}
	var all []watch.Peer
	var p watch.Peer
	var held []byte
	var refreshed, seen float64
	_, err = pgx.ForEachRow(rows, []any{&p.ID, &p.Host, &p.Version, &p.Bifrost, &p.Source, &held, &refreshed, &seen, &p.Turn}, func() error {
		one, now := p, time.Now()
		one.References = nil
		one.Refreshed, one.Seen = now.Add(-seconds(refreshed)), now.Add(-seconds(seen))
		if json.Unmarshal(held, &one.References) != nil { // it may be of another version of this program
			one.References, one.Unread = nil, true
		}
		all = append(all, one)
		return nil
	})
	if err != nil {
		return nil, m.config.Target.Explain(err)
	}
	watch.Compare(all)
	return all, nil
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
