package bifrost

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
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

func (r release) compare(o release) int {
	return cmp.Or(cmp.Compare(r.major, o.major), cmp.Compare(r.minor, o.minor), cmp.Compare(r.patch, o.patch))
}

// before reports whether r is known, and older than o.
func (r release) before(o release) bool { return r != release{} && r.compare(o) < 0 }

// has reports whether r is known to have a trait.
func (r release) has(name string) bool {
	return r != release{} && slices.ContainsFunc(traits(), func(t trait) bool { return t.name == name && !r.before(t.from) })
}

// Proven is a release line of Bifrost and what was run against it.
type Proven struct {
	Line    string   `json:"line"`
	Version string   `json:"version"`
	Run     []string `json:"run"`
	Live    []string `json:"live"` // the kinds of field that were rotated without a restart
}

// Releases returns the release lines that were run, the newest last.
func Releases() []Proven { return releases() }

// newest returns the newest version that was run.
func newest() string {
	all := releases()
	return all[len(all)-1].Version
}

// Newer reports whether a version of Bifrost is newer than every one that was run,
// and which of those is the newest. One that cannot be read is not.
func Newer(version string) (is bool, than string) {
	return parseVersion(version).compare(parseVersion(newest())) > 0, newest()
}

// taking says how some versions of Bifrost take a new value of a field.
type taking struct {
	pattern      string
	prefix       bool
	below        release // it holds below this version; zero for all
	live         bool
	restart      string // when a restart brings the file's new value in
	reason, hint string
}

// The words of the table for that.
const (
	always    = "yes"
	never     = "no"
	byEnv     = "env"
	inline    = "inline"
	versioned = "versioned"
	unsure    = "unsure"
)

// trait is what the code asks for, and the first version that has it.
type trait struct {
	name string
	from release
}

// The embedded tables, each read once. A fault in one is a fault of the build, found
// by the package's tests, and so it panics.
var (
	//go:embed versions.tsv
	versionsText string
	//go:embed traits.tsv
	traitsText string
	//go:embed releases.tsv
	releasesText string

	takings  = sync.OnceValue(func() []taking { return must(walker.Rows(versionsText, 6, readTaking)) })
	traits   = sync.OnceValue(func() []trait { return must(walker.Rows(traitsText, 3, readTrait)) })
	releases = sync.OnceValue(func() []Proven { return must(walker.Rows(releasesText, 4, readProven)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic("bifrost: " + err.Error())
	}
	return v
}

func readVersion(text string) (release, error) {
	r := parseVersion(text)
	if r == (release{}) {
		return r, fmt.Errorf("%q is no version", text)
	}
	return r, nil
}

func readTaking(col []string) (t taking, err error) {
	t = taking{live: col[2] == "yes", restart: col[3], reason: strings.TrimPrefix(col[4], "-"), hint: strings.TrimPrefix(col[5], "-")}
	// A * after a dot may be the catalogue's own, for any member.
	t.pattern, t.prefix = strings.CutSuffix(col[0], "*")
	if col[1] != "-" {
		if t.below, err = readVersion(col[1]); err != nil {
			return t, err
		}
	}
	if !t.live && col[2] != "no" {
		return t, fmt.Errorf("column 3 is yes or no")
	}
	if !slices.Contains([]string{always, never, byEnv, inline, versioned, unsure}, t.restart) {
		return t, fmt.Errorf("column 4 is yes, no, env, inline, versioned or unsure")
	}
	return t, nil
}

func readTrait(col []string) (trait, error) {
	from, err := readVersion(col[1])
	return trait{col[0], from}, err
}

func readProven(col []string) (Proven, error) {
	_, err := readVersion(col[1])
	return Proven{Line: col[0], Version: col[1], Run: strings.Split(col[2], ", "), Live: strings.Split(col[3], ", ")}, err
}

// takingOf returns how a version takes a field. One that is not known counts as the
// newest.
func takingOf(e *walker.Entry, version release) taking {
	for _, t := range takings() {
		if (t.pattern == e.Pattern || t.prefix && strings.HasPrefix(e.Pattern, t.pattern)) && (t.below == release{} || version.before(t.below)) {
			return t
		}
	}
	t := taking{live: e.Change == walker.Live, restart: always, reason: noPlace.Reason, hint: noPlace.Hint}
	if e.Change == walker.Never {
		t.restart = never
	}
	return t
}

// Takes asks Bifrost for its version. The function that it returns reports whether a
// restart makes that version take a changed value of the field at a path of the rendered
// document from its file, and if not, or not always, why and what to do; inEnv says that
// the value is in Bifrost's environment, and the file has the variable's name. c may be
// nil: then the version is not known.
func (c *Client) Takes(ctx context.Context, u watch.Update) func(e *walker.Entry, path string, inEnv bool) (takes bool, reason, hint string) {
	version := ""
	doc, _ := walker.Parse(u.Rendering.Plan.Document.Name, u.Rendering.Document())
	if c != nil {
		ctx, cancel := context.WithTimeout(ctx, c.o.ApplyTimeout)
		defer cancel()
		version, _ = c.Version(ctx, doc)
	}
	return start{parseVersion(version), doc}.takes
}

// start is the start of a Bifrost with a document.
type start struct {
	version release
	doc     *walker.Document // nil where it is not known
}

func (s start) takes(e *walker.Entry, path string, inEnv bool) (takes bool, reason, hint string) {
	if s.version == (release{}) && inEnv { // what only some versions take is not known to be taken
		for _, t := range takings() {
			if t.pattern == e.Pattern && t.restart == inline {
				return true, t.reason, t.hint
			}
		}
	}
	s.version = cmp.Or(s.version, parseVersion(newest())) // what is true of later ones alone is not known to hold
	t := takingOf(e, s.version)
	switch t.restart {
	case always, unsure:
		takes = true
	case byEnv:
		takes = inEnv
	case inline:
		takes = !inEnv
	case versioned:
		takes = inEnv || s.readsAnew(path)
	}
	if takes && t.restart != unsure {
		return true, "", ""
	}
	return takes, t.reason, t.hint
}

// readsAnew reports whether the file's config of the plugin that path is in is
// read at every start: it has a version that Bifrost takes for a newer one, or
// the file is what holds.
func (s start) readsAnew(path string) (is bool) {
	if s.doc == nil {
		return false
	}
	s.doc.Each("plugins[]", func(o walker.Object) {
		if m, ok := s.doc.Find(o, "version"); ok && strings.HasPrefix(path, o.Path+".") {
			n, err := strconv.Atoi(string(s.doc.Text(m.Value)))
			is = err == nil && n >= 2
		}
	})
	found := s.doc.Members("source_of_truth")
	return is || s.version.has("source-of-truth") && slices.ContainsFunc(found, func(m walker.Member) bool { return s.doc.String(m.Value) == "config.json" })
}
