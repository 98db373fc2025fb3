package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch/service"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

type secretPutJob struct {
	secretJob
	keepSpace, trimSpace bool
	trash                trash
}

func (p *program) secretPutCommand() *cobra.Command {
	j := &secretPutJob{secretJob: secretJob{job: job{p: p}}}
	cmd := &cobra.Command{
		Use:   "put NAME",
		Short: "Store one secret",
		Long: `Put stores the value that it reads from the standard input, or, on a terminal, asks for without
showing it. A value is never an argument. A value that is there already is not written again;
another one that was stored for the same --gateway is replaced, and with --trash first sealed
there.

A value with white space at its beginning or end is refused, since a line break there is most
often not meant: --trim-space takes it off, --keep-space keeps it.`,
		Example: `  bifrost-secrets secret put bifrost/openai --gateway prod
  pass show openai | bifrost-secrets secret put bifrost/openai --gateway prod --trim-space`,
		Args: oneName,
		RunE: func(cmd *cobra.Command, args []string) error { return j.run(cmd.Context(), args[0]) },
	}
	j.secretFlags(cmd)
	j.gatewayFlag(cmd, "`name` of the gateway that the secret is for")
	j.trash.flags(cmd)
	cmd.Flags().BoolVar(&j.keepSpace, "keep-space", false, "store white space at the beginning and end of the value as it is")
	cmd.Flags().BoolVar(&j.trimSpace, "trim-space", false, "remove white space at the beginning and end of the value")
	return cmd
}

type stored struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Changed bool   `json:"changed"`
	Bytes   int    `json:"bytes"`
}

func (j *secretPutJob) run(ctx context.Context, name string) error {
	if err := noReference(name); err != nil {
		return err
	}
	switch {
	case strings.Contains(name, "#"):
		return usageError(quote(name)+" has a #, at which a reference ends its path", "put a whole secret: the keys of a JSON object are its value")
	case !speakable(name):
		return usageError("no reference can name "+quote(name), "take a name without space or marks that nobody sees at its ends")
	case j.keepSpace && j.trimSpace:
		return usageError("--keep-space and --trim-space exclude each other", "name one of them")
	case j.Config == "-" && j.VaultStore == "" && j.VaultType == "":
		return usageError("--config - and the value cannot both come from the standard input", "name the file of the config")
	}
	if err := j.trash.check(); err != nil {
		return err
	}
	store, err := j.writable(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	value, err := j.value(ctx, name, store.Traits().Limits.Max)
	if err != nil {
		return err
	}
	ctx, cancel := j.Within(ctx)
	defer cancel()
	defer j.p.waiting("storing in " + store.Describe())()
	folder := ""
	version, changed, err := putOne(ctx, store, name, j.gateway, value, func(field string) (err error) {
		folder, err = j.trash.keep(ctx, store, j.backendFlags(), j.gateway, []trashed{{name, field}})
		return err
	})
	j.trash.say(j.p, folder) // also where the value could not be replaced then
	if err != nil {
		return failed(err)
	}
	if changed {
		j.p.say("stored %s in %s: version %s, %s", quote(name), clean(store.Describe()), clean(version), count(value.Len(), "byte"))
	} else {
		j.p.say("%s in %s has this value already: nothing was written", quote(name), clean(store.Describe()))
	}
	if j.p.json {
		return j.p.writeJSON(stored{name, version, changed, value.Len()})
	}
	return nil
}

// speakable reports whether a reference can spell the name of a secret, so that
// people see it.
func speakable(name string) bool {
	ref, err := walker.ParseReference(walker.Reference{Scheme: walker.Vault, Name: name}.String())
	return err == nil && ref == walker.Reference{Scheme: walker.Vault, Name: name} && !strings.ContainsFunc(name, func(r rune) bool { return walker.UnseenName(r) != "" })
}

// putOne stores a value unless it is there, and reads it back. ahead is called
// before another value is replaced, which was stored from a field, if that is not
// empty.
func putOne(
	ctx context.Context, store sources.Store, name, gateway string, value sources.Secret, ahead func(field string) error,
) (version string, changed bool, err error) {
	item := store.Inspect(ctx, []string{name})[name]
	if item.Err != nil {
		return "", false, item.Err
	}
	w := sources.Write{Name: name, Value: value, Mark: sources.Mark{Owner: gateway}, Expect: item.Version, Token: sources.NewToken()}
	if item.Mark != nil && item.Mark.Owner == gateway {
		w.Mark.Path = item.Mark.Path // it stays the secret of its field
		if item.Gone.IsZero() {
			now := store.Fetch(ctx, []string{name})[name]
			if now.Err == nil && bytes.Equal(now.Value.Reveal(), value.Reveal()) {
				return item.Version, false, nil
			}
			if err := ahead(w.Mark.Path); err != nil {
				return "", false, err
			}
		}
	}
	if version, err = store.Put(ctx, w); err != nil {
		return "", false, err
	}
	back := store.Fetch(ctx, []string{name})[name]
	switch {
	case back.Err != nil:
		return "", false, &failure{
			Reason: fmt.Sprintf("%s was stored, but cannot be read back: %v", quote(name), back.Err), Hint: sources.HintOf(back.Err), Code: exitUnresolved,
		}
	case !bytes.Equal(back.Value.Reveal(), value.Reveal()):
		return "", false, &failure{
			Reason: quote(name) + " was stored, but reads back as another value", Hint: "somebody else may have stored at the same moment: run again", Code: exitUnresolved,
		}
	}
	return version, true, nil
}

func (j *secretPutJob) value(ctx context.Context, name string, most int) (sources.Secret, error) {
	b, err := j.read(ctx, name)
	if err != nil {
		return sources.Secret{}, err
	}
	trimmed := bytes.TrimSpace(b)
	if utf8.Valid(b) {
		trimmed = []byte(sources.Trim(string(b)))
	}
	if j.trimSpace {
		b = trimmed
	}
	if walker.InUTF16(b) {
		return sources.Secret{}, usageError("the value is in UTF-16, which no reference resolves to", "give it as UTF-8: > in PowerShell writes UTF-16")
	}
	switch {
	case len(trimmed) == 0:
		return sources.Secret{}, usageError("the value is empty", "give it on the standard input, or type it when asked")
	case len(b) != len(trimmed) && !j.keepSpace:
		what := "white space at its beginning or end"
		first, _ := utf8.DecodeRune(b)
		last, _ := utf8.DecodeLastRune(b)
		if n := len(b) - 1; len(trimmed) == n && b[n] == '\n' {
			what = "a line break at its end"
		} else if name := cmp.Or(walker.UnseenName(first), walker.UnseenName(last)); name != "" {
			what = name + " at its beginning or end, which nobody sees"
		}
		return sources.Secret{}, usageError("the value has "+what, "--trim-space takes it off, --keep-space keeps it; printf %s writes no line break")
	case len(b) > most:
		return sources.Secret{}, usageError(fmt.Sprintf("the value has more than the %d bytes that the backend allows", most), "")
	}
	for _, one := range render.Remarks(trimmed) {
		j.p.note(one.Reason, one.Hint)
	}
	return sources.NewSecret(b), nil
}

func (j *secretPutJob) read(ctx context.Context, name string) ([]byte, error) {
	if f, ok := j.p.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return j.p.ask(ctx, f, "value of "+quote(name)+" (not shown): ")
	}
	b, err := service.Await(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(j.p.stdin, sources.MaxValue+1)) })
	if err != nil {
		return nil, &failure{Reason: "the standard input cannot be read: " + err.Error(), Code: exitUsage}
	}
	return b, nil
}

// ask asks on a terminal for what it does not show.
func (p *program) ask(ctx context.Context, terminal *os.File, question string) ([]byte, error) {
	fd := int(terminal.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, &failure{Reason: "the terminal cannot be read: " + err.Error(), Code: exitUsage}
	}
	_, _ = p.screen.Write([]byte(prefix + question))
	text, err := service.Await(ctx, func() ([]byte, error) { return term.ReadPassword(fd) })
	_, _ = p.screen.Write([]byte("\n"))
	switch {
	case errors.Is(err, service.ErrInterrupted):
		// The terminal is the shell's next, and must show what is typed there.
		_ = term.Restore(fd, before)
		return nil, &failure{Reason: "interrupted; nothing was written", Code: exitUnresolved}
	case err != nil:
		return nil, &failure{Reason: "no value was typed", Hint: "type it and press enter; nothing was written", Code: exitUsage}
	}
	return text, nil
}
