package cluster

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"bifrost-secrets/sources"
)

// proofLimit is how long a notification may take on its way, on a busy server.
const proofLimit = time.Second

// prove shows that notifications reach conn: it listens on a channel that nobody
// else knows, and has another connection notify it. A pooler in transaction mode
// takes LISTEN without an error, and returns the session that listens to somebody
// else.
func (m *Member) prove(ctx context.Context, conn *pgx.Conn) error {
	channel := "bifrost_secrets_probe_" + strings.ToLower(rand.Text())
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	if err := tell(ctx, m.config.Target, channel, ""); err != nil {
		return err
	}
	// A server that is slow has delivered what is committed when it has answered
	// once more.
	for range 2 {
		arrived, err := m.arrives(ctx, conn, channel)
		if err != nil {
			return err
		}
		if arrived {
			_, err := conn.Exec(ctx, "UNLISTEN "+channel)
			return err
		}
		if _, err := conn.Exec(ctx, "SELECT 1"); err != nil {
			return err
		}
	}
	return &sources.Error{
		Kind:    sources.BadSettings,
		Message: "the PostgreSQL at " + m.config.Target.Address() + " takes LISTEN, and no notification arrives: a pooler in transaction mode stands in front of it",
		Hint:    "name PostgreSQL itself, or a pooler in session mode, with --cluster; the rest may go through the pooler",
	}
}

// arrives waits for a notification on channel. Those on others count as ever.
func (m *Member) arrives(ctx context.Context, conn *pgx.Conn, channel string) (bool, error) {
	wait, cancel := context.WithTimeout(ctx, proofLimit)
	defer cancel()
	for {
		got, err := conn.WaitForNotification(wait)
		switch {
		case err == nil && got.Channel == channel:
			return true, nil
		case err == nil:
			m.heard(got.Channel, got.Payload)
		case ctx.Err() != nil || conn.IsClosed():
			return false, err
		default:
			return false, nil // in time, it did not
		}
	}
}
