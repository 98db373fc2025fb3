//go:build unix

package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/child"
)

// Exec renders, starts Bifrost with the command in args, and keeps it fresh until
// it ends. The code is Bifrost's own, or 128 and the number of a signal that came
// before Bifrost was started. Where there is an error, Bifrost was not started or
// could not be started again, and the code is that of exec. [Options.CheckExec] was
// called before.
func Exec(ctx context.Context, h *Host, o *Options, args []string) (code int, err error) {
	d := newRunner(h, o)
	defer d.ended.Store(true)
	s := &supervised{runner: d, args: args}
	code, err = s.run(ctx)
	return statusOf(code, err), err
}

func (s *supervised) run(outer context.Context) (code int, err error) {
	d, o := s.runner, s.o
	ctx, cancel := context.WithCancel(outer)
	defer cancel()
	s.ctx = ctx
	s.database.of(s)
	d.loader.check = s.check
	turns := &turns{runner: d}
	s.Supervisor = &watch.Supervisor{
		Start: s.start, Observer: d.metrics, Log: d.Log,
		Answers: s.answers, Patience: o.ApplyTimeout,
		MinInterval: min(mostPause, settlesPaused*o.Settle), Splay: o.RestartSplay,
		Turns: turns, Settle: o.Settle, Ready: s.Ready, Drain: o.Drain,
	}
	d.onReject = s.Reconsider
	applier, err := s.applier()
	if err != nil {
		return 0, err
	}
	if s.probe, err = d.newProbe(s.args); err != nil {
		return 0, err
	}
	defer s.probe.Close()
	opts := d.options(applier)
	opts.Supervised, opts.Getenv, opts.Ready = true, s.lookup, s.Ready
	opts.Earlier = s.earlier
	opts.Refuses = o.Apply == "auto" || o.Apply == "restart"
	if opts.Refuses {
		opts.Rejected = turns.known
	}
	d.confirms = o.Mode == string(render.Inline) // else no values rest on the disk
	d.loop = watch.New(opts)
	s.Loop, s.Supervisor.Loop = d.loop, d.loop

	s.forward = child.Forward(func(sig os.Signal) (pass bool) {
		drains := sig == syscall.SIGTERM && o.Drain > 0 && s.began.Load() && s.signal.Load() == 0
		switch {
		case drains:
			d.logEnd(sig, "/readyz fails from now on, Bifrost is asked to end in "+o.Drain.String()+" and has "+(o.StopTimeout-o.Drain).String()+" for it")
		case s.began.Load():
			d.logEnd(sig, "it is passed on to Bifrost, which has "+o.StopTimeout.String()+" to end")
		default:
			d.logEnd(sig, "Bifrost is not started")
		}
		s.Signalled(sig)
		s.signalled(sig.(syscall.Signal), cancel)
		return !drains
	})
	defer s.forward.Close()
	defer d.signals(nil)() // SIGHUP is never passed on: it would kill Bifrost
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	// For as long as Bifrost is there who asks is answered, and orphans are reaped.
	serving, close := context.WithCancel(context.WithoutCancel(outer))
	defer close()
	running.Go(func() { child.Reap(serving) })
	wait, err := d.serve(ctx, serving, s)
	if err != nil {
		return 0, err
	}
	defer wait()
	defer close()
	defer cancel()
	first, err := s.first(ctx)
	if err != nil {
		return s.ended(err)
	}
	leave, err := d.joinCluster(ctx)
	if err != nil {
		return s.ended(err)
	}
	defer leave()
	running.Go(func() {
		d.loop.Run(ctx)
	})
	d.manager.ready()
	code, err = s.Supervisor.Run(ctx, first)
	if errors.Is(err, context.Canceled) { // before there was a child
		code, err = s.ended(err)
	}
	s.code.Store(int32(statusOf(code, err)))
	s.over.Store(true)
	d.endWithin(endTime, statusOf(code, err))
	return code, err
}

// Two restarts for new values are a dozen settles apart, a minute at most.
const (
	settlesPaused = 12
	mostPause     = time.Minute
)

// statusOf returns the exit code for the end of exec.
func statusOf(code int, err error) int {
	var start *child.StartError
	switch {
	case errors.As(err, &start):
		return start.Code
	case err != nil:
		return ExitNotStarted
	}
	return code
}

// signalled ends exec for a signal, unless that is the child's alone.
func (s *supervised) signalled(sig syscall.Signal, cancel func()) {
	began := s.began.Load()
	switch {
	case sig != syscall.SIGTERM && sig != syscall.SIGINT && sig != syscall.SIGQUIT, sig != syscall.SIGTERM && began && !s.over.Load():
		return
	case s.signal.CompareAndSwap(0, int32(sig)):
		most := endTime
		if began {
			most += s.o.StopTimeout
		}
		s.endWithin(most, 128+int(sig)) // the child's own end has another limit
	case s.over.Load():
		s.Exit(int(s.code.Load())) // that of the child
	case !began:
		s.Exit(128 + int(s.signal.Load()))
	}
	cancel()
	if sig == syscall.SIGTERM {
		s.manager.stopping()
	}
}

// ended returns a failure before the child with its code: that of a signal which came
// first, as a shell has it.
func (s *supervised) ended(err error) (int, error) {
	if n := s.signal.Load(); n != 0 {
		return 128 + int(n), nil
	}
	return 0, err
}

// first makes the first rendering, or finds that the last good one serves: then
// it returns nil.
func (s *supervised) first(ctx context.Context) (*render.Rendering, error) {
	timeout := s.o.StartTimeout()
	if s.o.LastGood > 0 {
		timeout = 0 // there may be no need to wait
	}
	err := s.loop.Start(ctx, timeout)
	if err == nil {
		return s.loop.Rendering(), nil
	}
	if ctx.Err() != nil || !outage(err) {
		return nil, err
	}
	if s.o.LastGood == 0 {
		return nil, s.nameLastGood(err)
	}
	age, why := s.serves(s.o.LastGood)
	if why == nil {
		s.from.Store(int64(time.Now().Add(-age).UnixNano()))
		s.Log.Warn("the backend does not answer; Bifrost is started with the last good values", "age", age.Round(time.Second).String(), "out", s.o.Out, "error", firstLine(err))
		return nil, nil
	}
	s.Log.Warn("the last good values cannot be used to start", "reason", why.Error())
	if err := s.loop.Start(ctx, s.o.StartTimeout()); err != nil {
		return nil, err
	}
	return s.loop.Rendering(), nil
}

// outage reports whether a start failed since the backend does not answer, and for
// nothing else: a refused login, a denial or a secret that is gone is an answer.
func outage(err error) bool {
	is := func(k sources.Kind) bool { return k == sources.Unreachable || k == sources.Throttled }
	var problems *render.Problems
	if !errors.As(err, &problems) {
		return is(sources.KindOf(err))
	}
	return !slices.ContainsFunc(problems.List, func(one render.Problem) bool { return !is(one.Kind) })
}

// nameLastGood adds a hint to the error of a failed start where the file of an
// earlier life could have been used.
func (s *supervised) nameLastGood(err error) error {
	age, why := s.serves(math.MaxInt64)
	if s.o.Mode != string(render.Inline) || why != nil {
		return err
	}
	return &Hinted{err, fmt.Sprintf("the last good values, %s old, are in %s: --start-from-last-good %s would start Bifrost with them", age.Round(time.Second), s.o.Out, atLeast(age))}
}

// atLeast returns a flag's value that is longer than age: whole hours, as people
// write them, a day at least.
func atLeast(age time.Duration) string {
	return fmt.Sprintf("%dh", max(24, int64(age/time.Hour)+1))
}

// serves reports whether the file of an earlier life may be used where it is no
// older than most.
func (s *supervised) serves(most time.Duration) (time.Duration, error) {
	now, err := s.o.Read(s.ctx, s.Host)
	if err != nil {
		return 0, err
	}
	published, err := walker.ReadFileBytes(s.o.Out)
	if err != nil {
		return 0, err
	}
	if bytes.Contains(published, []byte("env."+render.EnvPrefix)) {
		return 0, errors.New(s.o.Out + " is of --mode env, and holds no values")
	}
	return s.record.Serves(s.o.origin(now.Doc, now.Store), published, most)
}

// earlier returns the file of an earlier life that Bifrost was started with.
func (s *supervised) earlier() []byte {
	if s.from.Load() == 0 {
		return nil
	}
	published, err := walker.ReadFileBytes(s.o.Out)
	if err != nil || s.record.Intact(published) != nil {
		return nil
	}
	return published
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
