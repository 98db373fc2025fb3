//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	tryVersion = "v0.0.1-test"
	tryNumber  = "0.0.1-test"
	// A key in plain text, which lint finds. It opens nothing.
	planted = `{"encryption_key": "env.K", "source_of_truth": "config.json", "providers": {"openai": {"keys": [{"name": "a", "value": "sk-proj-Qm3vX8TqLw5ZkRb7NcYh2JdUe9Ps4G", "models": ["*"], "weight": 1}]}}}`
)

// made is the release that all tests look at.
var made *release

// tools are what the tests use beside Go, by Debian's packages.
var tools = map[string]string{
	"skopeo": "skopeo", "umoci": "umoci", "debootstrap": "debootstrap", "rpm": "rpm", "qemu-aarch64-static": "qemu-user-static", "systemd-analyze": "systemd", "unshare": "util-linux",
}

func TestMain(m *testing.M) {
	if os.Getuid() != 0 {
		println("dist: these tests install packages into a folder and change users, which wants root")
		os.Exit(1)
	}
	for tool, from := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			println("dist: no", tool+": apt-get install", from)
			os.Exit(1)
		}
	}
	dir, err := os.MkdirTemp("", "dist-test")
	if err != nil {
		panic(err)
	}
	made = &release{root: "../..", out: filepath.Join(dir, "dist"), version: tryVersion, image: "bifrost-secrets", built: map[platform]string{}}
	code := 1
	if err := made.prepare(context.Background()); err != nil {
		println("dist:", err.Error())
	} else if err := made.all(context.Background()); err != nil {
		println("dist:", err.Error())
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// run runs a command and returns what it prints; it fails the test unless the
// command ends with the status.
func run(t *testing.T, status int, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != status {
		t.Fatalf("%s: %v, want status %d\n%s", strings.Join(cmd.Args, " "), err, status, out)
	}
	return string(out)
}

// unpacked unpacks the archive of a platform and returns its folder.
func unpacked(t *testing.T, p platform) string {
	dir := t.TempDir()
	name := "bifrost-secrets_" + tryNumber + "_" + p.String()
	run(t, 0, "tar", "-xzf", filepath.Join(made.out, name+".tar.gz"), "-C", dir)
	return filepath.Join(dir, name)
}

// The same commit gives the same bytes, from another folder too.
func TestReproducible(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	run(t, 0, "git", "clone", "--quiet", made.root, elsewhere)
	if changed, _ := made.ask(t.Context(), "git", "status", "--porcelain", "--untracked-files=no"); changed != "" {
		t.Fatalf("there are changes in no commit, so a clone is something else:\n%s", changed)
	}
	again := &release{root: elsewhere, out: filepath.Join(t.TempDir(), "out"), version: tryVersion, image: made.image, built: map[platform]string{}}
	if err := again.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := again.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(made.out, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(again.out, "SHA256SUMS"))
	if err != nil || !bytes.Equal(got, want) || bytes.Count(got, []byte("\n")) != 11 {
		t.Errorf("%v\nonce:\n%s\nagain:\n%s", err, want, got)
	}
	cmd := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	cmd.Dir = made.out
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestArchive(t *testing.T) {
	dir := unpacked(t, platform{"linux", runtime.GOARCH})
	program := filepath.Join(dir, "bifrost-secrets")
	var version struct {
		Version, Commit string
		Bifrost         []any
	}
	if err := json.Unmarshal([]byte(run(t, 0, program, "version", "--json")), &version); err != nil || version.Version != tryVersion || version.Commit != made.commit || len(version.Bifrost) < 4 {
		t.Errorf("%v: %+v", err, version)
	}
	config := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(config, []byte(planted), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, lint := range [][]string{{program, "lint", config}, {program + "-lint", config}} {
		if out := run(t, 1, lint[0], lint[1:]...); !strings.Contains(out, "[plaintext-secret]") {
			t.Errorf("%v: %s", lint, out)
		}
	}
	run(t, 0, "bash", "-n", filepath.Join(dir, "completions", "bifrost-secrets.bash"))
	licences, err := os.ReadFile(filepath.Join(dir, "LICENSES-of-dependencies.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nGo 1.", "github.com/spf13/cobra v", "Apache-2.0", "github.com/jackc/pgx/v5"} {
		if !strings.Contains(string(licences), want) {
			t.Errorf("the licences do not hold %q", want)
		}
	}
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md", "man/bifrost-secrets-exec.1"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// A program for another processor runs where it is emulated.
func TestArm(t *testing.T) {
	if runtime.GOARCH == "arm64" {
		t.Skip("that is this processor")
	}
	program := filepath.Join(unpacked(t, platform{"linux", "arm64"}), "bifrost-secrets")
	if out := run(t, 0, "qemu-aarch64-static", program, "version"); !strings.Contains(out, tryVersion) || !strings.Contains(out, "linux/arm64") {
		t.Error(out)
	}
}

// What cannot run here is at least what it says it is.
func TestOtherSystems(t *testing.T) {
	dir := unpacked(t, platform{"darwin", "arm64"})
	if text, err := os.ReadFile(filepath.Join(dir, "bifrost-secrets")); err != nil || !bytes.HasPrefix(text, []byte("\xcf\xfa\xed\xfe")) {
		t.Errorf("%v: no Mach-O file", err)
	}
	out := run(t, 0, "python3", "-m", "zipfile", "-l", filepath.Join(made.out, "bifrost-secrets_"+tryNumber+"_windows_amd64.zip"))
	if !strings.Contains(out, "/bifrost-secrets.exe") || !strings.Contains(out, "/bifrost-secrets-lint.exe") {
		t.Error(out)
	}
}

// The bill of materials is one by CycloneDX's own schema.
func TestMaterials(t *testing.T) {
	file := filepath.Join(made.out, "bifrost-secrets_"+tryNumber+".cdx.json")
	schemas := run(t, 0, "go", "list", "-m", "-f", "{{.Dir}}/schema/", "github.com/CycloneDX/cyclonedx-go")
	schemas = strings.TrimSpace(schemas)
	compiler := jsonschema.NewCompiler()
	for name, file := range map[string]string{"spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json", "bom-1.6.schema.json": "bom-1.6.schema.json"} {
		text, err := os.ReadFile(schemas + file)
		if err != nil {
			t.Fatal(err)
		}
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource("http://cyclonedx.org/schema/"+name, schema); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	check := func(text []byte) error {
		bill, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return err
		}
		return schema.Validate(bill)
	}
	if err := check(text); err != nil {
		t.Error(err)
	}
	if err := check(bytes.Replace(text, []byte(`"type": "library"`), []byte(`"type": "book"`), 1)); err == nil {
		t.Error("the schema takes anything")
	}
	for _, want := range []string{tryVersion, "github.com/aws/aws-sdk-go-v2", "Apache-2.0"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("it does not hold %q", want)
		}
	}
}

// On a machine without Go: the package installs, the linter finds, the manual
// opens, and the service runs as its user.
func TestDeb(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	suite := strings.TrimSpace(run(t, 0, "sh", "-c", `. /etc/os-release; echo "${VERSION_CODENAME:-stable}"`))
	run(t, 0, "debootstrap", "--variant=minbase", "--include=man-db,systemd,procps", suite, root)
	name := "bifrost-secrets_0.0.1~test_" + runtime.GOARCH + ".deb"
	run(t, 0, "cp", filepath.Join(made.out, name), root+"/tmp/")
	// Policies of images leave manuals out.
	run(t, 0, "sh", "-c", "rm -f "+root+"/etc/dpkg/dpkg.cfg.d/*")
	in := func(status int, script string) string {
		t.Helper()
		return run(t, status, "chroot", root, "sh", "-euc", script)
	}
	in(0, "dpkg -i /tmp/"+name)
	write := func(name, text string, mode os.FileMode) {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("/tmp/config.json", planted, 0o644)
	if out := in(1, "bifrost-secrets lint /tmp/config.json"); !strings.Contains(out, "[plaintext-secret]") {
		t.Error(out)
	}
	if out := in(0, "MANPAGER=cat MANROFFOPT=-c man bifrost-secrets-exec"); !strings.Contains(out, "bifrost-secrets-exec") || !strings.Contains(out, "app-dir") {
		t.Error(out)
	}
	in(0, "bash -n /usr/share/bash-completion/completions/bifrost-secrets")
	unit := "/usr/lib/systemd/system/bifrost-secrets-watch.service"
	if out := in(0, "systemd-analyze verify "+unit+" 2>&1"); strings.Contains(out, "bifrost-secrets") {
		t.Error(out)
	}

	// The command of the unit, as its user, with what the unit would make for it.
	text, err := os.ReadFile(root + unit)
	if err != nil {
		t.Fatal(err)
	}
	_, command, _ := strings.Cut(string(text), "\nExecStart=")
	command, _, _ = strings.Cut(command, "\n")
	write("/etc/bifrost/secrets/openai", "sk-fake-from-a-file\n", 0o644)
	write("/etc/bifrost/config.json", `{"providers": {"openai": {"keys": [{"name": "a", "value": "vault.openai", "models": ["*"], "weight": 1}]}}, "config_store": {"enabled": true, "type": "sqlite", "vault_store": {"enabled": true, "type": "file", "file": {"path": "/etc/bifrost/secrets"}}}}`, 0o644)
	in(0, "install -d -o bifrost -g bifrost -m 700 /var/lib/bifrost /run/bifrost-secrets && chmod 755 /etc/bifrost/secrets")
	watch := exec.Command("chroot", "--userspec=bifrost:bifrost", root, "sh", "-c", "exec "+command)
	var said bytes.Buffer
	watch.Stdout, watch.Stderr = &said, &said
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- watch.Wait() }()
	resolved := root + "/var/lib/bifrost/config.json"
	deadline := time.After(2 * time.Minute)
	for {
		if text, err := os.ReadFile(resolved); err == nil && strings.Contains(string(text), "sk-fake-from-a-file") {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("the service ended: %v\n%s", err, said.String())
		case <-deadline:
			watch.Process.Kill()
			t.Fatalf("nothing was written\n%s", said.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
	if owner := in(0, "stat -c %U:%a /var/lib/bifrost/config.json"); strings.TrimSpace(owner) != "bifrost:600" {
		t.Error(owner)
	}
	watch.Process.Signal(os.Interrupt)
	<-ended
	in(0, "dpkg --purge bifrost-secrets")
}

// The rpm has the files of the deb.
func TestRpm(t *testing.T) {
	files := func(tool string, args ...string) string {
		return run(t, 0, tool, args...)
	}
	debs, err := filepath.Glob(filepath.Join(made.out, "*_amd64.deb"))
	if err != nil || len(debs) != 1 {
		t.Fatal(err, debs)
	}
	rpms, err := filepath.Glob(filepath.Join(made.out, "*.x86_64.rpm"))
	if err != nil || len(rpms) != 1 {
		t.Fatal(err, rpms)
	}
	inDeb := files("sh", "-c", `dpkg-deb -c "$0" | awk '!/\/$/{sub(/^\./, "", $6); print $6}' | sort`, debs[0])
	inRpm := files("sh", "-c", `rpm -qlp "$0" 2>/dev/null | sort`, rpms[0])
	if inDeb != inRpm || !strings.Contains(inRpm, "/usr/bin/bifrost-secrets\n") {
		t.Errorf("deb:\n%s\nrpm:\n%s", inDeb, inRpm)
	}
	if out := files("rpm", "-qp", "--qf", "%{LICENSE} %{VERSION}", rpms[0]); !strings.Contains(out, "Apache-2.0 0.0.1") {
		t.Error(out)
	}
}
