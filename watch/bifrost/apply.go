package bifrost

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
)

// Kind implements [watch.Applier].
func (*Client) Kind() string { return "api" }

// Apply implements [watch.Applier]. After a start of Bifrost all values are looked at
// and those that it does not have are written; otherwise what has changed is.
func (c *Client) Apply(ctx context.Context, u watch.Update) []watch.Outcome {
	ctx, cancel := context.WithTimeout(ctx, c.o.ApplyTimeout)
	defer cancel()
	targets := make([]Target, len(u.Changed))
	for i := range u.Changed {
		targets[i] = Target{Path: u.Changed[i].Path, Entry: u.Changed[i].Entry, Value: u.Changed[i].Value}
	}
	doc, err := walker.Parse(u.Rendering.Plan.Document.Name, u.Rendering.Document())
	if err != nil { // what was rendered is a document: this is a fault of ours
		return c.failed(later("the rendered document cannot be read", ""), targets, push)
	}
	if u.Trigger != watch.Start && u.Trigger != watch.Restarted {
		return c.run(ctx, doc, targets, push)
	}
	c.doc.Store(doc)
	// Where nothing was given before, what failed is all there is.
	how := again
	c.mu.Lock()
	if !u.Again || len(targets) == c.owed {
		how = converge
	}
	c.mu.Unlock()
	ready := c.ping
	if (c.o.Starts || u.Trigger == watch.Restarted) && !u.Again { // else the loop has other things to do meanwhile
		ready = c.comesUp
	}
	if f := ready(ctx); f != nil {
		return c.failed(later("bifrost is not healthy yet: "+f.Reason, f.Hint), targets, how)
	}
	return c.run(ctx, doc, targets, how)
}

// failed is what becomes of targets of which none was given to Bifrost.
func (c *Client) failed(f *Error, targets []Target, m mode) []watch.Outcome {
	if m == converge {
		c.mu.Lock()
		c.owed = len(targets)
		c.mu.Unlock()
	}
	all := make([]watch.Outcome, len(targets))
	for i, t := range targets {
		all[i] = f.outcome(t.Path)
	}
	return all
}

// comesUp waits for a Bifrost that starts. Nothing else is done meanwhile, so that
// is said where it takes any time.
func (c *Client) comesUp(ctx context.Context) *Error {
	if c.ping(ctx) == nil {
		return nil
	}
	c.o.Log.Info("waiting for Bifrost to answer", "up_to", c.o.ApplyTimeout.String(), "api", c.where)
	return c.wait(ctx)
}

// mode is what to do with a value that Bifrost may have already.
type mode uint8

const (
	verify   mode = iota // nothing: Bifrost is only looked at
	converge             // write it unless Bifrost shows it
	again                // the same for a part of what was to be converged
	push                 // write it unless Bifrost shows the whole of it
)

// job is one run over targets.
type job struct {
	*session
	mode     mode
	of       release // the version of Bifrost
	during   run     // the run of Bifrost; 0 where it is not known
	outcomes []watch.Outcome
	clients  func() (listing, *Error) // the first reading of the list of MCP clients, which is made once
}

// run brings the targets about, each of which stands in doc, the rendered document.
// There is one outcome for each, in their order. When ctx ends, what is not done is
// Failed; without an end, a Bifrost that does not answer takes the deadline of a call
// for each object.
//
// An object of the API is read twice before it is written: where the two
// readings differ somebody else is editing it, and the targets in it are Failed.
func (c *Client) run(ctx context.Context, doc *walker.Document, targets []Target, m mode) []watch.Outcome {
	select {
	case c.operation <- struct{}{}:
		defer func() { <-c.operation }()
	case <-ctx.Done():
		return c.failed(later("stopped before bifrost was asked", ""), targets, m)
	}
	j := &job{session: c.session(doc), mode: m, outcomes: make([]watch.Outcome, len(targets))}
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
		c.current, c.owed = j.during, 0
	case push, verify:
		j.during = c.current
	}
	c.mu.Unlock()
	j.clients = sync.OnceValues(func() (listing, *Error) { return j.list(ctx, clients) })
	var places []place
	known := elements(doc)
	for i, t := range targets {
		if p, f := locate(i, t, j.of, known); f != nil {
			j.outcomes[i] = f.outcome(t.Path)
		} else {
			places = append(places, p)
		}
	}
	order, groups := group(places, func(p place) object { return p.object })
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
		all, f := j.clients()
		var before value
		if f == nil {
			before, f = all.find(o.name)
		}
		j.settle(ctx, j.mcpRecord(o.name), before, f, places)
	case plugin:
		j.settle(ctx, j.pluginRecord(o.name, places[0].config), value{}, nil, places)
	case webhook:
		j.settle(ctx, j.webhookRecord(o.name), value{}, nil, places)
	}
}
