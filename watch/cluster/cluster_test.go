package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
	"bifrost-secrets/sources/postgres/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.M{M: m}) }

// limit ends a test that waits for what does not come.
const limit = 2 * time.Minute

func target(t testing.TB, d *pgtest.Database, port uint16) *database.Target {
	t.Helper()
	to, err := database.New(database.Settings{
		Host: d.Host, Port: fmt.Sprint(port), User: pgtest.Superuser, Password: sources.NewSecret([]byte(d.Password)), DBName: d.Name, SSLMode: "disable",
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// flushAll flushes all members, as one that none of them knows.
func flushAll(ctx context.Context, to *database.Target) error {
	return tell(ctx, to, Channel, mark(rand.Text()))
}

// watcher is a member, and what it was asked for.
type watcher struct {
	*Member
	asked chan Reason
	t     testing.TB
}

// at makes a Config that does not wait to reconnect.
func at(to *database.Target) Config {
	return Config{Target: to, Flushes: true, first: limit, leave: limit, pause: func(int) time.Duration { return time.Millisecond }}
}

func join(t testing.TB, config Config) *watcher {
	t.Helper()
	w := &watcher{asked: make(chan Reason, 100), t: t}
	config.OnFlush = func(why Reason) { w.asked <- why }
	var err error
	if w.Member, err = Listen(context.Background(), config); err != nil {
		t.Fatal(err, sources.HintOf(err))
	}
	t.Cleanup(w.Close)
	return w
}

func (w *watcher) want(why Reason) {
	w.t.Helper()
	select {
	case got := <-w.asked:
		if got != why {
			w.t.Errorf("asked since %q, want %q", got, why)
		}
	case <-time.After(limit):
		w.t.Errorf("not asked to refresh: %+v", w.Status())
	}
}

// quiet shows that nothing was asked for before what follows: one more flush,
// of somebody else, is the next that is heard.
func (w *watcher) quiet(to *database.Target) {
	w.t.Helper()
	heard := w.Status().Heard
	if err := flushAll(context.Background(), to); err != nil {
		w.t.Fatal(err)
	}
	w.want(Flushed)
	if got := w.Status().Heard; got != heard+1 {
		w.t.Errorf("%d notifications were heard", got-heard)
	}
	select {
	case why := <-w.asked:
		w.t.Errorf("asked to refresh since %q", why)
	default:
	}
}

func TestFlush(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	to := target(t, d, d.Port)
	a, b, c := join(t, at(to)), join(t, at(to)), join(t, at(to))
	for _, w := range []*watcher{a, b, c} {
		if s := w.Status(); !s.Up || s.Reason != "" || s.Since.IsZero() {
			t.Errorf("%+v", s)
		}
	}
	// The one that is flushed refreshes by itself, and tells the others.
	if err := a.Notify(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.want(Flushed)
	c.want(Flushed)
	a.quiet(to)
	b.want(Flushed)
	c.want(Flushed)
	// Whoever has psql can flush, whatever the payload.
	d.Exec(t, "NOTIFY bifrost_secrets_flush; SELECT pg_notify('bifrost_secrets_flush', repeat('x', 7999)); NOTIFY other")
	for _, w := range []*watcher{a, b, c} {
		w.want(Flushed)
	}
	// Nobody hears those of another database.
	elsewhere := d.Server.Database(t)
	if err := flushAll(t.Context(), target(t, elsewhere, d.Port)); err != nil {
		t.Fatal(err)
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	to := target(t, d, d.Port)
	config := at(to)
	config.Stores = []string{"bifrost_secrets_changed"}
	both := join(t, config)
	config.Flushes = false
	store := join(t, config)
	d.Exec(t, "NOTIFY bifrost_secrets_changed")
	both.want(Changed)
	store.want(Changed)
	if err := flushAll(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	both.want(Flushed)
	d.Exec(t, "NOTIFY bifrost_secrets_changed")
	store.want(Changed)
	if got := store.Status().Heard; got != 2 {
		t.Errorf("%d were heard", got)
	}
}

// TestTerminated: what was told of while the connection was lost is made up for
// by one refresh.
func TestTerminated(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	to := target(t, d, d.Port)
	w := join(t, at(to))
	for range 3 {
		if n := d.Terminate(t, "bifrost-secrets cluster"); n != "1" {
			t.Fatalf("%s listeners were ended", n)
		}
		w.want(Missed)
		w.quiet(to)
	}
}

func TestRestarted(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{NoTLS: true})
	d := server.Database(t)
	to := target(t, d, d.Port)
	said := new(log)
	config := at(to)
	config.Log = said.logger()
	all := []*watcher{join(t, config), join(t, at(to)), join(t, at(to))}
	server.Stop(t)
	err := all[0].Notify(t.Context())
	if sources.KindOf(err) != sources.Unreachable {
		t.Errorf("%v", err)
	}
	said.wait(t, "refuses connections")
	if s := all[0].Status(); s.Up || s.Reason == "" {
		t.Errorf("%+v", s)
	}
	server.Restart(t)
	for _, w := range all {
		w.want(Missed)
	}
	if err := all[0].Notify(t.Context()); err != nil {
		t.Fatal(err)
	}
	all[1].want(Flushed)
	all[2].want(Flushed)
	if text := said.String(); strings.Count(text, "refuses connections") != 1 || strings.Count(text, "level=INFO") != 2 || strings.Contains(text, "pg test") {
		t.Errorf("a line for each change was to be logged:\n%s", text)
	}
}

// What is listened for is said by what it is: a store alone is no cluster.
func TestWords(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Config{
		"flushes of the cluster":                          {Flushes: true},
		"changes of the store":                            {Stores: []string{"a"}},
		"flushes of the cluster and changes of the store": {Flushes: true, Stores: []string{"a"}},
	} {
		var said log
		c.Log = said.logger()
		target, err := database.New(database.Settings{Host: "h", DBName: "d", User: "u"})
		if err != nil {
			t.Fatal(err)
		}
		c.Target = target
		m := &Member{config: c}
		m.is(Status{Reason: "it refuses connections"})
		m.is(Status{Up: true})
		for _, line := range []string{"\"not listening for " + want + ";", "\"listening for " + want + "\""} {
			if !strings.Contains(said.String(), line) {
				t.Errorf("no %s in %s", line, said.String())
			}
		}
	}
}

// TestDownAtStart: it is waited for, and nobody waits.
func TestDownAtStart(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{NoTLS: true})
	d := server.Database(t)
	server.Stop(t)
	w := join(t, at(target(t, d, d.Port)))
	if w.Status().Up {
		t.Error("it listens to what is not there")
	}
	server.Restart(t)
	w.want(Missed)
}

func TestManyMembers(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	to := target(t, d, d.Port)
	var all [50]*watcher
	var joining sync.WaitGroup
	for i := range all {
		joining.Go(func() { all[i] = join(t, at(to)) })
	}
	joining.Wait()
	if err := all[0].Notify(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, w := range all[1:] {
		w.want(Flushed)
	}
}

func TestPooler(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	proxy := d.Proxy(t)
	proxy.Pool()
	_, err := Listen(t.Context(), at(target(t, d, proxy.Port)))
	if sources.KindOf(err) != sources.BadSettings || !strings.Contains(err.Error(), "a pooler in transaction mode") || !strings.Contains(sources.HintOf(err), "session mode") {
		t.Fatalf("%v (%s)", err, sources.HintOf(err))
	}
	// To notify takes no session.
	w := join(t, at(target(t, d, d.Port)))
	if err := flushAll(t.Context(), target(t, d, proxy.Port)); err != nil {
		t.Fatal(err)
	}
	w.want(Flushed)
	// A pooler that comes later is noticed, and gone when it is.
	proxy.Pass()
	said := new(log)
	config := at(target(t, d, proxy.Port))
	config.Log = said.logger()
	later := join(t, config)
	proxy.Pool()
	d.Terminate(t, "bifrost-secrets cluster")
	said.wait(t, "pooler in transaction mode")
	proxy.Pass()
	later.want(Missed)
}

// TestSilence: a connection that died without a word is noticed.
func TestSilence(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	proxy := d.Proxy(t)
	config := at(target(t, d, proxy.Port))
	config.idle, config.reply = 200*time.Millisecond, 10*time.Second
	said := new(log)
	config.Log = said.logger()
	w := join(t, config)
	w.quiet(target(t, d, d.Port)) // also after asking whether the server is there
	proxy.Hang()
	said.wait(t, "no answer from the PostgreSQL")
	proxy.Break()
	proxy.Pass()
	w.want(Missed)
	w.quiet(target(t, d, d.Port))
}

// TestCutWhenIdle: what cuts connections that nothing is said on, as proxies and
// servers may, is talked to in time, and does not have a watcher refresh again and again.
func TestCutWhenIdle(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	const cut = time.Second
	d.Exec(t, fmt.Sprintf("ALTER DATABASE %s SET idle_session_timeout = %d", pgx.Identifier{d.Name}.Sanitize(), cut.Milliseconds()))
	config := at(target(t, d, d.Port))
	config.idle = 2 * cut
	w := join(t, config)
	for began := time.Now(); ; {
		select {
		case <-w.asked:
			if time.Since(began) > limit {
				t.Fatal("the connection is cut again and again")
			}
		case <-time.After(5 * cut):
			w.quiet(target(t, d, d.Port))
			return
		}
	}
}

// TestDeliver: what is told of while a refresh runs makes one more, and a splay
// makes one of many.
func TestDeliver(t *testing.T) {
	for _, splay := range []time.Duration{0, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			start, calls := time.Now(), 0
			var waited []time.Duration
			m := &Member{asked: make(chan Reason, 1), config: Config{Flushes: true, Splay: splay, OnFlush: func(Reason) {
				calls++
				waited = append(waited, time.Since(start))
				time.Sleep(time.Hour) // of the test's own clock
			}}}
			m.all.Go(func() { m.deliver(ctx) })
			for range 5 {
				m.heard(Channel, "somebody else")
			}
			synctest.Wait()
			time.Sleep(30 * time.Minute)
			for range 5 {
				m.heard(Channel, "somebody else")
			}
			time.Sleep(3 * time.Hour)
			synctest.Wait()
			cancel()
			m.all.Wait()
			if calls < 2 || calls > 3 || waited[0] > splay || splay > 0 && waited[0] == 0 || m.status.Heard != 10 {
				t.Errorf("%d calls after %v, %d heard", calls, waited, m.status.Heard)
			}
		})
	}
}

func TestPause(t *testing.T) {
	for tries, most := range map[int]time.Duration{0: firstPause, 1: 2 * firstPause, 7: 128 * firstPause, 8: mostPause, 1000: mostPause} {
		for range 100 {
			if p := pause(tries); p < most/2 || p > most || p > mostPause {
				t.Errorf("a pause of %s at try %d", p, tries)
			}
		}
	}
}

// TestDocs does what docs/cluster.md says.
func TestDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	d := pgtest.Shared(t).Database(t)
	w := join(t, at(target(t, d, d.Port)))
	blocks := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	for _, block := range blocks {
		d.Exec(t, block[1])
		w.want(Flushed)
	}
	if len(blocks) == 0 || !strings.Contains(string(page), Channel) {
		t.Error("the page does not say how to flush")
	}
}

// TestIdle: while nothing happens a member asks the server once in each idle time
// whether it is there, which makes 1,440 statements a day, and does nothing else.
func TestIdle(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	type statement struct {
		text string
		at   time.Time // before it was passed on: the next comes in an idle time after its answer
	}
	sent := make(chan statement, 1000)
	var passing sync.WaitGroup
	pass := func(conn net.Conn) {
		defer conn.Close()
		server, err := net.Dial("tcp", net.JoinHostPort(d.Host, fmt.Sprint(d.Port)))
		if err != nil {
			return
		}
		defer server.Close()
		passing.Go(func() { _, _ = io.Copy(conn, server) })
		buffer := make([]byte, 64<<10)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			sent <- statement{string(buffer[:n]), time.Now()}
			_, _ = server.Write(buffer[:n])
		}
	}
	passing.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			passing.Go(func() { pass(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		passing.Wait()
	})
	config := at(target(t, d, uint16(l.Addr().(*net.TCPAddr).Port)))
	config.idle = 50 * time.Millisecond
	said := new(log)
	config.Log = said.logger()
	w := join(t, config)
	next := func() statement {
		for {
			select {
			case s := <-sent:
				if s.text[0] != 'X' { // the end of the connection that it has proved itself with
					return s
				}
			case <-time.After(2 * time.Minute):
				t.Fatal("the server is not asked whether it is there")
			}
		}
	}
	last := next()
	for !strings.Contains(last.text, "SELECT 1") {
		last = next()
	}
	lines := strings.Count(said.String(), "\n")
	for range 10 {
		s := next()
		if !strings.Contains(s.text, "SELECT 1") {
			t.Errorf("the member sends %q", s.text)
		}
		if after := s.at.Sub(last.at); after < config.idle {
			t.Errorf("a statement %s after the one before, want one in each %s", after, config.idle)
		}
		last = s
	}
	if now := strings.Count(said.String(), "\n"); now != lines {
		t.Errorf("the log: %s", said)
	}
	if len(w.asked) > 0 {
		t.Error("it asked for a refresh")
	}
	w.Close()
}
