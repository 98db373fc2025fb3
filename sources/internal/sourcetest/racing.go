package sourcetest

import (
	"fmt"
	"sync"

	"bifrost-secrets/sources"
)

// race runs n puts at once, each by a process of its own, and returns the labels
// of those that had success.
func (r *run) race(n int, expect string) (won []string) {
	r.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	for i := range n {
		w, label := r.another(), fmt.Sprint("racer ", i)
		all.Go(func() {
			_, err := w.put(r.ctx, write("key", label, expect))
			if err != nil {
				w.fails(err, sources.Conflict)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			won = append(won, label)
		})
	}
	all.Wait()
	return won
}

func testAtOnce(r *run) {
	won := r.race(8, "")
	if reason := r.Lacks[CreateOnce]; reason != "" {
		// All may find that others wrote; nobody may miss it.
		r.Logf("create once is not here: %s", reason)
		if len(won) > 1 {
			r.Errorf("%d of 8 took themselves for the one that made the secret", len(won))
		}
		return
	}
	if len(won) != 1 {
		r.Fatalf("%d of 8 made the secret", len(won))
	}
	r.watch.want(r.ctx, "key", value(won[0]))
	r.count("key", 1)
}

func testUpdateAtOnce(r *run) {
	won := r.race(6, r.watch.must(r.ctx, write("key", "0", "")))
	if reason := r.Lacks[CompareAndSet]; reason != "" {
		// All may find that others wrote; nobody may miss it.
		r.Logf("compare and set is not here: %s", reason)
		if len(won) > 1 {
			r.Errorf("%d of 6 took their value for the current one", len(won))
		}
		return
	}
	if len(won) != 1 {
		r.Fatalf("%d of 6 changed the secret", len(won))
	}
	r.watch.want(r.ctx, "key", value(won[0]))
	r.count("key", 2)
}
