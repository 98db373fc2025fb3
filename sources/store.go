package sources

import (
	"context"
	"time"
)

// The kinds of failure that only writing has.
const (
	Conflict Kind = "changed meanwhile" // somebody else wrote between our look and our write
	Refused  Kind = "refused"           // it may not be written or deleted: foreign, rotated, too large, deleted
)

// Mark says whose a secret is. A backend keeps it beside the secret (tags,
// labels, custom metadata), readable by everybody who may list secrets, so it
// holds nothing that would tell anything of a value.
type Mark struct {
	Owner string // the gateway that it was stored for: --owner
	Path  string // the JSON path of the field that it was stored from
}

// Item is what is known of a secret without reading its value.
type Item struct {
	Name    string
	Exists  bool
	Version string    // of the current value; empty where there is none
	Mark    *Mark     // nil where the secret is not ours
	Gone    time.Time // scheduled for deletion at, or deleted at and still recoverable; zero where it is not
	Rotated bool      // the backend rotates it by itself
	Err     error     // an *Error: this name could not be looked at; the rest is then zero
}

// Write is one value to be stored.
type Write struct {
	Name  string
	Value Secret
	Mark  Mark
	// Expect is the version that must be the current one, as an [Item] gave it;
	// empty means that the secret must not exist yet.
	Expect string
	// Token makes the write the same write when it is repeated: random, 36
	// characters of [0-9a-f-], new for each write. It is nothing of the value.
	Token string
}

// DeleteOptions say how a secret is removed.
type DeleteOptions struct {
	// RecoveryDays is how long the secret can be brought back: 0 means the
	// backend's own default. A backend without recovery ignores it.
	RecoveryDays int
	// Now deletes at once, beyond recovery.
	Now bool
}

// Store is a source that can also be written. Every method asks for nothing
// more than it promises: Inspect and List read no value.
type Store interface {
	Source

	// Inspect looks at each of names, which must be distinct, and answers for
	// every one of them. A name that does not exist is no error.
	Inspect(ctx context.Context, names []string) map[string]Item

	// List gives every secret whose name begins with prefix, sorted by name,
	// those scheduled for deletion included where the backend can list them.
	List(ctx context.Context, prefix string) ([]Item, error)

	// Put stores a value and gives its version. It never overwrites what is not
	// ours, and it never creates where something is: where the current version
	// is not w.Expect the error is of kind Conflict; a foreign secret, one under
	// rotation, one that is scheduled for deletion and a value that is larger
	// than the backend allows are of kind Refused, with the remedy as its hint.
	// It does not compare values: whoever calls has read the old one.
	Put(ctx context.Context, w Write) (version string, err error)

	// Delete removes a secret that bears a mark of owner, and no other: anything
	// else is an error of kind Refused. One that is gone already is none.
	Delete(ctx context.Context, name, owner string, o DeleteOptions) error

	// MaxValue is the most bytes that a value may have.
	MaxValue() int
}
