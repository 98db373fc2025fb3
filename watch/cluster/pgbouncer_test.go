package cluster

import (
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
	"bifrost-secrets/sources/postgres/pgtest"
)

// A PgBouncer in transaction mode is found out before a lock is taken, which would
// stay with a connection of its own; a rejection passes it. One in session mode is as
// good as PostgreSQL.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	role := d.Role(t, "x", "GRANT CREATE ON SCHEMA public TO %s")
	behind := func(mode string) *database.Target { return target(t, d, d.PgBouncer(t, mode, role, "x")) }
	pooled := behind("transaction")
	if _, err := Listen(t.Context(), at(pooled)); sources.KindOf(err) != sources.BadSettings || !strings.Contains(err.Error(), "a pooler in transaction mode") {
		t.Errorf("%v", err)
	}
	// It may come later.
	config, told := rejecting(as(t, d, role))
	direct, w := join(t, config), join(t, at(as(t, d, role)))
	own := w.config.Target
	w.config.Target = pooled
	if err := w.take(Turn{}, nil).failed(); sources.KindOf(err) != sources.BadSettings || !strings.Contains(err.Error(), "a pooler in transaction mode") {
		t.Errorf("%v", err)
	}
	d.Await(t, "0", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") // with the pooler
	if err := w.Reject(t.Context(), "pod-7", []Secret{versioned}); err != nil {
		t.Error(err)
	}
	<-told
	for _, one := range []*watcher{direct, w} {
		if got := one.rejected(versioned); got[versioned].By != "pod-7" {
			t.Errorf("%v", got)
		}
	}
	w.config.Target = own
	session := join(t, at(behind("session")))
	first := session.take(Turn{}, nil).had()
	second := direct.take(Turn{}, nil).waiting(d)
	first.giveBack()
	second.had().giveBack()
}
