package sealed

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"filippo.io/age"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker/regular"
)

// Unsupported says which keys can be used.
const Unsupported = "only native age keys (AGE-SECRET-KEY-1...) are supported: no passphrases, SSH keys or plugins"

// maxKeys is how large, in bytes, a file of keys may be.
const maxKeys = 1 << 20

// Keys are what the settings `identity` and `recipients` of a block say. Both
// may be the keys themselves or the path of a file that holds them. They are
// read anew each time, so that a file may be replaced. A Keys is safe for
// concurrent use.
type Keys struct {
	Block string // vault_store.postgres
	// Path returns where the path in a setting leads, as [sources.Options.Path].
	Path       func(setting, path string) (string, error)
	Identity   sources.Secret
	Recipients sources.Secret // no secret, but it may be set to one by mistake
	// Exposed is told, each time that it is read, of a file with an identity,
	// and of its mode where others may read it, else of 0. It may be nil.
	Exposed func(path string, mode fs.FileMode)
}

// Identities returns the keys to open with. The keys of plugins are left out where
// there is another, as age tries them in vain that do not fit. Its errors are of
// kind NoLogin, and say neither the setting nor what age says of it: a key that was
// misspelt or put in the wrong place looks like a path.
func (k *Keys) Identities() ([]age.Identity, error) {
	keys, _, err := k.identities()
	return keys, err
}

// identities returns the keys to open with, and how many of plugins were left out.
func (k *Keys) identities() (keys []age.Identity, plugins int, err error) {
	text := strings.TrimSpace(string(k.Identity.Reveal()))
	if text == "" {
		return nil, 0, sources.NewError(sources.NoLogin, k.Block+".identity is not set",
			"set it to the path of an age identity file, or to env.NAME of a variable that holds the identity")
	}
	if !HoldsIdentity(text) {
		path, err := k.Path(k.Block+".identity", text)
		if err != nil {
			return nil, 0, err
		}
		data, mode, fault := readKeys(path, "the file that "+k.Block+".identity names", "it is to hold the lines that age-keygen prints")
		if fault != nil {
			fault.Kind = sources.NoLogin
			return nil, 0, fault
		}
		if k.Exposed != nil {
			k.Exposed(path, mode)
		}
		if strings.HasPrefix(string(data), "\xff\xfe") || strings.HasPrefix(string(data), "\xfe\xff") {
			return nil, 0, sources.NewError(sources.NoLogin, "the file that "+k.Block+".identity names is in UTF-16", "save it as UTF-8: age-keygen -o FILE writes it so, > in PowerShell does not")
		}
		text = sources.Trim(string(data))
		if strings.HasPrefix(text, "age-encryption.org/") || strings.HasPrefix(text, "-----BEGIN AGE") {
			return nil, 0, sources.NewError(sources.NoLogin, "an identity file cannot be encrypted itself", Unsupported)
		}
	}
	var lines []string
	for line := range strings.Lines(text) {
		line = sources.Trim(line) // a block of YAML is indented
		if strings.HasPrefix(strings.ToUpper(line), "AGE-PLUGIN-") {
			plugins++
			continue
		}
		lines = append(lines, line)
	}
	keys, err = age.ParseIdentities(strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		return nil, 0, sources.NewError(sources.NoLogin, k.Block+".identity holds no usable key", Unsupported)
	}
	return keys, plugins, nil
}

// HoldsIdentity tells a key, also one of an unsupported kind, from a path.
func HoldsIdentity(text string) bool {
	upper := strings.ToUpper(strings.TrimSpace(text))
	return strings.HasPrefix(upper, "AGE-SECRET-KEY-") || strings.HasPrefix(upper, "AGE-PLUGIN-") ||
		strings.HasPrefix(upper, "-----BEGIN") || strings.Contains(upper, "\n")
}

// Readers returns the keys to seal for, and a fingerprint of them: 16 hexadecimal
// digits that are the same for the same set, whatever its order. They are those
// of the setting `recipients`, separated by commas or space, and, where it is
// not set, those of the identity. An identity that could not open what is sealed
// for them is an error.
func (k *Keys) Readers() (recipients []age.Recipient, fingerprint string, err error) {
	var names []string
	text := strings.TrimSpace(string(k.Recipients.Reveal()))
	if text == "" {
		names, err = k.ownRecipients()
	} else {
		names, err = k.listed(text)
	}
	if err != nil {
		return nil, "", err
	}
	slices.Sort(names)
	names = slices.Compact(names)
	recipients, err = age.ParseRecipients(strings.NewReader(strings.Join(names, "\n")))
	if err != nil {
		return nil, "", sources.NewError(sources.BadSettings, k.Block+".recipients cannot be read: it holds no usable key", isRecipient)
	}
	// age refuses some sets, such as classic keys beside those that withstand a
	// quantum computer.
	probe, err := Seal(Label{}, sources.Secret{}, recipients)
	if err != nil {
		return nil, "", sources.NewError(sources.BadSettings, "the recipients of "+k.Block+" cannot be used together", "do not mix keys that withstand a quantum computer (age1pq1...) with others")
	}
	if text != "" && k.Identity.Len() > 0 {
		identities, err := k.Identities()
		if err != nil {
			return nil, "", err
		}
		if _, err := Open(probe, Label{}, "", identities); err != nil {
			return nil, "", sources.NewError(sources.BadSettings, k.Block+".recipients does not have the key of "+k.Block+".identity: what is stored could not be read back",
				"add the recipient that `age-keygen -y` prints for the identity, or, to write without reading, leave identity out")
		}
	}
	sum := sha256.Sum256([]byte(strings.Join(names, "\n")))
	return recipients, hex.EncodeToString(sum[:8]), nil
}

// ownRecipients returns what encrypts to the identity.
func (k *Keys) ownRecipients() ([]string, error) {
	if k.Identity.Len() == 0 {
		return nil, sources.NewError(sources.BadSettings, k.Block+" has neither recipients nor an identity: there is nobody to seal for", "set recipients to the age1... lines that age-keygen prints")
	}
	identities, plugins, err := k.identities()
	if err != nil {
		return nil, err
	}
	if plugins > 0 {
		return nil, sources.NewError(sources.BadSettings, k.Block+".identity holds the key of a plugin too, for which nothing can be sealed here", "set recipients to the age1... lines of those that are to read it; "+Unsupported)
	}
	var names []string
	for _, identity := range identities {
		switch i := identity.(type) {
		case *age.X25519Identity:
			names = append(names, i.Recipient().String())
		case *age.HybridIdentity:
			names = append(names, i.Recipient().String())
		}
	}
	return names, nil
}

const isRecipient = "a recipient looks like age1..., and is what `age-keygen -y` prints; " + Unsupported

// listed returns the recipients of the setting, or of the file that it names.
func (k *Keys) listed(text string) ([]string, error) {
	if HoldsIdentity(text) && strings.Contains(strings.ToUpper(text), "AGE-SECRET-KEY-") {
		return nil, sources.NewError(sources.BadSettings, k.Block+".recipients holds an identity, which is secret", isRecipient)
	}
	if !strings.HasPrefix(text, "age1") && !strings.ContainsAny(text, "\n#") {
		path, err := k.Path(k.Block+".recipients", text)
		if err != nil {
			return nil, err
		}
		data, _, fault := readKeys(path, "the file that "+k.Block+".recipients names", "set recipients to age1... keys, separated by commas, or to a file with one per line")
		if fault != nil {
			fault.Kind = sources.BadSettings
			return nil, fault
		}
		text = sources.Trim(string(data))
	}
	var names []string
	for line := range strings.Lines(text) {
		if line, _, _ = strings.Cut(line, "#"); line != "" {
			names = append(names, strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })...)
		}
	}
	if len(names) == 0 {
		return nil, sources.NewError(sources.BadSettings, k.Block+".recipients cannot be read: it holds no key", isRecipient)
	}
	return names, nil
}

// Files returns the paths of the files that the settings name: nothing may be
// published over them.
func (k *Keys) Files() []string {
	paths, _ := k.paths()
	return paths
}

// Check returns the error for a path in the settings that may not be read.
func (k *Keys) Check() error {
	_, err := k.paths()
	return err
}

func (k *Keys) paths() (paths []string, err error) {
	add := func(setting, text string) {
		path, bad := k.Path(k.Block+"."+setting, text)
		if bad == nil {
			paths = append(paths, path)
		}
		err = cmp.Or(err, bad)
	}
	if text := strings.TrimSpace(string(k.Identity.Reveal())); text != "" && !HoldsIdentity(text) {
		add("identity", text)
	}
	if text := strings.TrimSpace(string(k.Recipients.Reveal())); text != "" && !strings.HasPrefix(text, "age1") && !strings.ContainsAny(text, "\n#") {
		add("recipients", text)
	}
	return paths, err
}

// WarnOnce makes an Exposed that warns of the first such file.
func WarnOnce(warn func(string)) func(string, fs.FileMode) {
	var warned sync.Once
	return func(path string, mode fs.FileMode) {
		if mode != 0 {
			warned.Do(func() { warn(fmt.Sprintf("the age identity file %s may be read by others (mode %04o)", path, mode)) })
		}
	}
}

// readKeys reads a regular file, and returns its permissions where others may read
// it. subject names it in the error, which has no kind yet.
func readKeys(path, subject, hint string) ([]byte, fs.FileMode, *sources.Error) {
	failed := func(format string, err error) ([]byte, fs.FileMode, *sources.Error) {
		return nil, 0, &sources.Error{Message: fmt.Sprintf(format, subject), Hint: hint, Err: err}
	}
	data, info, err := regular.ReadFile(path, maxKeys)
	var what regular.NotRegular
	switch {
	case errors.As(err, &what):
		return failed("%s is "+string(what), nil)
	case errors.Is(err, regular.ErrTooLarge):
		return failed(fmt.Sprintf("%%s is larger than the limit of %d bytes", maxKeys), nil)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG):
		return failed("%s does not exist", fs.ErrNotExist)
	case errors.Is(err, fs.ErrPermission):
		hint = fmt.Sprintf("see the owner and mode of it and of its folders; this process runs as user %d", os.Geteuid())
		return failed("no permission to read %s", fs.ErrPermission)
	case err != nil:
		return failed("%s cannot be read", nil) // the cause may show the path, which may be a key that was misspelt
	}
	// Windows has access lists instead, and Go makes up a mode there.
	if perm := info.Mode().Perm(); perm&0o044 != 0 && runtime.GOOS != "windows" {
		return data, perm, nil
	}
	return data, 0, nil
}
