// Package sealed is the form in which a value rests where others may read it: it
// is encrypted with age to one or more recipients, together with the name of the
// secret and its version.
//
// age hides but does not sign. The name and the version inside make what was
// copied over another secret, or over another version, be refused when it is
// opened. They do not show who wrote it: whoever may write where the sealed text
// rests, and knows a recipient (which is no secret), can put a value of their own
// there.
//
// # Format
//
// What is encrypted is the line `bifrost-secrets sealed 1`, a line of JSON
// {"name":…,"version":…}, and the value as it is. `age -d` shows it. The format
// is stable: whatever this version of the program has sealed, later ones open.
package sealed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"filippo.io/age"

	"bifrost-secrets/sources"
)

const magic = "bifrost-secrets sealed 1\n"

// Label is what a value belongs to. It stands inside of the sealed text.
type Label struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Seal encrypts a value with its label to recipients. Each call returns another
// text; its length tells that of the value.
func Seal(label Label, value sources.Secret, recipients []age.Recipient) ([]byte, error) {
	if len(recipients) == 0 {
		return nil, errors.New("there is no recipient to seal for")
	}
	plain, err := Pack(label, value.Reveal())
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, recipients...)
	if err != nil {
		return nil, err // of the recipients alone: incompatible ones, say
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Open decrypts what [Seal] made and checks that it is labelled so. Errors are
// *sources.Error: of kind Denied where none of the identities fits, else of kind
// Unusable. They begin with subject, which names the secret and where it is.
func Open(sealed []byte, label Label, subject string, identities []age.Identity) (sources.Secret, error) {
	in, err := age.Decrypt(bytes.NewReader(sealed), identities...)
	if err != nil {
		return sources.Secret{}, Undecryptable(subject, err)
	}
	plain, err := io.ReadAll(in)
	if err != nil {
		return sources.Secret{}, Undecryptable(subject, err)
	}
	value, labelled, err := Unpack(plain, label, subject)
	switch {
	case err != nil:
		return sources.Secret{}, err
	case !labelled:
		return sources.Secret{}, sources.NewError(sources.Unusable, subject+" is encrypted, but not sealed with its name",
			"somebody else than this program wrote it: put the value again")
	}
	return sources.NewSecret(value), nil
}

// Pack puts a label before a value. What it returns is to be encrypted.
func Pack(label Label, value []byte) ([]byte, error) {
	head, err := header(label)
	if err != nil {
		return nil, err
	}
	return append(head, value...), nil
}

// LabelRoom is the most bytes that Pack adds, for a name of 4 KiB at most.
const LabelRoom = 32 << 10

// Unpack takes what was decrypted apart. Where it has no label, it is the value
// itself, as people encrypt one with age alone. A label that is not this one is
// an error, as in [Open].
func Unpack(plain []byte, label Label, subject string) (value []byte, labelled bool, err error) {
	found, value, labelled := unpack(plain)
	switch {
	case !labelled:
		return plain, false, nil
	case found.Name != label.Name:
		return nil, true, sources.NewError(sources.Unusable, fmt.Sprintf("%s holds what was sealed for %q", subject, found.Name),
			"it was copied over from there, which is refused: put the value again, and look who may write here")
	case found.Version != label.Version:
		return nil, true, sources.NewError(sources.Unusable, fmt.Sprintf("%s holds what was sealed for version %.40q", subject, found.Version),
			"another version was copied over it, which is refused: put the value again, and look who may write here")
	}
	return value, true, nil
}

// Undecryptable puts an error of age into words of our own, since those of age
// quote what it could not parse.
func Undecryptable(subject string, err error) *sources.Error {
	var noMatch *age.NoIdentityMatchError
	switch {
	case !errors.As(err, &noMatch):
		return sources.NewError(sources.Unusable, subject+" is encrypted with age, but damaged or cut short", "put the value again")
	case slices.Contains(noMatch.StanzaTypes, "scrypt"):
		return sources.NewError(sources.Unusable, subject+" is encrypted with a passphrase", Unsupported)
	}
	return sources.NewError(sources.Denied, subject+" is sealed for other keys than the identity",
		"use the identity of one of its recipients, or seal it for this one too: bifrost-secrets secret rekey")
}

// header returns what stands before the value.
func header(label Label) ([]byte, error) {
	if !utf8.ValidString(label.Name) || !utf8.ValidString(label.Version) {
		return nil, errors.New("a name that is not UTF-8 cannot be sealed") // two of them would look alike
	}
	text, err := json.Marshal(label)
	if err != nil {
		return nil, err
	}
	return append([]byte(magic), append(text, '\n')...), nil
}

// unpack takes the decrypted text apart, and reports whether it has a label.
func unpack(plain []byte) (label Label, value []byte, ok bool) {
	rest, ok := bytes.CutPrefix(plain, []byte(magic))
	if !ok {
		return Label{}, nil, false
	}
	line, value, ok := bytes.Cut(rest, []byte("\n"))
	if !ok || json.Unmarshal(line, &label) != nil {
		return Label{}, nil, false
	}
	// One label has one spelling.
	if again, err := header(label); err != nil || !bytes.HasPrefix(plain, again) {
		return Label{}, nil, false
	}
	return label, value, true
}
