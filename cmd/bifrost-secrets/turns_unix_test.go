//go:build unix

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/sources/postgres/pgtest"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/bifrost/bifrosttest"
	"bifrost-secrets/watch/control"
)

// fleetBifrost is a child that notes in a file who it is and which value it was
// started with. It ends at once over one with BAD in it, becomes the real Bifrost
// whose command follows, or else answers itself until it has served what it was
// asked before SIGTERM.
func fleetBifrost() {
	name, port, notes := os.Args[1], os.Args[2], os.Args[3]
	value := ""
	for _, entry := range os.Environ() {
		if strings.HasPrefix(entry, render.EnvPrefix) {
			_, value, _ = strings.Cut(entry, "=")
		}
	}
	f, err := os.OpenFile(notes, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(name + " " + strings.TrimPrefix(value, "sk-CANARY-") + "\n")
	}
	if err != nil || f.Close() != nil {
		os.Exit(4)
	}
	if strings.Contains(value, "BAD") {
		os.Exit(3)
	}
	if real := os.Args[4:]; len(real) > 0 {
		_ = syscall.Exec(real[0], real, os.Environ())
		os.Exit(4)
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	server := &http.Server{Addr: "127.0.0.1:" + port, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" {
			time.Sleep(20 * time.Millisecond) // what a provider takes
		}
		reply(w, `{"status":"ok","components":{"db_pings":"ok"}}`)
	})}
	go func() { _ = server.ListenAndServe() }()
	<-end
	_ = server.Shutdown(context.Background())
}

// member is one exec of a fleet.
type member struct {
	*harness
	name    string
	port    string
	run     *running
	address string                    // of its control server
	ready   atomic.Pointer[time.Time] // when it was asked and was so; nil where it is not
}

// fleet is five execs with one database and one backend.
type fleet struct {
	t      *testing.T
	server *pgtest.Server
	db     *pgtest.Database
	aws    *awstest.Fake
	notes  string
	all    []*member
	client *http.Client
	flags  []string
}

const fleetDrain = 2 * time.Second

const fleetToken = "CANARY-token-of-this-fleet"

func newFleet(t *testing.T, flags ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, server: pgtest.Start(t, pgtest.Options{NoTLS: true}), aws: awstest.StartFake(t), notes: filepath.Join(t.TempDir(), "notes"), flags: flags}
	f.client = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	f.db = f.server.Database(t)
	f.put(1)
	up := bifrosttest.NewUpstream(t)
	for i := range 5 {
		m := &member{harness: newHarness(t), name: fmt.Sprint("pod-", i), port: bifrosttest.FreePort(t)}
		m.write(filepath.Join(m.app, "config.source.json"), fmt.Sprintf(`{
			"config_store": {"enabled": true, "type": "sqlite", "config": {"path": "%[2]s/config.db"}, "vault_store": {"enabled": true, "type": "aws-secrets-manager", "aws": {"region": "us-east-1"}}},
			"framework": %[3]s, "client": {"initial_pool_size": 50},
			"providers": {"openai": {"keys": [{"name": "main", "value": "vault.openai", "models": ["model-0"], "weight": 1}], "network_config": {"base_url": "%[1]s"}}}}`,
			up.URL, m.app, bifrosttest.Framework(up.URL)))
		m.write(filepath.Join(m.dir, "config.schema.json"), "{}")
		for name, value := range f.aws.Env() {
			m.env = append(m.env, name+"="+value)
		}
		m.env = append(m.env, "CLUSTER="+f.db.URL(), control.TokenVariable+"="+fleetToken, "HOME="+m.dir, "TMPDIR="+m.dir)
		f.all = append(f.all, m)
		f.start(m)
	}
	for _, m := range f.all {
		f.up(m)
	}
	return f
}

func (f *fleet) start(m *member) {
	f.t.Helper()
	args := append([]string{"exec", "--app-dir", m.app, "--mode", "env", "--cluster", "env.CLUSTER", "--listen", "127.0.0.1:0", "--stop-timeout", "2m",
		"--bifrost-url", "http://127.0.0.1:" + m.port}, f.flags...)
	args = append(args, "--", "fleet-bifrost", m.name, m.port, f.notes)
	if bin := os.Getenv("BIFROST_BIN"); bin != "" {
		args = append(args, bin, "-app-dir", m.app, "-host", "127.0.0.1", "-port", m.port, "-log-style", "json")
	}
	m.run = m.harness.start(args...)
	go func(out <-chan string) {
		for range out { // a Bifrost that nobody reads stops
		}
	}(m.run.out)
	var entry struct{ Address string }
	if err := json.Unmarshal([]byte(m.run.logs("listening")), &entry); err != nil {
		f.t.Fatal(err)
	}
	m.address = entry.Address
}

// up waits until a Bifrost answers.
func (f *fleet) up(m *member) {
	f.t.Helper()
	for late := time.Now().Add(patience); f.readyz(m) != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(late) {
			f.t.Fatalf("%s is not ready: %v", m.name, f.readyz(m))
		}
	}
}

func (f *fleet) readyz(m *member) error {
	resp, err := f.client.Get(m.address + "/readyz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%d %s", resp.StatusCode, body)
	}
	return nil
}

// put stores the n-th value.
func (f *fleet) put(n int) { f.aws.Put("openai", fmt.Sprintf("sk-CANARY-%d", n)) }

// flush has the whole fleet refresh.
func (f *fleet) flush() { f.all[0].run.signal(syscall.SIGHUP) }

// started returns who was started with a value, in order of time.
func (f *fleet) started(value string) (names []string) {
	f.t.Helper()
	text, err := os.ReadFile(f.notes)
	if err != nil {
		f.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if name, with, _ := strings.Cut(strings.TrimSpace(line), " "); with == value {
			names = append(names, name)
		}
	}
	return names
}

// each checks that every member was started with a value once.
func (f *fleet) each(value string) {
	f.t.Helper()
	names := f.started(value)
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "pod-0 pod-1 pod-2 pod-3 pod-4" {
		f.t.Errorf("started with %s: %s", value, got)
	}
}

// status is what a member tells of itself.
func (f *fleet) status(m *member) (st watch.Status) {
	f.t.Helper()
	req, err := http.NewRequest(http.MethodGet, m.address+control.StatusPath, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+fleetToken)
	resp, err := f.client.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
		f.t.Fatal(err)
	}
	return st
}

const (
	turnBegins = "it is our turn to restart Bifrost"
	turnEnds   = "the turn to restart goes to the next"
)

// rotates waits until every member had its turn.
func (f *fleet) rotates() {
	f.t.Helper()
	for _, m := range f.all {
		m.run.logs(turnEnds)
	}
}

// end ends all, and returns when which member had a turn.
func (f *fleet) end() (turns []turnOf) {
	f.t.Helper()
	for _, m := range f.all {
		m.run.signal(syscall.SIGTERM)
	}
	for _, m := range f.all {
		m.run.wait()
		var began time.Time
		for _, line := range m.run.all {
			var entry struct {
				Time time.Time
				Msg  string
			}
			if json.Unmarshal([]byte(line), &entry) != nil {
				continue
			}
			switch {
			case strings.HasPrefix(entry.Msg, turnBegins):
				began = entry.Time
			case strings.HasPrefix(entry.Msg, turnEnds):
				turns = append(turns, turnOf{began, entry.Time, m.name})
			}
		}
	}
	slices.SortFunc(turns, func(a, b turnOf) int { return a.began.Compare(b.began) })
	return turns
}

// turnOf is a turn of a member.
type turnOf struct {
	began, ended time.Time
	name         string
}

func apart(t *testing.T, turns []turnOf) {
	t.Helper()
	for i := 1; i < len(turns); i++ {
		if a, b := turns[i-1], turns[i]; b.began.Before(a.ended) {
			t.Errorf("%s restarts from %v to %v, and %s from %v", a.name, a.began, a.ended, b.name, b.began)
		}
	}
}

// balancer follows /readyz, and has clients call without a pause. The function that
// it returns ends that, and tells how often they called and what went wrong.
func (f *fleet) balancer() (end func() (calls int, failed []string)) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, m := range f.all {
		began := time.Now()
		m.ready.Store(&began)
		running.Go(func() {
			for ctx.Err() == nil {
				asked := time.Now()
				if f.readyz(m) == nil {
					m.ready.Store(&asked)
				} else {
					m.ready.Store(nil)
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
	var mu sync.Mutex
	var calls int
	var failed []string
	for i := range 2 {
		running.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				m := f.all[n%len(f.all)]
				asked := m.ready.Load()
				if asked == nil {
					if !slices.ContainsFunc(f.all, func(m *member) bool { return m.ready.Load() != nil }) {
						time.Sleep(10 * time.Millisecond)
					}
					continue
				}
				err := f.chat(m)
				mu.Lock()
				// A balancer that has no time to look knows of no drain.
				if calls++; err != nil && time.Since(*asked) < fleetDrain {
					failed = append(failed, fmt.Sprintf("%s at %s: %v", m.name, time.Now().Format(time.StampMilli), err))
				}
				mu.Unlock()
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	return func() (int, []string) {
		cancel()
		running.Wait()
		return calls, failed
	}
}

func (f *fleet) chat(m *member) error {
	resp, err := f.client.Post("http://127.0.0.1:"+m.port+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"openai/model-0","messages":[{"role":"user","content":"ping"}]}`))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%d %s %v", resp.StatusCode, body, err)
	}
	return nil
}

// Rotations over five Bifrosts behind a load balancer: one restarts after the other,
// and no request is refused or cut. A value that the first one rejects is not tried by
// the others.
func TestTurnsOfFleet(t *testing.T) {
	t.Parallel()
	rotations, err := strconv.Atoi(cmp.Or(os.Getenv("BIFROST_ROTATIONS"), "2"))
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, "--drain", fleetDrain.String(), "--restart-settle", "600ms") // two restarts are more than ten seconds apart, after which a value is the last good one
	end := f.balancer()
	began := time.Now()
	for n := 2; n < 2+rotations; n++ {
		f.put(n)
		f.flush()
		f.rotates()
		f.each(fmt.Sprint(n))
	}
	took := time.Since(began)
	last := fmt.Sprint(1 + rotations)
	f.aws.Put("openai", "sk-CANARY-BAD")
	f.flush()
	var culprit *member
	for late := time.Now().Add(patience); culprit == nil; time.Sleep(50 * time.Millisecond) {
		if names := f.started("BAD"); len(names) > 0 {
			culprit = f.all[slices.IndexFunc(f.all, func(m *member) bool { return m.name == names[0] })]
		}
		if time.Now().After(late) {
			t.Fatal("nobody tries the value")
		}
	}
	culprit.run.logs("new values were rolled back")
	culprit.run.logs(turnEnds)
	for _, m := range f.all {
		if m != culprit {
			m.run.logs("a Bifrost of the cluster has rejected them")
		}
	}
	f.flush() // which changes nothing, since the version is the same
	for _, m := range f.all[1:] {
		m.run.logs(`"trigger":"notify"`)
	}
	if names := f.started("BAD"); len(names) != 1 {
		t.Errorf("started with what is rejected: %v", names)
	}
	host, _ := os.Hostname()
	for _, m := range f.all {
		st := f.status(m)
		want := "rejected by " + host + " at "
		if m == culprit {
			want = "Bifrost ended with status 3"
		}
		if r := st.References[0]; r.State != watch.Refused || !strings.Contains(r.Reason, want) || r.Fresh || !st.Ready {
			t.Errorf("%s: %+v", m.name, r)
		}
		once := 1
		if m == culprit { // and back
			once = 2
		}
		if n := times(f.started(last), m.name); n != once {
			t.Errorf("%s was started %d times with the last good value", m.name, n)
		}
	}
	// What is stored then comes to all.
	f.put(1000)
	f.flush()
	f.rotates()
	f.each("1000")
	calls, failed := end()
	if len(failed) > 0 || calls < 100 {
		t.Errorf("of %d calls %d failed: %s", calls, len(failed), strings.Join(failed[:min(5, len(failed))], "\n"))
	}
	turns := f.end()
	apart(t, turns)
	if want := 5*(rotations+1) + 1; len(turns) != want {
		t.Errorf("%d turns, want %d", len(turns), want)
	}
	t.Logf("%d rotations over five in %s, %d calls", rotations, took.Round(time.Millisecond), calls)
}

// Who is killed in its turn, and a database that goes away in the middle, keep nobody
// waiting, and nobody is restarted twice.
func TestTurnsInTrouble(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "--restart-settle", "200ms", "--restart-splay", "2s")
	holder := func() *member {
		t.Helper()
		for late := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			for _, m := range f.all {
				if st := f.status(m); st.Bifrost != nil && strings.HasPrefix(st.Bifrost.Turn, "our turn") {
					return m
				}
			}
			if time.Now().After(late) {
				t.Fatal("nobody has a turn")
			}
		}
	}
	f.put(2)
	f.flush()
	killed := holder()
	if err := killed.run.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed.run.wait()
	for _, m := range f.all {
		if m != killed {
			m.run.logs(turnEnds)
		}
	}
	f.start(killed) // by whoever starts it
	f.up(killed)
	for _, m := range f.all {
		if names := f.started("2"); m != killed && times(names, m.name) != 1 {
			t.Errorf("started with 2: %v", names)
		}
	}
	f.put(3)
	f.flush()
	holder()
	f.server.Stop(t)
	time.Sleep(time.Second) // what is broken is the database, for a while
	f.server.Restart(t)
	for late := time.Now().Add(patience); len(f.started("3")) < 5; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("started with 3: %v", f.started("3"))
		}
	}
	for _, m := range f.all {
		f.up(m)
	}
	f.put(4)
	f.flush()
	for late := time.Now().Add(patience); len(f.started("4")) < 5; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("started with 4: %v", f.started("4"))
		}
	}
	f.each("3")
	f.each("4")
	f.end()
}

func times(names []string, name string) (n int) {
	for _, one := range names {
		if one == name {
			n++
		}
	}
	return n
}
