//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/watch/service"
)

// running is a running exec or watch, with what it says.
type running struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    chan string // lines of its standard output, which is its child's
	log    chan string // lines of its standard error
	all    []string    // those that were read
	ended  bool
	status int
}

// harness is a directory with a config and its secrets.
type harness struct {
	t       *testing.T
	dir     string
	app     string // Bifrost's app dir
	secrets string
	env     []string
	asInit  bool // the program is PID 1 of a namespace of its own
}

const harnessConfig = `{"config_store":{"enabled":true,"vault_store":{"enabled":true,"type":"file","file":{"path":"../secrets"}}},` +
	`"providers":{"openai":{"keys":[{"name":"a","value":"vault.openai"}]}},"governance":{"virtual_keys":[{"id":"v","name":"v","value":"vault.vk"}]}}`

func newHarness(t *testing.T) *harness {
	t.Helper()
	starts(t)
	s := &harness{t: t, dir: t.TempDir(), env: []string{"PATH=" + os.Getenv("PATH"), "GORACE=" + os.Getenv("GORACE"), "GOCOVERDIR=" + os.Getenv("GOCOVERDIR")}}
	s.app, s.secrets = filepath.Join(s.dir, "app"), filepath.Join(s.dir, "secrets")
	s.env = append(s.env, service.AllowPathVariable+"="+s.secrets)
	for _, dir := range []string{s.app, s.secrets} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.write(filepath.Join(s.app, "config.source.json"), harnessConfig)
	s.put("openai", "CANARY-1")
	s.put("vk", "sk-bf-CANARY-1")
	return s
}

// write replaces a file as one should.
func (s *harness) write(path, content string) {
	s.t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
}

func (s *harness) put(name, value string) { s.write(filepath.Join(s.secrets, name), value) }

func (s *harness) published() string {
	content, _ := os.ReadFile(filepath.Join(s.app, "config.json"))
	return string(content)
}

// start starts the program.
func (s *harness) start(args ...string) *running {
	s.t.Helper()
	if s.asInit {
		return s.startProgram("unshare", append([]string{"--pid", "--fork", "--kill-child", "--mount-proc", "bifrost-secrets"}, args...)...)
	}
	return s.startProgram("bifrost-secrets", args...)
}

// ways runs a test of exec as an ordinary process and, for root, as PID 1.
func ways(t *testing.T, test func(*testing.T, *harness)) {
	t.Parallel()
	for name, asInit := range map[string]bool{"ordinary": false, "as PID 1": true} {
		if asInit && (runtime.GOOS != "linux" || os.Geteuid() != 0) {
			t.Log("only root can make a PID namespace: as PID 1 this goes untested here")
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newHarness(t)
			s.asInit = asInit
			test(t, s)
		})
	}
}

// pid is the process of the program itself.
func (r *running) pid() int {
	r.t.Helper()
	pid := r.cmd.Process.Pid
	if filepath.Base(r.cmd.Path) != "unshare" {
		return pid
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err == nil {
		pid, err = strconv.Atoi(strings.TrimSpace(string(children)))
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return pid
}

func (s *harness) startProgram(name string, args ...string) *running {
	s.t.Helper()
	r := &running{t: s.t, cmd: exec.Command(name, args...), out: make(chan string, 1000), log: make(chan string, 1000)}
	r.cmd.Dir, r.cmd.Env = s.dir, s.env
	stdout, err := r.cmd.StdoutPipe()
	if err == nil {
		var stderr io.ReadCloser
		if stderr, err = r.cmd.StderrPipe(); err == nil {
			go eachLine(stdout, r.out)
			go eachLine(stderr, r.log)
			err = r.cmd.Start()
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if !r.ended {
			_ = r.cmd.Process.Kill()
			r.wait()
		}
		for _, line := range r.all {
			if strings.Contains(line, "CANARY") {
				s.t.Errorf("a secret is in the log: %s", line)
			}
		}
	})
	return r
}

// exec is start for exec with the options that the tests share: a child is
// restarted at once, and nothing listens.
func (s *harness) exec(options []string, command ...string) *running {
	s.t.Helper()
	args := append([]string{"exec", "--app-dir", s.app, "--listen", "none", "--apply", "restart", "--restart-settle", "0s", "--stop-timeout", "2m"}, options...)
	return s.start(append(append(args, "--"), command...)...)
}

// eachLine sends the lines of r. It reads on while nobody takes them, or whoever
// writes them would be held up.
func eachLine(r io.Reader, to chan<- string) {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(r); scan.Scan(); {
			lines <- scan.Text()
		}
	}()
	defer close(to)
	var held []string
	for lines != nil || len(held) > 0 {
		first, next := "", chan<- string(nil)
		if len(held) > 0 {
			first, next = held[0], to
		}
		select {
		case line, ok := <-lines:
			if !ok {
				lines = nil
				continue
			}
			held = append(held, line)
		case next <- first:
			held = held[1:]
		}
	}
}

func TestEachLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		lines := make(chan string, 1)
		go eachLine(r, lines)
		written := false
		go func() {
			for n := range 2000 {
				_, _ = fmt.Fprintln(w, n)
			}
			_ = w.Close()
			written = true
		}()
		synctest.Wait()
		if !written {
			t.Fatal("who writes is held up")
		}
		n := 0
		for line := range lines {
			if line != fmt.Sprint(n) {
				t.Errorf("%q for line %d", line, n)
			}
			n++
		}
		if n != 2000 {
			t.Errorf("%d lines", n)
		}
	})
}

// says waits for a line of the standard output.
func (r *running) says(text string) {
	r.t.Helper()
	r.await(r.out, text)
}

// logs waits for a line of the log, and returns it.
func (r *running) logs(text string) string {
	r.t.Helper()
	return r.await(r.log, text)
}

// logsAll waits for a line of the log with each text. They come in any order: several
// write to it.
func (r *running) logsAll(texts ...string) {
	r.t.Helper()
	for len(texts) > 0 {
		line := r.logs("")
		texts = slices.DeleteFunc(texts, func(text string) bool { return strings.Contains(line, text) })
	}
}

func (r *running) await(from chan string, text string) string {
	r.t.Helper()
	late := time.After(patience)
	for {
		select {
		case line, ok := <-from:
			if !ok {
				r.t.Fatalf("it ended without %q; its log:\n%s", text, strings.Join(r.all, "\n"))
			}
			if from != r.out {
				r.all = append(r.all, line)
			}
			if strings.Contains(line, text) {
				return line
			}
		case <-late:
			r.t.Fatalf("there was no %q; the log:\n%s", text, strings.Join(r.all, "\n"))
		}
	}
}

func (r *running) signal(sig syscall.Signal) {
	r.t.Helper()
	if err := syscall.Kill(r.pid(), sig); err != nil {
		r.t.Fatal(err)
	}
}

// wait returns the status that it ends with.
func (r *running) wait() int {
	r.t.Helper()
	if r.ended {
		return r.status
	}
	late := time.AfterFunc(patience, func() { _ = r.cmd.Process.Kill() })
	defer late.Stop()
	for line := range r.log {
		r.all = append(r.all, line)
	}
	for range r.out {
	}
	err := r.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	r.ended, r.status = true, r.cmd.ProcessState.ExitCode()
	return r.status
}

func (r *running) ends(want int) {
	r.t.Helper()
	if got := r.wait(); got != want {
		r.t.Errorf("it ended with %d, want %d; its log:\n%s", got, want, strings.Join(r.all, "\n"))
	}
}

// bifrostStub is a child in place of Bifrost: it says the first value of its
// config and which signals it gets, and runs until SIGTERM. A config with BAD in
// it makes it end with 3.
const bifrostStub = `trap 'echo term; exit 5' TERM
trap 'echo hup' HUP; trap 'echo usr1' USR1; trap 'echo usr2' USR2; trap 'echo int; exit 6' INT
case $(cat "$APP_DIR/config.json") in *BAD*) echo dies; exit 3;; esac
echo "started $(sed 's/.*"name":"a","value":"\([^"]*\)".*/\1/' "$APP_DIR/config.json") $BIFROST_SECRETS_TOKEN"
while :; do sleep 1 & wait $!; done`

func (s *harness) stub(options ...string) *running { return s.exec(options, "sh", "-c", bifrostStub) }

func TestExecRotates(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	r := s.stub("--apply-timeout", "10ms")
	r.says("started CANARY-1 ")
	r.logsAll("Bifrost does not answer", `"msg":"ready"`) // it is no Bifrost that could be asked
	s.put("openai", "CANARY-2")
	r.says("term")
	r.says("started CANARY-2 ")
	r.logs("not ready: /readyz fails from now on")
	r.logsAll("restarted Bifrost", `"msg":"ready","not_ready_for":`)
	// The config itself.
	s.write(filepath.Join(s.app, "config.source.json"), strings.Replace(harnessConfig, "vault.openai", "CANARY-literal", 1))
	r.says("started CANARY-literal ")
	// A half one changes nothing, and a whole one comes.
	if err := os.WriteFile(filepath.Join(s.app, "config.source.json"), []byte(harnessConfig[:90]), 0o600); err != nil {
		t.Fatal(err)
	}
	r.logs("refresh failed")
	s.write(filepath.Join(s.app, "config.source.json"), harnessConfig)
	r.says("started CANARY-2 ")
	r.signal(syscall.SIGTERM)
	r.says("term")
	r.logs("SIGTERM came: it is passed on to Bifrost, which has 2m0s to end")
	r.logs(`"msg":"Bifrost ended","status":5`)
	r.ends(5)
}

// Signals reach the child, but for SIGHUP, which makes a refresh.
func TestExecSignals(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	r := s.stub()
	r.says("started")
	r.signal(syscall.SIGUSR1)
	r.says("usr1")
	r.signal(syscall.SIGUSR2)
	r.says("usr2")
	for range 100 { // a storm
		r.signal(syscall.SIGHUP)
	}
	r.logs(`"trigger":"signal"`)
	r.signal(syscall.SIGUSR1)
	if line := r.await(r.out, "u"); line != "usr1" { // and no hup
		t.Errorf("the child said %q", line)
	}
	r.signal(syscall.SIGINT)
	r.says("int")
	r.ends(6)
}

// A child that does not live with a new value gets the last good ones back, and
// the bad value is not tried again.
func TestExecTakesBack(t *testing.T) { ways(t, testTakesBack) }

func testTakesBack(t *testing.T, s *harness) {
	r := s.stub()
	r.says("started CANARY-1")
	before := s.published()
	s.put("openai", "CANARY-BAD")
	r.says("dies")
	r.logs("new values were rolled back")
	r.says("started CANARY-1")
	if got := s.published(); got != before {
		t.Error("the last good file was not put back")
	}
	r.signal(syscall.SIGHUP)
	r.logs("not tried again")
	s.put("openai", "CANARY-3")
	r.says("started CANARY-3")
	// A child that dies by itself ends exec.
	r.signal(syscall.SIGTERM)
	r.ends(5)
}

// In env mode a rotation means a restart, and no value is in the file.
func TestExecEnvMode(t *testing.T) { ways(t, testEnvMode) }

func testEnvMode(t *testing.T, s *harness) {
	s.env = append(s.env, "BIFROST_SECRETS_TOKEN=CANARY-token", "BIFROST_SECRETS_X=1")
	r := s.exec([]string{"--mode", "env", "--apply", "auto"}, "sh", "-c", `trap 'exit 0' TERM; env | grep -c CANARY; env | grep BIFROST_SECRETS_; env | grep CANARY-[0-9]; while :; do sleep 1 & wait $!; done`)
	r.says("2")
	r.says("CANARY-1")
	s.put("openai", "CANARY-2")
	r.says("2")
	if line := r.await(r.out, "CANARY"); strings.Contains(line, "BIFROST_SECRETS_") {
		t.Errorf("the child has %s", line)
	}
	if strings.Contains(s.published(), "CANARY") || !strings.Contains(s.published(), `"env.BIFROST_SECRET_`) {
		t.Errorf("published: %s", s.published())
	}
	r.signal(syscall.SIGTERM)
	r.ends(0)
}

// awsHarness takes its secrets from a fake of AWS.
func awsHarness(t *testing.T) (*harness, *awstest.Fake) {
	s := newHarness(t)
	f := awstest.NewFake()
	if err := f.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	for name, value := range f.Env() {
		s.env = append(s.env, name+"="+value)
	}
	s.env = append(s.env, "AWS_MAX_ATTEMPTS=1")
	f.Put("openai", "CANARY-1")
	f.Put("vk", "sk-bf-CANARY-1")
	s.write(filepath.Join(s.app, "config.source.json"), strings.Replace(harnessConfig, `"type":"file","file":{"path":"../secrets"}`, `"type":"aws-secrets-manager"`, 1))
	return s, f
}

// A backend that hangs does not keep the end from coming.
func TestExecEndsInHang(t *testing.T) {
	t.Parallel()
	s, f := awsHarness(t)
	r := s.stub("--timeout", "1h")
	r.says("started")
	f.Set(awstest.Faults{Hang: true})
	f.Forget()
	r.signal(syscall.SIGHUP)
	for next := f.Called(); f.Total() == 0; next = f.Called() {
		<-next
	}
	r.signal(syscall.SIGTERM)
	r.says("term")
	r.ends(5)
}

// The child waits for a backend that comes up, and not for one that says no.
func TestExecStart(t *testing.T) {
	t.Parallel()
	s, f := awsHarness(t)
	f.Set(awstest.Faults{Status: http.StatusServiceUnavailable})
	r := s.stub("--timeout", "1h")
	r.logs("refresh failed")
	f.Set(awstest.Faults{})
	r.says("started CANARY-1")
	r.signal(syscall.SIGTERM)
	r.ends(5)

	f.Set(awstest.Faults{Hang: true})
	r = s.stub("--timeout", "1s")
	r.ends(125)
	f.Set(awstest.Faults{Status: http.StatusServiceUnavailable})
	r = s.stub("--timeout", "1h")
	r.logs("refresh failed")
	r.signal(syscall.SIGTERM)
	r.ends(143)
}

// A watch that is ended before it is up says by what; one that runs ends well.
func TestWatchEnded(t *testing.T) {
	t.Parallel()
	for sig, code := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130} {
		s, f := awsHarness(t)
		f.Set(awstest.Faults{Status: http.StatusServiceUnavailable})
		watch := func(options ...string) *running {
			return s.start(append([]string{"watch", "--config", filepath.Join(s.app, "config.source.json"), "--out", filepath.Join(s.app, "config.json"), "--apply", "none", "--listen", "none"}, options...)...)
		}
		r := watch("--timeout", "1h")
		r.logs("refresh failed")
		r.signal(sig)
		r.ends(code)
		f.Set(awstest.Faults{})
		r = watch()
		r.logs("refreshed")
		r.signal(sig)
		r.ends(0)
	}
}

// The key of an earlier life counts, also where nothing is left of the file.
func TestExecEncryptionKey(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	s.write(filepath.Join(s.app, "config.source.json"), strings.Replace(harnessConfig, "{", `{"encryption_key":"vault.enc",`, 1))
	s.put("enc", "CANARY-key")
	once := func(want int, options ...string) *running {
		t.Helper()
		r := s.exec(options, "true")
		r.ends(want)
		return r
	}
	once(0)
	s.put("enc", "CANARY-other")
	if err := os.Remove(filepath.Join(s.app, "config.json")); err != nil {
		t.Fatal(err)
	}
	r := once(125)
	if log := strings.Join(r.all, "\n"); !strings.Contains(log, "not the one that Bifrost's database was written with") || !strings.Contains(log, `"hint":`) {
		t.Errorf("log: %s", log)
	}
	once(0, "--accept-new-encryption-key")
	once(0)
	s.put("enc", "CANARY-key")
	once(125)
	// It stays what it is in a life, too, and the rest goes on.
	s.put("enc", "CANARY-other")
	r = s.stub()
	r.says("started CANARY-1")
	s.put("enc", "CANARY-third")
	r.logs("the key has changed and is refused")
	s.put("openai", "CANARY-2")
	r.says("started CANARY-2")
	if !strings.Contains(s.published(), "CANARY-other") {
		t.Error("the key was changed")
	}
}

// As PID 1 of a namespace: signals arrive though they have no default there,
// orphans are reaped, for as long as the child takes to end too, and the status is
// passed on.
func TestExecAsInit(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a PID namespace: as PID 1, exec goes untested here")
	}
	t.Parallel()
	s := newHarness(t)
	script := `orphans() { for i in 1 2 3; do (sh -c 'sleep 0.1; echo >> "$APP_DIR/gone"' & ) ; done
until [ "$(wc -l < "$APP_DIR/gone")" = $1 ]; do sleep 0.1; done; while grep -qs "^State:.Z" /proc/[0-9]*/status; do sleep 0.1; done; echo "no zombies"; }
trap 'orphans 6; exit 5' TERM; trap 'echo usr1' USR1; echo "started $PPID"; : > "$APP_DIR/gone"; orphans 3; while :; do sleep 1 & wait $!; done`
	args := []string{"--pid", "--fork", "--mount-proc", "bifrost-secrets", "exec", "--app-dir", s.app, "--listen", "none", "--apply", "restart", "--stop-timeout", "2m", "--", "sh", "-c", script}
	r := s.startProgram("unshare", args...)
	r.says("started 1")
	r.says("no zombies")
	for _, one := range []struct {
		sig  syscall.Signal
		want string
	}{{syscall.SIGUSR1, "usr1"}, {syscall.SIGTERM, "no zombies"}} {
		r.signal(one.sig)
		r.says(one.want)
	}
	r.ends(5)
}

// A child that ends unexpectedly ends exec with its status: who started exec starts
// it again.
func TestExecEndsWithItsChild(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	r := s.exec(nil, "sh", "-c", `echo x >> "$APP_DIR/lives"; exit 9`)
	r.ends(9)
	if lives, _ := os.ReadFile(filepath.Join(s.app, "lives")); string(lives) != "x\n" {
		t.Errorf("lives: %q", lives)
	}
}

// The daemon beside Bifrost: it publishes, runs its command for what changed, and
// ends in peace.
func TestWatch(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	told := filepath.Join(s.dir, "told")
	socket := filepath.Join(s.dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	notified := func(want string) {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1000)
		n, err := conn.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), want) {
			t.Fatalf("systemd was told %q, want %q: %v", buf[:n], want, err)
		}
	}
	s.env = append(s.env, "NOTIFY_SOCKET="+socket, "BIFROST_SECRETS_TOKEN=CANARY-token-of-this-test")
	r := s.start("watch", "--config", filepath.Join(s.app, "config.source.json"), "--out", filepath.Join(s.app, "config.json"), "--listen", "127.0.0.1:0",
		"--apply", "command", "--command", `echo "$BIFROST_SECRETS_TRIGGER $BIFROST_SECRETS_CHANGED $BIFROST_SECRETS_TOKEN" >> `+told)
	line := r.logs("listening")
	notified("READY=1")
	s.put("openai", "CANARY-2")
	r.logs(`"trigger":"file","handed_over":1`)
	r.signal(syscall.SIGHUP)
	notified("RELOADING=1\nMONOTONIC_USEC=")
	notified("READY=1")

	var entry struct{ Address string }
	if err := json.Unmarshal([]byte(line), &entry); err != nil {
		t.Fatal(err)
	}
	flush := func(token string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodPost, entry.Address+"/api/vault/flush-cache", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		transport := &http.Transport{DisableKeepAlives: true}
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if code, body := flush("wrong"); code != 401 {
		t.Errorf("%d %s", code, body)
	}
	if code, body := flush("CANARY-token-of-this-test"); code != 200 || !strings.Contains(body, "vault cache flushed") {
		t.Errorf("%d %s", code, body)
	}
	for _, path := range []string{"/api/vault/status", "/metrics", "/readyz"} {
		req, err := http.NewRequest(http.MethodGet, entry.Address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer CANARY-token-of-this-test")
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || strings.Contains(string(body), "CANARY") || len(body) == 0 {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
	if err := os.Remove(filepath.Join(s.secrets, "vk")); err != nil {
		t.Fatal(err)
	}
	if code, body := flush("CANARY-token-of-this-test"); code != 502 || !strings.Contains(body, `"secret":"vk"`) {
		t.Errorf("%d %s", code, body)
	}
	if !strings.Contains(s.published(), "sk-bf-CANARY-1") || !strings.Contains(s.published(), "CANARY-2") {
		t.Errorf("published: %s", s.published())
	}
	r.signal(syscall.SIGTERM)
	notified("STOPPING=1")
	r.ends(0)
	got, err := os.ReadFile(told)
	want := "start providers.openai.keys[0].value\ngovernance.virtual_keys[0].value \nfile providers.openai.keys[0].value \n"
	if err != nil || string(got) != want {
		t.Errorf("the command was told %q, want %q: %v", got, want, err)
	}
}

// A watch that may not restart says what wants it.
func TestWatchReports(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	r := s.start("watch", "--config", filepath.Join(s.app, "config.source.json"), "--out", filepath.Join(s.app, "config.json"), "--listen", "none")
	r.logs("applied")
	s.put("vk", "sk-bf-CANARY-2")
	line := r.logs("restart_required_fields")
	if !strings.Contains(line, "governance.virtual_keys[0].value: Bifrost does not take it while it runs") || !strings.Contains(line, "WARN") {
		t.Errorf("log: %s", line)
	}
	r.signal(syscall.SIGINT)
	r.ends(0)
}

// Where secrets may be stored, new plaintext in the config is told of, with the
// command that stores it; it is not stored.
func TestWatchPlaintext(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	config := filepath.Join(s.app, "config.source.json")
	writable := strings.Replace(harnessConfig, `"type":"file"`, `"type":"file","access_mode":"read_and_write"`, 1)
	s.write(config, writable)
	r := s.start("watch", "--config", config, "--out", filepath.Join(s.app, "config.json"), "--listen", "none", "--apply", "none")
	r.logs("applied")
	s.write(config, strings.Replace(writable, `"vault.openai"`, `"CANARY-typed"`, 1))
	line := r.logs("plain text")
	for _, want := range []string{`"count":1`, "providers.openai.keys[0].value", "bifrost-secrets store --config " + config + " --gateway NAME"} {
		if !strings.Contains(line, want) {
			t.Errorf("%s is not in the log: %s", want, line)
		}
	}
	r.signal(syscall.SIGTERM)
	r.ends(0)
	for _, line := range r.all[:len(r.all)-1] {
		if strings.Contains(line, "plain text") && !strings.Contains(line, `"count":1`) {
			t.Errorf("it was told of without cause: %s", line)
		}
	}
	if entries, err := os.ReadDir(s.secrets); err != nil || len(entries) != 2 {
		t.Errorf("secrets were stored: %v, %v", entries, err)
	}
}

// An outage is told of once, changes nothing, and ends by itself.
func TestWatchOutage(t *testing.T) {
	t.Parallel()
	s, f := awsHarness(t)
	r := s.start("watch", "--config", filepath.Join(s.app, "config.source.json"), "--out", filepath.Join(s.app, "config.json"), "--listen", "none", "--interval", "1s", "--apply", "none")
	r.logs("applied")
	before, err := os.Stat(filepath.Join(s.app, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	f.Set(awstest.Faults{Status: http.StatusServiceUnavailable})
	line := r.logs("refresh failed")
	if !strings.Contains(line, "vault.openai") || !strings.Contains(line, "vault.vk") || !strings.Contains(line, "oldest_value") {
		t.Errorf("log: %s", line)
	}
	f.Put("openai", "CANARY-2")
	f.Set(awstest.Faults{})
	r.logs("all is well again")
	after, err := os.Stat(filepath.Join(s.app, "config.json"))
	if err != nil || os.SameFile(before, after) || !strings.Contains(s.published(), "CANARY-2") {
		t.Errorf("published: %s", s.published())
	}
	r.signal(syscall.SIGTERM)
	r.ends(0)
	if n := strings.Count(strings.Join(r.all, "\n"), "refresh failed"); n != 1 {
		t.Errorf("the outage was told of %d times", n)
	}
}
