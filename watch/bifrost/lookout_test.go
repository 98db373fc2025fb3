package bifrost_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/bifrost/bifrosttest"
)

// outlook is a Lookout that looks at a Bifrost over a wire, and a loop that applies
// all values to it when it is told of a restart.
type outlook struct {
	*bifrosttest.Wire
	t       *testing.T
	bifrost *bifrosttest.Server
	doc     *walker.Document
	told    []time.Duration // when, since the beginning
	began   time.Time
}

// restart has Bifrost away for so long.
func (o *outlook) restart(away time.Duration) {
	o.Stop()
	o.bifrost.Stop()
	time.Sleep(away)
	o.up()
	o.Start()
}

func (o *outlook) up() {
	if err := o.bifrost.Start(o.doc.Bytes()); err != nil {
		o.t.Error(err)
	}
}

// behind is what a proxy says while Bifrost does not answer it.
func (o *outlook) behind(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if recover() != nil {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, "<html>502 Bad Gateway</html>")
		}
	}()
	o.bifrost.ServeHTTP(w, r)
}

func TestLookout(t *testing.T) {
	sick := func(o *outlook, for_ time.Duration, answer http.HandlerFunc) {
		was := o.Wire.Handler
		o.Change(func() { o.Wire.Handler = answer })
		time.Sleep(for_)
		o.Change(func() { o.Wire.Handler = was })
	}
	type fault struct {
		name    string
		happens func(o *outlook) // within a minute
		want    int              // restarts
		more    int              // how many calls beside /health there may be
	}
	unlistening := func(o *outlook, d time.Duration) { o.Stop(); time.Sleep(d); o.Start() }
	faults := []fault{
		{"nothing", func(*outlook) {}, 0, 0},
		{"a quick restart", func(o *outlook) { o.restart(250 * time.Millisecond) }, 1, 9},
		{"a restart", func(o *outlook) { o.restart(2 * time.Second) }, 1, 9},
		{"a long restart", func(o *outlook) { o.restart(20 * time.Second) }, 1, 9},
		{"a restart that takes no time", func(o *outlook) {
			o.bifrost.Stop()
			o.up()
			o.Cut()
		}, 1, 9},
		{"a restart that takes no time soon after a connection broke by itself", func(o *outlook) {
			o.Cut()
			time.Sleep(10 * time.Second)
			o.bifrost.Stop()
			o.up()
			o.Cut()
		}, 1, 10},
		{"a restart in the instant of a look", func(o *outlook) {
			time.Sleep(time.Until(o.began.Add(2 * bifrost.LookEvery)))
			o.bifrost.Stop()
			o.up()
			o.Cut()
		}, 1, 9},
		{"a crash loop", func(o *outlook) {
			for range 5 {
				o.restart(4 * time.Second)
				time.Sleep(6 * time.Second)
			}
		}, 5, 45},
		{"idle connections are closed", func(o *outlook) { o.Change(func() { o.Idle = time.Second }) }, 0, 2},
		{"every connection is closed", func(o *outlook) { o.Change(func() { o.Single = true }) }, 0, 2},
		{"connections break", func(o *outlook) {
			for range 80 {
				o.Cut()
				time.Sleep(700 * time.Millisecond)
			}
		}, 0, 2},
		{"connections break on a slow way", func(o *outlook) {
			o.Slows(400 * time.Millisecond)
			for range 80 {
				o.Cut()
				time.Sleep(700 * time.Millisecond)
			}
		}, 0, 2},
		{"a restart on a way so slow that it is not missed", func(o *outlook) {
			o.Slows(time.Second)
			o.restart(300 * time.Millisecond)
		}, 1, 9},
		{"a proxy in between that restarts", func(o *outlook) {
			for range 5 {
				unlistening(o, 4*time.Second)
				time.Sleep(6 * time.Second)
			}
		}, 0, 5},
		{"a restart behind a proxy", func(o *outlook) {
			o.bifrost.Stop()
			time.Sleep(4 * time.Second)
			o.up()
		}, 1, 9},
		{"its database is away", func(o *outlook) {
			sick(o, 10*time.Second, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = io.WriteString(w, `{"is_bifrost_error":false,"error":{"message":"config store not available"}}`)
			})
		}, 0, 2},
		{"it is slow", func(o *outlook) {
			sick(o, 10*time.Second, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		}, 0, 2},
	}
	for _, f := range faults {
		for _, metrics := range []bool{true, false} {
			name, want := f.name, f.want
			if !metrics {
				name += ", without metrics"
				switch f.name {
				case "a restart in the instant of a look":
					continue // it may be seen or not
				case "a proxy in between that restarts":
					want = 5 // nobody answers: it looks the same
				case "a restart on a way so slow that it is not missed", "a restart that takes no time", "a restart that takes no time soon after a connection broke by itself":
					want = 0 // and is found out at the next change
				}
			}
			t.Run(name, func(t *testing.T) {
				s := bifrosttest.New(t, "2.2.1")
				if !metrics {
					s.NoMetrics()
				}
				o := &outlook{t: t, bifrost: s, doc: parse(t, `{"providers":{"openai":{"keys":[{"name":"main","value":"12345678","models":["*"],"weight":1}]}}}`)}
				o.up()
				synctest.Test(t, func(t *testing.T) {
					o.Wire = &bifrosttest.Wire{Handler: http.HandlerFunc(o.behind)}
					o.Start()
					defer o.Stop()
					c := client(t, "http://localhost", func(op *bifrost.Options) { op.Dial = o.Dial })
					all := targets(t, o.doc, keyPath)
					wantStates(t, c.Converge(t.Context(), o.doc, all), watch.Unverifiable)
					s.Asked()
					o.began = time.Now()
					look := c.NewLookout(func() {
						o.told = append(o.told, time.Since(o.began))
						wantStates(t, c.Converge(t.Context(), o.doc, all), watch.Unverifiable)
					})
					ctx, cancel := context.WithCancel(t.Context())
					var running sync.WaitGroup
					running.Go(func() { look.Run(ctx) })
					time.Sleep(time.Second)
					f.happens(o)
					time.Sleep(time.Until(o.began.Add(2 * time.Minute)))
					cancel()
					running.Wait()
					if len(o.told) != want {
						t.Errorf("restarts are told of at %s, want %d", o.told, want)
					}
					calls := s.Asked()
					n := len(calls)
					calls = slices.DeleteFunc(calls, func(c string) bool { return c == "GET /health" })
					// In two minutes a look every three seconds, one more each time that a
					// connection broke, and a few where it did so within an answer.
					if n-len(calls) > 90 || want == f.want && len(calls) > f.more || metrics && want == 0 && f.more < 3 && writes(calls) > 0 {
						t.Errorf("%d calls of /health, and %s", n-len(calls), calls)
					}
				})
			})
		}
	}
}

// A Bifrost that was not there at first is given all values once it is, whoever
// answered in its place; and one that was is noticed soon after it comes back.
func TestLookoutSoon(t *testing.T) {
	s := bifrosttest.New(t, "2.2.1")
	o := &outlook{t: t, bifrost: s, doc: parse(t, `{"providers":{}}`)}
	o.up()
	synctest.Test(t, func(t *testing.T) {
		o.Wire = &bifrosttest.Wire{Handler: http.HandlerFunc(o.behind)}
		o.Start()
		defer o.Stop()
		o.Stop()
		c := client(t, "http://localhost", func(op *bifrost.Options) { op.Dial = o.Dial })
		o.began = time.Now()
		look := c.NewLookout(func() { o.told = append(o.told, time.Since(o.began).Round(time.Second)) })
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { look.Run(ctx) })
		time.Sleep(10 * time.Second)
		o.Start()
		c.Converge(t.Context(), o.doc, []bifrost.Target{{Path: "other"}}) // the loop was sooner
		time.Sleep(50 * time.Second)
		o.restart(time.Second) // between two looks
		time.Sleep(time.Minute)
		cancel()
		running.Wait()
		if len(o.told) != 2 || o.told[0] > 13*time.Second || o.told[1] < time.Minute || o.told[1] > 65*time.Second {
			t.Errorf("told of at %s", o.told)
		}
	})
}

// The connections that break while it is absent are no reason to look less closely
// at those that break once it is there.
func TestLookoutAbsentAndBack(t *testing.T) {
	s := bifrosttest.New(t, "2.2.1")
	o := &outlook{t: t, bifrost: s, doc: parse(t, `{"providers":{}}`)}
	o.up()
	synctest.Test(t, func(t *testing.T) {
		o.Wire = &bifrosttest.Wire{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })}
		o.Start()
		defer o.Stop()
		c := client(t, "http://localhost", func(op *bifrost.Options) { op.Dial = o.Dial })
		o.began = time.Now()
		look := c.NewLookout(func() {
			o.told = append(o.told, time.Since(o.began).Round(time.Second))
			c.Converge(t.Context(), o.doc, []bifrost.Target{{Path: "other"}})
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { look.Run(ctx) })
		time.Sleep(2 * time.Second)
		o.Stop()
		o.Wire.Handler = http.HandlerFunc(o.behind)
		o.Start()
		c.Converge(t.Context(), o.doc, []bifrost.Target{{Path: "other"}}) // the loop was sooner
		time.Sleep(2 * time.Second)
		o.bifrost.Stop()
		o.up()
		o.Cut()
		time.Sleep(5 * time.Second)
		cancel()
		running.Wait()
		if len(o.told) != 2 {
			t.Errorf("told of at %s, want two", o.told)
		}
	})
}

// Where the metrics want credentials they are those of the document, which are
// sent to a Bifrost alone.
func TestLookoutSignsIn(t *testing.T) {
	u := bifrosttest.NewUpstream(t)
	doc := first.render(t, u)
	s := bifrosttest.New(t, "1.5.0-prerelease7")
	if err := s.Start(doc.Bytes()); err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 99)
	relay := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ServeHTTP(w, r)
		asked <- struct{}{}
	}))
	defer relay.Close()
	c := client(t, relay.URL, nil)
	wantStates(t, c.Converge(t.Context(), doc, targets(t, doc, keyPath)), watch.Verified)
	if calls := strings.Join(s.Asked(), " "); !strings.Contains(calls, "GET /metrics") {
		t.Errorf("calls: %s", calls)
	}
	for len(asked) > 0 {
		<-asked
	}
	told := make(chan struct{}, 99)
	look := c.NewLookout(func() { told <- struct{}{} })
	ctx, cancel := context.WithCancelCause(t.Context())
	var running sync.WaitGroup
	running.Go(func() { look.Run(ctx) })
	<-asked
	if err := s.Start(doc.Bytes()); err != nil { // its port was never closed: the run alone tells
		t.Fatal(err)
	}
	relay.CloseClientConnections()
	select {
	case <-told:
	case <-time.After(2 * time.Minute):
		t.Error("the restart was not noticed")
	}
	cancel(errors.New("the end"))
	running.Wait()
}

// After a start of Bifrost some values fail, and are applied again. A Bifrost that
// was started anew between the two has been given those alone: it is noticed.
func TestLookoutBetweenTries(t *testing.T) {
	paths := []string{keyPath, "providers.groq.keys[0].value"}
	for _, c := range []struct {
		name        string
		fails, anew bool // the first try as a whole; Bifrost is started anew before the second
		again       []string
		want        int // restarts that are told of, of the two of which the second is quick
	}{
		{"the same Bifrost", false, false, paths[1:], 1},
		{"another one", false, true, paths[1:], 2},
		{"nothing was given before", true, false, paths, 1},
		{"and part of it changed since", true, false, paths[1:], 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := bifrosttest.New(t, "2.2.1")
			o := &outlook{t: t, bifrost: s, doc: parse(t, `{"providers":{"openai":{"keys":[{"name":"main","value":"12345678","models":["*"],"weight":1}]},"groq":{"keys":[{"name":"other","value":"87654321","models":["*"],"weight":1}]}}}`)}
			o.up()
			synctest.Test(t, func(t *testing.T) {
				o.Wire = &bifrosttest.Wire{Handler: http.HandlerFunc(o.behind)}
				o.Start()
				defer o.Stop()
				api := client(t, "http://localhost", func(op *bifrost.Options) { op.Dial = o.Dial })
				all := rendered(t, o.doc, paths...)
				all.Trigger = watch.Start
				if c.fails {
					s.Stop()
				}
				s.OnCall(func(r *http.Request) int {
					if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "groq") {
						return http.StatusBadGateway
					}
					return 0
				})
				api.Apply(t.Context(), all)
				s.OnCall(nil)
				if c.fails {
					o.up()
				}
				told := 0
				look := api.NewLookout(func() { told++; api.Apply(t.Context(), all) })
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var running sync.WaitGroup
				if !c.fails {
					running.Go(func() { look.Run(ctx) })
					synctest.Wait()
				}
				if c.anew {
					s.Stop()
					o.up()
				}
				again := rendered(t, o.doc, c.again...)
				again.Trigger, again.Again = watch.Start, true
				wantStates(t, api.Apply(t.Context(), again), watch.Unverifiable)
				if c.fails {
					look = api.NewLookout(func() { told++; api.Apply(t.Context(), all) })
					running.Go(func() { look.Run(ctx) })
				}
				time.Sleep(time.Second) // between two looks
				o.Cut()
				time.Sleep(5 * time.Minute)
				s.Stop()
				o.up()
				o.Cut()
				time.Sleep(5 * time.Minute)
				cancel()
				running.Wait()
				if told != c.want {
					t.Errorf("%d restarts are told of, want %d", told, c.want)
				}
			})
		})
	}
}
