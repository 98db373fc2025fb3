package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"bifrost-secrets/render"
	"bifrost-secrets/render/autostore"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"

	"github.com/spf13/cobra"
)

type initJob struct {
	job
	kind  string
	write bool
}

// beginning is what init found, and what comes next.
type beginning struct {
	Config    string          `json:"config"`
	Plaintext []plaintext     `json:"plaintext"`
	Found     bool            `json:"found"`           // there is a block already, and nothing is changed
	Block     json.RawMessage `json:"block,omitempty"` // that is written, or would be
	Done      bool            `json:"done"`            // the file has the block
	Next      []string        `json:"next"`            // commands for a shell
	Error     string          `json:"error,omitempty"`
}

type plaintext struct {
	render.Place
	Bytes  int    `json:"bytes,omitempty"`  // of the field; none where only a part of it is secret
	Reason string `json:"reason,omitempty"` // why it is not stored as it is
}

func (p *program) initCommand() *cobra.Command {
	j := &initJob{job: job{p: p}}
	cmd := &cobra.Command{
		Use:        "init --type TYPE",
		SuggestFor: []string{"new", "setup", "create"},
		Short:      "See what is in plain text, and say where secrets are kept",
		Long: `Init shows which fields of a config.json bear a secret in plain text (where, and how long, never
the value), puts a vault_store block for the chosen backend into it, and prints the commands that
come next; in them, bifrost stands for the name of this gateway. Without --write it shows the change
and makes none. It asks no backend.`,
		Example: `  bifrost-secrets init --config config.json --type file
  bifrost-secrets init --config config.json --type aws-secrets-manager --write`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := beginning{Config: j.Config, Plaintext: []plaintext{}, Next: []string{}}
			return p.conclude(&b, &b.Error, j.begin(&b))
		},
	}
	f := cmd.Flags()
	f.StringVarP(&j.Config, "config", "c", "config.json", "the config.json to begin with")
	f.StringVar(&j.kind, "type", "", "where secrets are to be: "+strings.Join(kinds(), ", "))
	f.BoolVar(&j.write, "write", false, "write the vault_store block into the config; without it it is only shown")
	complete(cmd, "type", kinds()...)
	p.jsonFlag(cmd)
	return cmd
}

func (j *initJob) begin(b *beginning) error {
	facts, known := sources.Known(j.kind)
	theTypes := "the types are " + strings.Join(kinds(), ", ")
	switch {
	case j.Config == "-":
		return usageError("the standard input cannot be rewritten", "name a file with --config")
	case j.kind != "" && !known:
		return usageError("unknown --type "+quote(j.kind), theTypes)
	case j.kind == "" && j.write:
		return usageError("--write needs --type", theTypes)
	}
	if j.write {
		unlock, err := j.lock()
		if err != nil {
			return err
		}
		defer unlock()
	}
	doc, err := walker.ReadFile(j.Config)
	if err != nil {
		return err
	}
	store, err := render.StoreFromDocument(doc)
	if err != nil {
		return err
	}
	found := autostore.Plaintext(doc, autostore.Options{Store: store})
	for i := range found {
		b.Plaintext = append(b.Plaintext, plaintext{Place: found[i].Place, Bytes: found[i].Size(), Reason: found[i].Reason})
	}
	for _, left := range remaining(doc, found, nil) {
		b.Plaintext = append(b.Plaintext, plaintext{Place: left.Places[0], Reason: left.Reason})
	}
	var rows [][]string
	for _, one := range b.Plaintext {
		rows = append(rows, []string{fmt.Sprintf("%s:%d:%d", j.Config, one.Line, one.Column), one.Path, cmp.Or(one.Reason, count(one.Bytes, "byte"))})
	}
	if !j.p.json {
		if err := table(j.p.stdout, rows); err != nil {
			return err
		}
	}
	j.p.say("%s in %s in plain text", count(len(b.Plaintext), "secret"), clean(j.Config))
	switch b.Found = len(doc.Members("config_store", "vault_store")) > 0; {
	case b.Found && store != nil:
		j.there(doc, store, len(found) > 0)
		facts, _ = sources.Known(store.Type)
	case b.Found: // null
		return usageError(j.Config+": "+render.StorePath+" is null", "remove it, and run again")
	case !known:
		j.p.advise("say with --type where they are to be; " + theTypes)
		return nil
	default:
		b.Block = render.NewBlock(facts, len(found) > 0)
		if err := j.put(doc, b); err != nil {
			return err
		}
	}
	j.next(b, facts, len(found) > 0)
	if j.p.json {
		return nil
	}
	_, err = fmt.Fprintln(j.p.stdout, cleanLines(strings.Join(b.Next, "\n")))
	return err
}

// there says that the config has a block, and what that lacks.
func (j *initJob) there(doc *walker.Document, store *render.VaultStore, plain bool) {
	at := doc.Position(doc.Members("config_store", "vault_store")[0].Name.Start)
	j.p.say("%s:%d:%d: there is a vault_store block already, of type %s; it stays as it is", clean(j.Config), at.Line, at.Column, quote(store.Type))
	if plain && store.AccessMode != render.ReadAndWrite {
		j.p.advise(`store needs "access_mode": "` + render.ReadAndWrite + `" in it`)
	}
}

// put shows the change, and with --write makes it.
func (j *initJob) put(doc *walker.Document, b *beginning) error {
	text, member, err := render.WithBlock(doc, b.Block)
	if err != nil {
		return err
	}
	if len(doc.Members("config_store")) == 0 {
		j.p.note("there is no config_store, so Bifrost's default is written too: a SQLite database, where Bifrost's image has it", "")
	}
	if !j.write {
		j.p.advise("--write puts this into " + j.Config)
		if j.p.json {
			return nil
		}
		_, err = fmt.Fprintf(j.p.stdout, "%s\n", member)
		return err
	}
	info, err := os.Stat(j.Config)
	if err != nil {
		return err
	}
	if info.Mode()&0o200 == 0 { // replacing it would work, and is not what its owner wants
		return &failure{Reason: j.Config + " is read-only; it stays as it is", Hint: "chmod u+w it, or write the block into it yourself: leave --write out to see it", Code: exitUnresolved}
	}
	target, err := j.target()
	if err != nil {
		return err
	}
	if b.Done, err = j.replace(doc, target, text, ""); err != nil {
		return err
	}
	j.p.say("wrote %s", clean(j.Config))
	return nil
}

// next says what is left to do: first what only a person knows, then commands.
func (j *initJob) next(b *beginning, facts sources.Facts, storable bool) {
	folder, config := filepath.Dir(j.Config), "--config "+shell(j.Config)
	for _, s := range facts.Begin {
		at := render.StorePath + "." + facts.Block + "." + s.Key
		name, variable := strings.CutPrefix(s.Value, "env.")
		_, set := j.p.getenv(name)
		if naming := facts.Naming(); !b.Found && variable && facts.Secret(name) && j.p.env[naming] == "" {
			j.p.advise("set " + naming + " to that address too: " + name + " goes to none that a config alone names")
		}
		switch {
		case b.Found:
		case strings.Contains(s.Value, "<"):
			j.p.advise("write your own in the place of " + s.Value + ": " + at)
		case variable && !set:
			j.p.advise("set " + name + ", which " + at + " is taken from")
		case facts.Type == sources.File.Type && isMissing(statError(filepath.Join(folder, s.Value))):
			b.Next = append(b.Next, "mkdir -m 700 "+shell(filepath.Join(folder, s.Value)))
		}
	}
	if !b.Found && !b.Done {
		b.Next = append([]string{"bifrost-secrets init " + config + " --type " + facts.Type + " --write"}, b.Next...)
	}
	first := "lint " + shell(j.Config)
	if storable {
		first = "store " + config + " --gateway bifrost --yes"
	}
	b.Next = append(b.Next, "bifrost-secrets "+first, "bifrost-secrets render "+config+" --out "+shell(filepath.Join(folder, "rendered.json")))
}

func statError(path string) error {
	_, err := os.Stat(path)
	return err
}
