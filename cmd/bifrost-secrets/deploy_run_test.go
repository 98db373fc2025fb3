//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/sources/postgres/pgtest"
	"bifrost-secrets/watch/bifrost/bifrosttest"
	"bifrost-secrets/watch/service"
)

// stage is a directory that stands for the root of a machine, so that what deploy/
// has can be run as it is.
type stage struct {
	*harness
	root string
}

const bifrostScript = `#!/bin/sh
trap 'echo term; exit 0' TERM
echo "started $(sed -n 's/.*"name": "openai", "value": "\([^"]*\)".*/\1/p' "$APP_DIR/config.json") $*"
while :; do sleep 1 & wait $!; done
`

func newStage(t *testing.T, config string) *stage {
	t.Helper()
	root, err := os.MkdirTemp("", "d") // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	s := &stage{harness: newHarness(t), root: root}
	s.env = append(s.env, service.AllowPathVariable+"="+root+"/run/secrets") // which stands for /run/secrets
	for _, dir := range []string{"/app/data", "/etc/bifrost/secrets", "/etc/bifrost-secrets", "/run/secrets", "/run/bifrost", "/run/bifrost-secrets", "/var/lib/bifrost", "/usr/local/bin"} {
		if err := os.MkdirAll(root+dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{imageScript, "/usr/local/bin/bifrost"} {
		s.program(root+name, bifrostScript)
	}
	s.write(root+"/etc/bifrost/config.json", s.at(config))
	s.write(root+"/etc/bifrost-secrets/tokens", "CANARY-token-0123456789\n")
	return s
}

// program writes a script that can be started. While another test starts a process, that
// process has every file open that this one has, and a program that is open for writing
// cannot be started ("text file busy").
func (s *stage) program(path, text string) {
	s.t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		s.t.Fatal(err)
	}
}

// at moves the paths in a text below the root of the stage, and the ports to free
// ones.
func (s *stage) at(text string) string {
	for _, dir := range []string{"/app/", "/etc/", "/run/", "/var/lib/"} {
		text = strings.ReplaceAll(text, dir, s.root+dir)
	}
	if i := strings.Index(text, "/usr/local/bin/"); i >= 0 {
		text = text[:i] + s.root + text[i:]
	}
	if text == "0.0.0.0:9181" || text == "127.0.0.1:9181" {
		return "127.0.0.1:0"
	}
	return text
}

func (s *stage) all(args []string) []string {
	out := make([]string, len(args))
	for i, one := range args {
		out[i] = s.at(one)
	}
	return out
}

// alive asks as a health check would.
func (s *stage) alive(args ...string) {
	s.t.Helper()
	s.start(s.all(args)...).ends(0)
}

func (s *stage) holds(file, value string) {
	s.t.Helper()
	content, err := os.ReadFile(s.root + file)
	if err != nil || !strings.Contains(string(content), `"`+value+`"`) {
		s.t.Errorf("%s does not have the value: %v", file, err)
	}
}

var deployedSecrets = map[string]string{"openai": "sk-CANARY-0001", "admin-password": "CANARY-password-1", "encryption-key": "CANARY-encryption-key"}

// The compose file, in a Docker that does for the container what the file says.
func TestDeployComposeRuns(t *testing.T) {
	t.Parallel()
	c := composed(t, ".")
	s := newStage(t, deployed(t, "config.json"))
	for name, value := range deployedSecrets {
		s.write(s.root+"/run/secrets/"+name, value+"\n")
	}
	s.env = append(s.env, "APP_DIR="+s.root+imageAppDir)
	one := c.Services["bifrost"]
	r := s.start(append([]string{"exec", "--apply", "restart", "--restart-settle", "0s", "--apply-timeout", "1s"}, s.all(one.Command)...)...)
	r.says("started sk-CANARY-0001")
	r.logs("Bifrost does not answer") // the script is none, and is ready as long as it runs
	s.alive(health(t, one.Healthcheck.Test[1], fmt.Sprint(imagePort))...)
	s.holds("/app/data/config.json", "CANARY-encryption-key")
	// As the remark in the file says: written into, not moved over.
	if err := os.WriteFile(s.root+"/run/secrets/openai", []byte("sk-CANARY-0002\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.says("started sk-CANARY-0002")
	r.signal(syscall.SIGTERM)
	r.says("term")
	r.ends(0)
}

// onDatabase has Bifrost's database in a config be one of the tests.
func onDatabase(t *testing.T, config string) string {
	t.Helper()
	db := pgtest.Shared(t).Database(t)
	return strings.NewReplacer(
		`"host": "postgres"`, fmt.Sprintf(`"host": %q`, db.Host), `"port": "5432"`, fmt.Sprintf(`"port": "%d"`, db.Port),
		`"user": "bifrost"`, fmt.Sprintf(`"user": %q`, db.Role(t, "CANARY-postgres")), `"db_name": "bifrost"`, fmt.Sprintf(`"db_name": %q`, db.Name),
	).Replace(config)
}

// The manifests, with an AWS of the tests' own.
func TestDeployKubernetesRuns(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"exec", "sidecar", "init"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := kubernetes(t, name)
			config := onDatabase(t, c.config.Data["config.json"])
			s := newStage(t, config)
			f := awstest.StartFake(t)
			for name, v := range f.Env() {
				s.env = append(s.env, name+"="+v)
			}
			put := func(n int) {
				for name, value := range map[string]string{
					"encryption-key": "CANARY-encryption-key", "admin-password": "CANARY-password-1",
					"openai": fmt.Sprintf(`{"primary":"sk-CANARY-%04d"}`, n), "postgres": `{"password":"CANARY-postgres"}`,
				} {
					f.PutIn(awstest.Account, "eu-west-1", "bifrost/"+name, value)
				}
			}
			put(1)
			args := s.all(c.ours(t).args(t))
			const out = "/app/data/config.json"
			switch name {
			case "init":
				s.start(args...).ends(0)
				s.holds(out, "sk-CANARY-0001")
			case "exec":
				r := s.start(slices.Insert(args, 1, "--listen", "127.0.0.1:0")...)
				r.logs("listening")
				r.says("started sk-CANARY-0001")
				s.holds(out, "CANARY-postgres")
				r.signal(syscall.SIGTERM)
				r.says("term")
				r.ends(0)
			case "sidecar":
				server := bifrosttest.New(t, "1.4.19")
				args[slices.Index(args, "--bifrost-url")+1] = server.URL
				r := s.start(args...)
				r.logs("applied") // Bifrost is not there yet
				s.alive("health", "--ready", "--address", "unix:/run/bifrost-secrets/control.sock")
				content, err := os.ReadFile(s.root + out)
				if err == nil {
					err = server.Start(content)
				}
				if err != nil {
					t.Fatal(err)
				}
				r.logs(`"trigger":"restarted"`)
				put(2)
				s.alive("flush", "--address", "unix:/run/bifrost-secrets/control.sock")
				if line := r.logs(`"trigger":"flush","verified"`); !strings.Contains(line, "providers.openai.keys[0].value") {
					t.Errorf("log: %s", line)
				}
				s.holds(out, "sk-CANARY-0002")
				r.signal(syscall.SIGTERM)
				r.ends(0)
			}
		})
	}
}

// The units, started as systemd would.
func TestDeploySystemdRuns(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"bifrost", "bifrost-secrets-watch"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, deployed(t, "config.json"))
			for name, value := range deployedSecrets {
				s.write(s.root+"/etc/bifrost/secrets/"+name, value+"\n")
			}
			args := s.all(strings.Fields(readUnit(t, deployed(t, "systemd/"+name+".service")).one(t, "Service", "ExecStart"))[1:])
			if name == "bifrost" {
				// The script is no Bifrost whose API could be waited for.
				r := s.start(slices.Insert(args, 1, "--apply", "restart", "--apply-timeout", "1s")...)
				r.says("started sk-CANARY-0001 -app-dir " + s.root + "/var/lib/bifrost -host 127.0.0.1 -port 8080")
				r.logs("Bifrost does not answer") // and is ready as long as it runs
				s.alive("health", "--ready", "--address", "unix:/run/bifrost/control.sock")
				r.signal(syscall.SIGHUP)
				r.logs(`"trigger":"signal"`)
				r.signal(syscall.SIGTERM)
				r.ends(0)
			} else {
				server := bifrosttest.New(t, "1.4.19")
				args[slices.Index(args, "--bifrost-url")+1] = server.URL
				r := s.start(args...)
				r.logs("applied")
				s.alive("flush", "--no-wait", "--address", "unix:/run/bifrost-secrets/control.sock")
				r.signal(syscall.SIGTERM)
				r.ends(0)
			}
			s.holds("/var/lib/bifrost/config.json", "sk-CANARY-0001")
			if left, err := filepath.Glob(s.root + "/run/*/control.sock"); err != nil || len(left) > 0 {
				t.Errorf("left behind: %q %v", left, err)
			}
		})
	}
}
