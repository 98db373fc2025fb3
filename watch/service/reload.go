package service

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/watch"
)

// loader reads the document for the loop.
type loader struct {
	flags *Flags
	host  *Host
	// beside returns the references outside of the document; last are those of
	// the time before. It may be nil.
	beside func(ctx context.Context, l *Loaded, source sources.Source, last []render.Beside) ([]render.Beside, error)
	// check may refuse a document.
	check func(ctx context.Context, l *Loaded, next, before *watch.Job) error
}

// load reads the document, and returns before itself where it would read that
// again. The source stays the same one while the vault_store does, so that it stays
// signed in.
func (o *loader) load(ctx context.Context, before *watch.Job) (next *watch.Job, err error) {
	l, err := o.flags.Read(ctx, o.host)
	if err != nil {
		return nil, err
	}
	next = &watch.Job{Store: l.Store.Digest()}
	var beside []render.Beside
	same := false
	if before != nil && before.Store == next.Store {
		next.Source, beside = before.Source, before.Plan.Beside
		same = bytes.Equal(before.Plan.Document.Bytes(), l.Doc.Bytes())
	}
	if same && o.beside == nil {
		return before, nil
	}
	if next.Source == nil {
		if err := l.MakePlan(beside); err != nil { // what is wrong with the document comes first
			return nil, err
		}
		if next.Source, err = l.Open(ctx); err != nil {
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
	if o.beside != nil {
		if beside, err = o.beside(ctx, l, next.Source, beside); err != nil {
			return nil, err
		}
		if same && slices.Equal(beside, before.Plan.Beside) {
			return before, nil
		}
	}
	if err := l.MakePlan(beside); err != nil {
		return nil, err
	}
	next.Plan = l.Plan
	next.Files = o.flags.files(next)
	if err := o.check(ctx, l, next, before); err != nil {
		return nil, err
	}
	return next, nil
}

// files are what a change of is a change of what is read.
func (f *Flags) files(of *watch.Job) []string {
	files := []string{f.Config}
	if f.VaultStore != "" {
		files = append(files, f.VaultStore)
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
