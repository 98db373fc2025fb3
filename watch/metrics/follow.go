package metrics

import (
	"time"

	"bifrost-secrets/watch"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	readyDesc      = describe("ready", "1 if /readyz says ready, else 0.")
	ageDesc        = describe("oldest_value_age_seconds", "How long ago the oldest value in force last came from its source.")
	successDesc    = describe("last_success_timestamp_seconds", "When a refresh last had no failure, in Unix time; 0 before the first.")
	nextDesc       = describe("next_refresh_timestamp_seconds", "When the next refresh is due, in Unix time; 0 where none is planned.")
	referencesDesc = describe("references", "References that are resolved here.")
	staleDesc      = describe("stale_references", "Those of them that the last refresh did not bring, so that an earlier value is in force.")
	droppedDesc    = describe("log_lines_dropped_total", "Log lines that nobody read in time, or that could not be written.")
	unusableDesc   = describe("document_unusable", "1 if the config as it stands cannot be used, so that the one before it is in force and a start would fail, else 0.")
	unappliedDesc  = describe("not_applied_fields", "Changed fields that Bifrost could not be given, and that are tried again.")
	turnDesc       = describe("restart_turn_waiting", "1 while a restart waits for its turn, else 0.")
	waitingDesc    = describe("restart_required_fields", "Changed fields that wait for a restart of Bifrost.")
)

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+name, help, nil, nil)
}

// follower reads the status at each scrape, so that an age is never older than
// the scrape itself.
type follower struct{ status func() watch.Status }

// Describe implements [prometheus.Collector].
func (f *follower) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{readyDesc, ageDesc, successDesc, nextDesc, referencesDesc, staleDesc, waitingDesc, unappliedDesc, unusableDesc, turnDesc, droppedDesc} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (f *follower) Collect(out chan<- prometheus.Metric) {
	s := f.status()
	gauge := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	var ready, stale, waiting, unusable, turn float64
	var oldest int64
	for i := range s.References {
		r := &s.References[i]
		if !r.Fetched.IsZero() {
			oldest = max(oldest, r.Age)
		}
		if !r.Fresh {
			stale++
		}
		if r.State == watch.RestartRequired {
			waiting++
		}
	}
	if s.Ready {
		ready = 1
	}
	if s.Bifrost != nil && s.Bifrost.Waiting {
		turn = 1
	}
	if s.Unusable != "" {
		unusable = 1
	}
	if !s.LastGood.IsZero() {
		oldest = max(oldest, int64(time.Since(s.LastGood).Seconds()))
	}
	gauge(readyDesc, ready)
	gauge(ageDesc, float64(oldest))
	gauge(successDesc, unix(s.Success))
	gauge(nextDesc, unix(s.Next))
	gauge(referencesDesc, float64(len(s.References)))
	gauge(staleDesc, stale)
	gauge(waitingDesc, max(waiting, float64(s.RestartRequired))) // an edited document is no reference
	gauge(unappliedDesc, float64(s.NotApplied))
	gauge(unusableDesc, unusable)
	gauge(turnDesc, turn)
	out <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64(s.LogDropped))
}

// unix returns t in seconds, and 0 for no time at all.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
