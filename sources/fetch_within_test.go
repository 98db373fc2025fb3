package sources_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"bifrost-secrets/sources"
)

// sourceOf is a source of which only Fetch is asked for.
type sourceOf struct {
	sources.Source
	fetch func(context.Context) map[string]sources.Result
}

func (s sourceOf) Fetch(ctx context.Context, _ []string) map[string]sources.Result {
	return s.fetch(ctx)
}

func TestFetchWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("no answer within 1m"))
		defer cancel()
		fetched := map[string]sources.Result{"a": {Version: "1"}}
		got := sources.FetchWithin(ctx, sourceOf{fetch: func(context.Context) map[string]sources.Result { return fetched }}, []string{"a"})
		if got["a"].Version != "1" {
			t.Errorf("got %v", got)
		}
		// One that ends with its context says itself what it had by then.
		got = sources.FetchWithin(ctx, sourceOf{fetch: func(ctx context.Context) map[string]sources.Result { <-ctx.Done(); return fetched }}, []string{"a"})
		if got["a"].Version != "1" {
			t.Errorf("got %v", got)
		}
		never := make(chan struct{})
		began := time.Now()
		got = sources.FetchWithin(ctx, sourceOf{fetch: func(context.Context) map[string]sources.Result { <-never; return fetched }}, []string{"a", "b"})
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		for _, name := range []string{"a", "b"} {
			if err := got[name].Err; sources.KindOf(err) != sources.Unreachable || err.Error() != "no answer within 1m" {
				t.Errorf("%s: got %v", name, err)
			}
		}
		close(never)
	})
}
