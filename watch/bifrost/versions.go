package bifrost

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"bifrost-secrets/walker"
)

// A release is the numbers of a version. A prerelease has the API of its release.
type release struct{ major, minor, patch int }

// parseVersion reads the numbers of v1.5.0-prerelease7; a missing third one is 0. The
// result is zero for what is no version, which counts as one that is not known.
func parseVersion(text string) (r release) {
	n, _ := fmt.Sscanf(strings.TrimPrefix(text, "v"), "%d.%d.%d", &r.major, &r.minor, &r.patch)
	if n < 2 || min(r.major, r.minor, r.patch) < 0 {
		return release{}
	}
	return r
}

// before reports whether r is known, and older than o.
func (r release) before(o release) bool { return r != release{} && r.compare(o) < 0 }

// has reports whether r is known to have a trait.
func (r release) has(trait string) bool {
	from, listed := traits()[trait]
	return listed && r != release{} && !r.before(from)
}

func (r release) compare(o release) int {
	return cmp.Or(cmp.Compare(r.major, o.major), cmp.Compare(r.minor, o.minor), cmp.Compare(r.patch, o.patch))
}

// taking says how some versions of Bifrost take a new value of a field.
type taking struct {
	pattern      string
	prefix       bool
	below        release // it holds below this version; zero for all
	live         bool
	restart      restarting
	reason, hint string
}

// restarting says when a restart brings the file's new value in.
type restarting string

// The words of the table.
const (
	always    restarting = "yes"
	never     restarting = "no"
	inEnv     restarting = "env"
	notInEnv  restarting = "inline"
	versioned restarting = "versioned"
	unsure    restarting = "unsure"
)

//go:embed versions.tsv
var versionsText string

//go:embed traits.tsv
var traitsText string

// takings reads the embedded table once. A fault in it is a fault of the build,
// found by the package's tests, and so it panics.
var takings = sync.OnceValue(func() []taking { return must("versions.tsv", versionsText, parseTakings) })

var traits = sync.OnceValue(func() map[string]release { return must("traits.tsv", traitsText, parseTraits) })

func must[T any](name, text string, parse func(string) (T, error)) T {
	v, err := parse(text)
	if err != nil {
		panic("bifrost: " + name + ": " + err.Error())
	}
	return v
}

// rows reads the lines of a table, by their numbers.
func rows(text string, columns int, row func(col []string) error) error {
	for i, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		col := strings.Split(line, "\t")
		if len(col) != columns {
			return fmt.Errorf("line %d: %d columns, want %d", i+1, len(col), columns)
		}
		if err := row(col); err != nil {
			return fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return nil
}

func parseTakings(text string) (all []taking, err error) {
	err = rows(text, 6, func(col []string) error {
		t := taking{restart: restarting(col[3]), reason: strings.TrimPrefix(col[4], "-"), hint: strings.TrimPrefix(col[5], "-")}
		// A * after a dot may be the catalogue's own, for any member.
		t.pattern, t.prefix = strings.CutSuffix(col[0], "*")
		if col[1] != "-" {
			if t.below = parseVersion(col[1]); t.below == (release{}) {
				return fmt.Errorf("%q is no version", col[1])
			}
		}
		if t.live = col[2] == "yes"; !t.live && col[2] != "no" {
			return fmt.Errorf("column 3 is yes or no")
		}
		switch t.restart {
		case always, never, inEnv, notInEnv, versioned, unsure:
		default:
			return fmt.Errorf("column 4 is yes, no, env, inline, versioned or unsure")
		}
		all = append(all, t)
		return nil
	})
	return all, err
}

func parseTraits(text string) (map[string]release, error) {
	all := map[string]release{}
	err := rows(text, 3, func(col []string) error {
		if all[col[0]] = parseVersion(col[1]); all[col[0]] == (release{}) {
			return fmt.Errorf("%q is no version", col[1])
		}
		return nil
	})
	return all, err
}

// takingOf returns how a version takes a field. One that is not known counts as the
// newest.
func takingOf(e *walker.Entry, version release) taking {
	for _, t := range takings() {
		if t.pattern != e.Pattern && !(t.prefix && strings.HasPrefix(e.Pattern, t.pattern)) {
			continue
		}
		if t.below == (release{}) || version.before(t.below) {
			return t
		}
	}
	t := taking{pattern: e.Pattern, live: e.Change == walker.Live, restart: always}
	if e.Change == walker.Never {
		t.restart = never
	}
	if !t.live {
		t.reason, t.hint = "bifrost takes a new value of this field at its start only", "restart bifrost, which reads the file"
	}
	return t
}

// RestartTakes reports whether a restart makes that version of Bifrost take a
// changed value of the field at a path of doc from its file, and if not, or not
// always, why and what to do. byEnv says that the value is in its environment, and the file has
// the variable's name.
func RestartTakes(e *walker.Entry, version string, doc *walker.Document, path string, byEnv bool) (takes bool, reason, hint string) {
	v := parseVersion(version)
	if v == (release{}) {
		v = newest() // what is true of later ones alone is not known to hold
	}
	t := takingOf(e, v)
	switch t.restart {
	case always:
		return true, "", ""
	case unsure:
		return true, t.reason, t.hint
	case inEnv:
		takes = byEnv
	case notInEnv:
		takes = !byEnv
	case versioned:
		takes = byEnv || readAnew(doc, path, v)
	}
	if takes {
		return true, "", ""
	}
	return false, t.reason, t.hint
}

// readAnew reports whether the file's config of the plugin that path is in is
// read at every start: it has a version that Bifrost takes for a newer one, or
// the file is what holds.
func readAnew(doc *walker.Document, path string, version release) (is bool) {
	if doc == nil {
		return false
	}
	doc.Each("plugins[]", func(o walker.Object) {
		if m, ok := doc.Find(o, "version"); ok && strings.HasPrefix(path, o.Path+".") {
			n, err := strconv.Atoi(string(doc.Text(m.Value)))
			is = err == nil && n >= 2
		}
	})
	if !is && version.has("source-of-truth") {
		found := doc.Members("source_of_truth")
		is = slices.ContainsFunc(found, func(m walker.Member) bool { return doc.String(m.Value) == "config.json" })
	}
	return is
}
