package cluster

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
)

// backend is where the secret of a simulation is.
type backend struct {
	mu      sync.Mutex
	version int
	value   string
}

func (b *backend) put(value string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.version++
	b.value = value
}

func (b *backend) Fetch(_ context.Context, names []string) map[string]sources.Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string]sources.Result{}
	for _, name := range names {
		out[name] = sources.Result{Value: sources.NewSecret([]byte(b.value)), Version: fmt.Sprint("v", b.version)}
	}
	return out
}

func (*backend) Plan([]string) sources.Calls        { return sources.Calls{Single: 1} }
func (*backend) Ping(context.Context, string) error { return nil }
func (*backend) Describe() string                   { return "a store" }
func (*backend) Close() error                       { return nil }

// gateway is a watcher of a simulation with its Bifrost.
type gateway struct {
	loop       *watch.Loop
	supervisor *watch.Supervisor
	member     *Member
	day        *day
	n          int
}

// process is a Bifrost that answers after four seconds, takes one to end, and ends
// by itself over the value bad.
type process struct {
	done chan struct{}
	once sync.Once
	code int
}

func (p *process) PID() int              { return 1 }
func (p *process) Done() <-chan struct{} { return p.done }
func (p *process) Code() int             { return p.code }
func (p *process) Stop(context.Context)  { time.Sleep(time.Second); p.end(143) }
func (p *process) end(code int)          { p.once.Do(func() { p.code = code; close(p.done) }) }

// day is a fleet on one day.
type day struct {
	*hub
	backend  *backend
	all      []*gateway
	parallel int

	look   sync.Mutex
	away   map[int]bool   // whose Bifrost does not serve
	most   int            // of them at a time
	starts map[string]int // by value
	last   time.Time      // when the last one came back
}

func (d *day) serves(member int, serves bool) {
	d.look.Lock()
	defer d.look.Unlock()
	if serves {
		if d.away[member] {
			d.last = time.Now()
		}
		delete(d.away, member)
	} else {
		d.away[member] = true
	}
	d.most = max(d.most, len(d.away))
}

func (g *gateway) start(r *render.Rendering) (watch.Child, error) {
	p := &process{done: make(chan struct{})}
	value := string(r.Values()[0].Value.Reveal())
	g.day.look.Lock()
	g.day.starts[value]++
	g.day.look.Unlock()
	if value == "bad" {
		time.AfterFunc(time.Second, func() { p.end(3) })
	}
	return p, nil
}

func (g *gateway) secrets(brought []watch.Brought) (all []Secret) {
	for _, b := range brought {
		all = append(all, Secret{"a store", b.Secret, b.Version})
	}
	return all
}

func (*gateway) Known() bool { return true }

func (g *gateway) Take(ctx context.Context, before error, waits func()) (func(), error) {
	return g.member.Take(ctx, Turn{Parallel: g.day.parallel, Hold: 155 * time.Second, Waits: waits}, before)
}

func (g *gateway) Rejected(ctx context.Context, brought []watch.Brought) map[string]string {
	found, _ := g.member.Rejected(ctx, g.secrets(brought))
	why := map[string]string{}
	for s, r := range found {
		why[s.Name] = "rejected by " + r.By
	}
	return why
}

func (g *gateway) Reject(_ context.Context, brought []watch.Brought) {
	if g.day.send(5) != nil { // is it there, make it, is it ours, write, tell
		return
	}
	g.day.mu.Lock()
	for _, s := range g.secrets(brought) {
		g.day.rejected[s] = Rejection{fmt.Sprint("pod-", g.n), time.Now()}
	}
	g.day.mu.Unlock()
	for _, other := range g.day.all {
		time.AfterFunc(rand.N(time.Second), other.supervisor.Reconsider)
	}
}

const dayConfig = `{"providers":{"openai":{"keys":[{"name":"a","value":"vault.openai"}]}}}`

// begin starts a fleet. What it returns ends it.
func begin(t *testing.T, watchers, parallel int) (d *day, end func()) {
	d = &day{hub: newHub(parallel), parallel: parallel, backend: &backend{}, away: map[int]bool{}, starts: map[string]int{}}
	d.backend.put("s0")
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	log := slog.New(slog.DiscardHandler)
	for i := range watchers {
		g := &gateway{day: d, n: i, member: &Member{newTurn: d.hub.session, read: d.hub.read}}
		g.supervisor = &watch.Supervisor{
			Start: g.start, Log: log, Patience: time.Minute, MinInterval: time.Minute, Settle: 5 * time.Second, Drain: 5 * time.Second,
			Answers: func(ctx context.Context) error {
				select {
				case <-time.After(4 * time.Second):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			},
			Turns: g,
		}
		g.loop = watch.New(watch.Options{
			Load: func(_ context.Context, before *watch.Job) (*watch.Job, error) {
				if before != nil {
					return before, nil
				}
				doc, err := walker.Parse("config.json", []byte(dayConfig))
				if err != nil {
					return nil, err
				}
				plan, err := render.NewPlan(doc, &render.VaultStore{Type: "file", Enabled: true}, render.Options{Mode: render.Inline, Getenv: func(string) (string, bool) { return "", false }})
				return &watch.Job{Plan: plan, Source: d.backend}, err
			},
			Publish: func(*render.Rendering) (bool, bool, error) { return true, true, nil },
			Applier: &watch.Split{Word: "restart", Restart: g.supervisor}, Supervised: true, Refuses: true,
			Rejected: func(ctx context.Context, brought []watch.Brought) map[string]string {
				if !g.member.Known(g.secrets(brought)) {
					return nil
				}
				return g.Rejected(ctx, brought)
			},
			Ready: func() error { d.serves(i, g.supervisor.Answering() == nil); return nil },
			Log:   log, Interval: time.Hour, Timeout: time.Minute,
		})
		g.supervisor.Loop = g.loop
		if err := g.loop.Start(ctx, 0); err != nil {
			t.Fatal(err)
		}
		running.Go(func() { g.loop.Run(ctx) })
		running.Go(func() { _, _ = g.supervisor.Run(ctx, g.loop.Rendering()) })
		d.all = append(d.all, g)
	}
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	d.most = 0
	return d, func() {
		cancel()
		running.Wait()
	}
}

// rotate stores a value and flushes.
func (d *day) rotate(value string) (began time.Time) {
	d.backend.put(value)
	d.all[0].loop.Trigger(watch.Flush)
	for _, g := range d.all[1:] {
		time.AfterFunc(rand.N(time.Second), func() { g.loop.Trigger(watch.Notify) })
	}
	d.look.Lock()
	d.most = 0
	d.look.Unlock()
	return time.Now()
}

// wants checks that every Bifrost of the fleet was started with a value once.
func (d *day) wants(t *testing.T, value string, most int) {
	t.Helper()
	synctest.Wait()
	d.look.Lock()
	defer d.look.Unlock()
	if n := d.starts[value]; n != len(d.all) || len(d.away) > 0 {
		t.Errorf("%d of %d were started with %s, %d do not serve", n, len(d.all), value, len(d.away))
	}
	if most > 0 && d.most > most {
		t.Errorf("%d did not serve at a time", d.most)
	}
}

// TestDay is a day of fifty watchers: rotations, a value that Bifrost rejects, a
// database that goes away in the middle of one, and somebody who holds the lock.
func TestDay(t *testing.T) {
	for _, parallel := range []int{1, 5} {
		t.Run(fmt.Sprint(parallel), func(t *testing.T) {
			var said bytes.Buffer
			synctest.Test(t, func(t *testing.T) {
				const watchers = 50
				d, end := begin(t, watchers, parallel)
				defer end()
				began := time.Now()
				for n := range 4 {
					before := d.sent()
					at := d.rotate(fmt.Sprint("s", n+1))
					time.Sleep(3 * time.Hour)
					d.wants(t, fmt.Sprint("s", n+1), parallel)
					if n == 0 {
						fmt.Fprintf(&said, "a rotation: all fresh after %s, %d statements, at most %d at a time; ", d.last.Sub(at).Round(time.Second), d.sent()-before, d.most)
					}
				}
				before := d.sent()
				d.rotate("bad")
				time.Sleep(3 * time.Hour)
				synctest.Wait()
				if n := d.starts["bad"]; n > parallel || n == 0 || len(d.away) > 0 || d.most > parallel {
					t.Errorf("%d were started with a bad value, %d do not serve, at most %d at a time", n, len(d.away), d.most)
				}
				fmt.Fprintf(&said, "a bad value: %d started with it, %d statements; ", d.starts["bad"], d.sent()-before)
				at := d.rotate("s5")
				time.Sleep(time.Minute)
				d.set(true)
				time.Sleep(10 * time.Minute)
				d.set(false)
				time.Sleep(4 * time.Hour)
				d.wants(t, "s5", 0)
				fmt.Fprintf(&said, "ten minutes without the database: all fresh after %s, at most %d at a time; ", d.last.Sub(at).Round(time.Second), d.most)
				d.mu.Lock()
				for i := range d.slots {
					d.slots[i].holder = 7
				}
				d.mu.Unlock()
				at = d.rotate("s6")
				time.Sleep(time.Until(began.Add(24 * time.Hour)))
				d.wants(t, "s6", 0)
				fmt.Fprintf(&said, "somebody else's lock: all fresh after %s, at most %d at a time; ", d.last.Sub(at).Round(time.Second), d.most)
				// Each asks once in a minute whether its connection is there: see TestIdle.
				total := d.sent() + watchers*24*60
				perSecond := float64(total) / (24 * 60 * 60)
				fmt.Fprintf(&said, "%d statements in the day, %.2f a second with those of the listeners, %.3f without", total, perSecond, float64(d.sent())/(24*60*60))
				if perSecond >= 1 { // as many again may be for the table of the cluster
					t.Errorf("%.2f statements a second", perSecond)
				}
			})
			t.Log(said.String())
		})
	}
}
