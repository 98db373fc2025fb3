//go:build unix

package main

import (
	"context"
	"time"

	"bifrost-secrets/watch"
	"bifrost-secrets/watch/cluster"
	"bifrost-secrets/watch/control"
)

// clustered is a watcher that tells the others of a cluster what it was asked.
type clustered struct {
	control.Watcher
	spread func()
}

// Flush implements [control.Watcher].
func (c *clustered) Flush(ctx context.Context) error {
	c.spread()
	return c.Watcher.Flush(ctx)
}

// FlushAsync implements [control.Watcher].
func (c *clustered) FlushAsync() {
	c.spread()
	c.Watcher.FlushAsync()
}

// spreadTimeout bounds telling the others, which nobody waits for.
const spreadTimeout = 10 * time.Second

// spread has the others flushed too. However many flushes come in while the
// others are told of one, they are told of one more.
func (d *daemon) spread() {
	select {
	case d.flushed <- struct{}{}:
	default:
	}
}

// joinCluster listens for the flushes of others, and for changes of a source
// that tells of them by itself. It is called after the first refresh. The
// function that it gives leaves.
func (d *daemon) joinCluster(ctx context.Context) (leave func(), err error) {
	all, err := d.cluster.join(ctx, d.p.getenv, d.loop.Source(), d.log, func(cluster.Reason) { d.loop.Trigger(watch.Notify) })
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-d.flushed:
			}
			telling, cancel := context.WithTimeout(ctx, spreadTimeout)
			if err := all.Notify(telling); err != nil && ctx.Err() == nil {
				d.log.Warn("the other watchers of the cluster were not told of a flush", "error", err.Error())
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
