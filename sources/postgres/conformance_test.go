package postgres

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/internal/sourcetest"
	"bifrost-secrets/sources/postgres/pgtest"
	"bifrost-secrets/sources/sealed"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	identity := newIdentity(t)
	d := pgtest.Shared(t).Database(t) // each test has a schema of its own
	schemas := 0
	sourcetest.Run(t, sourcetest.Setup{
		Column: "postgres",
		Start: func(t *testing.T, o sources.Options) *sourcetest.Backend {
			schemas++
			return start(t, d, fmt.Sprintf("schema_%d", schemas), o, identity)
		},
		Lacks: map[sourcetest.Ability]string{
			sourcetest.Proxied:    "what stands in between speaks PostgreSQL's protocol, and no HTTP",
			sourcetest.Throttling: "PostgreSQL has no throttling but max_connections",
			sourcetest.Lying:      "PostgreSQL does not speak HTTP: see TestLyingServer",
			sourcetest.Naming:     "PostgreSQL does not speak HTTP: see TestLyingServer",
			sourcetest.Expiring:   "a login holds for as long as its connection",
			sourcetest.Rotation:   "PostgreSQL rotates nothing by itself",
			sourcetest.Recovery:   "a deleted secret is gone with all its versions",
		},
		Names: []string{
			"x", strings.Repeat("n", sources.Postgres.Names.Max), strings.Repeat("ü", sources.Postgres.Names.Max/2), "a/b/c", "/a", "../x", "a b", "%_*", `back\slash"quote'`, "a.b#c", "é\U0001f511\u2028", "$1", "{a,b}", "NULL",
		},
		BadNames: []string{"", strings.Repeat("n", sources.Postgres.Names.Max+1), "nul\x00", "line\n", "\xff", "\u0085"},
		AtOnce:   connections,
	})
}

// start returns an empty schema of d, behind a proxy.
func start(t *testing.T, d *pgtest.Database, schema string, o sources.Options, identity *age.X25519Identity) *sourcetest.Backend {
	proxy := d.Proxy(t)
	const password = `p 'q' "r" \s`
	role := d.Role(t, password, "GRANT CREATE ON DATABASE "+d.Name+" TO %s")
	set := settings(d, "port", fmt.Sprint(proxy.Port), "user", role, "password", password, "identity", identity.String(), "schema", schema)
	count := new(counter)
	again := func() sources.Source {
		s, err := Backend.Open(t.Context(), set, o)
		if err != nil {
			t.Fatal(err)
		}
		inner, ok := s.(*source)
		if !ok {
			inner = s.(*store).source
		}
		inner.target = inner.target.Traced(count)
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	if err := openStore(t, set).migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	hand := d.Connect(t)
	b := &sourcetest.Backend{Source: again(), Again: again, Requests: count.requests, MostAtOnce: count.most, Hang: proxy.Hang, Break: proxy.Break}
	b.SeedBinary = func(name string, value []byte) { byHand(t, hand, schema, name, value, identity.Recipient()) }
	b.Seed = func(name, text string) { b.SeedBinary(name, []byte(text)) }
	b.Deny = func(name string) { byHand(t, hand, schema, name, []byte("x"), newIdentity(t).Recipient()) }
	b.DenyWrites = func() {
		d.Exec(t, "REASSIGN OWNED BY "+role+" TO postgres; GRANT USAGE ON SCHEMA "+schema+" TO "+role+"; GRANT SELECT ON ALL TABLES IN SCHEMA "+schema+" TO "+role)
	}
	b.Versions = func(name string) int {
		n, err := strconv.Atoi(d.Text(t, "SELECT count(*) FROM "+schema+".secret_version WHERE name = $1", name))
		if err != nil {
			t.Error(err)
		}
		return n
	}
	b.Metadata = func() string {
		return d.Text(t, "SELECT string_agg(s::text || v.name || v.version || v.recipients || v.token || v.written, ' ') FROM "+schema+".secret s JOIN "+schema+".secret_version v USING (name)")
	}
	return b
}

// byHand stores a value as another program would that knows the sealed form and
// nothing of marks.
func byHand(t *testing.T, conn *pgx.Conn, schema, name string, value []byte, to age.Recipient) {
	t.Helper()
	var version int64
	err := conn.QueryRow(t.Context(), "SELECT nextval('"+schema+".secret_number')").Scan(&version)
	if err != nil {
		t.Fatal(err)
	}
	text, err := sealed.Seal(sealed.Label{Name: name, Version: fmt.Sprint(version)}, sources.NewSecret(value), []age.Recipient{to})
	if err != nil {
		t.Fatal(err)
	}
	batch := &pgx.Batch{}
	batch.Queue("INSERT INTO "+schema+".secret (name, version) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET version = excluded.version", name, version)
	batch.Queue("INSERT INTO "+schema+".secret_version (name, version, sealed, recipients, token) VALUES ($1, $2, $3, '', '')", name, version, text)
	if err := conn.SendBatch(t.Context(), batch).Close(); err != nil {
		t.Fatal(err)
	}
}
