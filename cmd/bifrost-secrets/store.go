package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"bifrost-secrets/render"
	"bifrost-secrets/render/autostore"
	"bifrost-secrets/render/publish"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
	"bifrost-secrets/walker/regular"
	"bifrost-secrets/watch/service"

	"github.com/spf13/cobra"
)

type storeJob struct {
	job
	gateway  string
	prefix   string
	only     []string
	except   []string
	settings bool
	yes      bool
	rows     bool // of the config store, and not the config
	trash    trash
}

func (p *program) storeCommand() *cobra.Command {
	j := &storeJob{job: job{p: p}}
	cmd := &cobra.Command{
		Use:   "store --gateway NAME",
		Short: "Move the plaintext secrets of a config into the backend",
		Long: `Store finds the secrets that stand in a config.json in plain text, puts each into the backend and
a reference in its place. Without --yes it shows what it would do and writes nothing.

Everything is stored first, then read back and compared, and only then is the file replaced:
whenever it stops, the file works as it is, and running it again finishes the work. It needs
"access_mode": "read_and_write". Where a secret of this gateway gets another value, and the
backend keeps no versions, --trash or --no-trash has to be given.

With --config-store it is Bifrost's PostgreSQL config store whose secrets are stored, and not the
file's: variables take their places there, as attach puts them, and exec has their values in
Bifrost's environment from then on.`,
		Example: `  bifrost-secrets store --config config.json --gateway gateway-eu
  bifrost-secrets store --config config.json --gateway gateway-eu --yes`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := storing{Config: j.Config, Gateway: j.gateway, Items: []autostore.Item{}}
			return p.conclude(&r, &r.Error, j.run(cmd.Context(), &r))
		},
	}
	j.planFlags(cmd)
	j.trustFlag(cmd)
	j.gatewayFlags(cmd, &j.gateway, &j.prefix)
	f := cmd.Flags()
	f.Lookup("config").Usage = "the config.json to read, and to rewrite unless --config-store is given"
	f.StringArrayVar(&j.only, "only", nil, "JSON `path` of the fields to store, * standing for any part of one; repeatable")
	f.StringArrayVar(&j.except, "except", nil, "JSON `path` of fields to leave as they are; repeatable")
	f.BoolVar(&j.settings, "include-settings", false, "store settings too, such as endpoints and user names")
	f.BoolVar(&j.yes, "yes", false, "make the changes; without it they are only shown")
	p.jsonFlag(cmd)
	f.BoolVar(&j.rows, "config-store", false, "store what is in Bifrost's PostgreSQL config store, instead of what is in the config")
	j.databaseFlag(cmd)
	j.trash.flags(cmd)
	return cmd
}

// gatewayFlags are those that say which secrets are this gateway's.
func (j *job) gatewayFlags(cmd *cobra.Command, gateway, prefix *string) {
	cmd.Flags().StringVar(gateway, "gateway", "", "owner of the secrets: a `name` for this gateway, the same at every run")
	cmd.Flags().StringVar(prefix, "prefix", "", "what the names begin with (default: that of the vault_store block, else "+render.DefaultPrefix+")")
}

var gatewayName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}$`) })

func checkGateway(gateway string) error {
	switch {
	case gateway == "":
		return usageError("--gateway is missing", "two gateways may share a backend: give each a name, --gateway gateway-eu")
	case !gatewayName().MatchString(gateway):
		return usageError("--gateway "+quote(gateway)+" is no name", "use 1 to 63 of A-Z a-z 0-9 _ . @ -, a letter or a digit first")
	}
	return nil
}

func (j *storeJob) run(ctx context.Context, report *storing) error {
	if err := checkGateway(j.gateway); err != nil {
		return err
	}
	if err := j.trash.check(); err != nil {
		return err
	}
	switch {
	case !j.rows && j.Database != "":
		return usageError("--database needs --config-store", "add it")
	case !j.rows && j.Config == "-":
		return usageError("the standard input cannot be rewritten", "name a file with --config")
	}
	if j.yes && !j.rows {
		unlock, err := j.lock()
		if err != nil {
			return err
		}
		defer unlock()
	}
	if err := j.read(); err != nil {
		return err
	}
	work := j.file
	if j.rows {
		work = j.configStore
	}
	return work(ctx, report)
}

// file is store for the config.
func (j *storeJob) file(ctx context.Context, report *storing) error {
	wanted, err := j.wanted(j.Config, fieldsOf(j.Doc))
	if err != nil {
		return err
	}
	target, err := j.target()
	if err != nil {
		return err
	}
	store, err := j.openStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := service.NotOver(store, service.Targets{Config: target}); err != nil {
		return err
	}
	ctx, cancel := j.Within(ctx)
	defer cancel()
	report.Source = store.Describe()
	done := j.p.waiting("asking " + store.Describe())
	o := j.options()
	o.Wanted, o.Literal = wanted, j.Literal
	plan, err := autostore.NewPlan(ctx, j.Doc, store, o)
	done()
	if err != nil {
		return err
	}
	report.Remaining = remaining(j.Doc, plan.Items, wanted)
	j.remarks(plan.Notes)
	j.remarks(report.Remaining)
	j.noteUnset(plan.Left)
	return j.carryOut(ctx, store, plan, j.Doc.Name, report, func() error { return j.rewrite(plan, target, report) })
}

func (j *storeJob) options() autostore.Options {
	return autostore.Options{Store: j.Store, Prefix: j.prefix, Gateway: j.gateway, Settings: j.settings, IsKey: lint.IsKey, Getenv: j.p.getenv}
}

// carryOut shows a plan for a document, or database, of that name, and with --yes
// stores and then writes it.
func (j *storeJob) carryOut(ctx context.Context, store sources.Store, plan *autostore.Plan, name string, report *storing, write func() error) error {
	report.fill(plan)
	if !j.p.json {
		if err := report.print(j.p.stdout); err != nil {
			return err
		}
	}
	j.odd(plan.Items, name)
	switch {
	case report.Refused > 0:
		return j.refused(&render.Problems{Document: name, List: plan.Refused()})
	case !j.yes:
		j.sayPlan(report)
		return nil
	}
	if err := j.throwAway(ctx, store, plan); err != nil {
		return err
	}
	done := j.p.waiting("storing " + count(report.Writes, "secret") + " in " + report.Source)
	err := plan.Store(ctx)
	done()
	if err != nil {
		return j.failed(ctx, name, err)
	}
	if err := write(); err != nil {
		return err
	}
	report.Done = true
	j.sayDone(report)
	return nil
}

// odd says what is noticed of the values that are stored.
func (j *storeJob) odd(items []autostore.Item, name string) {
	for _, it := range items {
		where := &render.Problems{Document: name}
		for _, note := range it.Notes {
			j.p.note(where.Line(&render.Problem{Reason: note, Places: []render.Place{it.Place}}), "it is stored as it stands; take it out of the value first, unless it is meant")
		}
	}
}

// throwAway keeps the values that storing replaces, where the backend would not.
func (j *storeJob) throwAway(ctx context.Context, store sources.Store, plan *autostore.Plan) error {
	var going []trashed
	for _, it := range plan.Replaced() {
		going = append(going, trashed{it.Name, it.Path})
	}
	if len(going) > 0 && !store.Traits().History {
		what := count(len(going), "secret") + " would get another value, and " + store.Describe() + " does not keep the one that is there; nothing was written"
		if err := j.trash.demand(what); err != nil {
			return err
		}
	}
	folder, err := j.trash.keep(ctx, store, j.backendFlags(), j.gateway, going)
	j.trash.say(j.p, folder)
	return err
}

// rewrite writes the file, if the plan changes it.
func (j *storeJob) rewrite(plan *autostore.Plan, target *publish.Target, report *storing) error {
	text := j.Doc.Bytes()
	if len(plan.Items) > 0 {
		text = plan.Rewritten()
	}
	changed, err := j.replace(j.Doc, target, text, ", and the secrets stored so far are kept")
	if changed {
		report.wrote = j.Config
	}
	return err
}

// replace puts text in the place of the config, which must still be doc but for a
// byte order mark, which is kept. beside is what else to say where it is not.
func (j *job) replace(doc *walker.Document, target *publish.Target, text []byte, beside string) (changed bool, err error) {
	now, _, err := regular.ReadFile(j.Config, walker.MaxSize)
	if err != nil {
		return false, err
	}
	mark := ""
	if bytes.HasPrefix(now, []byte(byteOrderMark)) {
		mark = byteOrderMark
	}
	if !bytes.Equal(now[len(mark):], doc.Bytes()) {
		return false, &failure{Reason: j.Config + " was changed meanwhile; it stays as it is" + beside, Hint: "run again", Code: exitUnresolved}
	}
	if bytes.Equal(text, doc.Bytes()) {
		return false, nil
	}
	return target.Write(append([]byte(mark), text...))
}

const byteOrderMark = "\ufeff"

// target is the file that is written: the config itself, with its owner and, if not
// everybody may write it, its mode.
func (j *job) target() (*publish.Target, error) {
	info, err := os.Stat(j.Config)
	if err != nil {
		return nil, err
	}
	return publish.Check(j.Config, nil, publish.Like(info))
}

func fieldsOf(doc *walker.Document) (paths []string) {
	doc.Walk(func(f *walker.Field) bool {
		if f.Entry != nil {
			paths = append(paths, f.Path)
		}
		return true
	})
	return paths
}

// wanted makes the test of --only and --except. Each pattern must choose one of
// fields: a misspelt one would store what it was to keep.
func (j *storeJob) wanted(where string, fields []string) (func(path string) bool, error) {
	choose := func(flag string, patterns []string) (paths []*regexp.Regexp, err error) {
		for _, p := range patterns {
			path := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(p), `\*`, ".*") + "$")
			if !slices.ContainsFunc(fields, path.MatchString) {
				return nil, usageError(flag+" "+quote(p)+" is no field of "+where, "copy the path from the output without it; * stands for any part of one")
			}
			paths = append(paths, path)
		}
		return paths, nil
	}
	only, err := choose("--only", j.only)
	if err != nil {
		return nil, err
	}
	except, err := choose("--except", j.except)
	return func(path string) bool {
		matches := func(one *regexp.Regexp) bool { return one.MatchString(path) }
		return (len(only) == 0 || slices.ContainsFunc(only, matches)) && !slices.ContainsFunc(except, matches)
	}, err
}

func (j *storeJob) refused(problems *render.Problems) error {
	reportAll(j.p.screen, problems)
	j.p.screen.line("%s refused; nothing was written", count(len(problems.List), "secret"))
	j.p.screen.hint("--except leaves a field as it is: --except '" + clean(problems.List[0].Places[0].Path) + "'")
	return &failure{Code: exitUnresolved}
}

func (j *storeJob) failed(ctx context.Context, name string, err error) error {
	var problems *render.Problems
	switch cause := context.Cause(ctx); {
	case !errors.As(err, &problems):
		return err
	case cause == nil || !problems.Retryable():
	case errors.Is(cause, context.Canceled):
		return &failure{Reason: "interrupted; " + name + " stays as it is, and the secrets stored so far are kept", Hint: "run again: it continues where it stopped", Code: exitUnresolved}
	default:
		return &failure{
			Reason: name + ": not everything could be stored within " + j.Timeout.String() + " (--timeout)",
			Hint:   "run again: it continues where it stopped; or allow more time with --timeout", Code: exitUnreachable,
		}
	}
	problems.Document = name
	reportAll(j.p.screen, problems)
	j.p.screen.line("%s stays as it is, and the secrets stored so far are kept", clean(name))
	j.p.screen.hint("run again: it continues where it stopped")
	return &failure{Code: exitCode(problems)}
}

// lock keeps every other run that writes for the same document away: between
// storing and rewriting, the document does not show which secrets it wants.
func (j *job) lock() (unlock func(), err error) {
	if j.Config == "-" {
		return func() {}, nil
	}
	unlock, err = publish.Lock(j.Config)
	switch {
	case errors.Is(err, publish.ErrLocked):
		return nil, &failure{Reason: "another run is storing or pruning the secrets of " + j.Config, Hint: "wait until it has ended, and run again", Code: exitUnresolved}
	case errors.Is(err, fs.ErrNotExist):
		return func() {}, nil // reading it says so in better words
	}
	return unlock, err
}
