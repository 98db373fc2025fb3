//go:build unix

package service

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	management "bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/child"

	"github.com/tidwall/gjson"
)

// supervised is exec's Bifrost: its environment, its process, and what probes
// and the status are told of it.
type supervised struct {
	*watch.Loop
	*watch.Supervisor
	*runner
	args    []string
	forward *child.Forwarder
	api     *management.Client // nil where it is not used
	probe   *management.Client

	database rewriter

	ctx    context.Context // ends with exec
	began  atomic.Bool     // the child was started
	over   atomic.Bool     // there is no child any more, and will be none
	code   atomic.Int32    // the exit code, once it is over
	signal atomic.Int32    // what ended us before that
	from   atomic.Int64    // when the values of an earlier life were had, in Unix nanoseconds; 0 where they are not in use

	mu     sync.Mutex
	hidden []string // variables that hold credentials of ours, by the newest document that could be used
	named  []string // variables that this one names
}

// lookup looks a variable up in Bifrost's environment.
func (s *supervised) lookup(name string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if isOwn(name, s.hidden) {
		return "", false
	}
	return s.Getenv(name)
}

// check refuses a document that Bifrost could not be started with.
func (s *supervised) check(ctx context.Context, l *Loaded, next, before *watch.Job) error {
	if err := s.runner.check(ctx, l, next, before); err != nil {
		return err
	}
	hidden := s.hides(l, next.Plan)
	getenv := func(name string) (string, bool) {
		if isOwn(name, hidden) {
			return "", false
		}
		return s.Getenv(name)
	}
	notes, err := next.Plan.CheckLeft(getenv)
	if err != nil {
		return err
	}
	next.Plan.Notes = append(next.Plan.Notes, notes...)
	for name := range s.Env {
		if strings.HasPrefix(name, render.EnvPrefix) && (slices.ContainsFunc(next.Plan.Uses(nil), func(u render.Use) bool { return u.Variable == name }) ||
			slices.ContainsFunc(next.Plan.Beside, func(b render.Beside) bool { return render.EnvName(b.Ref) == name })) {
			return usageError("the variable "+name+" is set already, and is to carry a value of --mode env", "take it out of the environment")
		}
	}
	if n := stdioServers(l.Doc); n > 0 && s.o.Mode == string(render.EnvMode) {
		s.Log.Warn(fmt.Sprintf("%s of the config is started with Bifrost's own environment, and so with every secret of --mode env", map[bool]string{true: "1 stdio MCP server", false: fmt.Sprintf("%d stdio MCP servers", n)}[n == 1]), "hint", "run the server apart from Bifrost, or use --mode inline")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hidden, s.named = hidden, namedVariables(l.Doc, next.Plan.Left)
	s.database.found()
	return nil
}

// hides returns the variables with credentials of a document that are not for Bifrost.
func (s *supervised) hides(l *Loaded, plan *render.Plan) []string {
	return slices.DeleteFunc(s.credentials(l), func(name string) bool { return slices.Contains(plan.Left, name) })
}

// variables returns those with credentials of ours, and those that the config names, of
// what Bifrost is started with: the newest document may have been refused.
func (s *supervised) variables(r *render.Rendering) (hidden, named []string) {
	s.mu.Lock()
	hidden, named = s.hidden, s.named
	s.mu.Unlock()
	if r == nil { // the file of an earlier life is of this very document
		return hidden, named
	}
	if l, err := s.o.Of(s.ctx, s.Host, r.Plan.Document); err == nil { // else its file of --vault-store is gone
		hidden = s.hides(l, r.Plan)
	}
	return hidden, namedVariables(r.Plan.Document, r.Plan.Left)
}

// stdioServers counts the MCP servers that Bifrost itself starts.
func stdioServers(doc *walker.Document) int {
	n := 0
	gjson.GetBytes(doc.Bytes(), "mcp.client_configs").ForEach(func(_, client gjson.Result) bool {
		if client.Get("connection_type").String() == "stdio" || client.Get("stdio_config").IsObject() {
			n++
		}
		return true
	})
	return n
}

// start starts the child. In env mode r has the values that go into its
// environment.
func (s *supervised) start(r *render.Rendering) (watch.Child, error) {
	var add []string
	if r != nil {
		vars, err := r.Environment()
		if err != nil {
			return nil, err
		}
		more, err := s.database.before(s.ctx, r)
		if err != nil {
			return nil, err
		}
		for _, v := range append(vars, more...) {
			add = append(add, v.Name+"="+string(v.Value.Reveal()))
		}
	}
	add = append(add, "APP_DIR="+s.o.AppDir)
	hidden, named := s.variables(r)
	base := s.without(hidden)
	if s.o.CleanEnv {
		base = slices.DeleteFunc(base, func(entry string) bool {
			name, _, _ := strings.Cut(entry, "=")
			return !needs(name, named)
		})
	}
	if err := s.inPlace(); err != nil {
		return nil, err
	}
	// From here on signals are the child's: one that comes too late to be seen
	// here waits for it.
	s.began.Store(true)
	if s.ctx.Err() != nil {
		return nil, context.Cause(s.ctx)
	}
	p, err := child.Start(context.Background(), child.Spec{
		Args: s.args, Env: child.Environment(base, add), StopTimeout: s.o.StopTimeout - s.o.Drain,
		Stdin: fileOf(s.Stdin), Stdout: fileOf(s.Stdout), Stderr: fileOf(s.Stderr),
	})
	if err != nil {
		return nil, err
	}
	s.forward.To(p)
	s.Log.Info("started Bifrost", "pid", p.PID(), "command", s.args[0])
	return &bifrostProcess{p, s.forward}, nil
}

// inPlace sees to it that Bifrost finds the config that was published.
func (s *supervised) inPlace() error {
	if err := s.repair(); err != nil {
		return err
	}
	if s.Loop.Rendering() != nil {
		return nil
	}
	// That of an earlier life: there is nothing to repair it with.
	published, err := walker.ReadFileBytes(s.o.Out)
	if err != nil {
		return err
	}
	if err := s.record.Intact(published); err != nil {
		return &Error{Reason: s.o.Out + ": " + err.Error(), Hint: "Bifrost is not started with it; wait for the backend", Code: ExitUnresolved}
	}
	return nil
}

// askEvery is how often a Bifrost that has not answered for long is asked again.
const askEvery = 5 * time.Second

// answers waits until the Bifrost that was started is healthy. That it is not, is
// said where it takes long.
func (s *supervised) answers(ctx context.Context) error {
	patience, cancel := context.WithTimeout(ctx, s.o.ApplyTimeout)
	err := s.probe.Wait(patience)
	cancel()
	if err == nil && s.api == nil { // which would know the version
		_, _ = s.probe.Version(ctx, nil)
		s.look() // the cluster is told
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	s.Log.Warn("Bifrost does not answer", "for", s.o.ApplyTimeout.String(), "api", s.probe.Where(), "error", err.Error(), "hint", "if it listens elsewhere, set --bifrost-url")
	s.Loop.Look()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if s.probe.Ping(ctx) == nil {
			return nil
		}
	}
}

// fileOf returns the file that a stream is, and nil where it is none.
func fileOf(stream any) *os.File {
	f, _ := stream.(*os.File)
	return f
}

// bifrostProcess is a child as the supervisor takes it.
type bifrostProcess struct {
	*child.Process
	forward *child.Forwarder
}

// Stop implements [watch.Child]. Signals that come meanwhile are for the next
// child.
func (b *bifrostProcess) Stop(ctx context.Context) {
	b.forward.To(nil)
	b.Process.Stop(ctx)
}

// Code implements [watch.Child].
func (b *bifrostProcess) Code() int { return b.Status().Code }

// applier returns what applies new values.
func (s *supervised) applier() (watch.Applier, error) {
	if s.o.Apply == "none" {
		return watch.None{}, nil
	}
	split, client, err := s.split(s.args, s.Running)
	s.api = client
	if err == nil && s.o.Apply != "api" {
		split.Restart = s.Supervisor
	}
	return split, err
}

// Status implements control.Watcher.
func (s *supervised) Status() watch.Status {
	st := s.Loop.Status()
	child := s.Supervisor.Status()
	child.API, child.Version = s.api.Where(), cmp.Or(s.api.Found(), s.probe.Found())
	st.Bifrost = &child
	if from := s.from.Load(); from != 0 && s.Loop.Rendering() == nil {
		st.LastGood = time.Unix(0, from)
	}
	if err := s.Ready(); err != nil {
		st.Ready, st.NotReady = false, err.Error()
	} else {
		st.Ready, st.NotReady = true, ""
	}
	return st
}

// Ready implements control.Watcher.
func (s *supervised) Ready() error {
	if err := s.Answering(); err != nil {
		return err
	}
	from := s.from.Load()
	if s.Loop.Rendering() != nil || from == 0 {
		return s.Loop.Ready()
	}
	if age := time.Since(time.Unix(0, from)); age > s.o.LastGood {
		return fmt.Errorf("the values in use are %s old, more than %s (--start-from-last-good)", age.Round(time.Second), s.o.LastGood)
	}
	return nil
}
