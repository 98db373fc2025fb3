package file

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
)

// exposure warns of files that others may read, of each once.
type exposure struct {
	warn  func(string)
	mu    sync.Mutex
	known map[string]fs.FileMode
}

// report warns, in one line, of those files in dir that others may read and
// that it did not warn of before, or not with that mode. modes has the files
// just read: with their permissions where others may read them, and with 0 where
// not, which makes report warn again should that change back.
func (e *exposure) report(noun, dir string, modes map[string]fs.FileMode) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.known == nil {
		e.known = make(map[string]fs.FileMode)
	}
	const shown = 3
	var count int
	var list []string
	for _, name := range slices.Sorted(maps.Keys(modes)) {
		mode, key := modes[name], noun+"\x00"+dir+"\x00"+name
		if mode == e.known[key] {
			continue
		}
		e.known[key] = mode
		if mode == 0 {
			continue
		}
		if count++; count <= shown {
			list = append(list, fmt.Sprintf("%q (mode %04o)", name, mode))
		}
	}
	if count == 0 {
		return
	}
	if count > shown {
		list = append(list, "...")
	}
	if count > 1 {
		noun += "s"
	}
	e.warn(fmt.Sprintf("%d %s in %s may be read by others: %s", count, noun, dir, strings.Join(list, ", ")))
}
