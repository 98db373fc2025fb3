package bifrost

import (
	"context"
	"errors"

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
		return (&Error{state: watch.Failed, Reason: "the rendered document cannot be read"}).outcomes(targets)
	}
	if u.Trigger != watch.Start && u.Trigger != watch.Restarted {
		return c.Push(ctx, doc, targets)
	}
	c.doc.Store(doc)
	// Where nothing was given before, what failed is all there is.
	how := again
	c.mu.Lock()
	if !u.Again || len(targets) == c.owed {
		how = converge
	}
	c.mu.Unlock()
	ready := c.Ping
	if (c.o.Starts || u.Trigger == watch.Restarted) && !u.Again { // else the loop has other things to do meanwhile
		ready = c.comesUp
	}
	err = ready(ctx)
	if err != nil {
		f := &Error{state: watch.Failed, Reason: "bifrost is not healthy yet: " + err.Error()}
		var e *Error
		if errors.As(err, &e) {
			f.Hint = e.Hint
		}
		return c.failed(f, targets, how)
	}
	return c.run(ctx, doc, targets, how)
}

// failed is what becomes of targets of which none was given to Bifrost.
func (c *Client) failed(f *Error, targets []Target, m mode) []watch.Outcome {
	if m == converge {
		c.mu.Lock()
		c.owed = len(targets)
		c.mu.Unlock()
		c.reached.Store(false)
	}
	return f.outcomes(targets)
}

// comesUp waits for a Bifrost that starts. Nothing else is done meanwhile, so that
// is said where it takes any time.
func (c *Client) comesUp(ctx context.Context) error {
	if c.Ping(ctx) == nil {
		return nil
	}
	c.o.Log.Info("waiting for Bifrost to answer", "up_to", c.o.ApplyTimeout.String(), "api", c.where)
	return c.Wait(ctx)
}

// Takes asks Bifrost for its version. The function that it returns reports whether a
// restart makes that version take a field of u from its file, and if not, or not
// always, why and what to do; inEnv says that the value is in Bifrost's environment.
// c may be nil: then the version is not known.
func (c *Client) Takes(ctx context.Context, u watch.Update) func(e *walker.Entry, path string, inEnv bool) (takes bool, reason, hint string) {
	version := ""
	doc, _ := walker.Parse(u.Rendering.Plan.Document.Name, u.Rendering.Document())
	if c != nil {
		ctx, cancel := context.WithTimeout(ctx, c.o.ApplyTimeout)
		defer cancel()
		version, _ = c.Version(ctx, doc) // what is not known counts as the newest
	}
	return func(e *walker.Entry, path string, inEnv bool) (takes bool, reason, hint string) {
		return RestartTakes(e, version, doc, path, inEnv)
	}
}
