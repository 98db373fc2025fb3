package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
	"bifrost-secrets/sources/postgres/pgtest"
	"bifrost-secrets/watch"
)

// counted is a database in memory that counts what it is told, by the first words.
type counted struct {
	mu    sync.Mutex
	calls map[string]int
	times []time.Time
	rows  map[string]time.Time
}

func (c *counted) did(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[what]++
	c.times = append(c.times, time.Now())
}

// ear is one connection to it.
type ear struct {
	*counted
	heard chan string // payloads of flushes
}

func (e *ear) IsClosed() bool { return false }

func (e *ear) WaitForNotification(ctx context.Context) (*pgconn.Notification, error) {
	select {
	case payload := <-e.heard:
		return &pgconn.Notification{Channel: Channel, Payload: payload}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e *ear) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	time.Sleep(time.Millisecond)
	word := ""
	for _, w := range []string{"INSERT", "UPDATE", "DELETE", "SELECT"} {
		if strings.Contains(strings.ReplaceAll(strings.TrimPrefix(sql, sweep), "DO UPDATE", ""), w) {
			word = w
			break
		}
	}
	e.did(word)
	e.mu.Lock()
	defer e.mu.Unlock()
	tag := "UPDATE 0"
	if word == "INSERT" || word == "UPDATE" && !e.rows[args[0].(string)].IsZero() {
		e.rows[args[0].(string)] = time.Now()
		tag = word + " 1"
	}
	return pgconn.NewCommandTag(tag), nil
}

func (e *ear) QueryRow(context.Context, string, ...any) pgx.Row {
	e.did("SELECT")
	return plain{}
}

// plain is the answer that the table is there and ours.
type plain struct{}

func (plain) Scan(to ...any) error {
	for _, one := range to {
		*one.(*bool) = true
	}
	return nil
}

// Fifty watchers over a day, each with a refresh an hour and ten rotations, cost the
// database fewer than two statements a second together, in each minute too once they
// are up; and each rotation is written once by each.
func TestFleetIsCheap(t *testing.T) {
	const watchers, rotations = 50, 10
	synctest.Test(t, func(t *testing.T) {
		to, err := database.New(database.Settings{Host: "db.example", DBName: "d", User: "u", SSLMode: "disable"})
		if err != nil {
			t.Fatal(err)
		}
		db := &counted{calls: map[string]int{}, rows: map[string]time.Time{}}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		var members []*Member
		for range watchers {
			m := &Member{config: Config{Target: to, Flushes: true, Listed: true, idle: idleLimit, gather: gatherFor, leave: leaveLimit, Log: slog.New(slog.DiscardHandler)}, id: fmt.Sprint(len(members)), idle: idleLimit, asked: make(chan Reason, 1)}
			members = append(members, m)
			running.Go(func() { _ = m.hear(ctx, &ear{db, make(chan string)}) })
			time.Sleep(rand.N(time.Second))
		}
		began := time.Now()
		show := func(m *Member, version int) {
			st := watch.Status{Host: "h" + m.id, Last: &watch.Attempt{At: time.Now()}}
			for i := range 5 {
				st.References = append(st.References, watch.ReferenceStatus{Reference: fmt.Sprintf("vault.s%d", i), Secret: "s", Version: fmt.Sprint(version), Fresh: true})
			}
			m.Show(st.Peer())
			time.Sleep(50 * time.Millisecond) // and what became of it
			st.References[0].State, st.References[0].Since = watch.InForce, began.Add(time.Duration(version))
			m.Show(st.Peer())
		}
		var writers sync.WaitGroup
		for _, m := range members {
			writers.Go(func() {
				for hour := range 24 {
					show(m, hour*rotations/24)
					time.Sleep(time.Hour - 50*time.Millisecond + rand.N(time.Second) - time.Second/2)
				}
			})
		}
		writers.Wait()
		db.mu.Lock()
		total, day := len(db.times), time.Since(began).Seconds()
		worst := 0
		for first := range db.times {
			if db.times[first].Sub(began) < time.Minute {
				continue // all of them come up at once, and find the table first
			}
			last, _ := slices.BinarySearchFunc(db.times, db.times[first].Add(time.Minute), time.Time.Compare)
			worst = max(worst, last-first)
		}
		calls := fmt.Sprint(db.calls)
		db.mu.Unlock()
		t.Logf("%d watchers, a day: %d statements, %.2f a second; in the worst minute %.2f a second; %s", watchers, total, float64(total)/day, float64(worst)/60, calls)
		if a := float64(total) / day; a >= 2 || a < float64(watchers)/60*0.9 {
			t.Errorf("%.2f statements a second", a)
		}
		if float64(worst)/60 >= 2 {
			t.Errorf("%d statements in the worst minute", worst)
		}
		if n := db.calls["INSERT"]; n > watchers*(rotations+2) || n < watchers*rotations {
			t.Errorf("%d rows were written for %d rotations", n, rotations)
		}
		cancel()
		running.Wait()
		if n := db.calls["DELETE"]; n != watchers {
			t.Errorf("%d rows were taken back at the end", n)
		}
	})
}

func listed(t testing.TB, config Config, p watch.Peer) *watcher {
	t.Helper()
	config.Listed, config.gather = true, time.Millisecond
	w := join(t, config)
	w.Show(p)
	return w
}

func peer(host, version string, refreshed time.Duration) watch.Peer {
	return watch.Peer{Host: host, Version: "v1", Bifrost: "1.5.21", Source: "s", Refreshed: time.Now().Add(-refreshed), References: []watch.Held{
		{Reference: "vault.a", Version: version, Since: time.Unix(1e9, 0).UTC(), State: watch.InForce, Fresh: true}, {Reference: "vault.b", Version: "1", Fresh: true},
	}}
}

// peers waits until what is listed is as it should be.
func (w *watcher) peers(what string, right func([]watch.Peer) bool) {
	w.t.Helper()
	end := time.Now().Add(limit)
	for {
		all, err := w.Peers(w.t.Context())
		if err == nil && right(all) {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("%s: %+v (%v)", what, all, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Watchers list themselves, see who is behind, and are gone when they end; without
// having asked for it nothing is made.
func TestFleet(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	to := target(t, d, d.Port)
	idle := join(t, at(to))
	idle.Show(peer("idle", "1", 0))
	a := listed(t, at(to), peer("a", "1", time.Hour))
	b := listed(t, at(to), peer("b", "2", time.Minute))
	b.peers("one is behind", func(all []watch.Peer) bool {
		return len(all) == 2 && all[0].Host == "a" && slices.Equal(all[0].Behind, []string{"vault.a"}) && len(all[1].Behind) == 0 && all[1].Bifrost == "1.5.21" &&
			all[1].References[0].Since.Equal(time.Unix(1e9, 0)) && time.Since(all[0].Refreshed) > 50*time.Minute && time.Since(all[0].Seen) < time.Hour && !all[0].Turn
	})
	a.Show(peer("a", "2", 0))
	b.peers("nobody is behind", func(all []watch.Peer) bool { return len(all) == 2 && len(all[0].Behind) == 0 })
	// Whose turn it is, is seen by the lock.
	giveBack, err := a.Take(t.Context(), Turn{Parallel: 1, Hold: limit}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.peers("one has its turn", func(all []watch.Peer) bool { return len(all) == 2 && all[0].Turn && !all[1].Turn })
	giveBack()
	b.peers("nobody has", func(all []watch.Peer) bool { return !all[0].Turn })
	// What comes over the channel is heard as ever.
	if err := a.Notify(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.want(Flushed)
	// Who has gone without a word is swept by the next that writes.
	d.Exec(t, "INSERT INTO "+WatchersTable+" VALUES ('gone', 'gone', '', '', '', now(), now() - interval '11 minutes', '[]')")
	b.Show(peer("b", "3", 0))
	b.peers("it is swept", func(all []watch.Peer) bool { return len(all) == 2 })
	// A row that another program has made, or one that is too big, hides no other.
	small := peer("", "3", 0)
	for _, held := range []string{`'{"no": "list"}'`, `jsonb_build_array(jsonb_build_object('reference', repeat('x', ` + fmt.Sprint(heldRead) + `)))`} {
		d.Exec(t, "INSERT INTO "+WatchersTable+" VALUES ('0', 'odd', '', '', '', now(), now(), "+held+")")
		b.peers("the others are read", func(all []watch.Peer) bool {
			return len(all) == 3 && all[2].Unread && len(all[2].References) == 0 && all[2].Words() == "not known" &&
				!all[0].Unread && !all[1].Unread && slices.Equal(all[1].References, small.References)
		})
		d.Exec(t, "DELETE FROM "+WatchersTable+" WHERE id = '0'")
	}
	a.Close()
	b.peers("one has ended", func(all []watch.Peer) bool { return len(all) == 1 && all[0].Host == "b" })
	// A connection that is cut, or a row that is lost, is made good.
	d.Exec(t, "TRUNCATE "+WatchersTable)
	d.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	b.peers("it is back", func(all []watch.Peer) bool { return len(all) == 1 })
	// A table that somebody keeps locked is let alone, and flushes are heard.
	holder := d.Connect(t)
	if _, err := holder.Exec(t.Context(), "BEGIN; LOCK TABLE "+WatchersTable); err != nil {
		t.Fatal(err)
	}
	var log log
	logging := at(to)
	logging.Log = log.logger()
	c := listed(t, logging, peer("c", "1", 0))
	log.wait(t, "not listed")
	if err := flushAll(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	c.want(Flushed)
	if _, err := holder.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	// Who ends before it has written over the new connection leaves nothing either.
	config := at(to)
	config.Listed, config.gather = true, time.Hour
	late := join(t, config)
	d.Exec(t, "INSERT INTO "+WatchersTable+" VALUES ('"+late.id+"', 'late', '', '', '', now(), now(), '[]')")
	late.Show(peer("late", "1", 0))
	late.Close()
	b.peers("it has gone", func(all []watch.Peer) bool { return len(all) == 1 })
}

// Without the right to make the table, or where it is somebody else's, flushes are
// heard all the same, and it is said once why the watcher is not listed.
func TestFleetWithoutRights(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ setup, reason string }{
		"no right":  {"REVOKE CREATE ON SCHEMA public FROM PUBLIC", "does not let"},
		"another's": {"CREATE TABLE " + WatchersTable + " (id text); GRANT ALL ON " + WatchersTable + " TO PUBLIC", "belongs to another role"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.Shared(t).Database(t)
			role := d.Role(t, "made-up")
			d.Exec(t, c.setup)
			to, err := database.New(database.Settings{Host: d.Host, Port: fmt.Sprint(d.Port), User: role, Password: sources.NewSecret([]byte("made-up")), DBName: d.Name, SSLMode: "disable"})
			if err != nil {
				t.Fatal(err)
			}
			var log log
			config := at(to)
			config.Log = log.logger()
			w := listed(t, config, peer("a", "1", 0))
			for i := range 3 {
				w.Show(peer("a", fmt.Sprint(i), 0))
				if err := flushAll(t.Context(), to); err != nil {
					t.Fatal(err)
				}
				w.want(Flushed)
			}
			log.wait(t, "not listed")
			if text := log.String(); strings.Count(text, "not listed") != 1 || !strings.Contains(text, c.reason) {
				t.Errorf("the log: %s", text)
			}
			if all, err := w.Peers(t.Context()); len(all) > 0 || (err == nil) == (name == "another's") {
				t.Errorf("%v, %v", all, err)
			}
		})
	}
}
