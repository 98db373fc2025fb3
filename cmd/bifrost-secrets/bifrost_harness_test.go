package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bifrost-secrets/watch/bifrost/bifrosttest"
)

const (
	// Some versions of Bifrost wait up to 15 seconds for each provider that
	// does not answer before they are healthy; ours does, so this is for slow
	// machines.
	bifrostStarts = 2 * time.Minute
	bifrostStops  = 2 * time.Minute
)

// bifrostClient takes no proxy of the environment and keeps no connection.
var bifrostClient = &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}

// realHarness is one installation: a config with references and its secrets, the
// folder that is all of Bifrost's world, and the provider that it calls.
type realHarness struct {
	t        *testing.T
	bin      string
	config   string // with the references
	secrets  string
	home     string // of Bifrost: the rendered config.json, its databases, what it prints, its HOME and TMPDIR
	envFile  string // outside of home
	provider *stubProvider
	store    string // members of config_store, in place of SQLite's
}

func newRealHarness(t *testing.T) *realHarness {
	t.Helper()
	bin, err := exec.LookPath(os.Getenv("BIFROST_BIN"))
	if err != nil {
		t.Fatalf("BIFROST_BIN names no program: %v", err)
	}
	if !filepath.IsAbs(bin) { // it is started in another folder than it was named in
		t.Fatalf("BIFROST_BIN has to be an absolute path, and is %s", bin)
	}
	root := t.TempDir()
	s := &realHarness{
		t: t, bin: bin,
		config:   filepath.Join(root, "source", "config.json"),
		secrets:  filepath.Join(root, "source", "secrets"),
		home:     filepath.Join(root, "bifrost"),
		envFile:  filepath.Join(root, "bifrost.env"),
		provider: newStubProvider(t),
	}
	// Bifrost loads its schema from the internet unless it finds one where it
	// runs. It starts on a file that is against the schema all the same, so the
	// real one would prove nothing.
	s.put(filepath.Join(s.home, "config.schema.json"), `{}`)
	return s
}

func (s *realHarness) put(path, content string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *realHarness) secret(name, value string) {
	s.t.Helper()
	s.put(filepath.Join(s.secrets, filepath.FromSlash(name)), value)
}

// read returns a file of Bifrost's folder.
func (s *realHarness) read(name string) []byte {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.home, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return data
}

// copyConfig copies the config for Bifrost as it is.
func (s *realHarness) copyConfig() {
	s.t.Helper()
	data, err := os.ReadFile(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.put(filepath.Join(s.home, "config.json"), string(data))
}

func (s *realHarness) render(flags ...string) {
	s.t.Helper()
	args := append([]string{"render", "--config", s.config, "--out", filepath.Join(s.home, "config.json")}, flags...)
	var out, errs bytes.Buffer
	if code := run(args, strings.NewReader(""), &out, &errs, nil); code != exitDone {
		s.t.Fatalf("render ended with %d:\n%s%s", code, &out, &errs)
	}
}

func (s *realHarness) renderEnv(format string) {
	s.t.Helper()
	s.render("--mode", "env", "--env-file", s.envFile, "--env-format", format)
}

// dockerEnv reads the env file as docker does: a line is a variable as it is.
func (s *realHarness) dockerEnv() []string {
	s.t.Helper()
	data, err := os.ReadFile(s.envFile)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

// holders returns the files of Bifrost's folder that have the text in them, as it
// is or as render spells it in JSON.
func (s *realHarness) holders(text string) []string {
	s.t.Helper()
	var spelled bytes.Buffer
	enc := json.NewEncoder(&spelled)
	enc.SetEscapeHTML(false) // as render does
	if err := enc.Encode(text); err != nil {
		s.t.Fatal(err)
	}
	inner := bytes.Trim(spelled.Bytes(), "\"\n")
	var held []string
	err := filepath.WalkDir(s.home, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return ignoreGone(err)
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(text)) || bytes.Contains(data, inner) {
			name, _ := filepath.Rel(s.home, path)
			held = append(held, name)
		}
		return ignoreGone(err)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return held
}

// ignoreGone is for files of a running Bifrost, which come and go.
func ignoreGone(err error) error {
	if isMissing(err) {
		return nil
	}
	return err
}

// bifrost is a running one.
type bifrost struct {
	realHarness *realHarness
	url         string
	header      http.Header // of the chats
	cmd         *exec.Cmd
	ended       chan struct{} // closed when it has ended
	failed      error         // how, once it has
}

// start starts Bifrost with an environment of env and no more, and waits until
// it is healthy. before is a command that starts it in its own place.
func (s *realHarness) start(env []string, before ...string) *bifrost {
	s.t.Helper()
	b := s.launch(env, before...)
	if !b.healthy() {
		b.fatal("Bifrost ended while it started: %v", b.failed)
	}
	return b
}

// launch is start that waits for nothing.
func (s *realHarness) launch(env []string, before ...string) *bifrost {
	s.t.Helper()
	port := bifrosttest.FreePort(s.t)
	args := append(slices.Clone(before), s.bin, "-app-dir", s.home, "-host", "127.0.0.1", "-port", port, "-log-level", "debug", "-log-style", "json")
	printed, err := os.OpenFile(filepath.Join(s.home, "printed"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = printed.Close() }() // Bifrost has its own handle of it
	b := &bifrost{realHarness: s, url: "http://127.0.0.1:" + port, cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{})}
	b.cmd.Dir = s.home
	b.cmd.Env = append([]string{"HOME=" + s.home, "TMPDIR=" + s.home}, env...)
	b.cmd.Stdout, b.cmd.Stderr = printed, printed
	if err := b.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		b.failed = b.cmd.Wait()
		close(b.ended)
	}()
	s.t.Cleanup(b.kill)
	return b
}

// healthy waits until Bifrost is, and reports whether it is: it may end instead.
func (b *bifrost) healthy() bool {
	b.realHarness.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(bifrostStarts)
	for {
		select {
		case <-b.ended:
			return false
		case <-deadline:
			b.fatal("Bifrost is not healthy after %s", bifrostStarts)
		case <-tick.C:
		}
		resp, err := bifrostClient.Get(b.url + "/health")
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return true
		}
	}
}

// stop ends Bifrost as an operator would.
func (b *bifrost) stop() {
	b.realHarness.t.Helper()
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.fatal("Bifrost cannot be told to stop: %v", err)
	}
	select {
	case <-b.ended:
	case <-time.After(bifrostStops):
		b.fatal("Bifrost runs on %s after it was told to stop", bifrostStops)
	}
	if b.failed != nil {
		b.fatal("Bifrost ended with %v when it was told to stop", b.failed)
	}
}

// kill is for tests that failed before they could stop it.
func (b *bifrost) kill() {
	select {
	case <-b.ended:
	default:
		_ = b.cmd.Process.Kill()
		<-b.ended
	}
}

// fatal ends the test with the last of what Bifrost printed. The keys in there
// are no one's.
func (b *bifrost) fatal(format string, args ...any) {
	b.realHarness.t.Helper()
	printed := b.realHarness.read("printed")
	b.realHarness.t.Fatalf("%s\nBifrost's last words:\n%s", fmt.Sprintf(format, args...), printed[max(0, len(printed)-4<<10):])
}

// stubProvider answers as OpenAI does and remembers the keys it was shown.
type stubProvider struct {
	url string

	mu    sync.Mutex
	keys  []string // every Authorization header
	chats []string // those of chats
}

func newStubProvider(t *testing.T) *stubProvider {
	p := &stubProvider{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		p.note(r, true)
		var ask struct {
			Model string `json:"model"`
		}
		_ = json.NewDecoder(r.Body).Decode(&ask)
		reply(w, fmt.Sprintf(`{"id":"c1","object":"chat.completion","created":1,"model":%q,
			"choices":[{"index":0,"message":{"role":"assistant","content":"pong"},"finish_reason":"stop"}],
			"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`, ask.Model))
	})
	// From 1.5 on, Bifrost asks for the models with every key when it starts.
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, r *http.Request) {
		p.note(r, false)
		reply(w, `{"object":"list","data":[{"id":"model-0","object":"model","created":1,"owned_by":"openai"}]}`)
	})
	// The price list that Bifrost would fetch from its maker at every start.
	mux.HandleFunc("GET /datasheet", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, `{"model-0":{"provider":"openai","mode":"chat","input_cost_per_token":0.000001,"output_cost_per_token":0.000002}}`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func reply(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, body)
}

func (p *stubProvider) note(r *http.Request, chat bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := r.Header.Get("Authorization")
	p.keys = append(p.keys, key)
	if chat {
		p.chats = append(p.chats, key)
	}
}

// seen returns every distinct Authorization header, sorted.
func (p *stubProvider) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := slices.Clone(p.keys)
	slices.Sort(all)
	return slices.Compact(all)
}

// lastChat returns the Authorization header of the last chat.
func (p *stubProvider) lastChat() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.chats) == 0 {
		return "no chat at all"
	}
	return p.chats[len(p.chats)-1]
}

func (p *stubProvider) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys, p.chats = nil, nil
}
