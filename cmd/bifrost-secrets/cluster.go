package main

import (
	"cmp"
	"context"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
	"bifrost-secrets/watch/cluster"

	"github.com/spf13/cobra"
)

// clusterFlags say how a watcher hears of what others are told.
type clusterFlags struct {
	database string
	splay    time.Duration
	// own is Bifrost's config store, which serves where the flag names nothing; nil
	// where there is none.
	own *database.Target
}

// noCluster switches the cluster off where there is a config store.
const noCluster = "none"

func (c *clusterFlags) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.database, "cluster", "", "`address` of a PostgreSQL over which a flush of one watcher flushes all, with a password as env.NAME; unless given, Bifrost's own PostgreSQL config store; or none")
	f.DurationVar(&c.splay, "cluster-splay", 0, "refresh up to so much later than the others, after a flush of the cluster")
}

func (c *clusterFlags) check() error {
	switch {
	case c.splay < 0:
		return usageError("--cluster-splay cannot be less than nothing", "write 10s")
	}
	if c.database == noCluster {
		return nil
	}
	return checkAddress("--cluster", c.database)
}

// checkAddress refuses an address with a password on the command line.
func checkAddress(flag, text string) error {
	if strings.HasPrefix(text, "env.") || text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err == nil {
		_, has := u.User.Password()
		if !has && u.Host != "" && !u.Query().Has("password") {
			return nil
		}
	}
	return usageError(flag+": an address with a password on the command line can be read by others", "put it into a variable and write "+flag+" env.NAME")
}

// credentials are the variables that the database is opened with.
func (c *clusterFlags) credentials() []string {
	if c.database == "" || c.database == noCluster {
		return nil
	}
	names := slices.Clone(database.Ambient)
	if name, ok := strings.CutPrefix(c.database, "env."); ok {
		names = append(names, name)
	}
	return names
}

// target gives the database that the flag names or, where it names nothing, the
// config store; nil where there is neither.
func (c *clusterFlags) target(getenv func(string) (string, bool)) (*database.Target, error) {
	switch c.database {
	case noCluster:
		return nil, nil
	case "":
		return c.own, nil
	}
	return targetOf("--cluster", c.database, getenv)
}

// targetOf gives the database that a flag names, or nil.
func targetOf(flag, text string, getenv func(string) (string, bool)) (*database.Target, error) {
	if text == "" {
		return nil, nil
	}
	if name, ok := strings.CutPrefix(text, "env."); ok {
		if text, ok = getenv(name); !ok || text == "" {
			return nil, usageError(flag+": env."+name+" is not set", "set it to postgres://user:password@host:5432/name")
		}
	}
	target, err := database.New(database.Settings{URL: sources.NewSecret([]byte(text))})
	if err != nil {
		return nil, usageError(flag+": "+err.Error(), sources.HintOf(err))
	}
	return target, nil
}

// changing is a source that tells of changes by itself, on a channel of a
// database.
type changing interface {
	Changes() (*database.Target, string)
}

// members are what one watcher listens with: a connection for each database.
type members struct {
	all   []*cluster.Member
	flush *cluster.Member // nil without --cluster
}

// join listens for flushes of the cluster, and for changes of source, and has
// ask called for each. None of them is waited for if its database is down.
func (c *clusterFlags) join(ctx context.Context, getenv func(string) (string, bool), source sources.Source, log *slog.Logger, ask func(cluster.Reason)) (*members, error) {
	target, err := c.target(getenv)
	if err != nil {
		return nil, err
	}
	m := &members{}
	config := cluster.Config{Target: target, Flushes: true, Splay: c.splay, OnFlush: ask, Log: log}
	if from, ok := source.(changing); ok {
		store, channel := from.Changes()
		if target != nil && store.Same(target) {
			config.Stores = []string{channel}
		} else if err := m.listen(ctx, cluster.Config{Target: store, Stores: []string{channel}, Splay: c.splay, OnFlush: ask, Log: log}); err != nil {
			// The store itself can be read through a pooler.
			log.Warn("changes of the store are only seen at the interval", "reason", err.Error())
		}
	}
	if target == nil {
		return m, nil
	}
	if err := m.listen(ctx, config); err != nil && c.database == "" {
		log.Warn("a flush of another watcher is not heard of", "reason", err.Error(), "hint", cmp.Or(sources.HintOf(err), "name a PostgreSQL for it with --cluster, or none"))
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

// Close ends listening.
func (m *members) Close() {
	for _, one := range m.all {
		one.Close()
	}
}
