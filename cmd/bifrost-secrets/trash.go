package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bifrost-secrets/render/publish"
	"bifrost-secrets/sources"
	"bifrost-secrets/sources/sealed"
	"bifrost-secrets/watch/service"

	"filippo.io/age"
	"github.com/spf13/cobra"
)

// trash is where values go that a backend could not bring back, before it loses
// them. There is no place that is taken unless one is named: a copy of a key that
// somebody wanted gone is not to lie where nobody knows of it, and a deletion is
// not to be for good because nobody thought of it.
type trash struct {
	dir        string
	recipients string
	none       bool

	write func(path string, content []byte) error // putFile; tests make it fail
}

func (t *trash) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&t.dir, "trash", "", "the `folder` that values are sealed into (age) before they go")
	f.StringVar(&t.recipients, "trash-recipients", "", "age recipients of the copies: age1... `keys` or a file of them (default: those of the vault_store block)")
	f.BoolVar(&t.none, "no-trash", false, "keep no copy, even where the backend cannot restore what is deleted")
}

func (t *trash) check() error {
	switch {
	case t.dir != "" && t.none:
		return usageError("--trash and --no-trash exclude each other", "give one of them")
	case t.recipients != "" && t.dir == "":
		return usageError("--trash-recipients needs --trash", "name the folder with --trash")
	}
	return nil
}

// demand refuses to go on where what would go is said neither to be kept nor to
// be lost. what says what would become of it.
func (t *trash) demand(what string) error {
	if t.dir != "" || t.none {
		return nil
	}
	return &failure{
		Reason: what,
		Hint:   "--trash DIR first seals a copy there; --no-trash lets them go for good", Code: exitUsage,
	}
}

// deleting is the flags of what deletes secrets.
type deleting struct {
	yes         bool
	now         bool
	days        int
	ignoreStore bool
	trash       trash
}

func (d *deleting) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&d.yes, "yes", false, "delete; without it what would be deleted is only shown")
	f.IntVar(&d.days, "recovery-days", 0, "how long a deleted secret can be restored, in `days`, where the backend offers that (AWS: 7 to 30); 0 is its default")
	f.BoolVar(&d.now, "now", false, "delete at once, beyond recovery")
	f.BoolVar(&d.ignoreStore, "ignore-config-store", false, "do not look for references in Bifrost's PostgreSQL config store")
	d.trash.flags(cmd)
}

func (d *deleting) check() error {
	switch {
	case d.now && d.days != 0:
		return usageError("--now and --recovery-days exclude each other", "name one of them")
	case d.days < 0:
		return usageError("--recovery-days cannot be less than 0", "")
	}
	return d.trash.check()
}

// ahead is what comes before secrets of a gateway are deleted: where they could not
// be brought back, they are sealed into a folder, whose path it returns.
func (d *deleting) ahead(ctx context.Context, j *job, store sources.Store, gateway string, going []trashed) (folder string, err error) {
	if !store.Traits().Recoverable {
		if err := d.trash.demand(store.Describe() + " cannot bring back what is deleted; nothing was deleted"); err != nil {
			return "", err
		}
	}
	if err := j.unchanged(); err != nil {
		return "", err
	}
	return d.trash.keep(ctx, store, j.backendFlags(), gateway, going)
}

// trashed is a value that is about to go.
type trashed struct{ name, path string }

// keep seals the present values into a new folder below that of --trash, beside a
// page that says how to bring them back, and returns its path. flags are those that
// lead to the store, for that page. What cannot be kept
// is an error, and then nothing is. Without --trash it does nothing.
func (t *trash) keep(ctx context.Context, store sources.Store, flags, gateway string, all []trashed) (folder string, err error) {
	if t.dir == "" || len(all) == 0 {
		return "", nil
	}
	to, err := t.readers(store)
	if err != nil {
		return "", err
	}
	var names []string
	for _, one := range all {
		names = append(names, one.name)
	}
	values := store.Fetch(ctx, names)
	for _, name := range names {
		if err := values[name].Err; err != nil {
			return "", &failure{
				Reason: fmt.Sprintf("%s cannot be read for the trash: %v; nothing was changed", quote(name), err),
				Hint:   "--no-trash lets it go for good", Code: exitCode(err),
			}
		}
	}
	made, err := t.folder(store)
	if err != nil {
		return "", err
	}
	if err := t.fill(made, store, flags, gateway, all, values, to); err != nil {
		_ = os.RemoveAll(made)
		return "", &failure{Reason: "the trash cannot be written: " + err.Error() + "; nothing was changed", Hint: "name another folder with --trash", Code: exitUnresolved}
	}
	return made, nil
}

// fill seals values into a folder, and writes the page beside them.
func (t *trash) fill(folder string, store sources.Store, flags, gateway string, all []trashed, values map[string]sources.Result, to []age.Recipient) error {
	write := t.write
	if write == nil {
		write = putFile
	}
	var page strings.Builder
	fmt.Fprintf(&page, "What bifrost-secrets has taken out of %s, sealed with age.\n\nTo bring one back, with KEY the file of an identity of its recipients:\n", clean(store.Describe()))
	for i, one := range all {
		file := fmt.Sprintf("%d.age", i+1)
		content, err := encrypted(values[one.name].Value.Reveal(), to)
		if err == nil {
			err = write(filepath.Join(folder, file), content)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(&page, "\n%s\n", clean(one.name))
		if one.path != "" {
			fmt.Fprintf(&page, "  of %s\n", clean(one.path))
		}
		fmt.Fprintf(&page, "  age --decrypt -i KEY %s | bifrost-secrets secret put %s --gateway %s %s --keep-space\n", shell(file), shell(one.name), shell(gateway), flags)
	}
	return write(filepath.Join(folder, "README.txt"), []byte(page.String()))
}

// folder makes a folder for what goes now.
func (t *trash) folder(store sources.Store) (string, error) {
	failed := func(err error) (string, error) {
		return "", &failure{Reason: "--trash: " + err.Error() + "; nothing was changed", Hint: "name a folder that can be written", Code: exitUsage}
	}
	real, err := filepath.Abs(t.dir)
	if err != nil {
		return failed(err)
	}
	// Of what is there yet, where it really is.
	for at, rest := real, ""; ; at, rest = filepath.Dir(at), filepath.Join(filepath.Base(at), rest) {
		if there, err := filepath.EvalSymlinks(at); err == nil {
			real = filepath.Join(there, rest)
			break
		} else if at == filepath.Dir(at) {
			return failed(err)
		}
	}
	if err := service.NotOver(store, service.Targets{Config: &publish.Target{Path: real}}); err != nil {
		return "", usageError("--trash: "+err.Error(), "name a folder elsewhere")
	}
	if err := os.MkdirAll(real, 0o700); err != nil {
		return failed(err)
	}
	folder, err := os.MkdirTemp(real, time.Now().UTC().Format("20060102T150405Z")+"-")
	if err != nil {
		return failed(err)
	}
	return folder, nil
}

// readers returns whom to seal for.
func (t *trash) readers(store sources.Store) (to []age.Recipient, err error) {
	if t.recipients != "" {
		keys := sealed.Keys{Block: "--trash", Path: sources.Options{}.Path, Recipients: sources.NewSecret([]byte(t.recipients))}
		if to, _, err = keys.Readers(); err != nil {
			return nil, usageError(strings.ReplaceAll(err.Error(), "--trash.recipients", "--trash-recipients"), sources.HintOf(err))
		}
		return to, nil
	}
	if s, ok := store.(interface {
		Recipients() ([]age.Recipient, error)
	}); ok {
		if to, err = s.Recipients(); err != nil {
			return nil, err
		}
	}
	if len(to) == 0 {
		return nil, usageError("--trash: "+store.Describe()+" has no recipients, for whom the trash could be sealed", "name them with --trash-recipients age1..., or let it go for good with --no-trash")
	}
	return to, nil
}

func encrypted(value []byte, to []age.Recipient) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to...)
	if err == nil {
		_, err = w.Write(value)
	}
	if err == nil {
		err = w.Close()
	}
	return out.Bytes(), err
}

func putFile(path string, content []byte) error {
	target, err := publish.Check(path, nil, publish.Options{})
	if err == nil {
		_, err = target.Write(content)
	}
	return err
}

// shell quotes a word for a shell.
func shell(word string) string {
	if strings.ContainsFunc(word, func(r rune) bool {
		return !(r < 0x80 && sources.Alphanumeric(byte(r)) || strings.ContainsRune("-_./=@+:", r))
	}) || word == "" {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}

// backendFlags are the flags that lead to the backend, for a shell.
func (j *job) backendFlags() string {
	switch {
	case j.VaultStore != "":
		return "--vault-store " + shell(j.VaultStore)
	case j.VaultType != "":
		flags := "--vault-type " + shell(j.VaultType)
		for _, set := range j.VaultSet {
			flags += " --vault-set " + shell(set)
		}
		return flags
	}
	flags := "--config " + shell(j.Config)
	if j.Trust {
		flags += " --trust-config"
	}
	for _, folder := range j.AllowPath {
		flags += " --allow-path " + shell(folder)
	}
	return flags
}

func (t *trash) say(p *program, folder string) {
	if folder != "" {
		p.say("sealed the values into %s", clean(folder))
		p.advise(clean(filepath.Join(folder, "README.txt")) + " says how to bring them back")
	}
}
