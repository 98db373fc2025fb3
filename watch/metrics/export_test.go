package metrics

import "github.com/prometheus/client_golang/prometheus/collectors"

// Own leaves our own metrics alone: those of the process are read from /proc each time.
func (m *Metrics) Own() *Metrics {
	m.registry.Unregister(collectors.NewGoCollector())
	m.registry.Unregister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}
