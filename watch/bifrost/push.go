package bifrost

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
)

// mode is what to do with a value that Bifrost may have already.
type mode uint8

const (
	verify   mode = iota // nothing
	converge             // write it unless Bifrost shows it
	again                // the same for a part of what was to be converged
	push                 // write it unless Bifrost shows the whole of it
)

// Push writes the values that have changed and reads them back. doc is the
// rendered document, in which the targets stand: it tells what they belong to.
// There is one outcome for each target, in their order. When ctx ends, what is
// not done is Failed; without an end, a Bifrost that does not answer takes the
// deadline of a call for each object.
//
// An object of the API is read twice before it is written: where the two
// readings differ somebody else is editing it, and the targets in it are Failed.
func (c *Client) Push(ctx context.Context, doc *walker.Document, targets []Target) []watch.Outcome {
	return c.run(ctx, doc, targets, push)
}

// Converge is for a Bifrost that was started: it writes what Bifrost shows to be
// another value or does not show enough of, and leaves alone what it has. Its
// database outlives it, and may hold what was pushed after its file was written.
func (c *Client) Converge(ctx context.Context, doc *walker.Document, targets []Target) []watch.Outcome {
	return c.run(ctx, doc, targets, converge)
}

// Verify reads and writes nothing: a value that Bifrost does not have is Failed.
func (c *Client) Verify(ctx context.Context, doc *walker.Document, targets []Target) []watch.Outcome {
	return c.run(ctx, doc, targets, verify)
}

// job is one Push, Verify or Converge.
type job struct {
	*session
	mode     mode
	of       release // the version of Bifrost
	during   run     // the run of Bifrost; 0 where it is not known
	outcomes []watch.Outcome

	// clients returns the first reading of the list of MCP clients, which is made once.
	clients func() (value, *Error)

	// pluginConfigs are the configs of the document by the plugin's name, as they
	// stand there.
	pluginConfigs map[string]value
}

func (c *Client) run(ctx context.Context, doc *walker.Document, targets []Target, m mode) []watch.Outcome {
	select {
	case c.operation <- struct{}{}:
		defer func() { <-c.operation }()
	case <-ctx.Done():
		return c.failed(&Error{state: watch.Failed, Reason: "stopped before bifrost was asked"}, targets, m)
	}
	j := &job{session: c.session(doc), mode: m, outcomes: make([]watch.Outcome, len(targets)), pluginConfigs: pluginConfigs(doc)}
	if len(targets) == 0 {
		return j.outcomes
	}
	version, f := j.version(ctx)
	if f != nil && f.state != watch.RestartRequired {
		return c.failed(f, targets, m)
	}
	j.of = parseVersion(version)
	c.foundVersion(version)
	if m == converge || m == again {
		j.during = j.running(ctx)
	}
	c.mu.Lock()
	switch m {
	case converge:
		c.reached.Store(true)
		c.current, c.owed = j.during, 0
	case push, verify:
		j.during = c.current
	}
	c.mu.Unlock()
	j.clients = sync.OnceValues(func() (value, *Error) { return j.clientList(ctx) })
	var order []object
	groups := map[object][]place{}
	known := names(doc)
	for i, t := range targets {
		p, f := locate(i, t, j.of, known)
		if f != nil {
			j.outcomes[i] = f.outcome(t.Path)
			continue
		}
		if groups[p.object] == nil {
			order = append(order, p.object)
		}
		groups[p.object] = append(groups[p.object], p)
	}
	var work errgroup.Group
	work.SetLimit(c.o.Concurrency)
	for _, o := range order {
		if o.kind != config {
			work.Go(func() error { j.settleObject(ctx, o, groups[o]); return nil })
		}
	}
	_ = work.Wait()
	// The credentials come last: with them all that is under way would fail.
	if all := groups[object{kind: config}]; all != nil {
		j.settleAdmin(ctx, all)
	}
	return j.outcomes
}

func (j *job) settleObject(ctx context.Context, o object, places []place) {
	switch o.kind {
	case provider:
		j.settleProvider(ctx, o.name, places)
	case mcpClient:
		if list, f := j.clients(); f != nil {
			j.fail(places, f)
		} else if before, f := pickClient(list, o.name); f != nil {
			j.fail(places, f)
		} else {
			j.settle(ctx, j.mcpRecord(o.name), before, places)
		}
	case plugin:
		j.readAndSettle(ctx, j.pluginRecord(o.name), places)
	}
}

func (j *job) readAndSettle(ctx context.Context, r record, places []place) {
	if before, f := r.read(ctx); f != nil {
		j.fail(places, f)
	} else {
		j.settle(ctx, r, before, places)
	}
}
