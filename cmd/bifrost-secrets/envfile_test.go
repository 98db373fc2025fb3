package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/compose-spec/compose-go/v2/dotenv"
)

// awkward are values that quoting, expansion and splitting could change.
var awkward = []string{
	"CANARY",
	"two words", "  spaces around  ", "\ttab\t", "trailing backslash \\", `\`, `\\`, `\n \t \x41 \101`,
	`'`, `it's`, `''`, `a'b'c`, `a"b"c`, "`id`", "$(id)", "${HOME}", "$HOME", "$$", "%n%%", "~", "~root", "a*", "?[a-z]", "{a,b}",
	"# no comment", "a#b", "; rm -rf /nothing", "&& false", "| cat", "> out", "< in", "!history !!", "a=b=c", "=", "export X=y",
	"-n", "--flag", "null", "true", "0", "12.50", `{"a": "b"}`, "<xml>&amp;</xml>", "é à ß 日本 😀", "\u00a0", "\u2028", "\ufeff", "/", "a:b:c",
	strings.Repeat("x", 4096), "-----BEGIN KEY----- MIIB+/= -----END KEY-----",
}

// lines are values that the docker format has to refuse.
var lines = []string{"two\nlines", "\nfirst", "last\n\n", "a\n\n\nb", "a\\\nb", "# x\n# y", "A=b\nC=d", "carriage\rreturn"}

// Values arrive as they are, whichever format carries them.
func TestEnvFormats(t *testing.T) {
	starts(t)
	if _, err := exec.LookPath("sh"); err != nil {
		t.Fatal(err)
	}
	carried := slices.DeleteFunc(slices.Clone(lines), func(v string) bool { return strings.Contains(v, "\r") })
	for _, tt := range []struct {
		format string
		values []string
		read   func(t *testing.T, path string) map[string]string
	}{
		{"docker", awkward, dockerReads},
		{"compose", slices.Concat(awkward, lines), composeReads},
		{"systemd", slices.Concat(awkward, carried), systemdReads},
		{"shell", slices.Concat(awkward, lines), shellReads},
	} {
		t.Run(tt.format, func(t *testing.T) {
			dir := t.TempDir()
			config := envConfig(t, dir, tt.values)
			if code, _, stderr := process(t, dir, nil, "render", "--config", config, "--out", "out.json", "--mode", "env",
				"--env-file", "out.env", "--env-format", tt.format, "--quiet", "--vault-type", "file", "--vault-set", "path=secrets.json"); code != exitDone {
				t.Fatalf("ended with %d:\n%s", code, stderr)
			}
			got := tt.read(t, filepath.Join(dir, "out.env"))
			names := envNames(t, filepath.Join(dir, "out.json"))
			if len(got) != len(tt.values) {
				t.Errorf("%d variables for %d values", len(got), len(tt.values))
			}
			for i, v := range tt.values {
				want := strings.TrimSuffix(v, "\n") // one is not a part of the value
				if arrived, ok := got[names[i]]; !ok || arrived != want {
					t.Errorf("%q arrives as %q", want, arrived)
				}
			}
		})
	}
}

// composeReads reads an env file with Compose's own parser.
func composeReads(t *testing.T, path string) map[string]string {
	t.Helper()
	got, err := dotenv.ReadFile(path, func(name string) (string, bool) { return "expanded " + name, true })
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// What a format cannot carry is refused by name, and nothing is written.
func TestEnvFormatsRefuse(t *testing.T) {
	const variable = len("BIFROST_SECRET_0123456789ABCDEF01234567=")
	for _, tt := range []struct {
		name, format, value, want string
	}{
		{"two lines", "docker", "CANARY\nCANARY", "the value has a line break in it, which the docker format cannot carry"},
		{"a carriage return", "docker", "CANARY\rCANARY", "the value has a line break in it, which the docker format cannot carry"},
		{"the longest line", "docker", strings.Repeat("x", bufio.MaxScanTokenSize-1-variable), ""},
		{"a longer line", "docker", strings.Repeat("x", bufio.MaxScanTokenSize-variable), "the value is longer than a line of the docker format may be"},
		{"a control character", "systemd", "CANARY\x1bCANARY", "the value has a control character in it, which systemd refuses in a variable"},
		{"a carriage return", "systemd", "CANARY\rCANARY", "the value has a control character in it, which systemd refuses in a variable"},
		{"the longest variable", "shell", strings.Repeat("x", 128<<10-1-variable), ""},
		{"a longer variable", "shell", strings.Repeat("x", 128<<10-variable), "the value takes 131072 bytes as a variable and 131071 is the most that Linux passes on"},
		{"a NUL", "shell", "CANARY\x00CANARY", "the value has a NUL byte in it"},
	} {
		t.Run(tt.format+" "+tt.name, func(t *testing.T) {
			dir := t.TempDir()
			config := envConfig(t, dir, []string{tt.value})
			code, _, stderr := process(t, dir, nil, "render", "--config", config, "--out", "out.json", "--mode", "env",
				"--env-file", "out.env", "--env-format", tt.format, "--quiet", "--vault-type", "file", "--vault-set", "path=secrets.json")
			if found := marked("CANARY").in([]byte(stderr)); found != "" {
				t.Errorf("the value is shown: %s", found)
			}
			_, missing := os.Stat(filepath.Join(dir, "out.env"))
			if tt.want == "" {
				if code != exitDone || missing != nil {
					t.Fatalf("ended with %d: %s", code, stderr)
				}
				read := map[string]func(*testing.T, string) map[string]string{"docker": dockerReads, "shell": shellReads}[tt.format]
				for _, v := range read(t, filepath.Join(dir, "out.env")) {
					if v != tt.value {
						t.Errorf("%d bytes arrive of %d", len(v), len(tt.value))
					}
				}
				return
			}
			first, _, _ := strings.Cut(stderr, "\n")
			if want := prefix + "config.json:1:59: providers.openai.keys[0].value: vault.0: " + tt.want; first != want {
				t.Errorf("said\n%s\nwant\n%s", first, want)
			}
			if code != exitUnresolved || !errors.Is(missing, os.ErrNotExist) {
				t.Errorf("ended with %d, and the env file: %v", code, missing)
			}
			if _, err := os.Stat(filepath.Join(dir, "out.json")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the config was written: %v", err)
			}
		})
	}
}

// envConfig writes a config with a key for each value, and the secrets it
// refers to.
func envConfig(t *testing.T, dir string, values []string) string {
	t.Helper()
	secrets := map[string]string{}
	var keys []string
	for i, v := range values {
		name := fmt.Sprint(i)
		secrets[name] = v
		keys = append(keys, fmt.Sprintf(`{"name": "%s", "value": "vault.%s"}`, name, name))
	}
	text, err := json.Marshal(secrets)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("secrets.json", string(text))
	write("config.json", `{"providers": {"openai": {"keys": [`+strings.Join(keys, ",\n")+`]}}}`)
	return "config.json"
}

// envNames returns the variable of each key of a rendered config.
func envNames(t *testing.T, path string) (names []string) {
	t.Helper()
	var doc struct {
		Providers struct {
			OpenAI struct{ Keys []struct{ Value string } }
		}
	}
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range doc.Providers.OpenAI.Keys {
		name, ok := strings.CutPrefix(key.Value, "env.")
		if !ok {
			t.Errorf("%s is not the name of a variable", key.Value)
		}
		names = append(names, name)
	}
	return names
}

// process runs bifrost-secrets in a folder, with env beside what it needs to run.
func process(t *testing.T, dir string, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	starts(t)
	cmd := exec.Command("bifrost-secrets", args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errs
	cmd.Env = slices.Concat([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GORACE=" + os.Getenv("GORACE"), "GOCOVERDIR=" + os.Getenv("GOCOVERDIR")}, env)
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// dockerReads reads an env file by the rules of `docker run --env-file`: a line
// is a variable; what follows the first `=` is the value as it is.
func dockerReads(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	out := map[string]string{}
	in := bufio.NewScanner(f) // with its limit for a line, which is docker's too
	for in.Scan() {
		line := strings.TrimLeft(in.Text(), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || name == "" || strings.ContainsAny(name, " \t") || !utf8.ValidString(line) {
			t.Fatalf("docker would refuse the line %q", line)
		}
		out[name] = value
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// shellReads lets a real shell read the file, and a program that it starts look
// at its environment.
func shellReads(t *testing.T, path string) map[string]string {
	t.Helper()
	cmd := exec.Command("sh", "-euc", `. "$0"; exec show-environment`, path)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nowhere", "GORACE=" + os.Getenv("GORACE"), "GOCOVERDIR=" + os.Getenv("GOCOVERDIR")}
	cmd.Dir = t.TempDir()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	data, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Fatalf("%v: %s", err, &errs)
	}
	if left, err := os.ReadDir(cmd.Dir); err != nil || len(left) > 0 {
		t.Errorf("the shell has written files: %v %v", left, err)
	}
	out := map[string]string{}
	for _, one := range strings.Split(string(data), "\x00") {
		if name, value, _ := strings.Cut(one, "="); strings.HasPrefix(name, "BIFROST_SECRET_") {
			out[name] = value
		}
	}
	return out
}
