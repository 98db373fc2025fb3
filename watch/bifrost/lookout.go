package bifrost

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"bifrost-secrets/sources/netfault"
)

// LookEvery is how often a Lookout asks Bifrost for its health.
const LookEvery = 3 * time.Second

const (
	// A broken connection to a Bifrost that answers is looked into no more often than
	// this, and more rarely each time that it was nothing. It is never forgotten: it is
	// looked into once the pause is over.
	firstDoubt, mostDoubt = time.Minute, time.Hour
	// aClock is how far the start of one process may seem to move: it is reckoned
	// from the time of the boot, which moves with the clock.
	aClock = 2 * time.Second
)

// run is which run of Bifrost answers: when its process was started, in Unix
// seconds, as its metrics say. It is 0 where they do not.
type run float64

// compare reports whether two runs are known to be the same process, or another one.
// They may be neither: where one is not known, or they are too close to tell.
func (r run) compare(o run) (same, other bool) {
	gap := math.Abs(float64(r - o))
	return r != 0 && gap == 0, r != 0 && o != 0 && gap > aClock.Seconds()
}

// running asks which run of Bifrost answers. The metric is one of Prometheus' process
// collector, which Bifrost has.
func (s *session) running(ctx context.Context) run {
	a, f := s.call(ctx, http.MethodGet, "/metrics", nil)
	if f != nil || a.status != http.StatusOK {
		return 0
	}
	for line := range strings.Lines(string(a.body)) {
		if text, ok := strings.CutPrefix(line, "process_start_time_seconds "); ok {
			at, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil || math.IsNaN(at) || math.IsInf(at, 0) || at <= 0 {
				return 0
			}
			return run(at)
		}
	}
	return 0
}

// Lookout tells when Bifrost was started anew by something else. It asks for
// /health and nothing else while nothing happens, over one connection that it
// keeps open: when Bifrost ends, that breaks at once, and nobody answers a new
// one. That is no proof: connections break, and proxies restart. It is the start
// of Bifrost's process, as its metrics have it, that says whether it is another
// one. Where there are no metrics to be had, it is taken for another one if
// nobody had answered at all.
type Lookout struct {
	client   *Client
	anew     func()
	http     *http.Client
	lost     chan struct{} // the connection broke; of capacity 1
	absent   bool          // it was never healthy yet
	gone     bool          // nobody was there since it was last healthy
	doubt    bool          // it was not healthy since, for whatever reason
	broke    bool          // its connection broke since, which was not looked into yet
	reported run           // the run that was reported last
	mute     int           // how often the metrics that it had were not to be had, one look after the other
	pause    time.Duration // after the next look into a broken connection
	settled  time.Time     // until when none is looked into
}

// NewLookout returns a Lookout that calls anew for each restart. Where Bifrost was not
// there when it was last to be given all values, its first healthy answer is taken
// for one.
func (c *Client) NewLookout(anew func()) *Lookout {
	c.mu.Lock()
	reached := c.owed == 0
	c.mu.Unlock()
	l := &Lookout{client: c, anew: anew, lost: make(chan struct{}, 1), absent: !reached, gone: !reached, pause: firstDoubt}
	l.http = &http.Client{
		CheckRedirect: c.http.CheckRedirect,
		Timeout:       LookEvery,
		Transport: &http.Transport{
			MaxIdleConns: 1, MaxConnsPerHost: 1,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := c.o.Dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return &line{Conn: conn, lost: l.lost}, nil
			},
		},
	}
	return l
}

// line is a connection that tells when the other side ends it.
type line struct {
	net.Conn
	lost chan<- struct{}
	own  atomic.Bool
}

// Read implements [net.Conn].
func (l *line) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	l.tell(err)
	return n, err
}

// Write implements [net.Conn]. A request that comes right after the other side's end
// is where that shows first.
func (l *line) Write(b []byte) (int, error) {
	n, err := l.Conn.Write(b)
	l.tell(err)
	return n, err
}

func (l *line) tell(err error) {
	if err == nil || l.own.Load() {
		return
	}
	select {
	case l.lost <- struct{}{}:
	default:
	}
}

// Close implements [net.Conn].
func (l *line) Close() error {
	l.own.Store(true)
	return l.Conn.Close()
}

// Run looks until ctx ends.
func (l *Lookout) Run(ctx context.Context) {
	defer l.http.CloseIdleConnections()
	tick := time.NewTicker(LookEvery)
	defer tick.Stop()
	var lost <-chan struct{} = l.lost // nil once it was answered, until the next tick
	broke := false
	for {
		l.look(ctx, broke)
		select {
		case <-ctx.Done():
			return
		case <-lost:
			lost, broke = nil, true
		case <-tick.C:
			select {
			case <-l.lost:
				broke = true
			default:
				broke = false
			}
			lost = l.lost
		}
	}
}

// look asks once. broke says that the connection did.
func (l *Lookout) look(ctx context.Context, broke bool) {
	is := l.ask(ctx)
	if is == hungUp { // connections break by themselves: one of two is no proof
		is = l.ask(ctx)
	}
	switch is {
	case away, hungUp:
		l.gone = true
		return
	case unwell:
		l.doubt = true
		return
	}
	l.client.mu.Lock()
	before := l.client.current
	l.client.mu.Unlock()
	l.broke = (l.broke || broke) && before != 0
	broke = l.broke && time.Now().After(l.settled)
	if !l.gone && !l.doubt && !broke || ctx.Err() != nil {
		return
	}
	now := l.client.session(l.client.doc.Load()).running(ctx)
	if ctx.Err() != nil {
		return
	}
	// It had metrics, and may have ended since it answered /health; after a few looks it
	// counts as one without any.
	if now == 0 && before != 0 && !l.gone && l.mute < 3 {
		l.mute++
		l.doubt = true
		return
	}
	l.mute = 0
	reported := now != 0 && now == l.reported
	if reported { // it is about to be given all values
		before = now
	}
	alike, other := before.compare(now)
	// One that was absent has read its file since, whoever has spoken to it first.
	if l.absent || other || !alike && l.gone {
		l.reported = now
		l.anew()
	}
	// What breaks around a restart that was reported, or while nobody was there yet, is
	// no reason to look less closely: the next restart may come at once.
	if broke && !other && !reported && !l.absent {
		l.settled, l.pause = time.Now().Add(l.pause), min(2*l.pause, mostDoubt)
	}
	l.absent, l.gone, l.doubt, l.broke = false, false, false, false
}

// sight is what was seen of Bifrost.
type sight uint8

const (
	healthy sight = iota
	unwell        // it answers, or has the connection open, and is not healthy
	hungUp        // the connection was closed in place of an answer
	away          // nobody is there
)

func (l *Lookout) ask(ctx context.Context) sight {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.client.base+"/health", nil)
	if err != nil {
		return unwell
	}
	resp, err := netfault.Settled(l.http.Do(req))
	if err != nil {
		return seen(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	switch {
	case err != nil:
		return seen(err)
	case resp.StatusCode == http.StatusOK:
		return healthy
	case resp.StatusCode >= http.StatusInternalServerError && !json.Valid(body):
		return away // it is a proxy that says so: Bifrost's own answers are JSON
	}
	return unwell
}

// seen says what an error tells of Bifrost.
func seen(err error) sight {
	var op *net.OpError
	var dns *net.DNSError
	var timed net.Error
	switch {
	case errors.As(err, &dns):
		return unwell
	case errors.As(err, &op) && op.Op == "dial":
		return away
	case errors.As(err, &timed) && timed.Timeout(), errors.Is(err, context.Canceled):
		return unwell
	}
	return hungUp
}
