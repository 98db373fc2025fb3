package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"bifrost-secrets/cmd/internal/variables"
	"bifrost-secrets/render"
	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"

	"github.com/spf13/cobra"
)

// online is `lint --online`: it looks every reference of a document up, as
// render would.
type online struct {
	*program
	flags job // where the secrets come from, if the flags say it
}

// onlineFlags are those of render that --online takes too.
var onlineFlags = []string{"vault-store", "vault-type", "vault-set", "literal", "timeout", "allow-commands", "allow-path"}

// addFlags adds to the command what render has to say where secrets come from.
func (o *online) addFlags(cmd *cobra.Command) {
	o.flags.p = o.program
	var all cobra.Command
	o.flags.flags(&all)
	for _, name := range onlineFlags {
		cmd.Flags().AddFlag(all.Flags().Lookup(name))
	}
	o.flags.trustFlag(cmd)
	cmd.Flags().Lookup("trust-config").Usage = "with --online or --config-store: " + cmd.Flags().Lookup("trust-config").Usage
}

// check refuses flags that go with --online where that is not given, and those
// that do not go together.
func (o *online) check(cmd *cobra.Command) error {
	if !cmd.Flags().Changed("online") && !cmd.Flags().Changed("config-store") {
		for _, name := range onlineFlags {
			if f := cmd.Flags().Lookup(name); f.Changed && !variables.Given(f) { // which may be there for another command
				return usageError("--"+name+" says how to look references up, but nothing is asked", "give --online too")
			}
		}
	}
	if cmd.Flags().Changed("online") && !o.flags.Trust && o.flags.VaultStore == "" && o.flags.VaultType == "" {
		return usageError("--online would sign in to whatever backend the config names, with any variable and file that it names",
			"give --vault-store FILE or --vault-type of your own; or --trust-config, where whoever writes the config is trusted")
	}
	return o.flags.Flags.Check()
}

// lookUp returns what render would refuse of a document, beside what the other
// rules say of it. Values are fetched, each secret once, checked and dropped. The
// error says why the backend, or a file that a flag names, could not be asked.
func (o *online) lookUp(ctx context.Context, doc *walker.Document, env bool) (found []lint.Finding, err error) {
	j := job{p: o.program, Flags: o.flags.Flags}
	j.Config, j.Mode, j.MissIsNote = doc.Name, string(render.Inline), true
	if env {
		j.Mode = string(render.EnvMode)
	}
	// What is wrong with a block that a flag names is nothing of the document's.
	unopened := func(err error) ([]lint.Finding, error) {
		if j.VaultStore != "" || j.VaultType != "" {
			return found, err
		}
		more, err := told(doc, err)
		return append(found, more...), err
	}
	if j.Loaded, err = j.Of(ctx, o.host(), doc); err != nil {
		return unopened(err)
	}
	var problems *render.Problems
	if errors.As(j.MakePlan(nil), &problems) {
		found = j.unplanned(problems)
	}
	if len(j.Plan.Secrets) == 0 {
		return found, nil
	}
	source, err := j.Open(ctx)
	if err != nil {
		return unopened(err)
	}
	defer source.Close()
	rendering, err := j.Resolve(ctx, source)
	if err == nil && env {
		_, err = rendering.Environment()
	}
	for i := 0; err == nil && i < len(rendering.Notes); i++ {
		if one := rendering.Notes[i]; one.Reference != "" { // the others are about the document
			found = append(found, at(one, lint.Note)...)
		}
	}
	more, err := told(doc, err)
	return append(found, more...), err
}

// unplanned returns those faults of a plan that only this look-up knows of: the
// other rules do not know of a block that the flags name, nor what the renderer
// finds in its environment.
func (j *job) unplanned(problems *render.Problems) (out []lint.Finding) {
	for _, one := range problems.List {
		switch {
		case one.Invalid:
		case one.Reason == render.NotEnabled:
			if j.Store != nil {
				continue
			}
			if n := len(one.Places); n > 1 {
				one.Reason += fmt.Sprintf(", but there are %d vault. references", n)
			}
			one.Places = one.Places[:1]
			out = append(out, at(one, lint.Error)...)
		case strings.HasPrefix(one.Reference, "env."):
			one.Reason += " here"
			out = append(out, at(one, lint.Note)...)
		case one.Reference != "" && (j.VaultStore != "" || j.VaultType != ""):
			out = append(out, at(one, lint.Error)...)
		}
	}
	return out
}

// told turns the problems of rendering into findings. What the backend never
// answered is no finding, but a failure of the look-up.
func told(doc *walker.Document, err error) ([]lint.Finding, error) {
	var problems *render.Problems
	if !errors.As(err, &problems) {
		return nil, err
	}
	var out []lint.Finding
	var down []render.Problem
	for _, one := range problems.List {
		if one.Kind.Retryable() {
			down = append(down, one)
			continue
		}
		out = append(out, at(one, lint.Error)...)
	}
	// Faults of the block itself have a path, but no place.
	for i := range out {
		if members := doc.Members("config_store", "vault_store"); out[i].Span == (walker.Span{}) && len(members) > 0 {
			start := members[len(members)-1].Value.Start
			out[i].Span = walker.Span{Start: start, End: start + 1}
		}
	}
	if len(down) > 0 {
		return out, &render.Problems{Document: problems.Document, List: down}
	}
	return out, nil
}

// at returns the findings of a problem: one for each of its places.
func at(one render.Problem, severity lint.Severity) []lint.Finding {
	message := one.Reason
	if one.Reference != "" {
		message = one.Reference + ": " + message
	}
	f := lint.Finding{Rule: lint.Online.ID, Severity: severity, Message: message, Hint: one.Hint}
	if len(one.Places) == 0 {
		return []lint.Finding{f}
	}
	var out []lint.Finding
	for _, place := range one.Places {
		f.Path, f.Span = place.Path, place.Span
		out = append(out, f)
	}
	return out
}
