// Package file is the source of secrets that needs no service: files.
//
// The setting `path` names either of two layouts:
//
//   - A directory holds one secret a file, as Docker (/run/secrets) and
//     Kubernetes mount them. The secret `db/password` is the file of that
//     relative path; where it does not exist, `db/password.age` is taken. The
//     value is the file's bytes as they are. Symbolic links are followed as long
//     as they are relative and stay inside the directory.
//   - A file holds one JSON object of names to values. A string stands for its text,
//     anything else its JSON text; null is refused.
//
// In both, a file may be encrypted with age, binary or armored, which is seen by
// its content. The setting `identity` then names the file of the native age
// identities, or is such an identity itself. Passphrases, SSH keys and plugins
// are not supported.
//
// A directory can be written, a JSON file cannot. A store replaces files whole, by
// renaming, and keeps beside them, under hidden names, a lock and, in the folder
// `.bifrost-secrets`, whose each secret is: a file for each, so that a write costs
// the same however many secrets there are, but for a look at each with the first
// write of a process. What it writes is encrypted as the file was that it replaces;
// a new file is encrypted where `identity` or `recipients` is set. The setting
// `recipients` lists the public keys, or names the file that does; without it they
// are those of the identity. What it encrypts is labelled with the name of the
// secret (see package sealed), so that a file that is copied over another one is
// refused.
//
// A value is read while others may write, so a file should be replaced by
// renaming, never be rewritten in place. The values of one Fetch are of one
// moment for a JSON file, and for a Kubernetes volume, which swaps its `..data`.
package file

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/sealed"
	"bifrost-secrets/walker/regular"
)

const block = "vault_store.file"

// Backend is the entry for a program's list of backends.
var Backend = sources.Backend{Facts: sources.File, Open: Open}

// Open makes a source of the directory or the JSON file that the setting `path`
// names, whichever it is at this moment. It reads neither that nor the identity.
// A path that does not exist is an error of kind BadSettings.
func Open(_ context.Context, settings sources.Settings, opts sources.Options) (sources.Source, error) {
	if err := check(settings); err != nil {
		return nil, err
	}
	b := &base{exposed: exposure{warn: opts.Warn}}
	b.keys = &sealed.Keys{
		Block: block, Path: opts.Path, Identity: settings["identity"], Recipients: settings["recipients"],
		Exposed: func(path string, mode fs.FileMode) {
			b.exposed.report("age identity file", filepath.Dir(path), map[string]fs.FileMode{filepath.Base(path): mode})
		},
	}
	if strings.HasPrefix(strings.ToUpper(strings.TrimSpace(settings.Text("path"))), "AGE-SECRET-KEY-") {
		return nil, sources.NewError(sources.BadSettings, block+".path holds an age identity, and not a path", "set "+block+".identity to it")
	}
	err := b.keys.Check()
	if err == nil {
		b.where = func() (string, error) { return opts.Path(block+".path", settings.Text("path")) }
		b.path, err = b.where()
	}
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(b.path)
	switch {
	case err != nil:
		e := failure(b.path, err)
		if e.Kind == sources.NotFound {
			e.Kind = sources.BadSettings
			first := "is the volume mounted?"
			if opts.Write {
				first = "make it first: mkdir -m 700 " + b.path + ";"
			}
			e.Hint = first + " a relative path starts from the folder of the document, that of --vault-set from the working directory"
		}
		return nil, e
	case info.IsDir():
		d := newDirectory(b)
		if opts.Write {
			return &directoryStore{d}, nil
		}
		return d, nil
	case info.Mode().IsRegular():
		if opts.Write {
			return nil, sources.NewError(sources.BadSettings, b.path+" is a JSON file, which is read and never written",
				"to store secrets, let "+block+".path name a directory with one file a secret")
		}
		return &document{b}, nil
	}
	return nil, sources.NewError(sources.BadSettings, b.path+" is "+string(regular.KindOfFile(info)),
		block+".path must be a directory with one file a secret, or a JSON file")
}

// check finds the settings that are unknown, lacking or empty.
func check(settings sources.Settings) error {
	if err := sources.File.CheckKeys(settings); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		if strings.TrimSpace(settings.Text(key)) == "" {
			return sources.NewError(sources.BadSettings, fmt.Sprintf("%s.%s is empty", block, key),
				"give it a value, or check the environment variable it refers to")
		}
	}
	if _, ok := settings["path"]; !ok {
		return sources.NewError(sources.BadSettings, block+".path is missing",
			"set it to a directory with one file a secret, such as /run/secrets, or to a JSON file")
	}
	return nil
}

// base is what both layouts have in common.
type base struct {
	path    string
	where   func() (string, error) // where path may be read, and if it may
	keys    *sealed.Keys
	exposed exposure
}

// Describe returns `file` and the path.
func (b *base) Describe() string { return "file " + b.path }

// Close does nothing: no file stays open between calls.
func (*base) Close() error { return nil }

// stopped is the answer for a name that was not read before ctx ended.
func stopped(ctx context.Context, subject string) error {
	return &sources.Error{
		Kind:    sources.Unreachable,
		Message: fmt.Sprintf("%s was not read: %v", subject, ctx.Err()),
		Err:     context.Cause(ctx),
	}
}

// Inputs returns the paths that the source reads: a file, or a directory with all
// that is in it. Nothing may be published over them.
func (b *base) Inputs() []string {
	return append([]string{b.path}, b.keys.Files()...)
}
