// Package controltest has a loop without anything behind it, for tests of the
// control server and of its clients.
package controltest

import (
	"context"
	"sync"

	"bifrost-secrets/watch"
)

// Watcher is a loop whose refreshes are what a test says. Flushes that come
// during a refresh make exactly one more, as with the real one. It implements
// control.Watcher.
type Watcher struct {
	// Refresh is one refresh; nil is one that succeeds at once. It is not
	// changed after the first flush.
	Refresh func() error

	mu        sync.Mutex
	current   *round
	next      *round
	refreshes int
	flushes   int
	status    watch.Status
	notReady  error
	disabled  bool
	idle      sync.WaitGroup
}

// round is a refresh that flushes wait for.
type round struct {
	done chan struct{}
	err  error
}

// Flush implements control.Watcher.
func (w *Watcher) Flush(ctx context.Context) error {
	r := w.ask()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// FlushAsync implements control.Watcher.
func (w *Watcher) FlushAsync() { w.ask() }

func (w *Watcher) ask() *round {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flushes++
	if w.current == nil {
		w.current = &round{done: make(chan struct{})}
		r := w.current
		w.idle.Go(func() { w.run(r) })
		return r
	}
	if w.next == nil {
		w.next = &round{done: make(chan struct{})}
	}
	return w.next
}

func (w *Watcher) run(r *round) {
	for r != nil {
		if w.Refresh != nil {
			r.err = w.Refresh()
		}
		w.mu.Lock()
		w.refreshes++
		close(r.done)
		r, w.current, w.next = w.next, w.next, nil
		w.mu.Unlock()
	}
}

// Wait returns when no refresh is under way.
func (w *Watcher) Wait() { w.idle.Wait() }

// Counts returns how many flushes were asked for, and how many refreshes have
// ended.
func (w *Watcher) Counts() (flushes, refreshes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flushes, w.refreshes
}

// Set changes what the loop says of itself: its status, why it is not ready
// (nil where it is), and whether a vault_store is in force.
func (w *Watcher) Set(status watch.Status, notReady error, enabled bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status, w.notReady, w.disabled = status, notReady, !enabled
}

// Status implements control.Watcher.
func (w *Watcher) Status() watch.Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// Ready implements control.Watcher.
func (w *Watcher) Ready() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.notReady
}

// Enabled implements control.Watcher.
func (w *Watcher) Enabled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.disabled
}
