package file

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/sealed"
)

const (
	binaryHeader = "age-encryption.org/v1"
	// leadingSpace is how much white space package armor allows before its header.
	leadingSpace = 1 << 10
	// headerRoom is for age's own header, which package age bounds at 2 MiB, and
	// half as much again for armor.
	headerRoom = 3 << 20
)

// identities returns the keys to decrypt with. It is called when the first
// encrypted file is met.
type identities func() ([]age.Identity, error)

// saysEncrypted reports whether the name of a file says that age has encrypted it.
func saysEncrypted(name string) bool { return strings.EqualFold(filepath.Ext(name), ".age") }

// plaintext reads at most limit bytes, after decrypting what is encrypted. What
// must be encrypted, and what is so twice, is never taken as it stands.
func plaintext(from io.Reader, subject string, limit int64, must bool, ids identities) (data []byte, encrypted bool, err error) {
	// Armor makes 4/3 of the length; twice is enough, and bounds an endless line.
	in := bufio.NewReader(io.LimitReader(from, 2*limit+headerRoom))
	head, _ := in.Peek(len(byteOrderMark) + leadingSpace + len(armor.Header)) // an error comes back at the next read
	rest := unmarked(head)
	_, _ = in.Discard(len(head) - len(rest)) // it was peeked
	head = rest
	armored := isArmored(head)
	encrypted = armored || bytes.HasPrefix(head, []byte(binaryHeader))

	var out io.Reader = in
	switch {
	case !encrypted && (bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff"))) && (must || bytes.Contains(head, []byte("A\x00G\x00E\x00 \x00E\x00N\x00C"))):
		return nil, false, sources.NewError(sources.Unusable, subject+" is in UTF-16, in which age cannot read it", "save it as ASCII or UTF-8, or encrypt with age -o FILE and not with > in PowerShell")
	case !encrypted && must:
		return nil, false, sources.NewError(sources.Unusable, subject+" is not encrypted with age, although its name ends .age", "encrypt it, or give it another name if it is meant to be plain")
	}
	if encrypted {
		keys, err := ids()
		if err != nil {
			return nil, true, sources.NewError(sources.KindOf(err), subject+" is encrypted with age, but "+err.Error(), sources.HintOf(err))
		}
		if armored {
			out = armor.NewReader(in)
		}
		if out, err = age.Decrypt(out, keys...); err != nil {
			return nil, true, undecryptable(subject, err)
		}
	}
	data, err = io.ReadAll(io.LimitReader(out, limit+1))
	switch {
	case err != nil && encrypted:
		return nil, true, undecryptable(subject, err)
	case err != nil:
		return nil, false, failure(subject, err)
	case int64(len(data)) > limit:
		return nil, encrypted, tooLarge(subject, limit)
	case encrypted && (isArmored(data) || bytes.HasPrefix(data, []byte(binaryHeader))):
		return nil, true, sources.NewError(sources.Unusable, subject+" is encrypted with age twice", "encrypt the value itself, once")
	}
	return data, encrypted, nil
}

const byteOrderMark = "\ufeff"

// isArmored reports whether data begins like a file in age's text form.
func isArmored(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte(armor.Header))
}

// unmarked returns data without the byte order mark that an editor has put before
// age's text form.
func unmarked(data []byte) []byte {
	if rest, ok := bytes.CutPrefix(data, []byte(byteOrderMark)); ok && isArmored(rest) {
		return rest
	}
	return data
}

// undecryptable puts an error of age into words.
func undecryptable(subject string, err error) error {
	var ofFile *fs.PathError
	if errors.As(err, &ofFile) {
		return failure(subject, ofFile)
	}
	e := sealed.Undecryptable(subject, err)
	switch {
	case e.Kind == sources.Denied:
		e.Message = subject + " is encrypted with age for other keys than the identity"
		e.Hint = "encrypt it for the recipient that `age-keygen -y` prints for " + block + ".identity; " + sealed.Unsupported
	case e.Hint != sealed.Unsupported:
		e.Hint = "encrypt the secret again, and copy the file as binary unless it is armored"
	}
	return e
}

// envelope is how a file is encrypted.
type envelope struct {
	encrypted, armored bool
	readers            int // the keys that it is encrypted for
}

// envelopeOf looks at the bytes of a file.
func envelopeOf(raw []byte) envelope {
	var e envelope
	raw = unmarked(raw)
	var from io.Reader = bytes.NewReader(raw)
	if isArmored(raw) {
		e.armored, from = true, armor.NewReader(from)
	} else if !bytes.HasPrefix(raw, []byte(binaryHeader)) {
		return e
	}
	e.encrypted = true
	header, _ := age.ExtractHeader(from) // what is damaged was not decrypted
	for line := range bytes.Lines(header) {
		kind, ok := bytes.CutPrefix(line, []byte("-> "))
		if ok && !bytes.HasSuffix(bytes.Fields(kind)[0], []byte("-grease")) {
			e.readers++
		}
	}
	return e
}

// seal encrypts content as the file was that it replaces.
func (b *base) seal(content []byte, as envelope, subject string) ([]byte, error) {
	if !as.encrypted {
		return content, nil
	}
	to, _, err := b.keys.Readers()
	if err != nil {
		return nil, sources.NewError(sources.KindOf(err), subject+" is to be encrypted with age, but "+err.Error(), sources.HintOf(err))
	}
	if b.keys.Recipients.Len() == 0 && as.readers > len(to) {
		return nil, sources.NewError(sources.Refused, fmt.Sprintf("%s is encrypted for %d keys, and only %d of them is known from the identity", subject, as.readers, len(to)),
			"set "+block+".recipients to all that shall be able to read it, or to a file that lists them")
	}
	var out bytes.Buffer
	var into io.Writer = &out
	var armored io.WriteCloser
	if as.armored {
		armored = armor.NewWriter(&out)
		into = armored
	}
	w, err := age.Encrypt(into, to...)
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil && armored != nil {
		err = armored.Close()
	}
	if err != nil {
		return nil, sources.NewError(sources.Refused, subject+" cannot be encrypted with age", "")
	}
	return out.Bytes(), nil
}

// seals reports whether new files are to be encrypted.
func (b *base) seals() bool { return b.keys.Identity.Len() > 0 || b.keys.Recipients.Len() > 0 }

// Recipients returns whom new files are encrypted for; there are none where they
// are not.
func (b *base) Recipients() ([]age.Recipient, error) {
	if !b.seals() {
		return nil, nil
	}
	to, _, err := b.keys.Readers()
	return to, err
}
