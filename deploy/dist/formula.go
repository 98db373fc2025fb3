package main

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/template"
)

//go:embed formula.rb.tmpl
var formulaText string

// formula writes a formula for a Homebrew tap. Without a home there is no address
// that one could download from, and no formula.
func (r *release) formula(context.Context, string) error {
	if !r.published() {
		fmt.Fprintln(os.Stderr, "dist: no Homebrew formula, since the repository has no home: see `make home`")
		return nil
	}
	sums := map[string]string{}
	for _, p := range platforms {
		if p.system == "windows" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(r.out, fmt.Sprintf("bifrost-secrets_%s_%s.tar.gz", r.number(), p)))
		if err != nil {
			return err
		}
		sums[p.String()] = fmt.Sprintf("%x", sha256.Sum256(text))
	}
	parsed, err := template.New("formula").Option("missingkey=error").Parse(formulaText)
	if err != nil {
		return err
	}
	return create(filepath.Join(r.out, "bifrost-secrets.rb"), func(w io.Writer) error {
		return parsed.Execute(w, map[string]any{"Home": r.home, "Version": r.version, "Number": r.number(), "Sums": sums})
	})
}
