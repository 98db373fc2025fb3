package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bifrost-secrets/render"
	"bifrost-secrets/watch"
)

// load reads the document for the loop, and gives before itself where it would
// read that again. The source stays the same one while the vault_store does, so
// that it stays signed in. check, which may be nil, may refuse a job.
func (j *job) load(ctx context.Context, before *watch.Job, check func(*job, *watch.Job) error) (next *watch.Job, err error) {
	n := *j
	if err := n.read(); err != nil {
		return nil, err
	}
	next = &watch.Job{Store: n.store.Digest()}
	same := false
	if before != nil && before.Store == next.Store {
		next.Source, n.beside = before.Source, before.Plan.Beside
		same = bytes.Equal(before.Plan.Document.Bytes(), n.doc.Bytes())
	}
	if same && n.besides == nil {
		return before, nil
	}
	if next.Source == nil {
		if err := n.makePlan(); err != nil { // what is wrong with the document comes first
			return nil, err
		}
		if next.Source, err = n.open(ctx); err != nil {
			return nil, err
		}
		if opened := next.Source; opened != nil {
			defer func() {
				if next == nil || next.Source != opened {
					_ = opened.Close()
				}
			}()
		}
	}
	if n.besides != nil {
		if n.beside, err = n.besides(ctx, &n, next.Source); err != nil {
			return nil, err
		}
		if same && slices.Equal(n.beside, before.Plan.Beside) {
			return before, nil
		}
	}
	if err := n.makePlan(); err != nil {
		return nil, err
	}
	next.Plan = n.plan
	next.Files = n.files(next)
	if check != nil {
		if err := check(&n, next); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// files are what a change of is a change of what is read.
func (j *job) files(of *watch.Job) []string {
	files := []string{j.config}
	if j.vaultStore != "" {
		files = append(files, j.vaultStore)
	}
	seen := map[string]bool{}
	for _, input := range inputsOf(of.Source) {
		files = append(files, input)
		if info, err := os.Stat(input); err != nil || !info.IsDir() {
			continue
		}
		// A secret may lie in a folder of its own.
		for _, name := range of.Plan.Secrets {
			dir := filepath.Join(input, filepath.FromSlash(name[:strings.LastIndex(name, "/")+1]))
			if strings.Contains(name, "/") && !seen[dir] {
				seen[dir] = true
				files = append(files, dir)
			}
		}
	}
	return files
}

// missing gives the variables that a plan leaves for Bifrost and that Bifrost's
// environment does not have, as problems.
func missing(plan *render.Plan, getenv func(string) (string, bool)) error {
	problems := &render.Problems{Document: plan.Document.Name}
	for _, use := range plan.Uses(nil) {
		if use.How != render.LeftToBifrost {
			continue
		}
		if _, ok := getenv(use.Left); !ok {
			problems.List = append(problems.List, render.Problem{
				Reference: use.Reference, Reason: "the variable is not set in Bifrost's environment, and Bifrost would take it for empty",
				Hint: "set it, or take the reference out", Places: []render.Place{use.Place},
			})
		}
	}
	if len(problems.List) == 0 {
		return nil
	}
	return problems
}
