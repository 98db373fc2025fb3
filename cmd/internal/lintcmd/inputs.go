package lintcmd

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint/embedded"
	"bifrost-secrets/walker/regular"
)

type input struct {
	name  string // as it is shown; "-" or --stdin-filename for the standard input
	stdin bool
	found bool // below a directory, or with --by-content: it may be no config at all
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
			in.all = append(in.all, input{name: arg, found: r.byContent}) // reading it will say what is wrong
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
	if len(in.all) < 2 {
		return
	}
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

// realName returns the one absolute name of a file, if it has one.
func realName(name string) string {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	if abs, err := filepath.Abs(name); err == nil {
		name = abs
	}
	return name
}

// below adds the files below a directory that may be configs or hold some, by
// their names. Whether they do is found out when they are read.
func (in *inputs) below(dir string) {
	root := dir
	if info, err := os.Lstat(dir); err == nil && !info.IsDir() {
		root += string(filepath.Separator) // go through a link, which the walk would not
	}
	_ = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error { // it returns only what this function returns
		name = filepath.Clean(name)
		base := filepath.Base(name)
		switch {
		case err != nil:
			in.all = append(in.all, input{name: name, failed: &walker.DocumentError{
				Name: name, Reason: "cannot be read: " + regular.Cause(err).Error(), Hint: "let the user read it, or name the files", Err: err,
			}})
			return nil
		case entry.IsDir() && name != filepath.Clean(dir) && (strings.HasPrefix(base, ".") || base == "node_modules"):
			return filepath.SkipDir
		case entry.IsDir() || embedded.KindOf(base) == embedded.Other:
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

// read returns the configs that an input holds: itself, unless it is a file that
// other things stand in too. There are none where it was not named as a config and
// is none.
func (r *run) read(in input) ([]embedded.Config, *walker.DocumentError) {
	if in.failed != nil {
		return nil, in.failed
	}
	text, err := r.text(in)
	if err != nil {
		// Where the system said no, nobody knows what the file is.
		return nil, asInvalid(in, err)
	}
	var configs []embedded.Config
	kind := embedded.KindOf(in.name)
	switch {
	case kind == embedded.YAML && in.found && !embedded.MayHoldConfig(text):
		return nil, nil
	case kind == embedded.YAML:
		configs, err = embedded.InYAML(in.name, text)
	case kind == embedded.JSONC:
		configs = make([]embedded.Config, 1)
		configs[0], err = embedded.Commented(in.name, text)
	default:
		configs = make([]embedded.Config, 1)
		configs[0].Document, err = walker.Parse(in.name, text)
		// A manifest of Kubernetes can be JSON too, which is YAML.
		if err == nil && !embedded.IsConfig(configs[0].Document) && bytes.Contains(text, []byte(`"config.json"`)) {
			var inside []embedded.Config
			if inside, err = embedded.InYAML(in.name, text); len(inside) > 0 {
				configs = inside
			}
		}
	}
	switch {
	case err != nil && in.found && !(kind != embedded.YAML && filepath.Base(in.name) == "config.json") && !embedded.MayBeConfig(text):
		return nil, nil
	case err != nil:
		return nil, asInvalid(in, err)
	case in.found && (len(configs) == 0 || len(configs) == 1 && !configs[0].Part && !embedded.IsConfig(configs[0].Document)):
		return nil, nil
	case len(configs) == 0:
		return nil, &walker.DocumentError{
			Name: in.name, Reason: "holds no Bifrost config",
			Hint: "of YAML, lint looks at a config.json that it holds and at the values of Bifrost's Helm chart, which stand below bifrost",
		}
	}
	return configs, nil
}

func (r *run) text(in input) ([]byte, error) {
	if in.stdin {
		return walker.ReadBytes(in.name, r.Stdin)
	}
	return walker.ReadFileBytes(in.name)
}

// asInvalid returns the error as one about a document.
func asInvalid(in input, err error) *walker.DocumentError {
	var invalid *walker.DocumentError
	if !errors.As(err, &invalid) {
		invalid = &walker.DocumentError{Name: in.name, Reason: err.Error(), Err: err}
	}
	if errors.Is(err, fs.ErrNotExist) {
		invalid.Hint = "name a file, a directory, or - for the standard input"
	}
	return invalid
}
