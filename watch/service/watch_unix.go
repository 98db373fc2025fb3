//go:build unix

package service

import (
	"context"
	"os"
	"os/signal"
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
	stop := d.signals(func(sig syscall.Signal) {
		if !by.CompareAndSwap(0, int32(sig)) {
			d.Exit(128 + int(sig))
		}
		d.endWithin(endTime, 128+int(sig))
		cancel()
	})
	defer stop()
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
	if err := d.loop.Start(ctx, o.StartTimeout); err != nil {
		return ended(err)
	}
	leave, err := d.joinCluster(ctx)
	if err != nil {
		return ended(err)
	}
	defer leave()
	d.manager.ready()
	var beside sync.WaitGroup
	if client != nil {
		defer client.Close()
		// Something else starts Bifrost: that it did has to be noticed.
		lookout := client.NewLookout(d.loop.Restarted)
		beside.Go(func() { lookout.Run(ctx) })
	}
	d.loop.Run(ctx)
	d.manager.stopping()
	beside.Wait()
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

// signals ends with SIGINT and SIGTERM, and refreshes with SIGHUP.
func (d *runner) signals(end func(syscall.Signal)) (stop func()) {
	got := make(chan os.Signal, 8)
	signal.Notify(got, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		signal.Notify(got, syscall.SIGHUP)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sig := range got {
			if sig != syscall.SIGHUP {
				d.logEnd(sig, "watch ends; what is published stays")
				end(sig.(syscall.Signal))
				continue
			}
			d.manager.reload()
			d.spread()
			d.loop.Trigger(watch.Signal)
		}
	}()
	return func() {
		signal.Stop(got)
		close(got)
		<-done
	}
}
