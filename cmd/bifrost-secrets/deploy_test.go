//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/cmd/internal/variables"
	"bifrost-secrets/render"
	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
	"bifrost-secrets/watch/control"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// What Bifrost's image is known to have.
const (
	imageAppDir = "/app/data"
	imageScript = "/app/docker-entrypoint.sh"
	imagePort   = 8080
	imageUser   = 1000
)

func deployed(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../../deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// accepted returns the command's own view of a command line, which must be one that
// the program takes, flag for flag. It is parsed by the program's parser.
func accepted(t *testing.T, args []string) (cmd *cobra.Command, rest []string) {
	t.Helper()
	p := &program{stdin: strings.NewReader(""), stdout: io.Discard, env: map[string]string{}}
	p.screen = newScreen(io.Discard, p.env)
	root := p.root(nil)
	for _, c := range root.Commands() {
		c.Run, c.RunE = nil, func(c *cobra.Command, args []string) error {
			cmd, rest = c, args
			return nil
		}
	}
	root.SetArgs(args)
	if err := root.ExecuteContext(t.Context()); err != nil || cmd == nil {
		t.Fatalf("%q is not accepted: %v", args, err)
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Hidden || f.Deprecated != "" {
			t.Errorf("--%s is not shown by --help", f.Name)
		}
	})
	return cmd, rest
}

func flagOf(cmd *cobra.Command, name string) string {
	f := cmd.Flags().Lookup(name)
	if f == nil {
		return ""
	}
	return strings.Trim(f.Value.String(), "[]") // of a list
}

// strict decodes YAML into what knows each of its fields.
func strict(t *testing.T, text string, into any) {
	t.Helper()
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(into); err != nil {
		t.Fatal(err)
	}
}

// remarked are the command lines in the comments of a file.
var remarked = regexp.MustCompile(`(?m)^#.*?bifrost-secrets((?: (?:explain|exec|watch|render|flush|status|health)\b).*)$`)

// Every command of this program that a comment shows is one that it takes.
func TestDeployComments(t *testing.T) {
	t.Parallel()
	n := 0
	for _, name := range []string{"Dockerfile", "compose.yaml", "examples/vault/compose.yaml", "examples/gcp/exec.yaml", "examples/azure/exec.yaml", "kubernetes/exec.yaml", "kubernetes/sidecar.yaml", "kubernetes/init.yaml", "helm/values.yaml", "systemd/bifrost.service", "systemd/bifrost-secrets-watch.service"} {
		for _, m := range remarked.FindAllStringSubmatch(strings.ReplaceAll(deployed(t, name), "    #", "#"), -1) {
			n++
			accepted(t, strings.Fields(m[1]))
		}
	}
	if n < 4 {
		t.Errorf("only %d commands were found in comments", n)
	}
}

// readmeBlocks are the blocks of README to paste.
var readmeBlocks = regexp.MustCompile("(?s)```(dockerfile|yaml)\n(.*?)```")

// The ways to run that README shows are those of deploy/, in short: command lines
// that the program takes, on the paths and ports of the whole files, and a hook
// that there is.
func TestDeployReadme(t *testing.T) {
	t.Parallel()
	blocks := readmeBlocks.FindAllStringSubmatch(pages(t)["README.md"], -1)
	if len(blocks) != 3 {
		t.Fatalf("there are %d blocks", len(blocks))
	}
	var args []string
	for line := range strings.Lines(blocks[0][2]) {
		switch word, rest, _ := strings.Cut(strings.TrimSpace(line), " "); word {
		case "FROM":
			version := last(t, append([]instruction{{"", "ARG", ""}}, dockerfile(t)...), "", "ARG")
			if _, tag, _ := strings.Cut(rest, ":"); version != "BIFROST_VERSION="+tag {
				t.Errorf("README builds on %s, and the Dockerfile on %s", rest, version)
			}
		case "ENTRYPOINT":
			args = words(t, rest)
		}
	}
	if cmd, rest := accepted(t, args[1:]); cmd.Name() != "exec" || !slices.Equal(rest, []string{imageScript}) {
		t.Errorf("the entrypoint is %q", args)
	}
	whole := kubernetes(t, "sidecar").ours(t)
	var sidecar struct {
		InitContainers []container `yaml:"initContainers"`
	}
	strict(t, blocks[1][2], &sidecar)
	if len(sidecar.InitContainers) != 1 {
		t.Fatalf("there are %d containers", len(sidecar.InitContainers))
	}
	short := sidecar.InitContainers[0]
	mine, _ := accepted(t, short.Args)
	full, _ := accepted(t, whole.Args)
	for _, flag := range []string{"config", "out", "probe-listen"} {
		if got, want := flagOf(mine, flag), flagOf(full, flag); mine.Name() != "watch" || got != want {
			t.Errorf("the sidecar of README has --%s %s, want %s", flag, got, want)
		}
	}
	if p := short.Startup.HTTPGet; short.RestartPolicy != whole.RestartPolicy || short.Image != whole.Image || p.Path != whole.Startup.HTTPGet.Path || !strings.HasSuffix(flagOf(mine, "probe-listen"), ":"+p.Port) {
		t.Errorf("the sidecar of README is %+v", short)
	}
	var hooks struct {
		Repos []struct {
			Repo, Rev string
			Hooks     []struct{ ID string }
		}
	}
	strict(t, blocks[2][2], &hooks)
	content, err := os.ReadFile("../../.pre-commit-hooks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hooks.Repos[0].Hooks {
		if !strings.Contains(string(content), "- id: "+h.ID+"\n") {
			t.Errorf("there is no hook %s", h.ID)
		}
	}
}

// instruction is one of a Dockerfile.
type instruction struct {
	stage string // its name, or its number
	word  string
	rest  string
}

func dockerfile(t *testing.T) []instruction {
	t.Helper()
	var all []instruction
	stage := ""
	text := strings.ReplaceAll(deployed(t, "Dockerfile"), "\\\n", " ")
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		if !slices.Contains([]string{"ARG", "FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "HEALTHCHECK", "ENTRYPOINT", "CMD"}, word) {
			t.Fatalf("unknown instruction %s", word)
		}
		if word == "FROM" {
			_, stage, _ = strings.Cut(rest, " AS ")
		}
		all = append(all, instruction{stage, word, rest})
	}
	return all
}

// last returns the last instruction of that word in a stage.
func last(t *testing.T, all []instruction, stage, word string) string {
	t.Helper()
	for _, one := range slices.Backward(all) {
		if one.stage == stage && one.word == word {
			return one.rest
		}
	}
	t.Fatalf("the stage %s has no %s", stage, word)
	return ""
}

// words reads the exec form, the only one that works without a shell.
func words(t *testing.T, text string) (out []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

// health returns our part of a health check, which asks Bifrost as well.
func health(t *testing.T, check, port string) []string {
	t.Helper()
	ours, theirs, _ := strings.Cut(check, " && ")
	args, ok := strings.CutPrefix(ours, "bifrost-secrets ")
	if want := "wget -q -O /dev/null http://127.0.0.1:" + port + "/health || exit 1"; !ok || theirs != want {
		t.Fatalf("the health check is %q", check)
	}
	return strings.Fields(args)
}

// The builder gets the packages that the program is made of, and nothing else.
func TestDeployDockerignore(t *testing.T) {
	t.Parallel()
	var want []string
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if .Main}}{{$.ImportPath}} {{.Path}}/{{end}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(string(out)) {
		if name, module, ok := strings.Cut(strings.TrimSpace(name), " "); ok {
			name = strings.TrimPrefix(name, module)
			top, _, _ := strings.Cut(name, "/")
			want = append(want, "!"+top+"/**")
		}
	}
	slices.Sort(want)
	want = slices.Concat([]string{"*", "!go.mod", "!go.sum"}, slices.Compact(want), []string{"**/testdata", "**/*_test.go", "**/.*"})
	var got []string
	for line := range strings.Lines(deployed(t, "Dockerfile.dockerignore")) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			got = append(got, line)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDeployDockerfile(t *testing.T) {
	t.Parallel()
	all := dockerfile(t)
	const bin = "/usr/local/bin/bifrost-secrets"
	for _, stage := range []string{"bifrost-secrets", "bifrost"} {
		found := false
		for _, one := range all {
			from, to, _ := strings.Cut(strings.TrimPrefix(one.rest, "--from=build "), " ")
			found = found || one.stage == stage && one.word == "COPY" && from == "/out/bifrost-secrets" && to == bin
			if one.stage == stage && one.word == "COPY" && !strings.HasPrefix(one.rest, "--from=build ") {
				t.Errorf("%s copies %s", stage, one.rest)
			}
		}
		if !found {
			t.Errorf("the stage %s does not get the program", stage)
		}
	}
	if got := last(t, all, "bifrost-secrets", "USER"); got != fmt.Sprintf("%d:%[1]d", imageUser) {
		t.Errorf("USER %s", got)
	}
	if got := last(t, all, "bifrost", "USER"); got != fmt.Sprintf("%d:0", imageUser) { // a name is no proof that it is not root
		t.Errorf("USER %s", got)
	}
	if got := last(t, all, "bifrost", "ENV"); got != variables.Name("config")+"=/etc/bifrost/config.json" {
		t.Errorf("ENV %s", got)
	}
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)[1]
	if got := last(t, all, "build", "FROM"); !strings.HasPrefix(got, "golang:"+string(version)+"-") {
		t.Errorf("go.mod wants Go %s, and the image is %s", version, got)
	}

	entry := words(t, last(t, all, "bifrost", "ENTRYPOINT"))
	cmd, rest := accepted(t, append(entry[1:], words(t, last(t, all, "bifrost", "CMD"))...))
	if entry[0] != "bifrost-secrets" || cmd.Name() != "exec" || !slices.Equal(rest, []string{imageScript}) {
		t.Errorf("%s %s starts %q", entry[0], cmd.Name(), rest)
	}
	_, check, ok := strings.Cut(last(t, all, "bifrost", "HEALTHCHECK"), " CMD ")
	probe, _ := accepted(t, health(t, check, "${APP_PORT}"))
	if listens := flagOf(cmd, "listen"); !ok || flagOf(probe, "address") != listens || listens != control.DefaultListen {
		t.Errorf("it listens on %s, and its health is asked at %s", listens, flagOf(probe, "address"))
	}
}

func durationOf(t *testing.T, cmd *cobra.Command, name string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(flagOf(cmd, name))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// planOf returns the plan of a config that lint has nothing against but notes.
func planOf(t *testing.T, text string) (*walker.Document, *render.Plan) {
	t.Helper()
	doc, err := walker.Parse("config.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range lint.Check(doc, lint.Options{}) {
		if f.Severity != lint.Note {
			t.Errorf("config.json: %s: %s [%s]", f.Severity, f.Message, f.Rule)
		}
	}
	store, err := render.StoreFromDocument(doc)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := render.NewPlan(doc, store, render.Options{Mode: render.Inline, Getenv: os.LookupEnv})
	if err != nil {
		t.Fatal(err)
	}
	return doc, plan
}

func textAt(t *testing.T, doc *walker.Document, names ...string) (text string) {
	t.Helper()
	found := doc.Members(names...)
	if len(found) != 1 {
		t.Fatalf("there is no %q", names)
	}
	if err := json.Unmarshal(doc.Text(found[0].Value), &text); err != nil {
		t.Fatal(err)
	}
	return text
}

// unit is a systemd unit: its settings, by section and name.
type unit map[string]map[string][]string

func readUnit(t *testing.T, text string) unit {
	t.Helper()
	u, section := unit{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			section = strings.Trim(line, "[]")
			u[section] = map[string][]string{}
		case !ok || section == "":
			t.Fatalf("%q is no setting", line)
		default:
			u[section][name] = append(u[section][name], value)
		}
	}
	return u
}

func (u unit) one(t *testing.T, section, name string) string {
	t.Helper()
	if all := u[section][name]; len(all) == 1 {
		return all[0]
	}
	t.Fatalf("%s has %q", name, u[section][name])
	return ""
}

func TestDeploySystemd(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"bifrost", "bifrost-secrets-watch"} {
		text := deployed(t, "systemd/"+name+".service")
		u := readUnit(t, text)
		service := func(setting string) string { t.Helper(); return u.one(t, "Service", setting) }
		line := strings.Fields(service("ExecStart"))
		cmd, rest := accepted(t, line[1:])
		if line[0] != "/usr/local/bin/bifrost-secrets" || flagOf(cmd, "config") != "/etc/bifrost/config.json" {
			t.Errorf("%s: %q", name, line)
		}
		state, socket := "/var/lib/"+service("StateDirectory"), "unix:/run/"+service("RuntimeDirectory")+"/control.sock"
		if flagOf(cmd, "listen") != socket || !strings.Contains(text, "--address "+socket) {
			t.Errorf("%s listens on %s", name, flagOf(cmd, "listen"))
		}
		stop := time.Duration(0)
		switch cmd.Name() {
		case "exec":
			stop = durationOf(t, cmd, "stop-timeout")
			if flagOf(cmd, "app-dir") != state || !slices.Equal(rest[1:], []string{"-app-dir", state, "-host", "127.0.0.1", "-port", "8080"}) {
				t.Errorf("%s starts %q in %s", name, rest, state)
			}
		case "watch":
			if flagOf(cmd, "out") != state+"/config.json" || flagOf(cmd, "bifrost-url") != "http://127.0.0.1:8080" || u.one(t, "Unit", "Before") != "bifrost.service" {
				t.Errorf("%s publishes to %s for %s", name, flagOf(cmd, "out"), flagOf(cmd, "bifrost-url"))
			}
		}
		for setting, least := range map[string]time.Duration{"TimeoutStopSec": stop, "TimeoutStartSec": 2 * durationOf(t, cmd, "timeout")} {
			if got, err := time.ParseDuration(service(setting) + "s"); err != nil || got <= least {
				t.Errorf("%s: %s=%s is not more than %v", name, setting, service(setting), least)
			}
		}
		for setting, want := range map[string]string{
			"Type": "notify", "NotifyAccess": "main", "KillMode": "mixed", "ExecReload": "/bin/kill -HUP $MAINPID", "User": "bifrost", "StateDirectoryMode": "0700",
			"RuntimeDirectoryMode": "0700", "UMask": "0077", "LimitCORE": "0", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "ProtectSystem": "strict", "ProtectProc": "invisible",
		} {
			if got := service(setting); got != want {
				t.Errorf("%s: %s=%s, want %s", name, setting, got, want)
			}
		}
		verifyUnit(t, name, text)
	}
}

// verifyUnit has systemd's own parser read a unit, where it is installed.
func verifyUnit(t *testing.T, name, text string) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("systemd-analyze is not installed; the unit was read by this test alone")
		return
	}
	dir := t.TempDir()
	for _, program := range []string{"bifrost", "bifrost-secrets"} {
		if err := os.WriteFile(filepath.Join(dir, program), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, name+".service")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "/usr/local/bin/", dir+"/")), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("systemd-analyze", "verify", "--man=no", file)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil || out.Len() > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, &out)
	}
}
