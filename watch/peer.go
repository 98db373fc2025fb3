package watch

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"bifrost-secrets/sources"
)

// Peer is one of the watchers that share a database, as it has told of itself
// there: names, versions and times. It holds no value of a secret, and nothing
// derived from one.
type Peer struct {
	ID         string    `json:"id"`
	Host       string    `json:"host"`
	Version    string    `json:"version"`           // of this program
	Bifrost    string    `json:"bifrost,omitempty"` // its Bifrost's version, where it is known
	Source     string    `json:"source,omitempty"`
	Refreshed  time.Time `json:"last_refresh"` // whatever came of it
	Seen       time.Time `json:"seen_at"`
	Turn       bool      `json:"turn"` // it may restart its Bifrost now
	References []Held    `json:"references"`
	Unread     bool      `json:"unread,omitempty"` // what it tells of its references is too much, or not understood
	Behind     []string  `json:"behind"`           // the references that others have newer, or that its Bifrost does not have yet
}

// Held is the version that a watcher has of a reference.
type Held struct {
	Reference string    `json:"reference"`
	Version   string    `json:"version,omitempty"`
	Since     time.Time `json:"since,omitzero"` // when its Bifrost got it, or did not
	State     State     `json:"state,omitempty"`
	Fresh     bool      `json:"fresh"` // its last refresh has brought it
}

// Peer returns what a watcher tells the others of itself.
func (s *Status) Peer() Peer {
	p := Peer{Host: s.Host, Version: s.Version, Source: s.Source}
	if s.Bifrost != nil {
		p.Bifrost = s.Bifrost.Version
	}
	if s.Last != nil {
		p.Refreshed = s.Last.At
	}
	// A file's version is a time of this host's own.
	local := strings.HasPrefix(s.Source, sources.File.Type+" ")
	at := map[string]int{}
	for i := range s.References {
		r := &s.References[i]
		if r.Secret == "" {
			continue
		}
		h := Held{Reference: r.Reference, Version: r.Version, Since: r.Since, State: r.State, Fresh: r.Fresh}
		if local {
			h.Version = ""
		}
		if j, ok := at[r.Reference]; !ok {
			at[r.Reference] = len(p.References)
			p.References = append(p.References, h)
		} else if had := &p.References[j]; had.lacking() < h.lacking() || had.lacking() == h.lacking() && had.Since.Before(h.Since) {
			*had = h // of its fields, the one that is worst off
		}
	}
	return p
}

// lacking is 1 where Bifrost does not have the version, and 0 otherwise.
func (h *Held) lacking() int {
	if h.State == RestartRequired || h.State == Failed || h.State == Refused {
		return 1
	}
	return 0
}

// Compare finds who is behind, and sorts the watchers by their hosts. The newest
// version of a reference is the one that the watcher has which refreshed last and
// got it: versions of themselves have no order.
func Compare(all []Peer) {
	type name struct{ source, reference string }
	newest := map[name]string{}
	for _, p := range slices.SortedStableFunc(slices.Values(all), func(a, b Peer) int { return a.Refreshed.Compare(b.Refreshed) }) {
		for _, h := range p.References {
			if h.Fresh {
				newest[name{p.Source, h.Reference}] = h.Version
			}
		}
	}
	for i := range all {
		p := &all[i]
		p.Behind = []string{}
		for j := range p.References {
			h := &p.References[j]
			if now, ok := newest[name{p.Source, h.Reference}]; ok && now != h.Version || h.lacking() > 0 {
				p.Behind = append(p.Behind, h.Reference)
			}
		}
	}
	slices.SortFunc(all, func(a, b Peer) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.ID, b.ID)) })
}

// Spread is a version of a reference, with who has it.
type Spread struct {
	Source, Reference, Version string

	First, Last time.Time // since when, of all that have it
	Hosts       []string
}

// SpreadOf returns the versions that watchers have, by reference; of one that more
// than one version is had of, the one that came last is the first.
func SpreadOf(all []Peer) (out []Spread) {
	type key struct{ source, reference, version string }
	at := map[key]int{}
	for i := range all {
		for _, h := range all[i].References {
			k := key{all[i].Source, h.Reference, h.Version}
			j, ok := at[k]
			if !ok {
				j, at[k] = len(out), len(out)
				out = append(out, Spread{Source: k.source, Reference: k.reference, Version: k.version, First: h.Since, Last: h.Since})
			}
			s := &out[j]
			if h.Since.Before(s.First) {
				s.First = h.Since
			}
			if h.Since.After(s.Last) {
				s.Last = h.Since
			}
			s.Hosts = append(s.Hosts, all[i].Host)
		}
	}
	slices.SortStableFunc(out, func(a, b Spread) int {
		return cmp.Or(cmp.Compare(a.Reference, b.Reference), cmp.Compare(a.Source, b.Source), b.Last.Compare(a.Last))
	})
	return out
}

// Words returns what a watcher is behind with, for people.
func (p *Peer) Words() string {
	switch {
	case p.Unread:
		return "not known"
	case len(p.Behind) == 0:
		return "-"
	}
	return some(p.Behind)
}

// Turns says whether it is the watcher's turn.
func (p *Peer) Turns() string {
	if p.Turn {
		return "now"
	}
	return "-"
}

// Words returns who has a version, of so many watchers.
func (s *Spread) Words(watchers int) string {
	if len(s.Hosts) == watchers {
		return "all"
	}
	return some(s.Hosts)
}

// Span returns since when a version is had.
func (s *Spread) Span() string {
	if s.First.IsZero() {
		return "-"
	}
	first, last := s.First.UTC().Format(time.RFC3339), s.Last.UTC().Format(time.RFC3339)
	if first == last {
		return first
	}
	return first + " to " + last
}

// some names the first of a list, and how many there are.
func some(list []string) string {
	const most = 3
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return strings.Join(list[:most], ", ") + " and " + strconv.Itoa(len(list)-most) + " more"
}
