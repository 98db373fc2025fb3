package main

import (
	"encoding/json"
	"io"
)

// conclude ends a command. With --json it prints the report, whether or not the
// command has done its work; failed, which is a part of it, then says why not.
func (p *program) conclude(asJSON bool, report any, failed *string, err error) error {
	if !asJSON {
		return err
	}
	if err != nil && *failed == "" {
		*failed = cleanLines(err.Error())
	}
	if werr := writeJSON(p.stdout, report); err == nil {
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

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
