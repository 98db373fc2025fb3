package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func (p *program) secretGetCommand() *cobra.Command {
	j := &secretJob{job: job{p: p}}
	var reveal bool
	cmd := &cobra.Command{
		Use:   "get NAME[#KEY]",
		Short: "Read one secret; its value is shown only with --reveal",
		Long: `Get reads one secret and shows its version and length. With --reveal it prints the value and
nothing else, byte for byte; on a terminal it ends the line. NAME#KEY is one key of a secret that
is a JSON object, as in a reference. With --reveal it is what Bifrost's password_command wants.`,
		Example: `  bifrost-secrets secret get bifrost/openai
  bifrost-secrets secret get bifrost/openai --reveal | pbcopy
  bifrost-secrets secret get bifrost/database#password --reveal`,
		Args: oneName,
		RunE: func(cmd *cobra.Command, args []string) error { return j.get(cmd.Context(), args[0], reveal) },
	}
	j.secretFlags(cmd)
	cmd.Flags().BoolVar(&reveal, "reveal", false, "print the value")
	return cmd
}

type got struct {
	Name    string  `json:"name"`
	Version string  `json:"version"`
	Bytes   int     `json:"bytes"`
	Value   *string `json:"value,omitempty"` // only with --reveal
}

func (j *secretJob) get(ctx context.Context, name string, reveal bool) error {
	source, err := j.source(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	ctx, cancel := j.Within(ctx)
	defer cancel()
	done := j.p.waiting("reading from " + source.Describe())
	path, key, fragment := strings.Cut(name, "#")
	result := sources.FetchWithin(ctx, source, []string{path})[path]
	done()
	if named, ok := strings.CutPrefix(path, "vault."); ok && sources.KindOf(result.Err) == sources.NotFound {
		return &failure{Reason: result.Err.Error(), Hint: "leave the vault. of a reference out: write " + named, Code: exitUnresolved}
	}
	if result.Err != nil {
		return failed(result.Err)
	}
	value := result.Value.Reveal()
	if fragment {
		var bad *sources.Error
		if value, bad = render.Fragment(value, key); bad != nil {
			bad.Name = path
			return failed(bad)
		}
	}
	switch {
	case j.p.json:
		out := got{Name: name, Version: result.Version, Bytes: len(value)}
		if reveal {
			if !utf8.Valid(value) {
				return &failure{Reason: quote(name) + " is not UTF-8 text, which JSON cannot hold", Hint: "leave out --json", Code: exitUnresolved}
			}
			text := string(value)
			out.Value = &text
		}
		return j.p.writeJSON(out)
	case reveal:
		if _, err := j.p.stdout.Write(value); err != nil {
			return err
		}
		if f, ok := j.p.stdout.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			_, err = io.WriteString(j.p.stdout, "\n")
		}
		return err
	}
	_, err = fmt.Fprintf(j.p.stdout, "%s  version %s  %s\n", clean(name), clean(result.Version), count(len(value), "byte"))
	return err
}

func (p *program) secretListCommand() *cobra.Command {
	j := &secretJob{job: job{p: p}}
	cmd := &cobra.Command{
		Use:   "list [PREFIX]",
		Short: "List secrets by their names",
		Long: `List shows the secrets whose names begin with PREFIX, or all: with the gateway and the field that
they were stored for, where bifrost-secrets stored them. It reads no value. AWS may leave out what
was stored in the last five minutes.`,
		Example: `  bifrost-secrets secret list bifrost/
  bifrost-secrets secret list --gateway prod --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError("unexpected argument "+quote(args[1]), "write "+cmd.CommandPath()+" PREFIX")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			prefix := ""
			if len(args) > 0 {
				prefix = args[0]
			}
			return j.list(cmd.Context(), prefix)
		},
	}
	j.secretFlags(cmd)
	j.gatewayFlag(cmd, "list only what was stored for this `name`")
	return cmd
}

type listedSecret struct {
	Name    string     `json:"name"`
	Version string     `json:"version"`
	Gateway string     `json:"gateway,omitempty"` // empty where it is not ours
	Field   string     `json:"field,omitempty"`
	Rotated bool       `json:"rotated,omitempty"`
	Gone    *time.Time `json:"gone,omitempty"`
}

func (j *secretJob) list(ctx context.Context, prefix string) error {
	source, err := j.source(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	lister, ok := source.(sources.Inspector)
	if !ok {
		return usageError(source.Describe()+" cannot list its secrets", "")
	}
	ctx, cancel := j.Within(ctx)
	defer cancel()
	done := j.p.waiting("listing " + source.Describe())
	items, err := lister.List(ctx, prefix)
	done()
	if err != nil {
		return failed(err)
	}
	lines := []listedSecret{}
	for _, item := range items {
		line := listedSecret{Name: item.Name, Version: item.Version, Rotated: item.Rotated}
		if item.Mark != nil {
			line.Gateway, line.Field = item.Mark.Owner, item.Mark.Path
		}
		if !item.Gone.IsZero() {
			line.Gone = &item.Gone
		}
		if j.gateway == "" || line.Gateway == j.gateway {
			lines = append(lines, line)
		}
	}
	if j.p.json {
		return j.p.writeJSON(lines)
	}
	defer j.p.say("%s in %s", count(len(lines), "secret"), clean(source.Describe()))
	if len(lines) == 0 {
		return nil
	}
	rows := [][]string{{"NAME", "VERSION", "GATEWAY", "FIELD", "STATE"}}
	for _, l := range lines {
		rows = append(rows, []string{l.Name, dash(l.Version), dash(l.Gateway), dash(l.Field), l.state()})
	}
	return table(j.p.stdout, rows)
}

func (l listedSecret) state() string {
	switch {
	case l.Gone != nil:
		return "deleted, can be restored"
	case l.Rotated:
		return "rotated by the backend"
	case l.Gateway == "":
		return "not ours"
	}
	return "-"
}

// dash stands for what is not known.
func dash(text string) string { return cmp.Or(text, "-") }
