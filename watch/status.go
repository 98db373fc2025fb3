package watch

import (
	"fmt"
	"maps"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
)

// Status is what may be seen of a watcher from outside. It holds no value of a
// secret.
type Status struct {
	Version    string            `json:"version"` // of this program
	Host       string            `json:"host,omitempty"`
	Source     string            `json:"source,omitempty"`
	Config     string            `json:"config"`
	Out        string            `json:"out"`
	Mode       string            `json:"mode"`
	Apply      string            `json:"apply"`
	Ready      bool              `json:"ready"`
	NotReady   string            `json:"not_ready,omitempty"` // why it is not
	Last       *Attempt          `json:"last_refresh,omitempty"`
	Recent     []Attempt         `json:"-"` // the last refreshes and starts of Bifrost, oldest first
	Success    time.Time         `json:"last_success"`
	Next       time.Time         `json:"next_refresh"`
	References []ReferenceStatus `json:"references"`
	Problems   []string          `json:"problems"`            // of the last refresh, a line each
	Hints      []string          `json:"hints,omitempty"`     // what to do about them and about what Bifrost does not have, each once
	Failing    *Lasting          `json:"failing,omitempty"`   // refreshes have problems
	Unapplied  *Lasting          `json:"unapplied,omitempty"` // Bifrost does not have all
	Bifrost    *BifrostStatus    `json:"bifrost,omitempty"`

	// What was refreshed and Bifrost does not have: the fields, with an edited
	// document as one of them, that wait for a restart of it, and those that could
	// not be applied and are tried again.
	RestartRequired int `json:"restart_required"`
	NotApplied      int `json:"not_applied"`

	// Unusable says why config.json as it stands is not in force: a restart of this
	// program would end with it.
	Unusable string `json:"document_unusable,omitempty"`
	// LastGood is when the values of an earlier life, which serve until there are
	// newer ones, were had.
	LastGood time.Time `json:"last_good,omitzero"`

	// Cluster are the watchers that share a database, where that was asked for.
	Cluster []Peer `json:"cluster,omitempty"`

	// LogDropped is how many log lines this process could not write.
	LogDropped uint64 `json:"log_lines_dropped"`
}

// Lasting is a state that should not last.
type Lasting struct {
	Since time.Time `json:"since"`
	Tries int       `json:"tries"` // that have ended in it
}

// Attempt is one refresh; or, with [Restarted] as its trigger and no result, a start
// of Bifrost.
type Attempt struct {
	Trigger Trigger       `json:"trigger"`
	At      time.Time     `json:"at"`
	Took    time.Duration `json:"took_ns"`
	Result  string        `json:"result"` // unchanged, changed, partly failed, failed
	Calls   int           `json:"calls"`
}

// ReferenceStatus is what is known of one reference.
type ReferenceStatus struct {
	Path        string    `json:"path"`
	Reference   string    `json:"reference"`
	Secret      string    `json:"secret,omitempty"`
	Version     string    `json:"version,omitempty"`
	Fetched     time.Time `json:"fetched_at"` // when the value in force last came from the source
	Age         int64     `json:"age_seconds"`
	Fresh       bool      `json:"fresh"` // the last refresh has brought it
	State       State     `json:"state"`
	Since       time.Time `json:"since,omitzero"` // when Bifrost got, or did not get, the value in force
	Reason      string    `json:"reason,omitempty"`
	Fingerprint string    `json:"fingerprint"` // keyed, with a key of this process: equal values have equal ones
}

// BifrostStatus is what is known of the supervised process or of the Bifrost
// that is spoken to.
type BifrostStatus struct {
	PID      int       `json:"pid,omitempty"`
	Started  time.Time `json:"started,omitzero"`
	Restarts int       `json:"restarts"`
	API      string    `json:"api,omitempty"`     // its address
	Version  string    `json:"version,omitempty"` // as its API tells
	Turn     string    `json:"turn,omitempty"`    // how it stands with the turn to restart, in a cluster
	Waiting  bool      `json:"waiting_for_turn,omitempty"`
}

// Words returns the age of the value in force and what became of it, for people.
func (r *ReferenceStatus) Words() (age, state string) {
	age, state = "-", string(r.State)
	if !r.Fetched.IsZero() {
		age = Span(time.Duration(r.Age) * time.Second)
	}
	if !r.Fresh {
		age += " (stale)"
	}
	if r.State == LastGood {
		state += " in force"
	}
	if !r.Since.IsZero() && (r.Reason != "" || r.State == LastGood) {
		state += " since " + r.Since.UTC().Format(time.RFC3339)
	}
	if r.Reason != "" {
		state += ": " + r.Reason
	}
	return age, state
}

// Span returns a time span in its two largest units.
func Span(d time.Duration) string {
	d = max(d, 0)
	days, hours, minutes, seconds := int(d/(24*time.Hour)), int(d/time.Hour)%24, int(d/time.Minute)%60, int(d/time.Second)%60
	switch {
	case days > 0:
		return fmt.Sprintf("%dd%dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh%dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm%ds", minutes, seconds)
	}
	return fmt.Sprintf("%ds", seconds)
}

// Rendering is what is in force, and nil before the first.
func (l *Loop) Rendering() *render.Rendering {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.good.rendering
}

// InForce is Rendering, with the values by the name of the secret.
func (l *Loop) InForce() (*render.Rendering, render.Values) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.good.rendering, maps.Clone(l.good.results)
}

// Source is what the values in force come from, and nil where there is none.
func (l *Loop) Source() sources.Source {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.good.job == nil {
		return nil
	}
	return l.good.job.Source
}
