// Package sourcetest is what every backend must pass, through its real client
// library: the promises of [sources.Source] and [sources.Store] as tests.
//
// A backend describes itself with a [Setup]. What it cannot do, it names with
// the reason, so that nothing is left out unseen.
package sourcetest

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/cloudtest"
)

// canary stands in every value of the suite, and may stand in nothing that is
// said of one.
const canary = "CANARY-7c1e"

// Ability is what a backend may lack for a good reason.
type Ability string

// The abilities. The hook of a [Backend] that goes with each is named here;
// those without one are lacked by a word in [Setup].Lacks alone.
const (
	Binary        Ability = "binary"          // SeedBinary
	Denial        Ability = "denial"          // Deny
	Throttling    Ability = "throttling"      // Throttle
	Hanging       Ability = "hanging"         // Hang
	Breaking      Ability = "breaking"        // Break
	Proxied       Ability = "proxied"         // Between
	Expiring      Ability = "expiring"        // Expire and Refuse
	Counting      Ability = "counting"        // Requests and MostAtOnce
	Lying         Ability = "lying"           // Liar and Elsewhere
	Naming        Ability = "naming"          // an answer names the secret that it is of
	Writing       Ability = "writing"         // Backend.Source is a Store
	WriteDenial   Ability = "write denial"    // DenyWrites
	Rotation      Ability = "rotation"        // Rotate
	Metadata      Ability = "metadata"        // Metadata
	VersionCount  Ability = "version count"   // Versions
	Recovery      Ability = "recovery"        // a deleted secret can be brought back
	CompareAndSet Ability = "compare and set" // the backend itself refuses a write over an unexpected version
	CreateOnce    Ability = "create once"     // the backend itself refuses to make what is there
)

// Setup is a backend as the suite sees it.
type Setup struct {
	// Start returns a backend without any secret, and a source of it. Each test
	// starts its own; a server may serve several as long as nothing is left of
	// the one before. o is to be handed to the Opener, with Write as it is: what
	// the source logs and warns of is looked through for values. The source
	// should not wait long between attempts.
	Start func(t *testing.T, o sources.Options) *Backend
	// Column is what the backend is called in docs/backends/README.md, whose table
	// is then held against what the suite shows; empty where another setup of the
	// same backend stands for it there.
	Column string
	// Lacks says of each ability that the backend does not have why that is so.
	Lacks map[Ability]string
	// Names are allowed, and at the limits of what is: the longest one, one of
	// each kind of character, one that another layer might take for a path.
	Names []string
	// BadNames are refused with the kind BadName, and without a request.
	BadNames []string
	// Foreign are names that others make in the backend, and we do not: they are
	// read as any, and a write is refused with the kind BadName, without a request.
	Foreign []string
	// AtOnce is the most requests that a source has under way.
	AtOnce int
	// Many is how many secrets are asked for at once; 0 means 500. Fewer are for
	// a server that is slow and has a quicker stand-in that takes them all.
	Many int
	// Stays says that the credentials are in the settings themselves, so that there
	// are no others to be had when they have expired: then the source fails with
	// the kind NoLogin. Any other signs in anew, once, and says so.
	Stays bool
	// Resends is how often the client itself sends a request whose token is
	// refused: 0 means once. A challenge may be a part of the protocol.
	Resends int
}

// Backend is one started backend. A hook that is nil is an ability that is
// lacking.
type Backend struct {
	// Source is what is tested: a [sources.Store], unless Writing is lacking.
	Source sources.Source
	// Again returns another source of the same backend, as another process has it.
	Again func() sources.Source

	// Seed stores a text, as a person would who does not know of us: without a
	// mark where there is no secret yet, else as a new value.
	Seed func(name, text string)
	// SeedAll does the same for many, where that is quicker; nil for one by one.
	SeedAll func(texts map[string]string)
	// SeedBinary does the same for bytes that are not UTF-8 text.
	SeedBinary func(name string, b []byte)

	Deny       func(name string) // this secret may not be read; it was seeded
	DenyWrites func()            // nothing may be created, changed or deleted; reading and looking are allowed
	Throttle   func()            // every request is one too many
	Hang       func()            // no request gets an answer
	Break      func()            // no request gets a usable answer
	Between    func()            // every request is answered by a firewall in between, with 403 and a page
	Expire     func(after int)   // the present credentials are refused once so many requests were answered; others can be had
	Refuse     func()            // no credentials are accepted any more, whatever they are
	Rotate     func(name string) // the backend is to rotate this secret by itself; it is ours

	Liar      *cloudtest.Liar // stands before the server, for all requests
	Elsewhere string          // the address of another host: see [cloudtest.Lies]

	Requests   func() int            // requests so far, without those for signing in
	MostAtOnce func() int            // the most that were under way together
	Versions   func(name string) int // how many versions of a secret the backend has
	Metadata   func() string         // all that is kept beside the values: tags, labels, descriptions, indexes
}

// has returns the hooks that b has, by ability.
func (b *Backend) has() map[Ability]bool {
	_, store := b.Source.(sources.Store)
	return map[Ability]bool{
		Binary: b.SeedBinary != nil, Denial: b.Deny != nil, Throttling: b.Throttle != nil, Hanging: b.Hang != nil,
		Breaking: b.Break != nil, Proxied: b.Between != nil, Expiring: b.Expire != nil && b.Refuse != nil, Counting: b.Requests != nil && b.MostAtOnce != nil, Lying: b.Liar != nil,
		Writing: store, WriteDenial: b.DenyWrites != nil, Rotation: b.Rotate != nil, Metadata: b.Metadata != nil,
		VersionCount: b.Versions != nil,
	}
}

// check finds what is neither there nor explained, and what is both.
func (s Setup) check(b *Backend) error {
	has := b.has()
	if store, ok := b.Source.(sources.Store); ok && store.Traits().Recoverable != (s.Lacks[Recovery] == "") {
		return fmt.Errorf("the store says of recovery %v, and the setup gives the reason %q why it lacks it", store.Traits().Recoverable, s.Lacks[Recovery])
	}
	for _, ability := range slices.Sorted(maps.Keys(has)) {
		reason, lacked := s.Lacks[ability]
		switch writes := ability == WriteDenial || ability == Rotation || ability == Metadata || ability == VersionCount; {
		case writes && s.Lacks[Writing] != "":
		case has[ability] && lacked:
			return fmt.Errorf("the backend has %q, and yet says that it lacks it: %s", ability, reason)
		case !has[ability] && reason == "":
			return fmt.Errorf("the backend lacks %q and gives no reason", ability)
		}
	}
	return nil
}

// trace collects what a source says, to be looked through at the end.
type trace struct {
	mu   sync.Mutex
	text []byte
}

func (l *trace) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	return len(b), nil
}

func (l *trace) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

func (l *trace) options(write bool) sources.Options {
	return sources.Options{
		Getenv: os.LookupEnv,
		Warn:   func(line string) { fmt.Fprintln(l, line) },
		Log:    slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Write:  write,

		CallTimeout: limit, // a busy machine is no backend that hangs
	}
}
