// Schemadiff reads the JSON schema of a Bifrost release and lists the members
// that may bear a secret and that the catalogue does not know.
//
//	go run ./walker/internal/schemadiff config.schema.json
//
// Each is to become a line of catalogue.tsv, or, where it bears none, a line of
// none.tsv here that says why. It ends with 1 where there is any, so that a new
// release is as long as its list.
package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"bifrost-secrets/walker"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("schemadiff", flag.ContinueOnError)
	flags.SetOutput(stderr)
	none := flags.Bool("none", false, "list what may look as if it bore a secret, and why it bears none")
	all := flags.Bool("all", false, "list every text that the catalogue does not know")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() != 1 {
		fmt.Fprintln(stderr, "schemadiff: name one schema\nhint: it is transports/config.schema.json of Bifrost's sources")
		return 2
	}
	text, err := walker.ReadRegular(flags.Arg(0), 64<<20)
	if err != nil {
		fmt.Fprintln(stderr, "schemadiff:", err)
		return 2
	}
	found, err := diff(text)
	if err != nil {
		fmt.Fprintf(stderr, "schemadiff: %s: %v\n", flags.Arg(0), err)
		return 2
	}
	listed := 0
	for _, f := range found {
		switch {
		case f.sign != "" && f.none == "":
			listed++
			fmt.Fprintf(stdout, "%s\t%s\n", f.pattern, f.sign)
		case f.sign != "" && *none:
			fmt.Fprintf(stdout, "%s\t%s\tnone: %s\n", f.pattern, f.sign, f.none)
		case f.sign == "" && *all:
			fmt.Fprintf(stdout, "%s\t-\n", f.pattern)
		}
	}
	fmt.Fprintf(stderr, "schemadiff: %d members that may bear a secret are not in the catalogue\n", listed)
	if listed > 0 {
		return 1
	}
	return 0
}

// difference is a place of the schema that the catalogue does not know.
type difference struct {
	pattern string
	sign    string // why it may bear a secret; empty where nothing says so
	none    string // why it bears none all the same; empty where nobody has looked
}

//go:embed none.tsv
var noneText string

// diff returns the places of a schema that are no fields.
func diff(text []byte) ([]difference, error) {
	judged, err := readNone(noneText)
	if err != nil {
		return nil, err
	}
	places, err := readSchema(text)
	if err != nil {
		return nil, err
	}
	var found []difference
	for _, p := range places {
		known, err := inCatalogue(p)
		if err != nil {
			return nil, err
		}
		if !known {
			found = append(found, difference{p.pattern, p.sign(), judged.why(p.pattern)})
		}
	}
	return found, nil
}

// inCatalogue reports whether the walker takes a text at the place for a field:
// a document that has nothing else is walked. What stands inside of a field, as
// the members of its object form, is known with it.
func inCatalogue(p place) (bool, error) {
	steps := walker.PatternSteps(p.pattern)
	if p.free {
		steps = append(steps, "*")
	}
	for n := len(steps); n > 0; n-- {
		var open, end string
		for _, step := range steps[:n] {
			switch step {
			case "[]":
				open, end = open+"[", "]"+end
			case "*":
				step = "any"
				fallthrough
			default:
				open, end = open+"{"+walker.Quote(step)+":", "}"+end
			}
		}
		doc, err := walker.Parse(p.pattern, []byte(open+`"text"`+end))
		if err != nil {
			return false, fmt.Errorf("%s: %w", p.pattern, err)
		}
		known := false
		doc.Walk(func(f *walker.Field) bool {
			known = known || f.Entry != nil
			return true
		})
		if known {
			return true, nil
		}
	}
	return false, nil
}

var (
	refers    = regexp.MustCompile(`(?i)\benv\\?\.|\bvault\\?\.|environment variable|secret reference`)
	address   = regexp.MustCompile(`(?i)(?:url|uri|endpoints?|dsn|issuer|address(?:es)?|connection_?string|webhook)$`)
	sensitive = regexp.MustCompile(`(?i)secret|passw|passphrase|token|credential|api[ _-]?key|bearer|private|cookie|signature|signing|headers?\b|_pem$|cert`)
)

// sign returns what makes a place look as if it bore a secret.
func (p *place) sign() string {
	name := p.pattern[strings.LastIndex(p.pattern, ".")+1:]
	if name == "*" || name == "*[]" { // the map's name tells
		name = strings.TrimSuffix(p.pattern, "."+name)
		name = name[strings.LastIndex(name, ".")+1:]
	}
	name = strings.TrimRight(name, "[]")
	switch {
	case p.free:
		return "anything may stand here"
	case refers.MatchString(p.words):
		return "takes a reference"
	case sensitive.MatchString(name) || strings.HasSuffix(strings.ToLower(name), "key"):
		return "is called so"
	case address.MatchString(name) || strings.Contains("\n"+p.words+"\n", "\nuri\n"):
		return "an address, which may carry credentials"
	case sensitive.MatchString(p.words):
		return "is described so"
	}
	return ""
}

// none are the judgements of none.tsv.
type none []struct {
	steps []string
	why   string
}

func readNone(text string) (none, error) {
	var all none
	for i, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		pattern, why, ok := strings.Cut(line, "\t")
		if !ok || why == "" || strings.Contains(why, "\t") {
			return nil, fmt.Errorf("none.tsv: line %d: %w", i+1, errTwoColumns)
		}
		all = append(all, struct {
			steps []string
			why   string
		}{walker.PatternSteps(pattern), why})
	}
	return all, nil
}

var errTwoColumns = errors.New("a pattern and a reason are wanted, with a tab between them")

// why returns the reason of the first pattern that fits: there, * is any member
// and a last ** all that is left.
func (n none) why(pattern string) string {
	steps := walker.PatternSteps(pattern)
	for _, one := range n {
		if fits(one.steps, steps) {
			return one.why
		}
	}
	return ""
}

func fits(want, have []string) bool {
	for i, step := range want {
		switch {
		case step == "**":
			return true
		case i >= len(have) || step != have[i] && !(step == "*" && have[i] != "[]"):
			return false
		}
	}
	return len(want) == len(have)
}
