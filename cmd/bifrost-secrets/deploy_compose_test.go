//go:build unix

package main

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"
)

// compose is as much of the Compose Specification as the files use.
type compose struct {
	Name     string
	Services map[string]composeService
	Configs  map[string]struct{ File string }
	Secrets  map[string]struct{ File string }
	Volumes  map[string]*struct{}
}

type composeService struct {
	Build       struct{ Context, Dockerfile, Target string }
	Image       string
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	Environment map[string]string
	Command     []string
	Healthcheck struct {
		Test              []string
		Interval, Timeout time.Duration
		StartPeriod       time.Duration `yaml:"start_period"`
		Retries           int
	}
	Ports           []string
	Configs         []struct{ Source, Target string }
	Secrets         []string
	Volumes         []string
	Tmpfs           []string
	ReadOnly        bool          `yaml:"read_only"`
	CapAdd          []string      `yaml:"cap_add"`
	CapDrop         []string      `yaml:"cap_drop"`
	SecurityOpt     []string      `yaml:"security_opt"`
	StopGracePeriod time.Duration `yaml:"stop_grace_period"`
	Restart         string
}

// composed reads the compose file of a folder of deploy/.
func composed(t *testing.T, folder string) (c compose) {
	t.Helper()
	strict(t, deployed(t, path.Join(folder, "compose.yaml")), &c)
	return c
}

func TestDeployCompose(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{".", "examples/vault", "examples/postgres", "examples/age"} {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			c := composed(t, folder)
			s := c.Services["bifrost"]
			if got := path.Join("deploy", folder, s.Build.Context); got != "." || s.Build.Dockerfile != "deploy/Dockerfile" {
				t.Errorf("it is built in %s from %s", got, s.Build.Dockerfile)
			}
			all := dockerfile(t)
			entry := words(t, last(t, all, s.Build.Target, "ENTRYPOINT"))
			cmd, rest := accepted(t, append(entry[1:], s.Command...))
			if cmd.Name() != "exec" || !slices.Equal(rest, []string{imageScript}) {
				t.Errorf("%s starts %q", cmd.Name(), rest)
			}
			probe, _ := accepted(t, health(t, s.Healthcheck.Test[1], fmt.Sprint(imagePort)))
			if s.Healthcheck.Test[0] != "CMD-SHELL" || len(s.Healthcheck.Test) != 2 || flagOf(probe, "address") != flagOf(cmd, "listen") {
				t.Errorf("the health check is %q", s.Healthcheck.Test)
			}
			if s.Configs[0].Target != flagOf(cmd, "config") || c.Configs[s.Configs[0].Source].File != "./config.json" || len(s.Configs) != len(c.Configs) {
				t.Errorf("the config: %+v %+v", s.Configs, c.Configs)
			}
			for _, one := range s.Configs {
				deployed(t, path.Join(folder, c.Configs[one.Source].File))
			}
			doc, plan := planOf(t, deployed(t, path.Join(folder, "config.json")))
			dirs := []string{imageAppDir, path.Dir(strings.TrimPrefix(flagOf(cmd, "listen"), "unix:")), "/tmp"}
			for _, store := range []string{"config_store", "logs_store"} {
				if len(doc.Members(store, "type")) > 0 && textAt(t, doc, store, "type") == "sqlite" {
					dirs = append(dirs, path.Dir(textAt(t, doc, store, "config", "path")))
				}
			}
			for _, dir := range dirs {
				if !s.writable(dir) {
					t.Errorf("%s is neither memory nor a volume, and the image is read-only", dir)
				}
			}
			if kind := textAt(t, doc, "config_store", "vault_store", "type"); kind == "file" && folder == "." {
				if got := textAt(t, doc, "config_store", "vault_store", "file", "path"); got != "/run/secrets" {
					t.Errorf("secrets are read from %s, and Docker mounts them in /run/secrets", got)
				}
				slices.Sort(s.Secrets)
				slices.Sort(plan.Secrets)
				if !slices.Equal(s.Secrets, plan.Secrets) {
					t.Errorf("the config wants %q and the service gets %q", plan.Secrets, s.Secrets)
				}
			} else if kind != "hashicorp-vault" { // those with an identity
				block := map[string]string{"file": "file", "postgres": "postgres"}[kind]
				if got := textAt(t, doc, "config_store", "vault_store", block, "identity"); !slices.Equal(s.Secrets, []string{path.Base(got)}) || path.Dir(got) != "/run/secrets" {
					t.Errorf("the identity is %s, and Docker mounts %q", got, s.Secrets)
				}
			}
			if got := slices.Sorted(maps.Keys(c.Secrets)); !slices.Equal(got, s.Secrets) {
				t.Errorf("there are the secrets %q, and the service gets %q", got, s.Secrets)
			}
			for name, one := range c.Secrets {
				if path.Base(one.File) != name {
					t.Errorf("%s is in %s", name, one.File)
				}
			}
			if !slices.Equal(s.Ports, []string{fmt.Sprintf("127.0.0.1:%d:%[1]d", imagePort)}) {
				t.Errorf("ports: %q", s.Ports)
			}
			if stop := durationOf(t, cmd, "stop-timeout"); s.StopGracePeriod <= stop {
				t.Errorf("Docker kills after %v, and Bifrost may take %v", s.StopGracePeriod, stop)
			}
			if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
				t.Error("it is not locked down")
			}
			c.beside(t)
		})
	}
}

// writable reports whether what runs in a container may write in a directory.
func (s *composeService) writable(dir string) bool {
	return slices.ContainsFunc(append(slices.Clone(s.Tmpfs), s.Volumes...), func(one string) bool {
		name, rest, _ := strings.Cut(one, ":")
		mount, _, _ := strings.Cut(rest, ":")
		return mount == dir && !strings.HasSuffix(rest, ":ro") || name == dir && strings.Contains(rest, fmt.Sprintf("uid=%d,gid=%[1]d,mode=0700", imageUser))
	})
}

// beside checks that Bifrost waits until the backend beside it is there, which can be
// reached from its network alone, and that no volume is without its use.
func (c *compose) beside(t *testing.T) {
	t.Helper()
	used := map[string]bool{}
	for name, s := range c.Services {
		for _, v := range s.Volumes {
			volume, _, _ := strings.Cut(v, ":")
			if used[volume] = true; !strings.HasPrefix(volume, "./") {
				if _, ok := c.Volumes[volume]; !ok {
					t.Errorf("there is no volume %s", volume)
				}
			}
		}
		if name != "bifrost" && (c.Services["bifrost"].DependsOn[name].Condition != "service_healthy" || len(s.Healthcheck.Test) == 0 || len(s.Ports) > 0 || !strings.Contains(s.Image, ":")) {
			t.Errorf("%s beside Bifrost: %+v", name, s)
		}
	}
	for volume := range c.Volumes {
		if !used[volume] {
			t.Errorf("nothing uses the volume %s", volume)
		}
	}
}
