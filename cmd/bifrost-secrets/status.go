package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"bifrost-secrets/watch"
	"bifrost-secrets/watch/control"

	"github.com/spf13/cobra"
)

func (p *program) statusCommand() *cobra.Command {
	c, path, cluster := &client{p: p, withToken: true}, control.StatusPath, false
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what a running watch or exec knows of its secrets",
		Long: `Status shows the last and the next refresh, and of every reference its version, its age and
whether a running Bifrost has it. It shows no value.`,
		Example: `  bifrost-secrets status --token-file /run/secrets/flush-token
  bifrost-secrets status --address unix:/run/bifrost-secrets/control.sock --json`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cluster {
				path += "?cluster"
			}
			return c.status(cmd.Context(), path)
		},
	}
	c.flags(cmd, 10*time.Second)
	p.jsonFlag(cmd)
	cmd.Flags().BoolVar(&cluster, "cluster", false, "show the other watchers too that are listed in the same database (--cluster table): who is behind, and whose turn it is")
	return cmd
}

func (c *client) status(ctx context.Context, path string) error {
	r, err := c.ask(ctx, http.MethodGet, path)
	if err != nil {
		return err
	}
	if r.code != http.StatusOK {
		return c.refusal(r)
	}
	var s watch.Status
	if err := json.Unmarshal(r.body, &s); err != nil {
		r.Error = ""
		return c.refusal(r)
	}
	if c.p.json {
		// A newer server may know of more than this program.
		var out bytes.Buffer
		if err := json.Indent(&out, bytes.TrimSpace(r.body), "", "  "); err != nil {
			return err
		}
		out.WriteByte('\n')
		c.p.answered = true
		_, err := out.WriteTo(c.p.stdout)
		return err
	}
	_, err = io.WriteString(c.p.stdout, statusText(&s, time.Now()))
	return err
}

func statusText(s *watch.Status, now time.Time) string {
	var w strings.Builder // whose writes do not fail
	var rows [][]string
	row := func(name, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			rows = append(rows, []string{name, text})
		}
	}
	row("version", "%s", s.Version)
	row("config", "%s, published as %s", s.Config, s.Out)
	row("source", "%s", s.Source)
	row("mode", "%s, applied by %s", s.Mode, s.Apply)
	if s.Ready {
		row("ready", "yes")
	} else {
		row("ready", "no: %s", s.NotReady)
	}
	row("not applied", "%s", lasting(unapplied(s.RestartRequired, s.NotApplied), s.Unapplied, time.Time{}, now))
	if a := s.Last; a != nil {
		row("last refresh", "%s: %s, %s, %s, took %s", when(a.At, now), a.Trigger, a.Result, count(a.Calls, "call"), a.Took.Round(time.Millisecond))
	}
	if s.Failing != nil {
		row("failing", "%s", lasting("", s.Failing, s.Next, now))
	}
	row("last success", "%s", when(s.Success, now))
	row("next refresh", "%s", when(s.Next, now))
	if s.LogDropped > 0 {
		row("log", "%d lines were dropped", s.LogDropped)
	}
	row("bifrost", "%s", describeBifrost(s.Bifrost, now))
	_ = table(&w, rows)
	printReferences(&w, s.References)
	printCluster(&w, s.Cluster, now)
	for i, line := range s.Problems {
		if i == 0 {
			w.WriteString("\nPROBLEMS OF THE LAST REFRESH\n")
		}
		w.WriteString(clean(line) + "\n")
	}
	for _, hint := range s.Hints {
		w.WriteString("hint: " + clean(hint) + "\n")
	}
	return w.String()
}

// lasting says since when a state lasts, how often it was tried to end it, and when
// that is tried next.
func lasting(text string, l *watch.Lasting, next, now time.Time) string {
	if l == nil {
		return text
	}
	if text != "" {
		text += ", "
	}
	text += "since " + when(l.Since, now) + ", " + plural(l.Tries, "try", "tries")
	if ahead := next.Sub(now); ahead > 0 {
		text += ", next in " + watch.Span(ahead)
	}
	return text
}

func plural(n int, one, many string) string {
	if n != 1 {
		one = many
	}
	return fmt.Sprintf("%d %s", n, one)
}

func printReferences(w *strings.Builder, all []watch.ReferenceStatus) {
	stale := 0
	var rows [][]string
	if len(all) > 0 {
		w.WriteByte('\n')
		rows = append(rows, []string{"FIELD", "REFERENCE", "VERSION", "AGE", "STATE"})
	}
	for i := range all {
		r := &all[i]
		if !r.Fresh {
			stale++
		}
		age, state := r.Words()
		rows = append(rows, []string{r.Path, r.Reference, dash(r.Version), age, state})
	}
	_ = table(w, rows)
	fmt.Fprintf(w, "\n%s, %d stale\n", count(len(all), "reference"), stale)
}

func printCluster(w *strings.Builder, all []watch.Peer, now time.Time) {
	if len(all) == 0 {
		return
	}
	rows := [][]string{{"WATCHER", "BIFROST", "VERSION", "LAST REFRESH", "SEEN", "TURN", "BEHIND"}}
	for i := range all {
		p := &all[i]
		rows = append(rows, []string{p.Host, dash(p.Bifrost), p.Version, ago(p.Refreshed, now), ago(p.Seen, now), p.Turns(), p.Words()})
	}
	w.WriteString("\n")
	_ = table(w, rows)
	rows = [][]string{{"REFERENCE", "VERSION", "SINCE", "WATCHERS"}}
	for _, s := range watch.SpreadOf(all) {
		rows = append(rows, []string{s.Reference, dash(s.Version), s.Span(), s.Words(len(all))})
	}
	w.WriteString("\n")
	_ = table(w, rows)
}

func ago(at, now time.Time) string { return watch.Span(now.Sub(at)) + " ago" }

func describeBifrost(b *watch.BifrostStatus, now time.Time) string {
	if b == nil {
		return ""
	}
	var parts []string
	if b.PID > 0 {
		parts = append(parts, fmt.Sprintf("process %d", b.PID))
	}
	if !b.Started.IsZero() {
		parts = append(parts, "started "+when(b.Started, now))
	}
	if b.PID > 0 || b.Restarts > 0 {
		parts = append(parts, count(b.Restarts, "restart"))
	}
	if b.Turn != "" {
		parts = append(parts, b.Turn)
	}
	if b.Version != "" {
		parts = append(parts, "version "+b.Version)
	}
	if b.API != "" {
		parts = append(parts, "API at "+b.API)
	}
	return strings.Join(parts, ", ")
}

func when(at, now time.Time) string {
	if at.IsZero() {
		return "never"
	}
	text := at.UTC().Format(time.RFC3339)
	if ahead := at.Sub(now); ahead >= time.Second {
		return text + " (in " + watch.Span(ahead) + ")"
	}
	return text + " (" + watch.Span(now.Sub(at)) + " ago)"
}
