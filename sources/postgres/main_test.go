package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/postgres/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.M{M: m}) }

const (
	canary = "CANARY-9057"
	owner  = "gateway-1"
)

func secret(text string) sources.Secret { return sources.NewSecret([]byte(text)) }

func newIdentity(t testing.TB) *age.X25519Identity {
	t.Helper()
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// settings makes Settings of pairs of a key and a value; an empty value takes
// the setting away.
func settings(d *pgtest.Database, pairs ...string) sources.Settings {
	all := append([]string{"host", d.Host, "port", fmt.Sprint(d.Port), "user", pgtest.Superuser, "password", d.Password, "db_name", d.Name}, pairs...)
	set := sources.Settings{}
	for i := 0; i < len(all); i += 2 {
		if set[all[i]] = secret(all[i+1]); all[i+1] == "" {
			delete(set, all[i])
		}
	}
	return set
}

// said is what a source logs and warns of.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func options(t testing.TB) sources.Options {
	out := new(said)
	t.Cleanup(func() {
		if strings.Contains(out.b.String(), canary) {
			t.Errorf("a value was logged:\n%s", out.b.String())
		}
	})
	return sources.Options{
		Getenv: os.LookupEnv, Warn: func(s string) { fmt.Fprintln(out, s) }, Write: true,
		Log: slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// openStore opens a store of d.
func openStore(t testing.TB, set sources.Settings) *store {
	t.Helper()
	s, err := Backend.Open(context.Background(), set, options(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.(*store)
}

// put stores a value over whatever is there.
func (s *store) put(t testing.TB, name, value string) string {
	t.Helper()
	version, err := s.Put(t.Context(), write(name, value, s.Inspect(t.Context(), []string{name})[name].Version))
	if err != nil {
		t.Fatal(err, sources.HintOf(err))
	}
	return version
}

var tokens struct {
	sync.Mutex
	n int
}

func write(name, value, expect string) sources.Write {
	tokens.Lock()
	defer tokens.Unlock()
	tokens.n++
	return sources.Write{Name: name, Value: secret(value), Expect: expect, Mark: sources.Mark{Owner: owner, Path: "a.b"}, Token: fmt.Sprintf("00000000-0000-0000-0000-%012d", tokens.n)}
}

func (s *source) want(t testing.TB, name, value string) {
	t.Helper()
	r := s.Fetch(t.Context(), []string{name})[name]
	if r.Err != nil {
		t.Errorf("%q: %v (%s)", name, r.Err, sources.HintOf(r.Err))
	} else if string(r.Value.Reveal()) != value {
		t.Errorf("%q has another value, of %d bytes", name, r.Value.Len())
	}
}

func wantError(t testing.TB, err error, kind sources.Kind, parts ...string) {
	t.Helper()
	var e *sources.Error
	if !errors.As(err, &e) {
		t.Errorf("%v is no *sources.Error", err)
		return
	}
	if e.Kind != kind {
		t.Errorf("kind %q, want %q: %v (%s)", e.Kind, kind, err, e.Hint)
	}
	for _, part := range parts {
		if !strings.Contains(e.Message+"\n"+e.Hint, part) {
			t.Errorf("%q (%s) does not say %q", e.Message, e.Hint, part)
		}
	}
	for next := err; next != nil; next = errors.Unwrap(next) {
		if text := fmt.Sprintf("%v %+v %#v", next, next, next); strings.Contains(text, canary) || strings.Contains(text, "pg test") {
			t.Errorf("a value or a password got out: %s", text)
		}
	}
}

// counter counts statements: a batch is one, as it is one round trip.
type counter struct {
	mu         sync.Mutex
	n, at, top int
}

func (c *counter) start(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += n
	c.at++
	c.top = max(c.top, c.at)
}

func (c *counter) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at--
}

func (c *counter) requests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *counter) most() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.top
}

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.start(1)
	return ctx
}

func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) { c.end() }

func (c *counter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	c.start(1)
	return ctx
}

func (c *counter) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (c *counter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) { c.end() }

func (c *counter) TracePrepareStart(ctx context.Context, _ *pgx.Conn, _ pgx.TracePrepareStartData) context.Context {
	c.start(1)
	return ctx
}

func (c *counter) TracePrepareEnd(context.Context, *pgx.Conn, pgx.TracePrepareEndData) { c.end() }
