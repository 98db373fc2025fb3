package lintcmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
	"bifrost-secrets/walker/lint/embedded"
	"bifrost-secrets/walker/lint/report"
)

type result struct {
	tally
	fragments []report.Fragment // of the configs that it holds, and of their config stores
	diff      []byte
	notes     []string
	unread    *walker.DocumentError // it cannot be looked at
}

// tally counts what was found in one document, or in all.
type tally struct {
	files     int // that were looked at
	databases int
	invalid   int // files that could not be checked
	changed   int // files that were written
	unasked   int // files that were looked at, but not looked up
	fixable   int
	repaired  int
	counts    [lint.Error + 1]int // of findings, by severity
	failed    []error             // what could not be written back, or not be looked up
}

func (t *tally) add(one *tally) {
	t.files += one.files
	t.databases += one.databases
	t.invalid += one.invalid
	t.changed += one.changed
	t.unasked += one.unasked
	t.fixable += one.fixable
	t.repaired += one.repaired
	for s, n := range one.counts {
		t.counts[s] += n
	}
	t.failed = append(t.failed, one.failed...)
}

func (t *tally) count(findings []lint.Finding) {
	for i := range findings {
		t.counts[min(findings[i].Severity, lint.Error)]++
		if findings[i].Fix != nil {
			t.fixable++
		}
	}
}

// all looks at the documents side by side and reports on them one after another.
func (r *run) all(ctx context.Context, in *inputs) error {
	results, done := make([]result, len(in.all)), make(chan struct{})
	if len(in.all) == 0 {
		close(done)
	}
	var begun, ended atomic.Int64
	for range min(runtime.GOMAXPROCS(0), len(in.all)) {
		go func() {
			for i := begun.Add(1) - 1; i < int64(len(in.all)); i = begun.Add(1) - 1 {
				results[i] = r.one(ctx, in.all[i])
				if ended.Add(1) == int64(len(in.all)) {
					close(done)
				}
			}
		}()
	}
	select {
	case <-done:
	case <-ctx.Done():
		if r.fix { // let what is being written come to its end; the rest is not begun
			<-done
		}
	}
	if ctx.Err() != nil {
		return &Failure{Code: exitUsage, Reason: "interrupted"}
	}
	var t tally
	for i := range results {
		t.add(&results[i].tally)
	}
	if err := r.print(results, t.invalid > 0 || len(t.failed) > 0); err != nil {
		return err
	}
	for i := range results {
		if one := &results[i]; one.unread != nil {
			r.sayInvalid(one.unread)
		}
		for _, note := range results[i].notes {
			r.say("note: %s: %s", in.all[i].name, note)
		}
	}
	return r.end(in, &t)
}

// print writes the report, or the diffs.
func (r *run) print(results []result, failed bool) error {
	out := bufio.NewWriterSize(r.Stdout, 64<<10)
	var fragments []report.Fragment
	for i := range results {
		fragments = append(fragments, results[i].fragments...)
		_, _ = out.Write(results[i].diff) // flushing returns the first error
	}
	if !r.diff {
		r.out.Write(out, fragments, failed)
	}
	return unwritten(out.Flush())
}

// Backends are what lint is told of the backends that there are.
var Backends = func() (all []lint.Backend) {
	for _, f := range sources.Table {
		all = append(all, lint.Backend{Type: f.Type, Block: f.Block, Keys: f.Keys, CheckName: f.CheckName})
	}
	return all
}()

func (r *run) one(ctx context.Context, in input) (res result) {
	if ctx.Err() != nil {
		return res // which nobody asks for any more
	}
	if in.database {
		res.databases = 1
		r.lookAtRows(ctx, nil, &res)
		return res
	}
	configs, err := r.read(in)
	if err != nil {
		res.unread, res.invalid = err, 1
	} else if configs != nil {
		res.files = 1
	}
	for i := range configs {
		r.config(ctx, in, &configs[i], &res)
	}
	return res
}

func (r *run) config(ctx context.Context, in input, config *embedded.Config, res *result) {
	doc := config.Document
	res.notes = append(res.notes, doc.Notes...)
	opts := r.lintOptions(r.settledFor(in.name))
	opts.Part, opts.Comments = config.Part, config.Comments
	var findings []lint.Finding
	switch {
	case !config.Copied && (r.fix || r.diff):
		repair := lint.Repair(doc, opts)
		findings = repair.Found
		if r.diff {
			res.diff = report.Diff(doc, repair.Document, r.out.Colour)
		}
		if !r.fix {
			break
		}
		if repair.Repaired > 0 {
			if err := writeBack(in.name, doc.Bytes(), repair.Document.Bytes()); err != nil {
				res.failed = append(res.failed, err)
				break // the findings are those of the file as it stands
			}
			res.changed = 1
		}
		res.repaired, doc, findings = repair.Repaired, repair.Document, repair.Findings
	case r.fix || r.diff:
		res.notes = append(res.notes, "only JSON files without comments are repaired")
		fallthrough
	default:
		findings = lint.Check(doc, opts)
	}
	if config.Copied {
		for i := range findings {
			findings[i].Fix = nil
		}
	}
	if r.online && !config.Part {
		more, err := r.Online(ctx, doc, opts.Env)
		if err != nil {
			res.unasked, res.failed = 1, append(res.failed, err)
		}
		findings = append(findings, opts.Settings.Apply(more)...)
		lint.Sort(findings)
	}
	if r.base != nil {
		findings = r.base.take(in.name, doc, findings)
	}
	res.count(findings)
	if !r.diff {
		res.fragments = append(res.fragments, r.out.Render(doc, findings))
	}
	if r.configStore && r.database == "" && res.failed == nil && !config.Part {
		r.lookAtRows(ctx, doc, res)
	}
}

// lookAtRows looks at the config store of a document, or at that of the flag.
func (r *run) lookAtRows(ctx context.Context, doc *walker.Document, res *result) {
	notes, err := r.ConfigStore(ctx, doc, r.database, r.lintOptions(r.settled), func(name string, findings []lint.Finding) {
		if r.base != nil {
			findings = r.base.take(name, nil, findings)
		}
		res.count(findings)
		res.fragments = append(res.fragments, r.out.RenderRows(name, findings))
	})
	res.notes = append(res.notes, notes...)
	if err != nil {
		res.failed = append(res.failed, err)
	}
}

// lintOptions returns how to lint, with those settings.
func (r *run) lintOptions(settings *lint.Settings) lint.Options {
	return lint.Options{Backends: Backends, Env: r.mode == "env", Bifrost: r.bifrosts, Settings: settings, Getenv: r.Getenv}
}

// end says what there was, in all, and how the program ends.
func (r *run) end(in *inputs, t *tally) error {
	if t.files+t.invalid+t.databases == 0 {
		if r.byContent && in.dirs == nil {
			return nil
		}
		return usage("name the file itself, if it is one", "no Bifrost config below %s", strings.Join(in.dirs, ", "))
	}
	if t.repaired > 0 {
		r.say("repaired %s in %s", count(t.repaired, "finding"), count(t.changed, "file"))
	}
	if r.writeBaseline != "" {
		n, err := r.base.write()
		if err != nil {
			return err
		}
		r.say("wrote %s to %s", count(n, "finding"), r.writeBaseline)
		if t.invalid == 0 && len(t.failed) == 0 {
			return nil
		}
	}
	known := ""
	if r.base != nil && r.base.known > 0 {
		known = fmt.Sprintf("; %d in the baseline", r.base.known)
	}
	r.say("%s%s", t.summary(), known)
	if t.fixable > 0 && !r.fix && !r.diff {
		r.say("hint: %d of them can be repaired by --fix; --diff shows how", t.fixable)
	}
	switch {
	case len(t.failed) > 0:
		return errors.Join(t.failed...)
	case t.invalid > 0:
		return &Failure{Code: exitUsage}
	}
	least, _ := lint.ParseSeverity(r.failOn) // never is none
	if least > 0 {
		for _, n := range t.counts[least:] {
			if n > 0 {
				return &Failure{Code: exitFindings}
			}
		}
	}
	return nil
}

// summary counts the findings in words.
func (t *tally) summary() string {
	unseen := count(t.invalid, "file") + " could not be checked"
	if t.files+t.databases == 0 {
		return unseen
	}
	var parts []string
	for s := lint.Error; s >= lint.Note; s-- {
		if n := t.counts[s]; n > 0 {
			parts = append(parts, count(n, s.String()))
		}
	}
	if parts == nil {
		parts = []string{"no findings"}
	}
	text := strings.Join(parts, ", ") + " in "
	switch {
	case t.files == 0:
		text += "the database"
	case t.databases > 0:
		text += count(t.files, "file") + " and the database"
	default:
		text += count(t.files, "file")
	}
	if t.invalid > 0 {
		text += "; " + unseen
	}
	if t.unasked > 0 {
		text += "; " + count(t.unasked, "file") + " could not be looked up"
	}
	return text
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// say tells people what they may want to know beside the report.
func (r *run) say(format string, args ...any) {
	if !r.silent() {
		fmt.Fprintf(r.Stderr, "bifrost-secrets: %s\n", report.Clean(fmt.Sprintf(format, args...)))
	}
}

// sayInvalid says why a document cannot be looked at, in the form of a finding,
// since editors and people look for that.
func (r *run) sayInvalid(err *walker.DocumentError) {
	place := ""
	if err.Position != (walker.Position{}) {
		place = fmt.Sprintf(":%d:%d", err.Position.Line, err.Position.Column)
	}
	text := fmt.Sprintf("%s%s: error: %s\n", report.Clean(err.Name), place, report.Clean(err.Reason))
	if err.Hint != "" {
		text += fmt.Sprintf("      = hint: %s\n", report.Clean(err.Hint))
	}
	_, _ = io.WriteString(r.Stderr, text)
}
