package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"bifrost-secrets/sources/database"
)

// TurnClass is the first half of the advisory locks that are the turns to restart;
// the second is 0, or up to one less than how many there are. pg_locks shows them.
const TurnClass = 0x62667275

// turnOf is what a session with a turn calls itself, with the member's id behind it.
const turnOf = "bifrost-secrets turn "

const (
	saysAfter = time.Second      // a wait that is shorter is not told of
	mostWait  = 30 * time.Minute // however often the turn goes to somebody else
	lastTry   = time.Second      // for a turn that somebody would not give back before

	// mostWaiting is how many wait for a turn with a connection each: those of a large
	// cluster would leave none for its Bifrosts. Others come again after stayAway, or
	// twice as long.
	mostWaiting = 8
	stayAway    = 15 * time.Second
)

// errCrowded says that enough others wait for each of the turns.
var errCrowded = errors.New("enough others wait for it")

// Turn says how turns are taken. Watchers of one cluster should have the same.
type Turn struct {
	Parallel int           // how many there are at a time
	Hold     time.Duration // how long one is held at most
	Waits    func()        // called once, where there is a wait of more than a second; may be nil
}

// StuckError says that somebody holds the turn for longer than a watcher may.
type StuckError struct{ Reason string }

func (e *StuckError) Error() string { return e.Reason }

// session is a connection whose end gives the locks back that it holds.
type session interface {
	// pick returns the turn that the fewest want, and who holds it: 0 where nobody
	// does. The error is errCrowded where it is of no use to wait for one.
	pick(ctx context.Context, parallel int) (slot, holder int, err error)
	// lock takes a turn, and reports whether it was to be had in time.
	lock(ctx context.Context, slot int) (bool, error)
	// held returns who holds a turn, and as whom: 0 where nobody does.
	held(ctx context.Context, slot int) (holder int, as string, err error)
	end()
}

// Take waits for a turn and returns what gives it back. The end of the connection,
// and of this program, gives it back as well; PostgreSQL ends a connection that
// holds it for too long. before is why the last Take has failed, if it has: after
// a *StuckError the turn is only tried for. Errors are *StuckError, *sources.Error
// or ctx's.
func (m *Member) Take(ctx context.Context, t Turn, before error) (giveBack func(), err error) {
	if t.Waits != nil {
		defer time.AfterFunc(saysAfter, t.Waits).Stop()
	}
	began, patience := time.Now(), t.Hold
	var stuck *StuckError
	again := errors.As(before, &stuck)
	if again {
		patience = lastTry
	}
	for {
		giveBack, err = m.takeNow(ctx, t, began, patience, again)
		if !errors.Is(err, errCrowded) {
			return giveBack, err
		}
		for crowded := true; crowded; crowded = m.crowded(ctx, t.Parallel) {
			if again || time.Since(began) > mostWait {
				return nil, &StuckError{"there was no turn within " + time.Since(began).Round(time.Second).String() + ": " + err.Error()}
			}
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(m.away()):
			}
		}
	}
}

// crowded reports whether enough others still wait. It makes a connection for one
// statement.
func (m *Member) crowded(ctx context.Context, parallel int) bool {
	ctx, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	conn, err := m.config.Target.Connect(ctx)
	if err != nil {
		return false // who tries it in earnest says why
	}
	defer database.Close(conn)
	_, _, err = (&connected{m.config.Target, conn}).pick(ctx, parallel)
	return errors.Is(err, errCrowded)
}

func away() time.Duration { return stayAway + rand.N(stayAway) }

// takeNow is Take with one connection. The error is errCrowded where it is of no use
// to keep that.
func (m *Member) takeNow(ctx context.Context, t Turn, began time.Time, patience time.Duration, again bool) (giveBack func(), err error) {
	s, err := m.newTurn(ctx, t.Hold, patience)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.end()
		}
	}()
	for {
		ctx, cancel := context.WithTimeout(ctx, patience+tryLimit) // the server may be gone without a word
		taken, before, holder, as, err := attempt(ctx, s, t.Parallel)
		cancel()
		switch waited := time.Since(began); {
		case err != nil:
			return nil, err
		case taken:
			return s.end, nil
		case holder != 0 && (holder == before || again):
			return nil, &StuckError{fmt.Sprintf("the turn is held by %s (process %d of PostgreSQL) for longer than a watcher may", as, holder)}
		case waited > mostWait:
			return nil, &StuckError{"there was no turn within " + waited.Round(time.Second).String()}
		}
	}
}

// attempt waits for a turn, and says where it was not to be had in time who held it
// before and after that.
func attempt(ctx context.Context, s session, parallel int) (taken bool, before, holder int, as string, err error) {
	slot, before, err := s.pick(ctx, parallel)
	if err == nil {
		taken, err = s.lock(ctx, slot)
	}
	if err == nil && !taken {
		holder, as, err = s.held(ctx, slot)
	}
	return taken, before, holder, as, err
}

// connected is a session of PostgreSQL.
type connected struct {
	target *database.Target
	conn   *pgx.Conn
}

// newSession makes a connection for a turn, and shows that it is one: behind a pooler
// in transaction mode a lock would be taken by a session that is somebody else's
// next.
func (m *Member) newSession(ctx context.Context, hold, patience time.Duration) (session, error) {
	ctx, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	target := m.config.Target.As(turnOf + m.id)
	conn, err := target.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err = m.prove(ctx, conn); err == nil {
		// The lock is waited for no longer than patience. Who holds it and says
		// nothing for too long is taken for hung, and who does not answer for gone.
		_, err = conn.Exec(ctx, `SELECT pg_catalog.set_config(s.name, w.value, false) FROM pg_catalog.pg_settings s JOIN (VALUES
			('statement_timeout', '0'), ('transaction_timeout', '0'), ('lock_timeout', $1), ('idle_session_timeout', $2),
			('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3')) w (name, value) USING (name)`,
			milliseconds(patience), milliseconds(hold))
	}
	if err != nil {
		database.Close(conn)
		return nil, target.Explain(err)
	}
	return &connected{target, conn}, nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// locks are the turns that are held or waited for.
const locks = `pg_catalog.pg_locks WHERE locktype = 'advisory' AND classid::bigint = $1::bigint AND objsubid = 2
	AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())`

func (c *connected) pick(ctx context.Context, parallel int) (slot, holder int, err error) {
	var want int
	err = c.conn.QueryRow(ctx, `SELECT s, coalesce(pg_catalog.max(l.pid) FILTER (WHERE l.granted), 0), pg_catalog.count(l.pid)
		FROM pg_catalog.generate_series(0, $2::int - 1) s LEFT JOIN (SELECT objid::bigint AS objid, pid, granted FROM `+locks+`) l ON l.objid = s
		GROUP BY s ORDER BY pg_catalog.count(l.pid), pg_catalog.random() LIMIT 1`, TurnClass, parallel).Scan(&slot, &holder, &want)
	if err == nil && want > mostWaiting { // one of them holds it
		return 0, 0, errCrowded
	}
	return slot, holder, c.target.Explain(err)
}

func (c *connected) lock(ctx context.Context, slot int) (bool, error) {
	_, err := c.conn.Exec(ctx, "SELECT pg_catalog.pg_advisory_lock($1::int, $2::int)", TurnClass, slot)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "55P03" { // lock_not_available
		return false, nil
	}
	return err == nil, c.target.Explain(err)
}

func (c *connected) held(ctx context.Context, slot int) (holder int, as string, err error) {
	err = c.conn.QueryRow(ctx, `SELECT l.pid, coalesce(a.usename::text, '') FROM (SELECT pid FROM `+locks+` AND objid::bigint = $2 AND granted LIMIT 1) l
		LEFT JOIN pg_catalog.pg_stat_activity a USING (pid)`, TurnClass, slot).Scan(&holder, &as)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, "", nil
	}
	return holder, cmp.Or(strconv.Quote(as), "somebody"), c.target.Explain(err)
}

func (c *connected) end() { database.Close(c.conn) }
