//go:build unix

package service

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/cluster"
)

// credentials are the variables that the database is opened with.
func (c *Cluster) credentials() []string {
	if c.Database == "" || c.Database == none {
		return nil
	}
	names := slices.Clone(sources.Postgres.Ambient)
	if name, ok := strings.CutPrefix(c.Database, "env."); ok {
		names = append(names, name)
	}
	return names
}

// target returns the database that the flag names or, where it names nothing, the
// config store; nil where there is neither.
func (c *Cluster) target(getenv func(string) (string, bool)) (*database.Target, error) {
	switch c.Database {
	case none:
		return nil, nil
	case "":
		return c.own, nil
	}
	return targetOf("--cluster", c.Database, getenv)
}

// clusterSplay is how much later than the others a watcher refreshes at most, so that
// they do not ask the backend all at once.
const clusterSplay = time.Second

// changing is a source that tells of changes by itself, on a channel of a
// database.
type changing interface {
	Changes() (*database.Target, string)
}

// members are what one watcher listens with: a connection for each database.
type members struct {
	all   []*cluster.Member
	flush *cluster.Member  // nil without --cluster
	known bool             // there is a cluster
	alone error            // why it is not heard of all the same
	own   *database.Target // the config store that it was joined with; may be nil
}

// join listens for flushes of the cluster, and for changes of source, and has
// ask called for each. None of them is waited for if its database is down.
func (c *Cluster) join(ctx context.Context, getenv func(string) (string, bool), source sources.Source, log *slog.Logger, ask func(cluster.Reason)) (*members, error) {
	target, err := c.target(getenv)
	if err != nil {
		return nil, err
	}
	m := &members{own: c.own}
	config := cluster.Config{Target: target, Flushes: true, Splay: clusterSplay, OnFlush: ask, OnReject: c.onReject, Listed: c.Listed, Log: log}
	if from, ok := source.(changing); ok {
		store, channel := from.Changes()
		if target != nil && store.Same(target) {
			config.Stores = []string{channel}
		} else if err := m.listen(ctx, cluster.Config{Target: store, Stores: []string{channel}, Splay: clusterSplay, OnFlush: ask, Log: log}); err != nil {
			// The store itself can be read through a pooler.
			log.Warn("changes of the store are only seen at the interval", "reason", err.Error())
		}
	}
	if target == nil {
		if c.Listed {
			log.Warn("this watcher is not listed: the config has no PostgreSQL config store", "hint", "name a PostgreSQL: --cluster env.CLUSTER_URL,"+listed)
		}
		return m, nil
	}
	m.known = true
	if err := m.listen(ctx, config); err != nil && c.Database == "" {
		m.alone = err
		log.Warn("flushes of other watchers do not arrive", "reason", err.Error(), "hint", cmp.Or(sources.HintOf(err), "name a PostgreSQL for it with --cluster, or none"))
		return m, nil
	} else if err != nil {
		m.Close()
		return nil, usageError("--cluster: "+err.Error(), sources.HintOf(err))
	}
	m.flush = m.all[len(m.all)-1]
	return m, nil
}

func (m *members) listen(ctx context.Context, config cluster.Config) error {
	member, err := cluster.Listen(ctx, config)
	if err == nil {
		m.all = append(m.all, member)
	}
	return err
}

// Notify flushes the other watchers, if there is a cluster.
func (m *members) Notify(ctx context.Context) error {
	if m.flush == nil {
		return nil
	}
	return m.flush.Notify(ctx)
}

// show has the others see what a watcher tells of itself, if it is listed.
func (m *members) show(p watch.Peer) {
	if m.flush != nil {
		m.flush.Show(p)
	}
}

// Close ends listening.
func (m *members) Close() {
	for _, one := range m.all {
		one.Close()
	}
}
