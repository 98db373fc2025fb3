package sources

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"
)

// The kinds of failure that only writing has.
const (
	Conflict Kind = "changed meanwhile" // somebody else wrote between our look and our write
	Refused  Kind = "refused"           // it may not be written or deleted: not owned, rotated, too large, deleted
)

// Item is what is known of a secret without reading its value.
type Item struct {
	Name    string
	Exists  bool
	Version string    // of the current value, for [Write].Expect; empty where there is none
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
	// Token makes the write the same write when it is repeated: what [NewToken]
	// returns, new for each write.
	Token string
}

// NewToken makes the Token of a [Write]: random, in the form of a UUID. It is
// nothing of the value.
func NewToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// DeleteOptions say how a secret is removed.
type DeleteOptions struct {
	// RecoveryDays is how long the secret can be brought back: 0 means the
	// backend's own default. A backend without recovery ignores it.
	RecoveryDays int
	// Now deletes at once, beyond recovery.
	Now bool
	// Expect is the version that must be the current one, or the error is of kind
	// Conflict and nothing is deleted; empty means any. A backend with recovery
	// ignores it.
	Expect string
}

// Inspector is a source that can tell what there is without reading a value.
// Looking is reading: it takes no access mode.
type Inspector interface {
	Source

	// Inspect looks at each of names, which must be distinct, and answers for
	// every one of them. A name that does not exist is no error.
	Inspect(ctx context.Context, names []string) map[string]Item

	// List returns every secret whose name begins with prefix, sorted by name,
	// those scheduled for deletion included where the backend can list them. A
	// backend may leave out what was written in the last minutes; Inspect does
	// not.
	List(ctx context.Context, prefix string) ([]Item, error)

	// Identities returns what a name, as a reference spells it, may mean: one
	// spelling for each secret that it could be. Two names that share one may be
	// the same secret; more than one are given where only the backend could tell,
	// as with an ARN that may lack its random end. It makes no request. A name
	// that the backend cannot have is its own.
	Identities(name string) []string
}

// Aliaser is an [Inspector] in which a secret may be reached by names that are not
// told apart by their spelling, such as links in a file system.
type Aliaser interface {
	// Aliases returns the other names that lead to the secret of each of names; it
	// leaves out those that have none. A store with more names than can be looked
	// at is an error.
	Aliases(ctx context.Context, names []string) (map[string][]string, error)
}

// Store is a source that can also be written. It is opened with
// [Options].Write, and at no other time. sources/internal/sourcetest has these promises
// as tests.
type Store interface {
	Inspector

	// Put stores a value and returns its version. It never overwrites what is not
	// ours, and it never creates where something is: where the current version
	// is not w.Expect the error is of kind Conflict; a secret that is not owned (that
	// of another gateway is not), one under rotation, one that is scheduled for
	// deletion and a value that the backend cannot hold are of kind Refused, with
	// the remedy as its hint; what is too large, without a request. It does not
	// compare values: whoever calls has read the old one. The mark becomes
	// w.Mark. A write that was made before (the same Token, and its version is
	// the current one) is not made again, and returns that version.
	Put(ctx context.Context, w Write) (version string, err error)

	// Delete removes a secret that bears a mark of owner, and no other: anything
	// else is an error of kind Refused. One that is gone already, or scheduled to
	// be, is none; o.Now also ends the latter.
	Delete(ctx context.Context, name, owner string, o DeleteOptions) error

	// Traits returns what can be said of the store without a request.
	Traits() Traits
}

// Traits are what a store promises of every secret in it.
type Traits struct {
	Limits      Limits
	Recoverable bool // a deleted one can be brought back for a while, but for [DeleteOptions].Now
	History     bool // the value that Put replaces can still be had for a while
}

// Rekeyer is a store that encrypts its values itself, for the recipients that
// its settings name.
type Rekeyer interface {
	Store

	// Rekey encrypts, for the recipients that the settings name now, every
	// version that is kept and was encrypted for others. Values and versions
	// stay as they are, so it is no rotation: who could read a value knows it.
	// It may be broken off and run again, and goes on where it was. What cannot
	// be opened is left as it is and told of in Failed; the error is for what
	// stopped the rest.
	Rekey(ctx context.Context, o RekeyOptions) (Rekeyed, error)
}

// RekeyOptions say how secrets are encrypted anew.
type RekeyOptions struct {
	DryRun bool // count, and change nothing
}

// Rekeyed is what a Rekey has done.
type Rekeyed struct {
	Versions int     // encrypted anew, or, in a dry run, to be
	Current  int     // for these recipients already
	Failed   []error // a *Error each
}

// Migrator is a store that keeps its secrets in tables of its own.
type Migrator interface {
	Store

	// Migrate makes the tables, or brings them to the newest version, and
	// reports whether that took anything. The first write does the same; this is
	// for where those who write may not.
	Migrate(ctx context.Context) (changed bool, err error)
}
