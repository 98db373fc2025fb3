package bifrost

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
)

// Proven is a release line of Bifrost and what was run against it.
type Proven struct {
	Line    string   `json:"line"`
	Version string   `json:"version"`
	Run     []string `json:"run"`
	Live    []string `json:"live"` // the kinds of field that were rotated without a restart
}

//go:embed releases.tsv
var releasesText string

var releases = sync.OnceValue(func() []Proven { return must("releases.tsv", releasesText, parseReleases) })

// Releases returns the release lines that were run, the newest last.
func Releases() []Proven { return releases() }

func parseReleases(text string) (all []Proven, err error) {
	var last release
	err = rows(text, 4, func(col []string) error {
		v := parseVersion(col[1])
		if v.compare(last) <= 0 {
			return fmt.Errorf("%q is no version, or not in order", col[1])
		}
		last = v
		all = append(all, Proven{Line: col[0], Version: col[1], Run: strings.Split(col[2], ", "), Live: strings.Split(col[3], ", ")})
		return nil
	})
	return all, err
}

// newest returns the newest release that was run.
func newest() release {
	all := releases()
	return parseVersion(all[len(all)-1].Version)
}

// Newer reports whether a version of Bifrost is newer than every one that was run,
// and which of those is the newest. One that cannot be read is not.
func Newer(version string) (is bool, than string) {
	all := releases()
	return parseVersion(version).compare(newest()) > 0, all[len(all)-1].Version
}
