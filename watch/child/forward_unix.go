//go:build unix

package child

import (
	"errors"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
)

// forwarded are the signals that are passed on, and wait for the next process where
// there is none. SIGHUP is not: it asks us to refresh, and would kill a Bifrost.
var forwarded = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}

// Forwarder passes signals on to a process, which may be exchanged.
type Forwarder struct {
	signals chan os.Signal
	stopped chan struct{}
	seen    func(sig os.Signal) (pass bool)

	mu      sync.Mutex
	to      *Process
	waiting []os.Signal // for the next process, each once, as the kernel holds them
}

// Forward takes SIGTERM, SIGINT, SIGQUIT, SIGUSR1 and SIGUSR2 that this process
// receives, save those that it was told to ignore when it started, and passes
// each on once. So it does with those that mean nothing to a process that is not
// there yet, and are dropped then: on Linux SIGWINCH, SIGALRM, the real-time ones and,
// without a controlling terminal, SIGTSTP and SIGCONT; elsewhere SIGALRM. seen, which
// may be nil, is told of each before that, also while there is no process, and reports
// whether it is to be passed on. Close ends it.
func Forward(seen func(sig os.Signal) (pass bool)) *Forwarder {
	if seen == nil {
		seen = func(os.Signal) bool { return true }
	}
	f := &Forwarder{signals: make(chan os.Signal, 64), stopped: make(chan struct{}), seen: seen}
	for _, sig := range append(momentary(), forwarded...) {
		if !signal.Ignored(sig) {
			signal.Notify(f.signals, sig)
		}
	}
	go func() {
		defer close(f.stopped)
		for sig := range f.signals {
			if f.seen(sig) {
				f.pass(sig)
			}
		}
	}()
	return f
}

// To makes p the process that signals are passed on to, beginning with those
// that wait. With nil they wait for the next: that is the thing to do before a
// process is stopped to be started anew, or a SIGTERM that arrives meanwhile
// would end the old one only. Signals also wait when p has ended.
func (f *Forwarder) To(p *Process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.to = p
	waiting := f.waiting
	f.waiting = nil
	for _, sig := range waiting {
		f.send(sig)
	}
}

func (f *Forwarder) pass(sig os.Signal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.to == nil || !sentByTerminal(sig) {
		f.send(sig)
	}
}

func (f *Forwarder) send(sig os.Signal) {
	if f.to != nil && !errors.Is(f.to.Signal(sig), os.ErrProcessDone) {
		return
	}
	if slices.Contains(forwarded, sig) && !slices.Contains(f.waiting, sig) {
		f.waiting = append(f.waiting, sig)
	}
}

// Close returns the signals to their default, or to whoever else asked for
// them, and returns when none is on its way any more.
func (f *Forwarder) Close() {
	signal.Stop(f.signals) // none is sent after this returns
	close(f.signals)
	<-f.stopped
}
