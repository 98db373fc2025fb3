package bifrost_test

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/bifrost"
)

// rendered returns what is in force where a document has no references, and its
// fields as changes.
func rendered(t testing.TB, doc *walker.Document, paths ...string) watch.Update {
	t.Helper()
	plan, err := render.NewPlan(doc, nil, render.Options{Mode: render.Inline})
	if err != nil {
		t.Fatal(err)
	}
	r, problems := plan.Render(nil)
	if problems != nil {
		t.Fatal(problems)
	}
	u := watch.Update{Rendering: r}
	for _, one := range targets(t, doc, paths...) {
		u.Changed = append(u.Changed, render.Change{Place: render.Place{Path: one.Path}, Entry: one.Entry, Value: one.Value})
	}
	return u
}

// That a Bifrost which starts is waited for is said: a flush waits with it.
func TestSaysThatItWaits(t *testing.T) {
	var log bytes.Buffer
	c := client(t, "unix:"+filepath.Join(t.TempDir(), "none"), func(o *bifrost.Options) {
		o.Starts, o.ApplyTimeout, o.Log = true, 50*time.Millisecond, slog.New(slog.NewJSONHandler(&log, nil))
	})
	u := rendered(t, parse(t, `{}`))
	u.Trigger = watch.Restarted
	c.Apply(t.Context(), u)
	if !strings.Contains(log.String(), `"msg":"waiting for Bifrost to answer","up_to":"50ms"`) {
		t.Errorf("log: %s", log.String())
	}
}

// What is applied again after a start does not wait for Bifrost once more: the loop
// has other things to do.
func TestAgainDoesNotWait(t *testing.T) {
	c := client(t, "unix:"+filepath.Join(t.TempDir(), "none"), func(o *bifrost.Options) { o.Starts, o.ApplyTimeout = true, time.Hour })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	u := rendered(t, parse(t, `{}`))
	u.Trigger, u.Again, u.Changed = watch.Restarted, true, make([]render.Change, 1)
	out := c.Apply(ctx, u)
	if ctx.Err() != nil || len(out) != 1 || out[0].State != watch.Failed {
		t.Errorf("%v, and %v", out, ctx.Err())
	}
}
