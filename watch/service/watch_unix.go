//go:build unix

package service

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"bifrost-secrets/watch"
	management "bifrost-secrets/watch/bifrost"
)

// Watch renders and keeps what is published fresh until ctx ends or a signal comes.
// The code is 128 and the number of a signal that came before it was up.
// [Options.CheckWatch] was called before.
func Watch(outer context.Context, h *Host, o *Options) (code int, err error) {
	d := newRunner(h, o)
	defer d.ended.Store(true)
	applier, client, err := d.watchApplier()
	if err != nil {
		return 0, err
	}
	d.loop = watch.New(d.options(applier))
	ctx, cancel := context.WithCancel(outer)
	defer cancel()
	var by atomic.Int32 // the signal that ended us
	defer d.signals(func(sig os.Signal) {
		d.logEnd(sig, "watch ends; what is published stays")
		n := int(sig.(syscall.Signal))
		if !by.CompareAndSwap(0, int32(n)) {
			d.Exit(128 + n)
		}
		d.endWithin(endTime, 128+n)
		cancel()
	}, syscall.SIGINT, syscall.SIGTERM)()
	wait, err := d.serve(ctx, ctx, &watched{d.loop, client})
	if err != nil {
		return 0, err
	}
	defer wait()
	defer cancel()
	// A signal that comes before it is up is its status, as it is exec's.
	ended := func(err error) (int, error) {
		if n := by.Load(); n != 0 {
			return 128 + int(n), nil
		}
		return 0, err
	}
	if err := d.loop.Start(ctx, o.StartTimeout()); err != nil {
		return ended(err)
	}
	leave, err := d.joinCluster(ctx)
	if err != nil {
		return ended(err)
	}
	defer leave()
	d.manager.ready()
	var running sync.WaitGroup
	if client != nil {
		defer client.Close()
		// Something else starts Bifrost: that it did has to be noticed.
		lookout := client.NewLookout(d.loop.Restarted)
		running.Go(func() { lookout.Run(ctx) })
	}
	d.loop.Run(ctx)
	d.manager.stopping()
	running.Wait()
	return 0, nil
}

// watchApplier returns what applies new values, and the API's client where that is a
// part of it.
func (d *runner) watchApplier() (watch.Applier, *management.Client, error) {
	switch d.o.Apply {
	case "none":
		return watch.None{}, nil, nil
	case "command":
		return d.commandApplier(), nil, nil
	}
	return d.split(nil, nil)
}
