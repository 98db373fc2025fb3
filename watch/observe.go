package watch

import "bifrost-secrets/sources"

// Observer is told what the loop does, for metrics. It is safe for concurrent
// use, and quick: the loop waits for it.
type Observer interface {
	// Refreshed is told of every refresh, whatever its result: the failures by
	// their kind, how many secrets were asked for, and the source as it
	// describes itself (empty where no vault_store is in force).
	Refreshed(a Attempt, failures map[sources.Kind]int, fetched int, source string)
	// Applied is told what became of the fields of one update, by the word of
	// its [Applier]: api, restart, command, none.
	Applied(kind string, outcomes []Outcome)
	// Restarted is told that the supervised Bifrost was started again.
	Restarted()
	// Turned is told what became of a turn to restart: taken, without, last good,
	// rejected.
	Turned(what string)
}
