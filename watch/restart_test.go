package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// answering returns a supervised whose children answer after takes; less than nothing
// means never.
func answering(takes *time.Duration) (n *supervised, log *harness) {
	n, log = newSupervised(), &harness{log: &bytes.Buffer{}}
	n.Log = slog.New(slog.NewTextHandler(log, nil))
	n.Patience = time.Minute
	n.Answers = func(ctx context.Context) error {
		var answer <-chan time.Time
		if *takes >= 0 {
			answer = time.After(*takes)
		}
		select {
		case <-answer:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return n, log
}

// From before the old child is stopped until the new one answers nothing is ready,
// and that is when the restart is told of as done.
func TestRestartIsOverWhenItAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		takes := 2 * time.Second
		n, log := answering(&takes)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		first, second := n.name("first"), n.name("second")
		wait := n.run(ctx, first)
		check(t, n.Answering() != nil, true)
		<-time.After(3 * time.Second)
		check(t, n.Answering(), nil)
		<-time.After(2 * time.Minute)
		check(t, n.heard(), "restarted, accepted first")
		n.last().slow = time.Second
		var applied sync.WaitGroup
		began := time.Now()
		applied.Go(func() {
			check(t, n.apply(t, second, false).State, InForce)
			check(t, time.Since(began), 3*time.Second)
		})
		for at, want := range map[time.Duration]string{
			500 * time.Millisecond:  "Bifrost is being restarted",
			1500 * time.Millisecond: "Bifrost was started 500ms ago and does not answer yet",
			2900 * time.Millisecond: "Bifrost was started 1.9s ago and does not answer yet",
			3100 * time.Millisecond: "<nil>",
		} {
			applied.Go(func() {
				<-time.After(at)
				check(t, fmt.Sprint(n.Answering()), want)
			})
		}
		<-time.After(2500 * time.Millisecond)
		check(t, n.heard(), "")
		check(t, strings.Contains(strings.Join(log.lines(), ""), "restarted Bifrost"), false)
		applied.Wait()
		check(t, n.heard(), "restarted")
		check(t, strings.Contains(strings.Join(log.lines(), ""), `msg="restarted Bifrost" pid=101 took=3s`), true)
		cancel()
		_, _ = wait()
	})
}

func TestRestartDoesNotAnswer(t *testing.T) {
	for name, then := range map[string]func(*testing.T, *supervised, *time.Duration, func() (int, error)){
		// One that ends before it has answered is the fault of the new values, also
		// where that takes long.
		"ends": func(t *testing.T, n *supervised, takes *time.Duration, _ func() (int, error)) {
			*takes = -1
			go func() {
				<-time.After(30 * time.Second)
				n.last().end(1)
			}()
			o := n.apply(t, n.name("bad"), false)
			check(t, o.State, RestartRequired)
			check(t, o.Reason, rolledBack)
			check(t, n.heard(), "rejected bad: Bifrost ended with status 1, 30s after it was started with it")
			*takes = time.Second
			check(t, n.apply(t, n.name("back"), true).State, InForce)
			check(t, n.heard(), "restarted")
			check(t, n.Answering(), nil)
		},
		// One that hangs does not keep the loop for ever.
		"hangs": func(t *testing.T, n *supervised, takes *time.Duration, _ func() (int, error)) {
			*takes = 5 * time.Minute
			began := time.Now()
			o := n.apply(t, n.name("slow"), false)
			check(t, o.State, InForce)
			check(t, o.Reason, "Bifrost was started with it, and has not answered within 1m0s")
			check(t, time.Since(began), time.Minute)
			<-time.After(3 * time.Minute)
			check(t, n.heard(), "")
			check(t, n.Answering() != nil, true)
			<-time.After(2 * time.Minute)
			check(t, n.heard(), "restarted, accepted slow")
			check(t, n.Answering(), nil)
		},
		"is stopped": func(t *testing.T, n *supervised, takes *time.Duration, end func() (int, error)) {
			*takes = -1
			go func() {
				<-time.After(10 * time.Second)
				_, _ = end()
			}()
			check(t, n.apply(t, n.name("other"), false).State, Failed)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				takes := time.Second
				n, _ := answering(&takes)
				ctx, cancel := context.WithCancel(t.Context())
				wait := n.run(ctx, n.name("first"))
				<-time.After(2 * time.Minute)
				n.heard()
				end := sync.OnceValues(func() (int, error) {
					cancel()
					return wait()
				})
				then(t, n, &takes, end)
				_, _ = end()
			})
		})
	}
}

// A child that cannot be asked at all, since it listens elsewhere or is no Bifrost,
// is as ready as it is running, once that is known.
func TestNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		takes := time.Duration(-1)
		n, _ := answering(&takes)
		ctx, cancel := context.WithCancel(t.Context())
		wait := n.run(ctx, n.name("first"))
		check(t, n.Answering() != nil, true)
		<-time.After(61 * time.Second)
		check(t, n.Answering(), nil)
		check(t, n.heard(), "restarted, accepted first")
		began := time.Now()
		check(t, n.apply(t, n.name("second"), false).State, InForce)
		check(t, time.Since(began), 0)
		check(t, n.heard(), "restarted")
		check(t, n.Answering(), nil)
		cancel()
		_, err := wait()
		check(t, err, nil)
		check(t, errors.Is(n.Answering(), nil), false)
	})
}
