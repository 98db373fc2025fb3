package walker_test

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"bifrost-secrets/walker"
)

var schemaFile = flag.String("schema", "", "for TestSchemaDiff: the absolute path of a Bifrost release's config.schema.json")

// TestSchemaDiff names the members of a JSON schema that may bear a secret and that
// the catalogue does not know: of the schemas here and, with -schema, of that of a
// release. Each of those is to become a line of catalogue.tsv or, where it bears
// none, a line of testdata/none.tsv that says why.
func TestSchemaDiff(t *testing.T) {
	const word = `{"type": "string"}`
	for name, test := range map[string]struct{ properties, want string }{
		"a field":                         {`"encryption_key": ` + word, ""},
		"a field's object form":           {`"webhooks": {"items": {"properties": {"secret": {"anyOf": [` + word + `, {"type": "object", "properties": {"env_var": ` + word + `}}]}}}}`, ""},
		"below a map's field":             {`"providers": {"additionalProperties": {"properties": {"keys": {"items": {"properties": {"value": ` + word + `}}}}}}`, ""},
		"a zone":                          {`"plugins": {"items": {"properties": {"config": {"type": "object"}}}}`, ""},
		"no secret":                       {`"color": ` + word, ""},
		"judged to be none":               {`"client": {"properties": {"allowed_headers": {"type": "array", "items": ` + word + `}}}`, ""},
		"a choice of words":               {`"token_kind": {"type": "string", "enum": ["a", "b"]}`, ""},
		"no text":                         {`"token": {"type": "integer"}`, ""},
		"forbidden":                       {`"token": false`, ""},
		"a new name":                      {`"relay": {"properties": {"token": ` + word + `}}`, "relay.token\tis called so\n"},
		"a key":                           {`"relay": {"properties": {"shared_key": ` + word + `}}`, "relay.shared_key\tis called so\n"},
		"a new map":                       {`"relay": {"properties": {"headers": {"type": "object", "additionalProperties": ` + word + `}}}`, "relay.headers.*\tis called so\n"},
		"a new list":                      {`"relay": {"properties": {"tokens": {"type": "array", "items": ` + word + `}}}`, "relay.tokens[]\tis called so\n"},
		"a reference":                     {`"relay": {"properties": {"user": {"type": "string", "description": "Supports the env. prefix"}}}`, "relay.user\ttakes a reference\n"},
		"an expression":                   {`"relay": {"properties": {"user": {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^env\\.[A-Z]+$"}]}}}`, "relay.user\ttakes a reference\n"},
		"an address":                      {`"relay": {"properties": {"to": {"type": "string", "format": "uri"}}}`, "relay.to\tan address, which may carry credentials\n"},
		"a description":                   {`"relay": {"properties": {"to": {"type": "string", "description": "The password of it."}}}`, "relay.to\tis described so\n"},
		"anything":                        {`"relay": {"properties": {"to": {"type": "object"}}}`, "relay.to\tanything may stand here\n"},
		"anything, in a branch":           {`"relay": {"properties": {"to": {"type": "integer"}}, "allOf": [{"properties": {"to": true}}]}`, ""},
		"only if":                         {`"relay": {"if": {"properties": {"kind": {"const": "x"}}}, "then": {"properties": {"token": ` + word + `}}}`, "relay.token\tis called so\n"},
		"a definition":                    {`"relay": {"$ref": "#/$defs/relay"}`, "relay.token\tis called so\n"},
		"a definition that has itself":    {`"tree": {"$ref": "#/$defs/tree"}`, "tree.secret\tis called so\n"},
		"of a provider of one's own name": {`"providers": {"properties": {"novel": {"properties": {"novel_secret": ` + word + `}}}}`, "providers.novel.novel_secret\tis called so\n"},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := diff([]byte(`{"properties": {"encryption_key": ` + word + `, ` + test.properties + `}, "$defs": {
				"relay": {"properties": {"token": ` + word + `}},
				"tree": {"properties": {"secret": ` + word + `, "below": {"$ref": "#/$defs/tree"}}}}}`))
			if err != nil {
				t.Fatal(err)
			}
			if got := toJudge(found); got != test.want {
				t.Errorf("listed %q, want %q", got, test.want)
			}
		})
	}
	if *schemaFile == "" {
		return
	}
	text, err := os.ReadFile(*schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	found, err := diff(text)
	if err != nil {
		t.Fatalf("%s: %v", *schemaFile, err)
	}
	if listed := toJudge(found); listed != "" {
		t.Errorf("members that may bear a secret and are not in the catalogue:\n%s", listed)
	}
}

func TestSchemaDiffFailures(t *testing.T) {
	for schema, want := range map[string]string{
		`{`: "no JSON schema", `{}`: "no member that may be a text", `[]`: "no JSON schema",
		`{"properties": {"a": {"$ref": "#/$defs/b"}}}`:         `a: $ref "#/$defs/b" leads to nothing`,
		`{"properties": {"a": {"$ref": "other.json#/b"}}}`:     "leads to another document",
		`{"properties": {"a": {"type": "string", "enum": 1}}}`: "no JSON schema",
	} {
		if found, err := diff([]byte(schema)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found %v, error %v; want %q", schema, found, err, want)
		}
	}
	if _, err := readNone("a.b"); err == nil {
		t.Error("a judgement without a reason is taken")
	}
}

// toJudge returns those that nobody has looked at yet, one a line.
func toJudge(found []difference) string {
	var out strings.Builder
	for _, f := range found {
		if f.sign != "" && f.none == "" {
			fmt.Fprintf(&out, "%s\t%s\n", f.pattern, f.sign)
		}
	}
	return out.String()
}

// difference is a place of the schema that the catalogue does not know.
type difference struct {
	pattern string
	sign    string // why it may bear a secret; empty where nothing says so
	none    string // why it bears none all the same; empty where nobody has looked
}

//go:embed testdata/none.tsv
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
