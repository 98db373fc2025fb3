package watch

import (
	"math/rand/v2"
	"time"
)

// Backoff is how long to wait between tries: First, then twice as long each
// time, Most at the end. Of each wait a random part, up to half of it, is taken
// off, so that a fleet that failed together does not come back together.
type Backoff struct {
	First, Most time.Duration

	last time.Duration
}

// Next returns the wait before the next try.
func (b *Backoff) Next() time.Duration {
	b.last = min(max(2*b.last, b.First), b.Most)
	return b.last - rand.N(b.last/2+1)
}

// Reset makes the next wait the first one again.
func (b *Backoff) Reset() { b.last = 0 }

// jitterPart is the part of an interval that each tick may come earlier or
// later.
const jitterPart = 10

// jittered returns the interval, up to a tenth longer or shorter.
func jittered(interval time.Duration) time.Duration {
	part := interval / jitterPart
	return interval - part + rand.N(2*part+1)
}

// gate keeps a storm of requests from becoming a storm of refreshes: of any two
// refreshes that follow each other without a pause, the next one waits until a
// second has passed since the first of them began.
type gate struct {
	began [2]time.Time // the two newest, the older one first
}

// gateWindow is the time in which no more than two refreshes begin.
const gateWindow = time.Second

func (g *gate) pass(now time.Time) { g.began = [2]time.Time{g.began[1], now} }

// opens returns the time from which a refresh may begin.
func (g *gate) opens() time.Time {
	if g.began[0].IsZero() {
		return time.Time{}
	}
	return g.began[0].Add(gateWindow)
}
