package awstest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"bifrost-secrets/sources/internal/porttest"
)

// requireBackends is the environment variable that, when set to anything, makes
// a missing backend a failure and not a skip. CI sets it.
const requireBackends = "BIFROST_REQUIRE_BACKENDS"

// startLimit is how long moto may take to listen, on a busy machine.
const startLimit = 3 * time.Minute

// Server is a moto_server process.
type Server struct {
	// URL is where it listens: http://127.0.0.1:PORT.
	URL string

	path    string
	port    int
	release func()    // gives the port back
	cmd     *exec.Cmd // nil while it is stopped
	log     io.Closer
	reading sync.WaitGroup
	client  *http.Client
	ready   chan string

	mu     sync.Mutex
	posts  int           // POST lines of the access log: requests to AWS services
	fences int           // lines of requests for /fence
	grown  chan struct{} // closed and made anew with each line
	output bytes.Buffer  // for a start that failed
}

// Moto starts a moto_server that is stopped when the test ends. It is the one
// that MOTO_SERVER names, or is on the PATH, or in .cache/moto/bin below the
// root of the module. Where there is none the test is skipped, or fails if
// [requireBackends] is set; with -short it is skipped. A start takes about a second: share one server
// between subtests, with Reset.
func Moto(tb testing.TB) *Server {
	tb.Helper()
	if testing.Short() {
		tb.Skip("moto is not started with -short")
	}
	path := findMoto()
	if path == "" {
		const missing = "moto_server NOT FOUND: nothing here is tested against an emulator of AWS; " +
			"set MOTO_SERVER, or: python3 -m venv .cache/moto && .cache/moto/bin/pip install 'moto[server]'"
		if os.Getenv(requireBackends) != "" {
			tb.Fatal(missing)
		}
		tb.Skip(missing)
	}
	s := &Server{path: path, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, grown: make(chan struct{})}
	var err error
	if s.port, s.release, err = porttest.Keep(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.release)
	tb.Cleanup(s.Stop)
	s.Start(tb)
	return s
}

// Start starts it, empty, after a Stop: it listens where it did before, and nobody
// else has listened there meanwhile.
func (s *Server) Start(tb testing.TB) {
	tb.Helper()
	// A wrapper may stand before the server: the group takes both.
	s.cmd = exec.Command(s.path, "-H", "127.0.0.1", "-p", fmt.Sprint(s.port))
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.cmd.Env = append(os.Environ(), "PYTHONUNBUFFERED=1")
	s.ready = make(chan string, 1)
	r, w := io.Pipe()
	s.cmd.Stdout, s.cmd.Stderr = w, w
	if err := s.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	s.log = w
	s.reading.Go(func() { s.read(r) })
	select {
	case s.URL = <-s.ready:
	case <-time.After(startLimit):
		s.mu.Lock()
		defer s.mu.Unlock()
		tb.Fatalf("%s did not listen within %s:\n%s", s.path, startLimit, s.output.String())
	}
}

// Stop kills it, and all that it holds is gone.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	_ = s.cmd.Wait()
	_ = s.log.Close()
	s.reading.Wait()
	s.cmd = nil
}

// findMoto returns the path of moto_server, or "".
func findMoto() string {
	if path := os.Getenv("MOTO_SERVER"); path != "" {
		return path
	}
	if path, err := exec.LookPath("moto_server"); err == nil {
		return path
	}
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			path := filepath.Join(dir, ".cache", "moto", "bin", "moto_server")
			if _, missing := os.Stat(path); missing == nil {
				return path
			}
			return ""
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
	return ""
}

var listening = regexp.MustCompile(`Running on (http://127\.0\.0\.1:[0-9]+)`)

// read takes in the access log.
func (s *Server) read(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		line := lines.Text()
		if m := listening.FindStringSubmatch(line); m != nil {
			s.ready <- m[1]
		}
		s.mu.Lock()
		switch {
		case strings.Contains(line, `"POST / HTTP`):
			s.posts++
		case strings.Contains(line, "/fence HTTP"):
			s.fences++
		default:
			fmt.Fprintln(&s.output, line)
		}
		close(s.grown)
		s.grown = make(chan struct{})
		s.mu.Unlock()
	}
}

// Requests returns the number of requests to AWS services so far, retries and
// those of seeding included. Take it before and after what is to be counted.
func (s *Server) Requests(tb testing.TB) int {
	tb.Helper()
	s.mu.Lock()
	want := s.fences + 1
	s.mu.Unlock()
	// A line is written before its answer is sent, so that once the line of
	// this request is read, those of all requests before it are.
	s.ask(tb, http.MethodGet, "/fence")
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	for {
		s.mu.Lock()
		posts, fences, grown := s.posts, s.fences, s.grown
		s.mu.Unlock()
		if fences >= want {
			return posts
		}
		select {
		case <-grown:
		case <-limit.C:
			tb.Fatal("moto's access log does not show a request that was answered")
		}
	}
}

// Reset empties the server.
func (s *Server) Reset(tb testing.TB) {
	tb.Helper()
	s.ask(tb, http.MethodPost, "/moto-api/reset")
}

func (s *Server) ask(tb testing.TB, method, path string) {
	tb.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, s.URL+path, nil)
	if err != nil {
		tb.Fatal(err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	_ = resp.Body.Close()
}

// Env returns the environment of a process that is to use s.
func (s *Server) Env() map[string]string { return env(s.URL) }

// Client returns a client of Secrets Manager for seeding, in a region of the
// account of an Env, or of that of role if it is not empty.
func (s *Server) Client(region, role string) *secretsmanager.Client {
	httpClient := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.DisableKeepAlives = true // nothing is left open when the test ends
	})
	cfg := aws.Config{
		Region: region, BaseEndpoint: &s.URL, HTTPClient: httpClient,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}
	if role != "" {
		cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), role))
	}
	return secretsmanager.NewFromConfig(cfg)
}

// Put creates a secret with a text as its value, and returns its ARN.
func (s *Server) Put(tb testing.TB, region, name, text string) (arn string) {
	tb.Helper()
	return create(tb, s.Client(region, ""), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &text})
}

// PutBinary creates a binary secret, and returns its ARN.
func (s *Server) PutBinary(tb testing.TB, region, name string, b []byte) (arn string) {
	tb.Helper()
	return create(tb, s.Client(region, ""), &secretsmanager.CreateSecretInput{Name: &name, SecretBinary: b})
}

// PutAs creates a secret in the account of a role, and returns its ARN.
func (s *Server) PutAs(tb testing.TB, role, region, name, text string) (arn string) {
	tb.Helper()
	return create(tb, s.Client(region, role), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &text})
}

func create(tb testing.TB, c *secretsmanager.Client, in *secretsmanager.CreateSecretInput) string {
	tb.Helper()
	out, err := c.CreateSecret(context.Background(), in)
	if err != nil {
		tb.Fatal(err)
	}
	return *out.ARN
}
