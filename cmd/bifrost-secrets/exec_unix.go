//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/child"

	"github.com/spf13/cobra"
)

type execJob struct {
	daemon

	appDir       string
	stopTimeout  time.Duration
	startGrace   time.Duration
	minRestart   time.Duration
	restartSplay time.Duration
	restart      string
	lastGood     time.Duration
	rewrite      string // "", yes or plan
	cleanEnv     bool
}

// The files of an app dir: Bifrost reads the one, and we the other.
const (
	publishedName = "config.json"
	sourceName    = "config.source.json"
)

func (p *program) execCommand() *cobra.Command {
	j := &execJob{daemon: daemon{job: job{p: p}}}
	cmd := &cobra.Command{
		Use:        "exec [flags] -- COMMAND [ARGUMENT...]",
		SuggestFor: []string{"run", "start", "launch", "up", "serve", "entrypoint", "supervise", "wrap"},
		Short:      "Render the config, start Bifrost with it, and keep it fresh",
		Long: `Exec is the entrypoint of a container: it writes the resolved config into the app dir, starts the
command, and hands it new values as watch does, by Bifrost's API or by a restart. Signals are
passed on, but for SIGHUP, which makes a refresh. It ends with the status of the command; where
the command was not started it is 125, or 128 and the number of the signal that came before it
was.`,
		Example: `  # references in /app/data/config.source.json, values in /app/data/config.json
  bifrost-secrets exec --app-dir /app/data -- /app/docker-entrypoint.sh
  # no secret on the disk or in Bifrost's database
  bifrost-secrets exec --app-dir /app/data --mode env -- /app/main -app-dir /app/data
  # the same, with the references that were typed into the dashboard (see attach and detach)
  bifrost-secrets exec --app-dir /app/data --mode env --rewrite-database \
      -- /app/main -app-dir /app/data`,
		Annotations: map[string]string{ownSignals: "exec"},
		RunE:        func(cmd *cobra.Command, args []string) error { return j.end(j.run(cmd.Context(), args)) },
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &notStarted{err: usageError(err.Error(), "see "+cmd.CommandPath()+" --help; the command goes behind --"), code: exitNotStarted}
	})
	cmd.Flags().SetInterspersed(false) // what follows the command's name is the command's
	j.job.flags(cmd)
	j.permissionFlags(cmd)
	j.loopFlags(cmd)
	f := cmd.Flags()
	config := f.Lookup("config")
	config.DefValue, config.Usage = "", "the config.json to read; "+sourceName+" in the app dir unless given"
	j.config = ""
	f.StringVar(&j.appDir, "app-dir", "", "Bifrost's app `dir`, which config.json is written to; APP_DIR unless given")
	f.StringVar(&j.apply, "apply", "auto", "how Bifrost gets new values: auto, api, restart, command or none")
	f.DurationVar(&j.stopTimeout, "stop-timeout", child.DefaultStopTimeout, "how long Bifrost may take to end before it is killed")
	f.DurationVar(&j.startGrace, "start-grace", 10*time.Second, "a Bifrost that ends so soon after it was started with new values gets the last good ones back")
	f.DurationVar(&j.minRestart, "min-restart-interval", time.Minute, "the least time between two restarts for new values")
	f.DurationVar(&j.restartSplay, "restart-splay", 0, "a restart for new values comes up to so much later, for fleets")
	f.StringVar(&j.restart, "restart", "never", "never: end with the command; on-failure: start it again when it fails")
	f.DurationVar(&j.lastGood, "start-from-last-good", 0, "where the backend does not answer at the start, use the config.json that is there if it is no older than this")
	f.BoolVar(&j.cleanEnv, "clean-env", false, "start Bifrost with the variables that the config names and those that it needs, and no others: no login of a cloud")
	j.databaseFlag(cmd)
	j.commandsRun(cmd)
	f.StringVar(&j.rewrite, "rewrite-database", "", "with --mode env: put variables in the place of vault. references in Bifrost's PostgreSQL config store; plan only shows which")
	f.Lookup("rewrite-database").NoOptDefVal = "yes"
	_ = cmd.RegisterFlagCompletionFunc("apply", cobra.FixedCompletions([]string{"auto", "api", "restart", "command", "none"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("restart", cobra.FixedCompletions([]string{"never", "on-failure"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// end gives the failures of exec itself their code.
func (j *execJob) end(err error) error {
	var ended *failure
	var start *child.StartError
	switch {
	case err == nil, errors.As(err, &ended) && ended.reason == "":
		return err
	case errors.As(err, &start):
		return &notStarted{err: &failure{reason: start.Error(), hint: start.Hint}, code: start.Code}
	}
	return &notStarted{err: err, code: exitNotStarted}
}

func (j *execJob) check(args []string) error {
	if j.appDir == "" {
		j.appDir = j.p.env["APP_DIR"]
	}
	switch {
	case len(args) == 0 && j.rewrite != "plan":
		return usageError("exec needs a command", "write it behind --: bifrost-secrets exec --app-dir /app/data -- /app/main")
	case j.appDir == "":
		return usageError("exec needs --app-dir", "name the directory that Bifrost reads config.json from, with --app-dir or APP_DIR")
	}
	if j.config == "" {
		j.config = filepath.Join(j.appDir, sourceName)
	}
	j.out = filepath.Join(j.appDir, publishedName)
	if err := j.unmoved(); err != nil {
		return err
	}
	if err := j.checkFlags(); err != nil {
		return err
	}
	switch j.apply {
	case "auto", "api", "restart", "command", "none":
	default:
		return usageError("unknown --apply "+quote(j.apply), "write auto, api, restart, command or none")
	}
	switch {
	case j.rewrite != "" && j.rewrite != "yes" && j.rewrite != "plan":
		return usageError("unknown --rewrite-database="+quote(j.rewrite), "write --rewrite-database, or --rewrite-database=plan")
	case j.rewrite != "" && j.mode != string(render.EnvMode):
		return usageError("--rewrite-database needs --mode env: the values are to be in Bifrost's environment alone", "add --mode env")
	case j.restart != "never" && j.restart != "on-failure":
		return usageError("unknown --restart "+quote(j.restart), "write never or on-failure")
	case j.stopTimeout <= 0 || j.startGrace < 0 || j.minRestart < 0 || j.restartSplay < 0 || j.lastGood < 0:
		return usageError("--stop-timeout, --start-grace, --min-restart-interval, --restart-splay and --start-from-last-good cannot be less than nothing", "")
	case j.lastGood > 0 && j.mode == string(render.EnvMode):
		return usageError("--start-from-last-good does not go with --mode env: no values rest on the disk", "use --mode inline")
	}
	return j.checkLoopFlags()
}

// unmoved finds a config that stands where the one with the values is to go.
func (j *execJob) unmoved() error {
	source := filepath.Join(j.appDir, sourceName)
	hint := "exec reads " + sourceName + " and writes " + publishedName + ": where that is the one with your references, mv " + j.out + " " + source + "; docs/migrate.md shows the move"
	out, err := os.Stat(j.out)
	if err != nil {
		return nil
	}
	in, err := os.Stat(j.config)
	switch {
	case err == nil && os.SameFile(in, out):
		return usageError(j.config+": is the file "+publishedName+" that is read: its references would be lost", hint)
	case isMissing(err) && j.config == source:
		return usageError(j.config+" does not exist", hint)
	}
	return nil
}

func (j *execJob) run(outer context.Context, args []string) error {
	if err := j.check(args); err != nil {
		return err
	}
	if j.rewrite == "plan" {
		return j.showRewrite(outer)
	}
	j.begin()
	defer j.ended.Store(true)
	ctx, cancel := context.WithCancel(outer)
	defer cancel()
	s := &supervised{job: j, args: args, ctx: ctx}
	s.database.of(s)
	s.Supervisor = &watch.Supervisor{
		Start: s.start, Observer: j.metrics, Log: j.log,
		Answers: s.answers, Patience: j.applyTimeout,
		Grace: j.startGrace, MinInterval: j.minRestart, Splay: j.restartSplay, OnFailure: j.restart == "on-failure",
	}
	applier, err := s.applier()
	if err != nil {
		return err
	}
	if s.probe, err = j.newProbe(args); err != nil {
		return err
	}
	defer s.probe.Close()
	opts := j.options(applier, s.check)
	opts.Supervised, opts.Getenv, opts.Ready = true, s.lookup, s.Ready
	opts.Refuses = j.apply == "auto" || j.apply == "restart"
	if j.mode == string(render.Inline) { // else no values rest on the disk
		opts.Observer = append(opts.Observer.(observers), &confirmer{d: &j.daemon})
	}
	j.loop = watch.New(opts)
	s.Loop, s.Supervisor.Loop = j.loop, j.loop

	s.forward = child.Forward(func(sig os.Signal) {
		if s.began.Load() {
			j.tellEnd(sig, "it is passed on to Bifrost, which has "+j.stopTimeout.String()+" to end")
		} else {
			j.tellEnd(sig, "Bifrost is not started")
		}
		s.Told(sig)
		s.signalled(sig.(syscall.Signal), cancel)
	})
	defer s.forward.Close()
	defer j.hangups()()
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	beside.Go(func() { child.Reap(ctx) })
	wait, err := j.serve(ctx, s)
	if err != nil {
		return err
	}
	defer wait()
	defer cancel()
	first, err := j.first(ctx, s)
	if err != nil {
		return s.ended(err)
	}
	leave, err := j.joinCluster(ctx)
	if err != nil {
		return s.ended(err)
	}
	defer leave()
	beside.Go(func() {
		j.loop.Run(ctx)
	})
	j.manager.ready()
	code, err := s.Supervisor.Run(ctx, first)
	switch {
	case err == nil:
		err = &failure{code: code}
	case errors.Is(err, context.Canceled): // before there was a child
		err = s.ended(err)
	}
	code = exitCode(j.end(err))
	s.code.Store(int32(code))
	s.over.Store(true)
	j.endWithin(endTime, code)
	return err
}

// signalled ends exec for a signal, unless that is the child's alone.
func (s *supervised) signalled(sig syscall.Signal, cancel func()) {
	began := s.began.Load()
	switch {
	case sig != syscall.SIGTERM && sig != syscall.SIGINT && sig != syscall.SIGQUIT, sig != syscall.SIGTERM && began && !s.over.Load():
		return
	case s.signal.CompareAndSwap(0, int32(sig)):
		most := endTime
		if began {
			most += s.job.stopTimeout
		}
		s.job.endWithin(most, 128+int(sig)) // the child's own end has another limit
	case s.over.Load():
		s.job.exit(int(s.code.Load())) // that of the child
	case !began:
		s.job.exit(128 + int(s.signal.Load()))
	}
	cancel()
	if sig == syscall.SIGTERM {
		s.job.manager.stopping()
	}
}

// ended gives a failure before the child its code: that of a signal which came
// first, as a shell has it.
func (s *supervised) ended(err error) error {
	if n := s.signal.Load(); n != 0 {
		return &failure{code: 128 + int(n)}
	}
	return err
}

// first makes the first rendering, or finds that the last good one serves: then
// it gives nil.
func (j *execJob) first(ctx context.Context, s *supervised) (*render.Rendering, error) {
	timeout := j.startTimeout
	if j.lastGood > 0 {
		timeout = 0 // there may be no need to wait
	}
	err := j.loop.Start(ctx, timeout)
	if err == nil {
		return j.loop.Rendering(), nil
	}
	if ctx.Err() != nil || !outage(err) {
		return nil, err
	}
	if j.lastGood == 0 {
		return nil, j.nameLastGood(err)
	}
	age, why := j.serves(j.lastGood)
	if why == nil {
		s.from.Store(int64(time.Now().Add(-age).UnixNano()))
		j.log.Warn("the backend does not answer; Bifrost is started with the last good values", "age", age.Round(time.Second).String(), "out", j.out, "error", firstLine(err))
		return nil, nil
	}
	j.log.Warn("the last good values do not serve", "reason", why.Error())
	if err := j.loop.Start(ctx, j.startTimeout); err != nil {
		return nil, err
	}
	return j.loop.Rendering(), nil
}

// outage reports whether a start failed since the backend does not answer, and for
// nothing else: a refused login, a denial or a secret that is gone is an answer.
func outage(err error) bool {
	is := func(k sources.Kind) bool { return k == sources.Unreachable || k == sources.Throttled }
	var problems *render.Problems
	if !errors.As(err, &problems) {
		return is(sources.KindOf(err))
	}
	return !slices.ContainsFunc(problems.List, func(one render.Problem) bool { return !is(one.Kind) })
}

// nameLastGood adds a hint to the error of a failed start where the file of an
// earlier life could have been used.
func (j *execJob) nameLastGood(err error) error {
	age, why := j.serves(math.MaxInt64)
	if j.mode != string(render.Inline) || why != nil {
		return err
	}
	return &hinted{err, fmt.Sprintf("the last good values, %s old, are in %s: --start-from-last-good %s would start Bifrost with them", age.Round(time.Second), j.out, atLeast(age))}
}

// atLeast returns a flag's value that is longer than age: whole hours, as people
// write them, a day at least.
func atLeast(age time.Duration) string {
	return fmt.Sprintf("%dh", max(24, int64(age/time.Hour)+1))
}

// serves reports whether the file of an earlier life may be used where it is no
// older than most.
func (j *execJob) serves(most time.Duration) (time.Duration, error) {
	doc, err := walker.ReadFile(j.config)
	if err != nil {
		return 0, err
	}
	published, err := walker.ReadFileBytes(j.out)
	if err != nil {
		return 0, err
	}
	if bytes.Contains(published, []byte("env."+render.EnvPrefix)) {
		return 0, errors.New(j.out + " is of --mode env, and holds no values")
	}
	return j.record.Serves(doc.Bytes(), published, most)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// hangups refreshes on SIGHUP, which is never passed on: it would kill Bifrost.
func (j *execJob) hangups() (stop func()) {
	if signal.Ignored(syscall.SIGHUP) { // nohup
		return func() {}
	}
	got := make(chan os.Signal, 8)
	signal.Notify(got, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range got {
			j.manager.reload()
			j.spread()
			j.loop.Trigger(watch.Signal)
		}
	}()
	return func() {
		signal.Stop(got)
		close(got)
		<-done
	}
}
