package service

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
)

// Flags say which document is read, where its secrets come from and how they are
// fetched. They do not change once a command has begun.
type Flags struct {
	Config     string // the document; - is the standard input
	VaultStore string
	VaultType  string
	VaultSet   []string
	Literal    []string
	Anywhere   bool
	Mode       string
	Timeout    time.Duration // of all that the backend is asked for
	Database   string        // of the config store; empty for the document's own

	UnsetIsNote bool // a variable that is not set is no failure: nothing is published
	MissIsNote  bool // nor is what was meant as a reference and is none

	AllowCommands bool
	Trust         bool     // the config may do what flags may
	Ambient       bool     // it may name where this machine's logins go: they are meant for it, or nothing is asked
	AllowPath     []string // folders that its paths may lead into
}

// AllowPathVariable lists folders as PATH does, or one a line, in addition to
// those of the flag.
const AllowPathVariable = OwnVariables + "ALLOW_PATH"

// Check refuses flags that do not go together.
func (f *Flags) Check() error {
	switch {
	case f.Mode != string(render.Inline) && f.Mode != string(render.EnvMode):
		return usageError("unknown --mode "+quote(f.Mode), "write inline or env")
	}
	return f.CheckStore()
}

// CheckStore is Check for those that say which backend, and how to ask it.
func (f *Flags) CheckStore() error {
	switch {
	case f.Timeout <= 0:
		return usageError("--timeout must be more than nothing", "write 30s or 2m")
	case f.VaultStore != "" && f.VaultType != "":
		return usageError("--vault-store and --vault-type exclude each other", "name one of them")
	case len(f.VaultSet) > 0 && f.VaultType == "":
		return usageError("--vault-set needs --vault-type", "write --vault-type file --vault-set path=/run/secrets")
	case f.Config == "":
		return usageError("--config names no file", "write --config config.json, or - for the standard input")
	case isDocument(f.Config), isDocument(f.VaultStore):
		return usageError("--config and --vault-store take the name of a file, and not what is in it", "write --config - and give the config on the standard input")
	}
	return nil
}

// isDocument reports whether a file name is a document itself, which no message
// may repeat.
func isDocument(name string) bool {
	return strings.HasPrefix(strings.TrimSpace(name), "{")
}

// ownBlock reports whether the vault_store is the document's own.
func (f *Flags) ownBlock() bool { return f.VaultStore == "" && f.VaultType == "" }

// sourceOptions are what a source is opened with.
func (f *Flags) sourceOptions(h *Host) sources.Options {
	// Paths in the block start from the file that they stand in.
	dir := ""
	switch {
	case f.VaultStore != "":
		dir = filepath.Dir(f.VaultStore)
	case f.VaultType == "" && f.Config != "-":
		dir = filepath.Dir(f.Config)
	}
	opts := sources.Options{Getenv: h.Getenv, Warn: h.Warn, Log: h.Detail, Dir: dir}
	if f.ownBlock() && !f.Trust {
		opts.Untrusted = !f.Ambient
		opts.Within = append([]string{dir}, sources.MountedSecrets...)
		listed, _ := h.Getenv(AllowPathVariable)
		listed = strings.ReplaceAll(listed, "\n", string(filepath.ListSeparator))
		for _, folder := range append(filepath.SplitList(listed), f.AllowPath...) {
			if folder != "" {
				opts.Within = append(opts.Within, folder)
			}
		}
	}
	return opts
}

// Inputs are the files that are read, which none of the targets may be.
func (f *Flags) Inputs(h *Host) []fs.FileInfo {
	var inputs []fs.FileInfo
	add := func(info fs.FileInfo, err error) {
		if err == nil && info.Mode().IsRegular() {
			inputs = append(inputs, info)
		}
	}
	for _, name := range []string{f.Config, f.VaultStore} {
		add(os.Stat(name))
	}
	if stdin, ok := h.Stdin.(*os.File); ok && f.Config == "-" {
		add(stdin.Stat()) // a shell may have opened a file for it
	}
	return inputs
}
