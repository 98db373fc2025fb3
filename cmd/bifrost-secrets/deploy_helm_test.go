//go:build unix

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"bifrost-secrets/cmd/internal/variables"
	"bifrost-secrets/sources/awssecrets/awstest"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// chartValues is as much of the values of Bifrost's chart as the file uses.
type chartValues struct {
	Image          struct{ Repository, Tag string }
	ServiceAccount struct{ Annotations map[string]string } `yaml:"serviceAccount"`
	Env            []struct{ Name, Value string }
	Bifrost        struct {
		EncryptionKey string `yaml:"encryptionKey"`
		AuthConfig    struct {
			IsEnabled     bool   `yaml:"isEnabled"`
			AdminUsername string `yaml:"adminUsername"`
			AdminPassword string `yaml:"adminPassword"`
		} `yaml:"authConfig"`
		Providers map[string]struct {
			Keys []struct {
				Name   string   `json:"name"`
				Value  string   `json:"value"`
				Models []string `json:"models"`
				Weight int      `json:"weight"`
			} `json:"keys"`
		}
	}
	Storage         struct{ Mode string }
	Strategy        struct{ Type string }
	Readiness       probe `yaml:"readinessProbe"`
	PodSecurity     any   `yaml:"podSecurityContext"`
	SecurityContext any   `yaml:"securityContext"`
	Volumes         any
	VolumeMounts    any `yaml:"volumeMounts"`
}

// The chart's own paths.
const (
	chartAppDir = imageAppDir
	chartConfig = chartAppDir + "/config.json"
)

// helmPod is what runs Bifrost by the chart.
type helmPod struct {
	kind      string
	pod       pod
	container container
	config    string   // the text of config.json
	claims    []string // the volumes that outlast the pod
	labels    map[string]string
}

// byHand returns the pod that the chart makes of the values, as far as its paths go.
func byHand(t *testing.T, v *chartValues) *helmPod {
	t.Helper()
	both := map[string]any{
		"securityContext": v.PodSecurity, "volumes": v.Volumes, "terminationGracePeriodSeconds": 60,
		"containers": []any{map[string]any{"name": "bifrost", "volumeMounts": v.VolumeMounts, "securityContext": v.SecurityContext}},
	}
	text, err := yaml.Marshal(both)
	if err != nil {
		t.Fatal(err)
	}
	h := &helmPod{kind: "StatefulSet", claims: []string{"data"}}
	strict(t, string(text), &h.pod)
	h.container = h.pod.Containers[0]
	h.container.Readiness = &v.Readiness
	data := h.container.VolumeMounts[0]
	data.Name, data.MountPath = "data", chartAppDir
	h.container.VolumeMounts = append(h.container.VolumeMounts, data)
	config, err := json.Marshal(map[string]any{
		"encryption_key": v.Bifrost.EncryptionKey, "providers": v.Bifrost.Providers,
		"auth_config":  map[string]any{"is_enabled": true, "admin_username": v.Bifrost.AuthConfig.AdminUsername, "admin_password": v.Bifrost.AuthConfig.AdminPassword},
		"config_store": map[string]any{"enabled": true, "type": "sqlite", "config": map[string]any{"path": chartAppDir + "/config.db"}},
		"logs_store":   map[string]any{"enabled": true, "type": "sqlite", "config": map[string]any{"path": chartAppDir + "/logs.db"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.config = string(config)
	return h
}

// upgrades are the lines of docs/kubernetes.md that install.
var upgrades = regexp.MustCompile(`(?m)^helm upgrade --install bifrost bifrost/bifrost (.*)$`)

// rendered has a real Helm render a real chart, as a line of docs/kubernetes.md does.
func rendered(t *testing.T, flags string) *helmPod {
	t.Helper()
	tool, chart := os.Getenv("HELM_BIN"), os.Getenv("BIFROST_CHART")
	if tool == "" || chart == "" {
		t.Skip("HELM_BIN and BIFROST_CHART name no helm and no chart of Bifrost")
	}
	cmd := exec.Command(tool, append([]string{"template", "bifrost", chart}, strings.Fields(flags)...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		var ended *exec.ExitError
		errors.As(err, &ended)
		t.Fatalf("%v\n%s", err, ended.Stderr)
	}
	h := &helmPod{}
	dec := yaml.NewDecoder(strings.NewReader(string(out)))
	for {
		var m struct {
			Kind string
			Data map[string]string
			Spec struct {
				Template struct {
					Metadata metadata
					Spec     pod
				}
				Claims []struct{ Metadata metadata } `yaml:"volumeClaimTemplates"`
			}
		}
		err := dec.Decode(&m)
		if err == io.EOF {
			break
		}
		switch {
		case err != nil:
			t.Fatal(err)
		case m.Data["config.json"] != "":
			h.config = m.Data["config.json"]
		case m.Kind == "StatefulSet" || m.Kind == "Deployment":
			h.kind, h.pod, h.container, h.labels = m.Kind, m.Spec.Template.Spec, m.Spec.Template.Spec.Containers[0], m.Spec.Template.Metadata.Labels
			for _, c := range m.Spec.Claims {
				h.claims = append(h.claims, c.Metadata.Name)
			}
		}
	}
	if want := map[string]string{"app.kubernetes.io/name": "bifrost", "app.kubernetes.io/component": "server"}; !within(want, h.labels) || h.container.port("http") != imagePort {
		t.Errorf("deploy/monitoring/podmonitor.yaml does not find it: %v", h.labels)
	}
	for _, m := range h.container.VolumeMounts {
		if m.MountPath == chartConfig && (!m.ReadOnly || m.SubPath != "config.json") {
			t.Errorf("the chart mounts the config otherwise than the page says: %+v", m)
		}
	}
	return h
}

// helmEnvironment returns the environment of the container, and the command line that
// the image has in it.
func helmEnvironment(t *testing.T, v *chartValues) (env map[string]string, args []string) {
	t.Helper()
	all := dockerfile(t)
	env = map[string]string{"APP_DIR": chartAppDir, "APP_PORT": "8080"}
	name, value, _ := strings.Cut(last(t, all, "bifrost", "ENV"), "=")
	env[name] = value
	for _, one := range v.Env {
		env[one.Name] = one.Value
	}
	return env, append(words(t, last(t, all, "bifrost", "ENTRYPOINT"))[1:], words(t, last(t, all, "bifrost", "CMD"))...)
}

// helmExec returns exec as it understands the values.
func helmExec(t *testing.T, v *chartValues) (*cobra.Command, []string) {
	t.Helper()
	env, args := helmEnvironment(t, v)
	cmd, rest := accepted(t, args)
	if err := variables.Set(cmd, func(name string) (string, bool) { value, ok := env[name]; return value, ok }); err != nil {
		t.Fatal(err)
	}
	for _, one := range variables.Unread(cmd, wholeProgram, slices.Collect(maps.Keys(env))) {
		t.Errorf("%s: %s", one.Text, one.Hint)
	}
	return cmd, rest
}

// helmWays are the pods that docs/kubernetes.md comes to: those of the values alone,
// and, with HELM_BIN and BIFROST_CHART, of each command that it shows.
func helmWays(t *testing.T, do func(t *testing.T, v *chartValues, h *helmPod)) {
	t.Helper()
	v := &chartValues{}
	strict(t, deployed(t, "helm/values.yaml"), v)
	t.Run("values", func(t *testing.T) { do(t, v, byHand(t, v)) })
	lines := upgrades.FindAllStringSubmatch(pages(t)["docs/kubernetes.md"], -1)
	if len(lines) != 2 {
		t.Fatalf("docs/kubernetes.md installs in %d ways", len(lines))
	}
	for i, line := range lines {
		t.Run([]string{"sqlite", "postgres"}[i], func(t *testing.T) { do(t, v, rendered(t, line[1])) })
	}
}

func TestDeployHelm(t *testing.T) {
	t.Parallel()
	helmWays(t, func(t *testing.T, v *chartValues, h *helmPod) {
		cmd, rest := helmExec(t, v)
		if cmd.Name() != "exec" || !slices.Equal(rest, []string{imageScript}) {
			t.Errorf("%s starts %q", cmd.Name(), rest)
		}
		dir := flagOf(cmd, "app-dir")
		if flagOf(cmd, "config") != chartConfig || dir == chartAppDir {
			t.Errorf("%s is read, and written to %s", flagOf(cmd, "config"), dir)
		}
		memory, empty := map[string]bool{}, map[string]bool{}
		for _, volume := range h.pod.Volumes {
			if volume.EmptyDir != nil {
				empty[volume.Name] = true
				memory[volume.Name] = volume.EmptyDir.Medium == "Memory" && volume.EmptyDir.SizeLimit != ""
			}
		}
		socket := strings.TrimPrefix(flagOf(cmd, "listen"), "unix:")
		for _, file := range []string{dir + "/config.json", socket} {
			if !memory[h.container.volume(file)] {
				t.Errorf("%s is not in memory", file)
			}
		}
		if !empty[h.container.volume("/tmp/x")] {
			t.Error("the root is read-only, and so is /tmp")
		}
		var address string
		for _, one := range v.Env {
			if one.Name == variables.Name("address") {
				address = one.Value
			}
		}
		if address != flagOf(cmd, "listen") {
			t.Errorf("it listens on %s, and flush asks at %s", flagOf(cmd, "listen"), address)
		}
		if p := h.container.Readiness.HTTPGet; p.Path != "/readyz" || flagOf(cmd, "probe-listen") != "0.0.0.0:"+p.Port {
			t.Errorf("readiness is asked at %+v", p)
		}
		if r := h.container.Readiness; r.Period*(r.Failure+1) >= 5 { // --drain in Kubernetes
			t.Errorf("Bifrost stops before anybody knows that it is not ready: %+v", r)
		}
		const preStop = 15 // of the chart
		if stop := durationOf(t, cmd, "stop-timeout").Seconds(); float64(h.pod.Grace) <= stop+preStop {
			t.Errorf("the pod has %d s to end, and Bifrost may take %v", h.pod.Grace, stop)
		}
		s, c := h.pod.SecurityContext, h.container.SecurityContext
		if !s.RunAsNonRoot || s.RunAsUser != imageUser || s.FSGroup != imageUser || s.SeccompProfile.Type != "RuntimeDefault" ||
			c.AllowPrivilegeEscalation == nil || *c.AllowPrivilegeEscalation || !c.ReadOnlyRootFilesystem || !slices.Equal(c.Capabilities.Drop, []string{"ALL"}) {
			t.Errorf("it is not locked down: %+v, %+v", s, c)
		}
		// The block comes from the variables.
		if !strings.HasPrefix(flagOf(cmd, "vault-type"), "aws-") || !strings.HasPrefix(flagOf(cmd, "vault-set"), "region=") {
			t.Errorf("the backend is %s with %s", flagOf(cmd, "vault-type"), flagOf(cmd, "vault-set"))
		}
		if strings.Count(h.config, "vault.bifrost/") < 3 {
			t.Errorf("the config has not the references of the values: %s", h.config)
		}
		for _, file := range sqliteFiles(t, h.config) {
			if !path.IsAbs(file) || !slices.Contains(h.claims, h.container.volume(file)) {
				t.Errorf("%s ends with the pod", file)
			}
		}
		if want := map[bool]string{true: "StatefulSet", false: "Deployment"}[len(h.claims) > 0]; h.kind != want {
			t.Errorf("it is a %s", h.kind)
		}
	})
}

// sqliteFiles returns the databases of a config that are files.
func sqliteFiles(t *testing.T, config string) (files []string) {
	t.Helper()
	type store struct {
		Type   string
		Config struct{ Path string }
	}
	var c struct {
		ConfigStore store `json:"config_store"`
		LogsStore   store `json:"logs_store"`
	}
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		t.Fatal(err)
	}
	for _, one := range []store{c.ConfigStore, c.LogsStore} {
		if one.Type == "sqlite" {
			files = append(files, one.Config.Path)
		}
	}
	return files
}

// The commands that docs/kubernetes.md shows are ones that the program takes, and its
// files are there.
func TestKubernetesDocs(t *testing.T) {
	t.Parallel()
	page := pages(t)["docs/kubernetes.md"]
	n := 0
	for _, m := range regexp.MustCompile(`(?m)-- bifrost-secrets ([a-z].*)$`).FindAllStringSubmatch(page+deployed(t, "helm/values.yaml"), -1) {
		accepted(t, strings.Fields(m[1]))
		n++
	}
	for _, m := range regexp.MustCompile(`(?:-f|--file) (\S+)`).FindAllStringSubmatch(page, -1) {
		if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
			t.Error(err)
		}
		n++
	}
	for _, m := range regexp.MustCompile(variables.Prefix+`[A-Z_]+`).FindAllString(page, -1) {
		for _, one := range variables.Unread(&cobra.Command{}, wholeProgram, []string{m}) {
			t.Error(one.Text, one.Hint)
		}
		n++
	}
	if n < 15 {
		t.Errorf("only %d were found", n)
	}
}

// helmScript stands in for Bifrost's: it says which app dir it was given.
const helmScript = `#!/bin/sh
trap 'echo term; exit 0' TERM
echo "started in $APP_DIR with $(env | grep -c ^BIFROST_SECRETS_) of ours, $(grep -o 'sk-CANARY-[0-9]*' "$APP_DIR/config.json")"
while :; do sleep 1 & wait $!; done
`

// The values, run as the chart has it: the config mounted read-only in Bifrost's app
// dir, an app dir in memory as Kubernetes makes one, and variables in place of flags.
func TestDeployHelmRuns(t *testing.T) {
	t.Parallel()
	helmWays(t, func(t *testing.T, v *chartValues, h *helmPod) {
		if len(h.claims) == 0 {
			t.Skip("no PostgreSQL is where the page says")
		}
		s := newStage(t, "{}")
		s.write(s.root+chartConfig, s.at(h.config))
		for file, mode := range map[string]os.FileMode{chartConfig: 0o444, "/run/bifrost": 0o777 | os.ModeSetgid, "/run/bifrost-secrets": 0o777 | os.ModeSetgid} {
			if err := os.Chmod(s.root+file, mode); err != nil {
				t.Fatal(err)
			}
		}
		s.program(s.root+imageScript, helmScript)
		f := awstest.StartFake(t)
		for name, value := range f.Env() {
			s.env = append(s.env, name+"="+value)
		}
		put := func(key string) {
			for name, value := range map[string]string{"encryption-key": "CANARY-encryption-key", "admin-password": "CANARY-password-1", "openai": `{"primary":"` + key + `"}`} {
				f.PutIn(awstest.Account, "eu-west-1", "bifrost/"+name, value)
			}
		}
		put("sk-CANARY-0001")
		env, args := helmEnvironment(t, v)
		args = s.all(args)
		outside := slices.Clone(s.env)
		for name, value := range env {
			s.env = append(s.env, name+"="+s.at(value))
			if name != variables.Name("app-dir") && name != variables.Name("config") {
				outside = append(outside, name+"="+s.at(value))
			}
		}
		// The script is no Bifrost with an API.
		s.env = append(s.env, variables.Name("apply")+"=restart", variables.Name("apply-timeout")+"=1s", variables.Name("restart-settle")+"=0s")
		r := s.start(args...)
		r.says("started in " + s.root + "/run/bifrost with 0 of ours, sk-CANARY-0001")
		r.logs("Bifrost does not answer") // and is ready as long as it runs
		s.holds("/run/bifrost/config.json", "CANARY-encryption-key")
		s.alive("health", "--ready")
		put("sk-CANARY-0002")
		s.alive("flush", "--no-wait")
		r.says("started in " + s.root + "/run/bifrost with 0 of ours, sk-CANARY-0002")
		r.signal(syscall.SIGTERM)
		r.ends(0)
		if content, err := os.ReadFile(s.root + chartConfig); err != nil || string(content) != s.at(h.config) {
			t.Errorf("the mounted config: %v", err)
		}
		// The same image without the two paths: what is mounted is not to be moved.
		s.env = outside
		for _, value := range []string{"", s.root + chartConfig} {
			s.env = append(s.env, variables.Name("config")+"="+value)
			r := s.start(args...)
			line := r.logs("is mounted, or read-only")
			if r.ends(125); strings.Contains(line, "mv ") || !strings.Contains(line, "--app-dir DIR") {
				t.Errorf("--config %s: %s", cmp.Or(value, "by default"), line)
			}
		}
	})
}
