// Package watch keeps what was rendered fresh: it refreshes on a tick, a flush
// or a changed file, keeps the last good result when a refresh fails, and has a
// running Bifrost use what changed.
package watch

import (
	"context"

	"bifrost-secrets/render"
)

// Trigger says why a refresh was made.
type Trigger string

// The triggers.
const (
	Start     Trigger = "start"     // the first render
	Tick      Trigger = "tick"      // the interval has passed
	Flush     Trigger = "flush"     // somebody asked over HTTP
	Signal    Trigger = "signal"    // SIGHUP
	File      Trigger = "file"      // the config or a file source has changed
	Notify    Trigger = "notify"    // another member of the cluster was flushed
	Retry     Trigger = "retry"     // the refresh before has failed
	Restarted Trigger = "restarted" // Bifrost was started anew
)

// State says what became of a value on its way to a running Bifrost.
type State string

// The states of a value.
const (
	Verified        State = "verified"         // Bifrost has it: read back, as far as it shows it
	Unverifiable    State = "unverifiable"     // Bifrost got it, and shows too little of it to tell
	InForce         State = "in force"         // Bifrost was started with it
	Delivered       State = "handed over"      // the command was run, or the file written for others to take
	RestartRequired State = "restart required" // no way to apply it but a restart that we may not make
	Refused         State = "refused"          // it must not change: an encryption key
	Failed          State = "failed"           // to be tried again
	LastGood        State = "last good"        // Bifrost has it, and the newest value is not to be had or was refused; of the status alone
)

// Update is what a refresh has brought.
type Update struct {
	Trigger   Trigger
	Rendering *render.Rendering
	Before    *render.Rendering // what was in force; nil at the first
	// Changed are the fields to apply. After a restart of Bifrost they are
	// all the fields that are resolved here: its database may hold older values.
	Changed []render.Change
	// Edited reports that the document itself is another one, beside the values
	// of its references.
	Edited bool
	// Wrote reports that the published file has changed, and Replaced that there
	// was one before.
	Wrote, Replaced bool
	// Again says that Changed failed to be applied after a start of Bifrost,
	// which Trigger tells of, and has not changed since.
	Again bool
	// Rollback says that Bifrost ended soon after it was started with what is being
	// rolled back here, or that of another watcher did.
	Rollback bool
	// Blamed are the secrets whose new values Bifrost is taken to have ended over.
	Blamed []Brought
	// Elsewhere says that it was another watcher's, while ours ran with Runs, which is
	// nil where that is the file of an earlier life.
	Elsewhere bool
	Runs      *render.Rendering
}

// Outcome is what became of one field. It holds no value.
type Outcome struct {
	Path   string
	State  State
	Reason string // why it is not in force; lower case, no full stop; empty where it is
	Hint   string
	By     string // the Kind of who applied it, where that is not the Applier's own

	// runs says that it is in force since Bifrost was started with it before: nothing
	// was done for it.
	runs bool
}

// WholeDocument is the Path of the outcome for an edited document.
const WholeDocument = "(document)"

// Applier makes a running Bifrost use what was rendered and published.
type Applier interface {
	// Kind is the word for logs and metrics: api, restart, command, none.
	Kind() string
	// Apply makes Bifrost use an update and tells of each changed field what became of
	// it. What Failed is applied again with the next update, or by itself
	// after a while. It returns when ctx ends, with Failed for the rest.
	Apply(ctx context.Context, u Update) []Outcome
}
