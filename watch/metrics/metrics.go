// Package metrics shows the loop to Prometheus. The names, labels and label
// values are a promise: docs/metrics.md lists them all, and a test holds the
// page against the code.
package metrics

import (
	"log/slog"
	"net/http"
	"runtime"
	"strings"

	"bifrost-secrets/sources"
	"bifrost-secrets/watch"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// namespace begins the name of every metric of this program.
const namespace = "bifrost_secrets_"

// The words that may stand in a label. Every combination is there from the
// start: of a counter that appears with its first event, a rate never sees that
// event.
var (
	triggers = []watch.Trigger{watch.Start, watch.Tick, watch.Flush, watch.Signal, watch.File, watch.Notify, watch.Retry, watch.Restarted}
	results  = []string{"unchanged", "changed", "partly failed", "failed"}
	kinds    = []sources.Kind{
		sources.NotFound, sources.Denied, sources.Disabled, sources.Throttled, sources.Unreachable,
		sources.NoLogin, sources.Unusable, sources.BadName, sources.BadSettings,
		watch.BadDocument, watch.NotWritten, watch.DiskFull, "",
	}
	appliers = []string{"api", "restart", "command", "none"}
	states   = []watch.State{
		watch.Verified, watch.Unverifiable, watch.InForce, watch.Delivered, watch.RestartRequired, watch.Refused, watch.Failed,
	}
	turns = []string{watch.TurnTaken, watch.TurnWithout, watch.TurnKept, watch.TurnRejected}
)

// Metrics counts what the loop tells it, and reads the rest from the loop's
// status when it is asked. It implements [watch.Observer].
type Metrics struct {
	registry *prometheus.Registry

	refreshes *prometheus.CounterVec
	duration  prometheus.Histogram
	fetches   *prometheus.CounterVec
	calls     *prometheus.CounterVec
	failures  *prometheus.CounterVec
	applies   *prometheus.CounterVec
	restarts  prometheus.Counter
	turns     *prometheus.CounterVec
}

// New makes the metrics of one process. version is that of this program. What is
// read from the loop's status is added by [Metrics.Follow], since the loop is
// made with its observer.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		refreshes: counter("refreshes_total", "Refreshes, by what caused them and how they ended.",
			"trigger", "result"),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: namespace + "refresh_duration_seconds", Help: "How long a refresh took: fetching, rendering and publishing.",
			// From a refresh without a change out of files to one that ends at the
			// default --timeout and beyond.
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
		fetches:  counter("fetches_total", "Secrets that were asked for, by source.", "source"),
		calls:    counter("backend_calls_total", "Requests that were made for them, by source.", "source"),
		failures: counter("failures_total", "Failures to get a usable value, by kind; each secret counts once in each refresh.", "kind"),
		applies:  counter("applies_total", "Changed fields, by how they were applied and what became of them.", "kind", "state"),
		restarts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: namespace + "restarts_total", Help: "Times that the supervised Bifrost was started again.",
		}),
		turns: counter("restart_turns_total", "Restarts for new values in a cluster, by what became of the turn that they wait for.", "result"),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: namespace + "build_info", Help: "Always 1; the labels say what is running.",
	}, []string{"version", "go_version"})
	build.WithLabelValues(version, runtime.Version()).Set(1)
	for _, trigger := range triggers {
		for _, result := range results {
			m.refreshes.WithLabelValues(word(trigger), word(result))
		}
	}
	for _, kind := range kinds {
		m.failures.WithLabelValues(kindWord(kind))
	}
	for _, kind := range appliers {
		for _, state := range states {
			m.applies.WithLabelValues(kind, word(state))
		}
	}
	for _, what := range turns {
		m.turns.WithLabelValues(word(what))
	}
	m.registry.MustRegister(m.refreshes, m.duration, m.fetches, m.calls, m.failures, m.applies, m.restarts, m.turns, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: namespace + name, Help: help}, labels)
}

// word spells a word as a label value: `restart_required`.
func word[T ~string](text T) string { return strings.ReplaceAll(string(text), " ", "_") }

// kindWord is word for a kind.
func kindWord(kind sources.Kind) string {
	if kind == "" {
		return "other"
	}
	return word(kind)
}

// Follow adds what is read from the status at each scrape: ages, times and how
// many fields are in which state. status must be safe for concurrent use. It is
// called once.
func (m *Metrics) Follow(status func() watch.Status) {
	m.registry.MustRegister(&follower{status: status})
}

// Refreshed implements [watch.Observer].
func (m *Metrics) Refreshed(a watch.Attempt, failures map[sources.Kind]int, fetched int, source string) {
	m.refreshes.WithLabelValues(word(a.Trigger), word(a.Result)).Inc()
	m.duration.Observe(a.Took.Seconds())
	if source != "" {
		m.fetches.WithLabelValues(source).Add(float64(max(fetched, 0)))
		m.calls.WithLabelValues(source).Add(float64(max(a.Calls, 0)))
	}
	for kind, n := range failures {
		m.failures.WithLabelValues(kindWord(kind)).Add(float64(max(n, 0)))
	}
}

// Applied implements [watch.Observer].
func (m *Metrics) Applied(kind string, outcomes []watch.Outcome) {
	for i := range outcomes {
		m.applies.WithLabelValues(word(kind), word(outcomes[i].State)).Inc()
	}
}

// Restarted implements [watch.Observer].
func (m *Metrics) Restarted() { m.restarts.Inc() }

// Turned implements [watch.Observer].
func (m *Metrics) Turned(what string) { m.turns.WithLabelValues(word(what)).Inc() }

// Gatherer returns the metrics to code that wants more than a page of them.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// scrapes is how many scrapes are answered at a time.
const scrapes = 4

// Handler answers scrapes. What cannot be gathered is told to log.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		MaxRequestsInFlight: scrapes,
		EnableOpenMetrics:   true,
	})
}
