package cluster

import (
	"context"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"time"
)

// hear listens until the connection is lost.
func (m *Member) hear(ctx context.Context, conn listener) error {
	var l listing
	asked := time.Now() // when the server was last known to be there
	alive := false      // it has answered when it was asked
	for {
		what := m.looked()
		next, answered, err := m.list(ctx, conn, &l, what)
		if err != nil {
			return m.config.Target.Explain(err)
		}
		if answered {
			asked = time.Now()
		}
		if late := asked.Add(m.idle); next.After(late) {
			next = late
		}
		quiet, cancel := context.WithDeadline(ctx, next)
		m.wakes(cancel, what)
		heard, err := conn.WaitForNotification(quiet)
		over := quiet.Err() != nil
		cancel()
		switch {
		case err == nil:
			m.heard(heard.Channel, heard.Payload)
			asked = time.Now()
		case ctx.Err() != nil:
			m.leave(ctx, conn, &l)
			return ctx.Err()
		case !over || conn.IsClosed():
			if !alive { // else asking has kept it
				m.cutAfter(time.Since(asked))
			}
			return m.config.Target.Explain(err)
		case time.Since(asked) >= m.idle:
			if err := m.alive(ctx, conn); err != nil {
				return m.config.Target.Explain(err)
			}
			asked, alive = time.Now(), true
		}
	}
}

// cutAfter notes how long the server was not heard of when the connection was lost. Where
// it is the same time as before, something cuts what nothing is said on, as proxies and
// servers may: from then on the server is asked twice as often as that.
func (m *Member) cutAfter(silent time.Duration) {
	if silent >= m.config.idle/12 && (silent-m.cut).Abs() < silent/10 {
		m.idle = min(m.idle, silent/2)
		m.config.Log.Info("the connection is cut when nothing is said on it; the server is asked more often whether it is there", "cut_after", silent.Round(time.Second).String())
	}
	m.cut = silent
}

// alive asks the server for an answer.
func (m *Member) alive(ctx context.Context, conn listener) error {
	ctx, cancel := context.WithTimeout(ctx, m.config.reply)
	defer cancel()
	_, err := conn.Exec(ctx, "SELECT 1")
	return err
}

func (m *Member) heard(channel, payload string) {
	sender, _, _ := strings.Cut(payload, " ")
	flush := channel == Channel
	if flush && sender == m.id || !slices.Contains(m.channels(), channel) {
		return
	}
	if flush && strings.HasSuffix(payload, rejected) {
		select {
		case m.told <- struct{}{}:
		default:
		}
		return
	}
	m.mu.Lock()
	m.status.Heard++
	if flush {
		m.flushed = time.Now()
	}
	m.mu.Unlock()
	if flush {
		m.ask(Flushed)
	} else {
		m.ask(Changed)
	}
}

// ask has OnFlush called, unless it is about to be.
func (m *Member) ask(why Reason) {
	select {
	case m.asked <- why:
	default:
	}
}

// deliver calls OnFlush.
func (m *Member) deliver(ctx context.Context) {
	for {
		var why Reason
		select {
		case <-ctx.Done():
			return
		case why = <-m.asked:
		}
		if m.config.Splay > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(mathrand.N(m.config.Splay)):
			}
			// What was told of during the wait is served by the same refresh.
			select {
			case <-m.asked:
			default:
			}
		}
		m.config.OnFlush(why)
	}
}

// deliverRejections calls OnReject.
func (m *Member) deliverRejections(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.told:
		}
		if m.config.Splay > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(mathrand.N(m.config.Splay)):
			}
		}
		if m.config.OnReject != nil {
			m.config.OnReject()
		}
	}
}
