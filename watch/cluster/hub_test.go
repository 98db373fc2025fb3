package cluster

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"bifrost-secrets/sources"
)

// hub is a PostgreSQL of a simulation: it gives out turns in the order in which they
// are asked for, keeps rejections, counts statements, and may be down or have a turn
// held by somebody who is no watcher.
type hub struct {
	mu         sync.Mutex
	down       bool
	statements int
	slots      []slot
	ended      chan struct{} // with each connection, when it goes down
	rejected   map[Secret]Rejection
	pids       int
}

type slot struct {
	holder int
	queue  []chan int // of those who wait: the process that gets it
}

func newHub(parallel int) *hub {
	return &hub{slots: make([]slot, parallel), ended: make(chan struct{}), rejected: map[Secret]Rejection{}, pids: 1000}
}

// send counts statements, and fails while the database is down.
func (h *hub) send(n int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down {
		return &sources.Error{Kind: sources.Unreachable, Message: "it is down"}
	}
	h.statements += n
	return nil
}

// sent returns how many statements were sent so far.
func (h *hub) sent() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.statements
}

// set changes whether it is down: then every connection ends, and so does every turn.
func (h *hub) set(down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = down
	if down {
		close(h.ended)
		h.ended = make(chan struct{})
		h.slots = make([]slot, len(h.slots))
	}
}

// line is a session of the hub.
type line struct {
	*hub
	pid      int
	patience time.Duration
	lost     chan struct{}
	holds    int
}

func (h *hub) session(_ context.Context, _, patience time.Duration) (session, error) {
	if err := h.send(4); err != nil { // LISTEN, NOTIFY and UNLISTEN to prove it, and the limits
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pids++
	return &line{hub: h, pid: h.pids, patience: patience, lost: h.ended, holds: -1}, nil
}

func (l *line) pick(context.Context, int) (int, int, error) {
	if err := l.send(1); err != nil {
		return 0, 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	wanted := func(s slot) int { return len(s.queue) + min(s.holder, 1) }
	best := rand.N(len(l.slots))
	for i := range l.slots {
		if wanted(l.slots[i]) < wanted(l.slots[best]) {
			best = i
		}
	}
	return best, l.slots[best].holder, nil
}

func (l *line) lock(ctx context.Context, at int) (bool, error) {
	if err := l.send(1); err != nil {
		return false, err
	}
	l.mu.Lock()
	s := &l.slots[at]
	if s.holder == 0 {
		s.holder, l.holds = l.pid, at
		l.mu.Unlock()
		return true, nil
	}
	turn := make(chan int, 1)
	s.queue = append(s.queue, turn)
	l.mu.Unlock()
	leave := func() (had bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if i := slices.Index(l.slots[at].queue, turn); i >= 0 {
			l.slots[at].queue = slices.Delete(l.slots[at].queue, i, i+1)
			return false
		}
		return len(turn) > 0
	}
	select {
	case <-turn:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.slots[at].holder, l.holds = l.pid, at
		return true, nil
	case <-l.lost:
		return false, &sources.Error{Kind: sources.Unreachable, Message: "it went down"}
	case <-time.After(l.patience):
		if leave() {
			l.pass(at)
		}
		return false, nil
	case <-ctx.Done():
		if leave() {
			l.pass(at)
		}
		return false, ctx.Err()
	}
}

// pass gives a turn to the next.
func (h *hub) pass(at int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.slots[at]
	s.holder = 0
	if len(s.queue) > 0 {
		s.holder = 1 // who takes it says who it is
		s.queue[0] <- 1
		s.queue = s.queue[1:]
	}
}

func (l *line) held(_ context.Context, at int) (int, string, error) {
	if err := l.send(1); err != nil {
		return 0, "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.slots[at].holder, `"somebody"`, nil
}

func (l *line) end() {
	select {
	case <-l.lost: // and the turn with it
	default:
		if l.holds >= 0 {
			l.pass(l.holds)
		}
	}
}

func (h *hub) read(_ context.Context, secrets []Secret) (map[Secret]Rejection, error) {
	h.mu.Lock()
	made := len(h.rejected) > 0
	h.mu.Unlock()
	if err := h.send(1 + map[bool]int{true: 1}[made]); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	found := map[Secret]Rejection{}
	for _, s := range secrets {
		if r, ok := h.rejected[s]; ok {
			found[s] = r
		}
	}
	return found, nil
}
