package bifrost

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"bifrost-secrets/walker"
)

// taking says how some versions of Bifrost take a new value of a field.
type taking struct {
	pattern      string
	prefix       bool
	major, minor int // it holds below this version; zero for all
	live         bool
	restart      bool
	reason, hint string
}

//go:embed versions.tsv
var versionsText string

// takings reads the embedded table once. A fault in it is a fault of the build,
// found by the package's tests, and so it panics.
var takings = sync.OnceValue(func() []taking {
	all, err := parseTakings(versionsText)
	if err != nil {
		panic("bifrost: versions.tsv: " + err.Error())
	}
	return all
})

func parseTakings(text string) ([]taking, error) {
	var all []taking
	for i, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		col := strings.Split(line, "\t")
		if len(col) != 6 {
			return nil, fmt.Errorf("line %d: %d columns, want 6", i+1, len(col))
		}
		t := taking{reason: strings.TrimPrefix(col[4], "-"), hint: strings.TrimPrefix(col[5], "-")}
		// A * after a dot may be the catalogue's own, for any member.
		t.pattern, t.prefix = strings.CutSuffix(col[0], "*")
		if col[1] != "-" {
			var ok bool
			if t.major, t.minor, ok = parseVersion(col[1]); !ok {
				return nil, fmt.Errorf("line %d: %q is no version", i+1, col[1])
			}
		}
		yes := map[string]bool{"yes": true, "no": false}
		var known [2]bool
		t.live, known[0] = yes[col[2]], col[2] == "yes" || col[2] == "no"
		t.restart, known[1] = yes[col[3]], col[3] == "yes" || col[3] == "no"
		if !known[0] || !known[1] {
			return nil, fmt.Errorf("line %d: columns 3 and 4 are yes or no", i+1)
		}
		all = append(all, t)
	}
	return all, nil
}

// parseVersion reads the first two numbers of v1.5.0-prerelease7: a prerelease
// of a version has its API.
func parseVersion(text string) (major, minor int, ok bool) {
	n, _ := fmt.Sscanf(strings.TrimPrefix(text, "v"), "%d.%d", &major, &minor)
	return major, minor, n == 2 && major >= 0 && minor >= 0
}

// takingOf gives how a version takes a field. A version that cannot be read
// counts as the newest.
func takingOf(e *walker.Entry, version string) taking {
	major, minor, known := parseVersion(version)
	for _, t := range takings() {
		if t.pattern != e.Pattern && !(t.prefix && strings.HasPrefix(e.Pattern, t.pattern)) {
			continue
		}
		if t.major == 0 || known && (major < t.major || major == t.major && minor < t.minor) {
			return t
		}
	}
	t := taking{pattern: e.Pattern, live: e.Change == walker.Live, restart: e.Change != walker.Never}
	if !t.live {
		t.reason, t.hint = "bifrost takes a new value of this field at its start only", "restart bifrost, which reads the file"
	}
	return t
}

// RestartTakes reports whether a restart makes that version of Bifrost take a
// changed value of a field from its file, and if not, or not always, why and
// what to do.
func RestartTakes(e *walker.Entry, version string) (takes bool, reason, hint string) {
	t := takingOf(e, version)
	return t.restart, t.reason, t.hint
}
