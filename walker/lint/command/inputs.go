package command

import (
	"bytes"
	"cmp"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"bifrost-secrets/walker"

	"github.com/tidwall/gjson"
)

// input is one document to look at.
type input struct {
	name  string // as it is shown; "-" or --stdin-filename for the standard input
	stdin bool
	found bool // below a directory: it may be no config at all
	// failed says why it could not even be looked for.
	failed *walker.DocumentError
	// database is set where it is no document, but the database of the flag.
	database bool
}

// inputs are all of them, sorted by their names.
type inputs struct {
	all   []input
	first string   // what the first argument names, for the settings
	dirs  []string // the arguments that are directories
}

// inputs finds what the arguments name.
func (r *run) inputs(args []string) (*inputs, error) {
	if len(args) == 0 {
		if _, err := os.Stat("config.json"); err != nil && r.database != "" {
			return &inputs{all: []input{{name: "--database", database: true}}, first: "."}, nil
		} else if err != nil {
			return nil, usage("name a config.json, a directory, or - for the standard input", "there is nothing to lint: no argument, and no config.json here")
		}
		args = []string{"config.json"}
	}
	in := &inputs{first: args[0]}
	for _, arg := range args {
		if arg == "-" {
			in.all = append(in.all, input{name: cmp.Or(r.stdinName, arg), stdin: true})
			continue
		}
		info, err := os.Stat(arg)
		if err != nil || !info.IsDir() {
			in.all = append(in.all, input{name: arg}) // reading it will say what is wrong
			continue
		}
		in.dirs = append(in.dirs, arg)
		in.below(arg)
	}
	fromStdin := slices.IndexFunc(in.all, func(i input) bool { return i.stdin })
	switch {
	case fromStdin < 0 && r.stdinName != "":
		return nil, usage("give - as an argument too", "--stdin-filename names the standard input, but that is not read")
	case fromStdin >= 0 && r.fix:
		return nil, usage("use --diff, or name the file", "--fix has no file to repair in the standard input")
	}
	if args[0] == "-" {
		in.first = cmp.Or(r.stdinName, ".")
	}
	in.sort()
	if r.database != "" {
		in.all = append(in.all, input{name: "--database", database: true})
	}
	return in, nil
}

// sort puts the inputs in order and drops those that are named twice, also under
// two names: two repairs of one file would race.
func (in *inputs) sort() {
	// What was named by itself comes before what was found: it is looked at
	// whether it looks like a config or not.
	slices.SortStableFunc(in.all, func(a, b input) int {
		switch {
		case a.found == b.found:
			return strings.Compare(a.name, b.name)
		case a.found:
			return 1
		}
		return -1
	})
	seen := map[string]bool{}
	in.all = slices.DeleteFunc(in.all, func(i input) bool {
		key := "-"
		if !i.stdin {
			key = realName(i.name)
		}
		twice := seen[key]
		seen[key] = true
		return twice
	})
	slices.SortFunc(in.all, func(a, b input) int { return strings.Compare(a.name, b.name) })
}

// realName gives the one absolute name of a file, if it has one.
func realName(name string) string {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	if abs, err := filepath.Abs(name); err == nil {
		name = abs
	}
	return name
}

// below adds the JSON files below a directory. Whether they are configs is found
// out when they are read.
func (in *inputs) below(dir string) {
	root := dir
	if info, err := os.Lstat(dir); err == nil && !info.IsDir() {
		root += string(filepath.Separator) // go through a link, which the walk would not
	}
	_ = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error { // it gives only what this function gives
		name = filepath.Clean(name)
		base := filepath.Base(name)
		switch {
		case err != nil:
			in.all = append(in.all, input{name: name, failed: &walker.DocumentError{
				Name: name, Reason: "cannot be read: " + cause(err), Hint: "let the user read it, or name the files", Err: err,
			}})
			return nil
		case entry.IsDir() && name != filepath.Clean(dir) && (strings.HasPrefix(base, ".") || base == "node_modules"):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(base, ".json"):
			return nil
		}
		if !entry.Type().IsRegular() {
			if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
				return nil // a link into nothing, a directory or a device
			}
		}
		in.all = append(in.all, input{name: name, found: true})
		return nil
	})
}

// sections are the members that a config may have at its top, as far as there
// are fields below them.
var sections = sync.OnceValue(func() map[string]bool {
	out := map[string]bool{}
	for _, e := range walker.Catalogue() {
		name, _, _ := strings.Cut(e.Pattern, ".")
		out[strings.TrimSuffix(name, "[]")] = true
	}
	return out
})

// isConfig reports whether a document looks like a config of Bifrost's: it names
// Bifrost's schema, or has a section that holds what such a section may hold.
func isConfig(doc *walker.Document) bool {
	found := false
	gjson.ParseBytes(doc.Bytes()).ForEach(func(name, value gjson.Result) bool {
		switch {
		case name.String() == "$schema":
			found = strings.Contains(value.String(), "getbifrost")
		case name.String() == "encryption_key":
			found = true
		case sections()[strings.ToLower(name.String())]:
			found = value.IsObject() || value.IsArray() && value.Get("0").IsObject()
		}
		return !found
	})
	return found
}

// mayBeConfig reports whether a file that holds no valid document was meant as a
// config: other tools have files called *.json with comments in them. The first
// megabyte is enough to tell.
func mayBeConfig(name string) bool {
	if filepath.Base(name) == "config.json" {
		return true
	}
	f, err := os.Open(name)
	if err != nil {
		return true
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil || bytes.Contains(text, []byte("getbifrost")) {
		return true
	}
	named := 0
	for section := range sections() {
		if bytes.Contains(text, []byte(`"`+section+`"`)) {
			named++
		}
	}
	return named > 1
}
