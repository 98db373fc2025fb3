//go:build unix

package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

type secretKey struct{ Name, Key string }

// podMonitor is as much of the Prometheus Operator's object as the file uses.
type podMonitor struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   metadata
	Spec       struct {
		Selector struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		}
		Endpoints []struct {
			Port, Path  string
			BasicAuth   *struct{ Username, Password secretKey } `yaml:"basicAuth"`
			Relabelings []struct {
				Source             []string `yaml:"sourceLabels"`
				Regex, Replacement string
				TargetLabel        string `yaml:"targetLabel"`
			}
		} `yaml:"podMetricsEndpoints"`
	}
}

// scraped returns where Prometheus goes for a pod: the Operator makes a target of each
// port of that name, and Prometheus relabels it.
func (m *podMonitor) scraped() (all []string) {
	for _, e := range m.Spec.Endpoints {
		labels := map[string]string{"__address__": fmt.Sprintf("[fd00::1]:%d", imagePort)}
		for _, r := range e.Relabelings {
			var from []string
			for _, name := range r.Source {
				from = append(from, labels[name])
			}
			match := regexp.MustCompile("^(?:" + cmp.Or(r.Regex, "(.*)") + ")$")
			if text := strings.Join(from, ";"); match.MatchString(text) {
				labels[r.TargetLabel] = match.ReplaceAllString(text, r.Replacement)
			}
		}
		all = append(all, e.Port+" "+labels["__address__"]+e.Path)
	}
	return all
}

// This program is scraped at the port of its probes, and Bifrost at its own: in the pods
// that the manifests make. What is wrong with the one does not take the other away.
func TestDeployPodMonitor(t *testing.T) {
	t.Parallel()
	dec := yaml.NewDecoder(strings.NewReader(deployed(t, "monitoring/podmonitor.yaml")))
	dec.KnownFields(true)
	for _, want := range []struct{ name, scraped string }{{"bifrost-secrets", "http [fd00::1]:9181/metrics"}, {"bifrost", "http [fd00::1]:8080/metrics"}} {
		var m podMonitor
		if err := dec.Decode(&m); err != nil {
			t.Fatal(err)
		}
		if m.APIVersion != "monitoring.coreos.com/v1" || m.Kind != "PodMonitor" || m.Metadata.Name != want.name || !slices.Equal(m.scraped(), []string{want.scraped}) {
			t.Errorf("%s %s scrapes %q, want %+v", m.Kind, m.Metadata.Name, m.scraped(), want)
		}
		if auth := m.Spec.Endpoints[0].BasicAuth; (auth != nil) != (want.name == "bifrost") {
			t.Errorf("%s signs in as %+v", want.name, auth)
		}
		for _, name := range []string{"exec", "sidecar"} {
			c := kubernetes(t, name)
			if !within(m.Spec.Selector.MatchLabels, c.labels) || c.pod.Containers[0].port("http") != imagePort || c.ours(t).port("probes") != 9181 {
				t.Errorf("the pods of %s have the labels %v", name, c.labels)
			}
		}
	}
}
