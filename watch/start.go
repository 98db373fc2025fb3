package watch

import (
	"context"
	"errors"
	"strings"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
)

// Start makes the first refresh. While the backend cannot be used it is tried
// again, until timeout has passed since the call; 0 means one try. The error is
// that of the last try.
func (l *Loop) Start(ctx context.Context, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	waits := startWaits
	for try := 1; ; try++ {
		err := l.refresh(ctx, Start)
		l.Look()
		if err == nil || !comesUp(err) {
			return err
		}
		before := waits.last
		wait := waits.Next()
		left := time.Until(deadline)
		if wait > left {
			return err
		}
		if waits.last != before { // they grow: then the reminder is enough
			l.o.Log.Warn("the start is tried again", "tries", try, "next_in", wait.Round(time.Millisecond).String(), "gives_up_in", left.Round(time.Second).String(), "reason", firstLine(err))
		}
		if !l.sleep(ctx, wait) {
			return err
		}
		if t := l.reminds(); !t.IsZero() && !t.After(time.Now()) {
			l.remind()
		}
	}
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// comesUp reports whether a failed start may succeed by waiting.
func comesUp(err error) bool {
	var problems *render.Problems
	return errors.As(err, &problems) && problems.Retryable() || sources.KindOf(err).Retryable()
}

// sleep waits, or until a refresh is asked for. It reports false when ctx ends.
func (l *Loop) sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-l.wake:
			l.asking.Lock()
			asked := l.asked.trigger != ""
			l.asking.Unlock()
			if asked {
				return true
			}
		}
	}
}
