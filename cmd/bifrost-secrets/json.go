package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func (p *program) jsonFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&p.json, "json", false, "print JSON")
}

// conclude ends a command. With --json it prints the report, whether or not the
// command has done its work; failed, which is a part of it, then says why not.
func (p *program) conclude(report any, failed *string, err error) error {
	if !p.json {
		return err
	}
	if err != nil && *failed == "" {
		*failed = cleanLines(err.Error())
	}
	if werr := p.writeJSON(report); err == nil {
		err = werr
	}
	return err
}

// listOf makes an empty list of none: a program that reads JSON goes over a
// list, and stumbles over a null.
func listOf[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (p *program) writeJSON(v any) error {
	p.answered = true
	enc := json.NewEncoder(p.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table prints rows in columns. What comes from outside is cleaned.
func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i := range row {
			row[i] = clean(row[i])
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}
