package bifrost

import (
	"context"

	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
)

// Push writes the values that have changed and reads them back.
func (c *Client) Push(ctx context.Context, doc *walker.Document, targets []Target) []watch.Outcome {
	return c.run(ctx, doc, targets, push)
}

// Converge writes what Bifrost shows to be another value or does not show enough of,
// and leaves alone what it has.
func (c *Client) Converge(ctx context.Context, doc *walker.Document, targets []Target) []watch.Outcome {
	return c.run(ctx, doc, targets, converge)
}

// Verify only reads: a value that Bifrost does not have is Failed.
func (c *Client) Verify(ctx context.Context, doc *walker.Document, targets []Target) []watch.Outcome {
	return c.run(ctx, doc, targets, verify)
}
