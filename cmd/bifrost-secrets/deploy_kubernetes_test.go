//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/render"

	"go.yaml.in/yaml/v3"
)

// manifest is as much of Kubernetes' objects as the files use: a misspelt field is
// one that is not here.
type manifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   metadata
	Data       map[string]string // of a ConfigMap
	Spec       struct {
		Replicas int // of a Deployment
		Strategy struct{ Type string }
		Selector yaml.Node // a Service's has no matchLabels
		Template struct {
			Metadata metadata
			Spec     pod
		}
		Ports []struct { // of a Service
			Name       string
			Port       int
			TargetPort string `yaml:"targetPort"`
		}
	}
}

type metadata struct {
	Name                string
	Labels, Annotations map[string]string
}

type pod struct {
	ServiceAccountName string `yaml:"serviceAccountName"`
	Grace              int    `yaml:"terminationGracePeriodSeconds"`
	SecurityContext    struct {
		RunAsNonRoot   bool                  `yaml:"runAsNonRoot"`
		RunAsUser      int                   `yaml:"runAsUser"`
		RunAsGroup     int                   `yaml:"runAsGroup"`
		FSGroup        int                   `yaml:"fsGroup"`
		SeccompProfile struct{ Type string } `yaml:"seccompProfile"`
	} `yaml:"securityContext"`
	InitContainers []container `yaml:"initContainers"`
	Containers     []container
	Volumes        []struct {
		Name      string
		ConfigMap *struct{ Name string } `yaml:"configMap"`
		Secret    *struct {
			SecretName  string `yaml:"secretName"`
			DefaultMode int    `yaml:"defaultMode"`
		}
		EmptyDir *struct {
			Medium    string
			SizeLimit string `yaml:"sizeLimit"`
		} `yaml:"emptyDir"`
	}
}

type container struct {
	Name, Image   string
	RestartPolicy string `yaml:"restartPolicy"`
	Args          []string
	Ports         []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	Startup         *probe `yaml:"startupProbe"`
	Liveness        *probe `yaml:"livenessProbe"`
	Readiness       *probe `yaml:"readinessProbe"`
	SecurityContext struct {
		AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
		Capabilities             struct{ Drop []string }
	} `yaml:"securityContext"`
	Resources    struct{ Requests, Limits map[string]string }
	VolumeMounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
		SubPath   string `yaml:"subPath"` // of the chart
		ReadOnly  bool   `yaml:"readOnly"`
	} `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
	Period  int                         `yaml:"periodSeconds"`
	Timeout int                         `yaml:"timeoutSeconds"`
	Failure int                         `yaml:"failureThreshold"`
}

// bundle is one of the files.
type bundle struct {
	account, config, service manifest
	pod                      pod
	labels                   map[string]string
	annotations              map[string]string
}

func kubernetes(t *testing.T, name string) *bundle {
	t.Helper()
	c := &bundle{}
	dec := yaml.NewDecoder(bytes.NewReader([]byte(deployed(t, path.Join("kubernetes", name+".yaml")))))
	dec.KnownFields(true)
	for {
		var m manifest
		err := dec.Decode(&m)
		if err == io.EOF {
			return c
		}
		if err != nil {
			t.Fatal(err)
		}
		switch m.APIVersion + "/" + m.Kind {
		case "v1/ServiceAccount":
			c.account = m
		case "v1/ConfigMap":
			c.config = m
		case "v1/Service":
			c.service = m
		case "apps/v1/Deployment":
			c.pod, c.labels, c.annotations = m.Spec.Template.Spec, m.Spec.Template.Metadata.Labels, m.Spec.Template.Metadata.Annotations
			var selects struct {
				MatchLabels map[string]string `yaml:"matchLabels"`
			}
			if err := m.Spec.Selector.Decode(&selects); err != nil || !within(selects.MatchLabels, c.labels) {
				t.Errorf("%s: the deployment selects %v: %v", name, selects, err)
			}
		default:
			t.Errorf("%s: unexpected %s of %s", name, m.Kind, m.APIVersion)
		}
	}
}

// within reports whether whoever selects some selects what has all.
func within(some, all map[string]string) bool {
	for name, value := range some {
		if all[name] != value {
			return false
		}
	}
	return len(some) > 0
}

// volume returns the name of the volume that a path in a container is on.
func (c *container) volume(file string) string {
	for _, m := range c.VolumeMounts {
		if file == m.MountPath || strings.HasPrefix(file, m.MountPath+"/") {
			return m.Name
		}
	}
	return ""
}

func (c *container) port(name string) int {
	for _, p := range c.Ports {
		if p.Name == name {
			return p.ContainerPort
		}
	}
	return 0
}

// ours returns the container that runs this program.
func (c *bundle) ours(t *testing.T) *container {
	t.Helper()
	for _, all := range [][]container{c.pod.InitContainers, c.pod.Containers} {
		for i := range all {
			if len(all[i].Args) > 0 {
				return &all[i]
			}
		}
	}
	t.Fatal("no container has arguments")
	return nil
}

// args are the arguments of the program in that container: the image of exec has a
// part of them in its entrypoint.
func (c *container) args(t *testing.T) []string {
	t.Helper()
	if !strings.Contains(c.Image, "bifrost-with-secrets") {
		return c.Args
	}
	return append(words(t, last(t, dockerfile(t), "bifrost", "ENTRYPOINT"))[1:], c.Args...)
}

func TestDeployKubernetes(t *testing.T) {
	t.Parallel()
	const aws = "eks.amazonaws.com/role-arn"
	for name, identity := range map[string]string{
		"exec": aws, "sidecar": aws, "init": aws,
		"../examples/gcp/exec": "iam.gke.io/gcp-service-account", "../examples/azure/exec": "azure.workload.identity/client-id",
	} {
		t.Run(name, func(t *testing.T) {
			c := kubernetes(t, name)
			bifrost, ours := &c.pod.Containers[0], c.ours(t)
			cmd, rest := accepted(t, ours.args(t))
			out := flagOf(cmd, "out")
			if want := map[string]string{"exec": "exec", "sidecar": "watch", "init": "render"}[path.Base(name)]; cmd.Name() != want {
				t.Errorf("it runs %s", cmd.Name())
			}
			if cmd.Name() == "exec" {
				out = flagOf(cmd, "app-dir") + "/config.json"
				if !slices.Equal(rest, []string{imageScript}) {
					t.Errorf("it starts %q", rest)
				}
				if stop := durationOf(t, cmd, "stop-timeout").Seconds(); float64(c.pod.Grace) <= stop {
					t.Errorf("the pod has %d s to end, and Bifrost may take %v", c.pod.Grace, stop)
				}
			}
			if out != imageAppDir+"/config.json" || bifrost.volume(out) == "" || bifrost.volume(out) != ours.volume(out) {
				t.Errorf("%s is on %q here, and on %q in Bifrost's container", out, ours.volume(out), bifrost.volume(out))
			}
			c.volumes(t, map[string]string{"configMap": ours.volume(flagOf(cmd, "config")), "memory": ours.volume(out)})
			if _, ok := c.config.Data[path.Base(flagOf(cmd, "config"))]; !ok || len(c.config.Data) != 1 {
				t.Errorf("the config is %s, and there are %d", flagOf(cmd, "config"), len(c.config.Data))
			}
			if socket, ok := strings.CutPrefix(flagOf(cmd, "listen"), "unix:"); ok && ours.volume(socket) == "" {
				t.Errorf("%s is on a root that is read-only", socket)
			}
			if tokens := flagOf(cmd, "token-file"); tokens != "" && ours.volume(tokens) != "tokens" {
				t.Errorf("there is no %s", tokens)
			}
			if url := flagOf(cmd, "bifrost-url"); url != "" && url != fmt.Sprintf("http://127.0.0.1:%d", bifrost.port("http")) {
				t.Errorf("Bifrost is looked for at %s", url)
			}
			c.probes(t, ours, flagOf(cmd, "probe-listen"))
			c.locked(t)
			if bifrost.port("http") != imagePort {
				t.Errorf("Bifrost's port is %d", bifrost.port("http"))
			}
			version := last(t, append([]instruction{{"", "ARG", ""}}, dockerfile(t)...), "", "ARG")
			if _, tag, _ := strings.Cut(bifrost.Image, ":"); version != "BIFROST_VERSION="+tag {
				t.Errorf("Bifrost is %s here, and %s in the Dockerfile", bifrost.Image, version)
			}
			ports := c.service.Spec.Ports
			if len(ports) == 0 || ports[0].Name != "http" || bifrost.port(ports[0].TargetPort) != imagePort {
				t.Errorf("the service leads to %+v", ports)
			}
			if probes := ours.port("probes"); probes != 0 && (len(ports) != 2 || ports[1].Name != "probes" || ports[1].Port != probes || ports[1].TargetPort != "probes") {
				t.Errorf("the service has not our port: %+v", ports)
			}
			var selects map[string]string
			if err := c.service.Spec.Selector.Decode(&selects); err != nil || !within(selects, c.labels) {
				t.Errorf("the service selects %v", selects)
			}
			if c.pod.ServiceAccountName != c.account.Metadata.Name || c.account.Metadata.Annotations[identity] == "" {
				t.Errorf("the pod runs as %s", c.pod.ServiceAccountName)
			}
			if azure := strings.HasPrefix(identity, "azure."); azure != (c.labels["azure.workload.identity/use"] == "true") {
				t.Errorf("the pod has the labels %v", c.labels)
			}
			_, plan := planOf(t, c.config.Data["config.json"])
			if len(plan.Secrets) < 4 || plan.Mode != render.Inline {
				t.Errorf("the config has the secrets %q", plan.Secrets)
			}
		})
	}
}

// volumes checks that every mount has its volume, every volume its use, and that
// some are of a kind.
func (c *bundle) volumes(t *testing.T, want map[string]string) {
	t.Helper()
	kinds := map[string]string{}
	for _, v := range c.pod.Volumes {
		switch {
		case v.ConfigMap != nil && v.ConfigMap.Name == c.config.Metadata.Name:
			kinds[v.Name] = "configMap"
		case v.Secret != nil && v.Secret.DefaultMode == 0o440:
			kinds[v.Name] = "secret"
		case v.EmptyDir != nil && v.EmptyDir.Medium == "Memory" && v.EmptyDir.SizeLimit != "":
			kinds[v.Name] = "memory"
		case v.EmptyDir != nil && v.EmptyDir.Medium == "":
			kinds[v.Name] = "disk"
		default:
			t.Errorf("the volume %s is of no known kind", v.Name)
		}
	}
	for kind, name := range want {
		if kinds[name] != kind {
			t.Errorf("the volume %q is %s, want %s", name, kinds[name], kind)
		}
	}
	used := map[string]bool{}
	for _, one := range append(slices.Clone(c.pod.InitContainers), c.pod.Containers...) {
		for _, m := range one.VolumeMounts {
			used[m.Name] = true
			if kinds[m.Name] == "" {
				t.Errorf("%s mounts %s, which is no volume", one.Name, m.Name)
			}
			if fixed := kinds[m.Name] == "configMap" || kinds[m.Name] == "secret"; fixed != m.ReadOnly {
				t.Errorf("%s: readOnly of %s is %v", one.Name, m.Name, m.ReadOnly)
			}
		}
	}
	if len(used) != len(kinds) {
		t.Errorf("of %d volumes %d are used", len(kinds), len(used))
	}
}

// probes checks that each leads to what answers it.
func (c *bundle) probes(t *testing.T, ours *container, listen string) {
	t.Helper()
	if listen != "" && listen != fmt.Sprintf("0.0.0.0:%d", ours.port("probes")) {
		t.Errorf("probes are answered at %s, and the port is %d", listen, ours.port("probes"))
	}
	// A pod can name one port to Prometheus: that is Bifrost's own.
	if listen != "" && (c.annotations["prometheus.io/port"] != fmt.Sprint(imagePort) || c.annotations["prometheus.io/path"] != "/metrics") {
		t.Errorf("Prometheus is sent to %v", c.annotations)
	}
	if port, ok := c.service.Metadata.Annotations["prometheus.io/port"]; ok != (listen != "") || ok && (!strings.HasSuffix(listen, ":"+port) || c.service.Metadata.Annotations["prometheus.io/path"] != "/metrics") {
		t.Errorf("Prometheus is sent to %v by the service", c.service.Metadata.Annotations)
	}
	for _, one := range append(slices.Clone(c.pod.InitContainers), c.pod.Containers...) {
		if one.RestartPolicy == "" && len(c.pod.InitContainers) > 0 && one.Name == c.pod.InitContainers[0].Name {
			continue // an init container that ends has none
		}
		for i, p := range []*probe{one.Startup, one.Liveness, one.Readiness} {
			if p == nil {
				if i == 2 && one.RestartPolicy == "Always" {
					continue // a sidecar that is not ready should not take Bifrost's traffic away
				}
				t.Errorf("%s has not all probes", one.Name)
				continue
			}
			paths := map[string][]string{"http": {"/health"}, "probes": {"/healthz", "/readyz"}}[p.HTTPGet.Port]
			if one.port(p.HTTPGet.Port) == 0 || !slices.Contains(paths, p.HTTPGet.Path) || p.Period == 0 {
				t.Errorf("%s: a probe goes to %+v", one.Name, p)
			}
			if i == 1 && p.HTTPGet.Path == "/readyz" {
				t.Errorf("%s is killed when its secrets are old", one.Name)
			}
		}
	}
	if len(c.pod.InitContainers) > 0 && c.pod.InitContainers[0].RestartPolicy == "Always" && c.pod.InitContainers[0].Startup.HTTPGet.Path != "/readyz" {
		t.Error("Bifrost is started before its config is there")
	}
}

// locked checks that nothing may do more than it has to.
func (c *bundle) locked(t *testing.T) {
	t.Helper()
	s := c.pod.SecurityContext
	if !s.RunAsNonRoot || s.RunAsUser != imageUser || s.RunAsGroup != imageUser || s.FSGroup != imageUser || s.SeccompProfile.Type != "RuntimeDefault" {
		t.Errorf("the pod runs as %+v", s)
	}
	for _, one := range append(slices.Clone(c.pod.InitContainers), c.pod.Containers...) {
		s := one.SecurityContext
		if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
			t.Errorf("%s is not locked down: %+v", one.Name, s)
		}
		if one.Resources.Limits["memory"] == "" {
			t.Errorf("%s may take all memory", one.Name)
		}
	}
}
