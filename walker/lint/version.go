package lint

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Versions are the versions of Bifrost that may read the document: every one by
// default.
type Versions struct {
	first, last version // both included; the zero value of both is every version
}

type version [3]int

// ParseVersions reads the version of a Bifrost: 1.5.16 is that one, 1.5 each that
// begins so. A v before it and a -prerelease behind it do not matter.
func ParseVersions(text string) (Versions, error) {
	number, _, _ := strings.Cut(strings.TrimPrefix(text, "v"), "-")
	parts := strings.Split(number, ".")
	if len(parts) > 3 {
		return Versions{}, fmt.Errorf("%q is no version", text)
	}
	v := Versions{last: version{math.MaxInt, math.MaxInt, math.MaxInt}}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return Versions{}, fmt.Errorf("%q is no version", text)
		}
		v.first[i], v.last[i] = int(n), int(n)
	}
	return v, nil
}

// below reports whether one of the versions may be below that one.
func (v Versions) below(major, minor, patch int) bool {
	return v == Versions{} || v.first.less(version{major, minor, patch})
}

// from reports whether one of the versions may be that one or above.
func (v Versions) from(major, minor, patch int) bool {
	return v == Versions{} || !v.last.less(version{major, minor, patch})
}

func (v version) less(w version) bool {
	for i := range v {
		if v[i] != w[i] {
			return v[i] < w[i]
		}
	}
	return false
}
