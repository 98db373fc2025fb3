package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/sealed"
)

// maxPasses bounds how often a Fetch starts again because Kubernetes swapped
// the volume meanwhile. The kubelet swaps about once a minute at most.
const maxPasses = 4

// directory is one file a secret.
type directory struct {
	*base

	mu     chan struct{} // held by the writer of this process
	tidied bool          // the marks were held against the secrets
	swept  map[string]bool
	// do makes one call that changes a file. Tests make it fail, or end the writer
	// there.
	do func(op string, call func() error) error
}

func newDirectory(b *base) *directory {
	return &directory{base: b, mu: make(chan struct{}, 1), swept: map[string]bool{}, do: func(_ string, call func() error) error { return call() }}
}

// Plan counts one read a name.
func (d *directory) Plan(names []string) sources.Calls { return sources.Calls{Single: len(names)} }

// Ping reads name or, where it is empty, lists the directory.
func (d *directory) Ping(ctx context.Context, name string) error {
	if name != "" {
		return d.Fetch(ctx, []string{name})[name].Err
	}
	if ctx.Err() != nil {
		return stopped(ctx, d.path)
	}
	root, err := d.root()
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if _, err := list(root, ".", 1); err != nil {
		return failure(d.path, err)
	}
	return nil
}

// Fetch reads the file of each name.
func (d *directory) Fetch(ctx context.Context, names []string) map[string]sources.Result {
	names = slices.Sorted(slices.Values(names))
	root, err := d.root()
	if err != nil {
		results := make(map[string]sources.Result, len(names))
		for _, name := range names {
			results[name] = sources.Result{Err: err}
		}
		return results
	}
	defer func() { _ = root.Close() }()

	// A swap between two reads would give values of two moments, and one
	// between the links of a path a file that seems not to exist.
	var results map[string]sources.Result
	var modes map[string]fs.FileMode
	ids := sync.OnceValues(d.keys.Identities)
	for range maxPasses {
		before := generation(root, names)
		results, modes = d.readAll(ctx, root, names, ids)
		if generation(root, names) == before {
			break
		}
	}
	d.exposed.report("secret file", d.path, modes)
	return results
}

// readAll reads the files of names, and returns with the results the mode of
// those that others may read.
func (d *directory) readAll(
	ctx context.Context, root *os.Root, names []string, ids identities,
) (map[string]sources.Result, map[string]fs.FileMode) {
	results := make(map[string]sources.Result, len(names))
	modes := make(map[string]fs.FileMode)
	for _, name := range names {
		c, err := d.read(ctx, root, name, ids)
		if err != nil {
			var e *sources.Error
			if errors.As(err, &e) {
				e.Name = name
			}
			results[name] = sources.Result{Err: err}
			continue
		}
		modes[name] = c.exposed
		results[name] = sources.Result{Value: sources.NewSecret(c.data), Version: c.version}
	}
	return results, modes
}

func (d *directory) read(ctx context.Context, root *os.Root, name string, ids identities) (content, error) {
	local, err := readableName(name)
	if err != nil {
		return content{}, err
	}
	subject := d.subject(name)
	if ctx.Err() != nil {
		return content{}, stopped(ctx, subject)
	}
	for _, file := range []string{local, local + ".age"} {
		c, err := readFile(root, file, subject, sources.MaxValue+sealed.LabelRoom, ids)
		if err == nil {
			err = c.unlabel(name, subject)
		}
		if sources.KindOf(err) != sources.NotFound {
			return c, err
		}
	}
	return content{}, &sources.Error{
		Kind:    sources.NotFound,
		Message: "no file " + subject,
		Hint:    d.nearby(root, name),
		Err:     fs.ErrNotExist,
	}
}

// unlabel takes the label off what we have encrypted ourselves: it shows that the
// file was not copied over from another secret. What people encrypt has none.
func (c *content) unlabel(name, subject string) (err error) {
	if c.encrypted {
		c.data, _, err = sealed.Unpack(c.data, sealed.Label{Name: name}, subject)
	}
	if err == nil && len(c.data) > sources.MaxValue {
		err = tooLarge(subject, sources.MaxValue)
	}
	return err
}

// readableName returns the path of the file that holds the secret name. A mounted
// volume has names that begin with a dot, such as .dockerconfigjson; two dots are
// how Kubernetes swaps a volume, and what begins as ours is ours.
func readableName(name string) (string, error) {
	local, err := filepath.Localize(name)
	for part := range strings.SplitSeq(name, "/") {
		if err != nil || part == "." || strings.HasPrefix(part, "..") || strings.HasPrefix(part, marksFolder) {
			return "", badName(name, "no part of it is empty or begins with two dots")
		}
	}
	return local, nil
}

// localName returns the path of the file of a secret that is written.
func localName(name string) (string, error) {
	local, err := readableName(name)
	if err != nil || strings.HasPrefix(name, ".") || strings.Contains(name, "/.") {
		return "", badName(name, "no part of it is empty or begins with a dot")
	}
	return local, nil
}

func badName(name, rule string) error {
	return sources.NewError(sources.BadName, fmt.Sprintf("%q cannot be the name of a secret file", name), "a name is a relative path such as db/password; "+rule)
}

// root opens the directory afresh, since a volume may have been mounted anew.
func (d *directory) root() (*os.Root, error) {
	if _, err := d.where(); err != nil {
		return nil, err
	}
	// The dot makes the system refuse what has become a pipe, where it would
	// otherwise wait for a writer.
	root, err := os.OpenRoot(d.path + string(filepath.Separator) + ".")
	if err == nil {
		return root, nil
	}
	e := failure(d.path, err)
	if e.Kind == sources.NotFound {
		e.Kind, e.Message = sources.Unreachable, "no directory "+d.path
		e.Hint = "is the volume still mounted?"
	}
	return nil, e
}

// generation names the state of the Kubernetes volumes that names may lie in: a
// volume is swapped by pointing its link `..data` at another folder. It is the
// same all the time where there are none.
func generation(root *os.Root, names []string) string {
	seen := make(map[string]bool)
	var targets strings.Builder
	for _, name := range names {
		if !fs.ValidPath(name) {
			continue
		}
		for dir := path.Dir(name); !seen[dir]; dir = path.Dir(dir) {
			seen[dir] = true
			target, _ := root.Readlink(filepath.FromSlash(path.Join(dir, "..data")))
			targets.WriteString(target + "\n")
		}
	}
	return targets.String()
}

// nearby returns a hint of the names there are, in the directory that name would
// be in or the nearest one above it that exists.
func (d *directory) nearby(root *os.Root, name string) string {
	dir := path.Dir(name)
	entries, err := list(root, filepath.FromSlash(dir), maxCandidates)
	for err != nil && dir != "." {
		dir = path.Dir(dir)
		entries, err = list(root, filepath.FromSlash(dir), maxCandidates)
	}
	if err != nil {
		return ""
	}
	var names []string
	for _, entry := range entries {
		there := path.Join(dir, entry.Name())
		if there == name {
			return "it is a symbolic link to what does not exist"
		}
		if !strings.HasPrefix(entry.Name(), ".") {
			names = append(names, strings.TrimSuffix(there, ".age"))
		}
	}
	return holds(filepath.Join(d.path, dir), name, names)
}

// list returns up to n entries of a directory.
func list(root *os.Root, dir string, n int) ([]fs.DirEntry, error) {
	// Whether it is a directory is not known yet, and a pipe must not hang.
	f, err := root.OpenFile(dir, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	entries, err := f.ReadDir(n)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return entries, err
}
