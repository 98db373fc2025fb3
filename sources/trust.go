package sources

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Elsewhere returns the setting with which settings of a document lead a login to
// an address of the document's own choice, and "" where the environment has that
// address too, or the hosts are the provider's own.
func (f Facts) Elsewhere(set Settings, getenv func(string) (string, bool)) string {
	for _, key := range f.Addresses {
		text := set.Text(key)
		if text != "" && !named(text, f.Named, getenv) {
			return "vault_store." + f.Block + "." + key
		}
	}
	return ""
}

// named reports whether one of the variables has text.
func named(text string, variables []string, getenv func(string) (string, bool)) bool {
	for _, name := range variables {
		if value, _ := getenv(name); Trim(value) == text {
			return true
		}
	}
	return false
}

// Secret reports whether the client of f takes a credential from that variable.
func (f Facts) Secret(variable string) bool {
	for _, end := range []string{"TOKEN", "SECRET", "PASSWORD", "HEADER", "KEY"} {
		if strings.HasSuffix(variable, end) {
			return slices.Contains(f.Variables, variable)
		}
	}
	return false
}

// Stays returns the error for a login of this machine, which what names, that the
// setting would lead to an address of the document's own.
func Stays(what, setting string) *Error {
	variable := "PGHOST" // of Bifrost's config store, too
	for _, f := range Table {
		if strings.HasPrefix(setting, "vault_store."+f.Block+".") {
			variable = f.Naming()
		}
	}
	return NewError(BadSettings, what+" goes to no address that the document names, and "+setting+" names one",
		"give --vault-store FILE or --vault-type of your own, or set "+variable+" to that address; or --trust-config, where whoever writes the config is trusted")
}

// Naming returns the variable by which a machine names an address that is else the
// document's own; "" where there is no such address.
func (f Facts) Naming() string {
	if len(f.Named) == 0 {
		return ""
	}
	return f.Named[len(f.Named)-1]
}

// HasPassword reports whether an address of a PostgreSQL, which need not be a URL, may
// have a password in it: its role's, or that of a key.
func HasPassword(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return true
	}
	_, has := u.User.Password()
	return has || u.Query().Has("password") || u.Query().Has("sslpassword")
}

// Path returns where a path in a setting leads, seen from the folder of the
// document. It is an error of kind BadSettings if that is in none of the folders
// of Within, symbolic links resolved. The error does not repeat the path, which
// may be a credential in the wrong place. What is read more than once is asked
// for each time: a link may be another by then.
func (o Options) Path(setting, path string) (string, error) {
	if filepath.IsAbs(path) {
		path = filepath.Clean(path)
	} else {
		path = filepath.Join(o.Dir, path)
	}
	if o.Within == nil {
		return path, nil
	}
	real := resolved(path)
	for _, dir := range o.Within {
		if rel, err := filepath.Rel(resolved(dir), real); err == nil && filepath.IsLocal(rel) {
			return path, nil
		}
	}
	return "", NewError(BadSettings, setting+" leads out of the folder of the document and of "+strings.Join(MountedSecrets, " and "),
		"--allow-path DIR, or BIFROST_SECRETS_ALLOW_PATH, allows the folder where it leads; in a block of your own (--vault-store FILE) a path may lead anywhere")
}

// SameFile reports whether both paths lead to one file that exists.
func SameFile(one, other string) bool {
	a, err := os.Stat(one)
	if err != nil {
		return false
	}
	b, err := os.Stat(other)
	return err == nil && os.SameFile(a, b)
}

// MountedSecrets are the folders in which secrets are mounted.
var MountedSecrets = []string{"/run/secrets", "/var/run/secrets"}

// resolved returns a path without symbolic links, as far as it exists.
func resolved(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	real, err := filepath.EvalSymlinks(path)
	if dir := filepath.Dir(path); errors.Is(err, fs.ErrNotExist) && dir != path {
		if target, err := os.Readlink(path); err == nil { // no loop, which is another error
			if !filepath.IsAbs(target) {
				target = filepath.Join(resolved(dir), target)
			}
			return resolved(target)
		}
		return filepath.Join(resolved(dir), filepath.Base(path))
	}
	if err != nil {
		return path // it cannot be read either
	}
	return real
}

// Trim returns text without the white space at its ends: what Unicode calls so,
// and the byte order mark and the other characters without a width that editors
// and copying leave behind. No credential, address or path of a file that a
// client takes from a setting has any there; a mounted file and an `echo` do.
func Trim(text string) string {
	return strings.TrimFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune("\ufeff\u200b\u200c\u200d\u200e\u200f\u2060", r)
	})
}

// InQuotes reports whether a text stands in quotes. No client takes them off: they
// are what a file of variables had around a value, for a shell that never read it.
func InQuotes(text string) bool {
	first, size := utf8.DecodeRuneInString(text)
	last, _ := utf8.DecodeLastRuneInString(text)
	return len(text) > size && (first == last && strings.ContainsRune("\"'`", first) || first == '“' && last == '”' || first == '‘' && last == '’')
}

// Quoted is what is said of a setting or a variable that stands in quotes.
const Quoted = "stands in quotes, which are taken for a part of it"

// network are the variables that say to every client which way it goes, and whom it
// trusts there.
var network = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_DIR", "SSL_CERT_FILE"}

// Trimmed returns options under which the client of f sees its variables
// without white space at their ends, and warns of each that has some, by name.
// Clients read the environment of the process by themselves, so it is set there
// as well where it is the one that o knows; what a child process is given is
// not touched.
func (f Facts) Trimmed(o Options) Options {
	given := map[string]string{}
	names := f.Variables
	if len(names) > 0 {
		names = slices.Concat(names, network)
	}
	for _, name := range names {
		value, ok := o.Getenv(name)
		text := Trim(value)
		if InQuotes(text) {
			o.Warn("the variable " + name + " " + Quoted)
		}
		if !ok || text == value {
			continue
		}
		o.Warn(fmt.Sprintf("the variable %s has white space at an end, which is left out", name))
		given[name] = text
		if own, ok := os.LookupEnv(name); ok && own == value {
			_ = os.Setenv(name, text) // the name is a constant, and a value of the environment is fit for it
		}
	}
	if len(given) > 0 {
		getenv := o.Getenv
		o.Getenv = func(name string) (string, bool) {
			if text, ok := given[name]; ok {
				return text, true
			}
			return getenv(name)
		}
	}
	return o
}
