package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"

	"bifrost-secrets/render"
	"bifrost-secrets/watch"
)

// load reads the document for the loop, and gives before itself where it would
// read that again. The source stays the same one while the vault_store does, so
// that it stays signed in. check, which may be nil, may refuse a job.
func (j *job) load(before *watch.Job, check func(*job, *watch.Job) error) (*watch.Job, error) {
	n := *j
	if err := n.read(); err != nil {
		return nil, err
	}
	next := &watch.Job{Store: n.store.Digest()}
	if before != nil && before.Store == next.Store {
		if bytes.Equal(before.Plan.Document.Bytes(), n.doc.Bytes()) {
			return before, nil
		}
		next.Source = before.Source
	}
	if err := n.makePlan(); err != nil {
		return nil, err
	}
	next.Plan = n.plan
	opened := false
	if next.Source == nil {
		var err error
		if next.Source, err = n.open(context.Background()); err != nil {
			return nil, err
		}
		opened = next.Source != nil
	}
	next.Files = n.files(next)
	if check != nil {
		if err := check(&n, next); err != nil {
			if opened {
				_ = next.Source.Close()
			}
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
		name := strings.TrimPrefix(use.Reference, "env.")
		if _, ok := getenv(name); !ok {
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
