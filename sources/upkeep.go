package sources

import "context"

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
