//go:build unix

package service

import (
	"context"
	"os"
	"strings"
	"sync"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/cluster"
)

// turns are those of the cluster that was joined. They implement [watch.Turns].
type turns struct {
	*runner

	mu   sync.Mutex
	said string // of rejections that cannot be had or told
}

// lookTimeout bounds looking for rejections.
const lookTimeout = 5 * time.Second

// Known implements [watch.Turns].
func (t *turns) Known() bool {
	all := t.cluster.Load()
	return all != nil && all.known
}

// Take implements [watch.Turns].
func (t *turns) Take(ctx context.Context, before error, waits func()) (giveBack func(), err error) {
	all := t.cluster.Load()
	switch {
	case all == nil || !all.known:
		return func() {}, nil
	case all.flush == nil:
		return nil, all.alone
	}
	// In a turn there may be two starts: one that fails, and one with the last good.
	hold := t.o.StopTimeout + 2*(t.o.ApplyTimeout+t.o.Settle)
	return all.flush.Take(ctx, cluster.Turn{Parallel: t.o.Parallel, Hold: hold, Waits: waits}, before)
}

// secrets are those of the source in force.
func (t *turns) secrets(brought []watch.Brought) []cluster.Secret {
	source := t.loop.Source()
	if source == nil {
		return nil
	}
	from := source.Describe()
	all := make([]cluster.Secret, len(brought))
	for i, one := range brought {
		all[i] = cluster.Secret{Source: from, Name: one.Secret, Version: one.Version}
		if strings.HasPrefix(from, sources.File.Type+" ") {
			all[i].Version = "" // it is a time of this host's own
		}
	}
	return all
}

// Rejected implements [watch.Turns].
func (t *turns) Rejected(ctx context.Context, brought []watch.Brought) map[string]string {
	all, secrets := t.cluster.Load(), t.secrets(brought)
	if all == nil || all.flush == nil || len(secrets) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	found, err := all.flush.Rejected(ctx, secrets)
	if err != nil && ctx.Err() == nil {
		t.say("it is not known whether a Bifrost of the cluster has rejected new values", err)
	}
	why := map[string]string{}
	for secret, r := range found {
		why[secret.Name] = "rejected by " + Clean(r.By) + " at " + clock(r.At)
	}
	return why
}

// known is Rejected for those that were seen before: who has seen none asks
// nothing.
func (t *turns) known(ctx context.Context, brought []watch.Brought) map[string]string {
	all := t.cluster.Load()
	if all == nil || all.flush == nil || !all.flush.Known(t.secrets(brought)) {
		return nil
	}
	return t.Rejected(ctx, brought)
}

// Reject implements [watch.Turns].
func (t *turns) Reject(ctx context.Context, brought []watch.Brought) {
	all, secrets := t.cluster.Load(), t.secrets(brought)
	if all == nil || all.flush == nil || len(secrets) == 0 {
		return
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "a host without a name"
	}
	if err := all.flush.Reject(ctx, host, secrets); err != nil {
		t.say("the other watchers of the cluster are not told what Bifrost has rejected, and will try it too", err)
	}
}

// say says what is the matter, unless it is the same as before.
func (t *turns) say(what string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.said == what+err.Error() {
		return
	}
	t.said = what + err.Error()
	t.Log.Warn(what, "reason", err.Error(), "hint", sources.HintOf(err))
}

// clock returns a time as people tell it, with the day where that is another.
func clock(at time.Time) string {
	if at = at.Local(); at.Format(time.DateOnly) != time.Now().Format(time.DateOnly) {
		return at.Format("2006-01-02 15:04")
	}
	return at.Format("15:04")
}
