package sources

import (
	"context"
	"time"
)

// afterEnd is how much later than its context a fetch may end.
const afterEnd = 2 * time.Second

// FetchWithin is source.Fetch for a source that may not keep to ctx: a client
// library may wait for a file of credentials on a file system that does not
// answer. Such a fetch is left behind a little after ctx has ended, and every
// secret is unreachable.
func FetchWithin(ctx context.Context, source Source, names []string) map[string]Result {
	done := make(chan map[string]Result, 1)
	go func() { done <- source.Fetch(ctx, names) }()
	select {
	case got := <-done:
		return got
	case <-ctx.Done():
	}
	late := time.NewTimer(afterEnd)
	defer late.Stop()
	select {
	case got := <-done:
		return got
	case <-late.C:
	}
	got := make(map[string]Result, len(names))
	for _, name := range names {
		got[name] = Result{Err: &Error{Kind: Unreachable, Message: context.Cause(ctx).Error(), Err: context.Cause(ctx),
			Hint: "something that the backend's client reads does not answer: see the files of credentials, and the file systems that they are on"}}
	}
	return got
}
