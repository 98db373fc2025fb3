package bifrost_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/bifrost/bifrosttest"
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

// TestFound has the version of Bifrost told once, and one that is newer than every
// version that was run as a warning, once: until it is another one.
func TestFound(t *testing.T) {
	var log bytes.Buffer
	version := "v1.5.16"
	s, u := started(t, "1.5.16", func(u *bifrosttest.Upstream) *walker.Document { return first.render(t, u) })
	front := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/version" {
			_ = json.NewEncoder(w).Encode(version)
			return
		}
		s.ServeHTTP(w, r)
	}))
	c := client(t, front, func(o *bifrost.Options) {
		o.Log = slog.New(slog.NewJSONHandler(&log, nil))
	})
	all := bifrost.Releases()
	newest := all[len(all)-1].Version
	for _, one := range []struct{ version, level string }{
		{"v1.5.16", "INFO"}, {"v" + newest, "INFO"}, {"v97.0.0", "WARN"}, {"v1.5.16", "INFO"}, {"dev", "INFO"},
	} {
		version = one.version
		log.Reset()
		for range 3 {
			c.Apply(t.Context(), rendered(t, first.render(t, u), keyPath))
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		var line struct{ Level, Msg, Version, Newest string }
		if err := json.Unmarshal([]byte(strings.Replace(lines[0], "newest_run", "newest", 1)), &line); err != nil || len(lines) != 1 {
			t.Fatalf("%s: %v, and %d lines: %s", one.version, err, len(lines), log.String())
		}
		if line.Level != one.level || line.Version != one.version || (one.level == "WARN") != (line.Newest == newest) || (one.level == "INFO") != (line.Msg == "found Bifrost") {
			t.Errorf("%s: %s", one.version, lines[0])
		}
	}
}
