//go:build unix

package service

import (
	"context"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/cluster"
)

// spreadTimeout bounds telling the others, which nobody waits for.
const spreadTimeout = 10 * time.Second

// spread has the others flushed too. However many flushes come in while the
// others are told of one, they are told of one more.
func (d *runner) spread() {
	if all := d.cluster.Load(); all != nil && all.flush != nil {
		all.flush.Flushed() // the refresh of our own does not wait for the others to be told
	}
	select {
	case d.flushed <- struct{}{}:
	default:
	}
}

func (d *runner) join(ctx context.Context, source sources.Source) (*members, error) {
	flags := d.o.Cluster
	flags.onReject = d.onReject
	own, err := d.own(ctx)
	switch {
	case err != nil:
		d.Log.Warn("flushes of other watchers do not arrive", "reason", err.Error())
	case own != nil:
		flags.own = own.Following(func() *database.Target {
			now, _ := d.own(ctx)
			return now
		})
	}
	return flags.join(ctx, d.Getenv, source, d.Log, func(cluster.Reason) { d.loop.Trigger(watch.Notify) })
}

// own returns Bifrost's config store as it is in force, where that is what the watchers
// share, and else nil.
func (d *runner) own(ctx context.Context) (*database.Target, error) {
	r, values := d.loop.InForce()
	if r == nil || d.o.Cluster.Database != "" {
		return nil, nil
	}
	now, err := d.o.Of(ctx, d.Host, r.Plan.Document)
	if err != nil {
		return nil, err
	}
	store, err := now.configStore(func(plan *render.Plan) (*render.Rendering, error) {
		r, problems := plan.Render(values)
		if problems != nil {
			return nil, problems
		}
		return r, nil
	})
	if err != nil || store == nil {
		return nil, err
	}
	return store.Target, nil
}

// rejoin listens to the source and the config store that are in force by now. The old
// connections go once the new ones are there, so that no flush is missed.
func (d *runner) rejoin(ctx context.Context, all *members, before, now sources.Source) *members {
	_, told := before.(changing)
	_, tells := now.(changing)
	own, err := d.own(ctx)
	moved := err == nil && own != all.own && (own == nil || all.own == nil || !own.Same(all.own))
	if !moved && (now == before || !told && !tells) {
		return all
	}
	next, err := d.join(ctx, now)
	if err != nil {
		if ctx.Err() == nil {
			d.Log.Warn("changes of the new vault_store are only seen at the interval", "reason", err.Error())
		}
		return all
	}
	all.Close()
	d.cluster.Store(next)
	if now != before && tells { // what was written since it was read is not told of any more
		d.loop.Trigger(watch.Notify)
	}
	return next
}

// peer is what this watcher tells the others of itself.
func (d *runner) peer() watch.Peer {
	st := d.status()
	return st.Peer()
}

// peers returns the watchers that are listed in the table of the cluster.
func (d *runner) peers(ctx context.Context) ([]watch.Peer, error) {
	all := d.cluster.Load()
	if all == nil || all.flush == nil {
		return nil, &Error{Reason: "the database of the cluster was not joined", Hint: "the log says why"}
	}
	return all.flush.Peers(ctx)
}

// joinCluster listens for the flushes of others, and for changes of a source
// that tells of them by itself, whichever is in force. It is called after the
// first refresh. The function that it returns leaves.
func (d *runner) joinCluster(ctx context.Context) (leave func(), err error) {
	source := d.loop.Source()
	all, err := d.join(ctx, source)
	if err != nil {
		return nil, err
	}
	d.cluster.Store(all)
	all.show(d.peer())
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-d.looked:
				now := d.loop.Source()
				all = d.rejoin(ctx, all, source, now)
				source = now
				all.show(d.peer())
				continue
			case <-d.flushed:
			}
			telling, cancel := context.WithTimeout(ctx, spreadTimeout)
			if err := all.Notify(telling); err != nil && ctx.Err() == nil {
				d.Log.Warn("the other watchers of the cluster were not notified of a flush", "error", err.Error())
			}
			cancel()
		}
	}()
	return func() {
		cancel()
		<-done
		all.Close()
	}, nil
}
