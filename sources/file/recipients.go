package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"bifrost-secrets/sources"
)

// envelope is how a file is encrypted.
type envelope struct {
	encrypted, armored bool
	readers            int // the keys that it is encrypted for
}

// envelopeOf looks at the bytes of a file.
func envelopeOf(raw []byte) envelope {
	var e envelope
	var from io.Reader = bytes.NewReader(raw)
	if bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte(armor.Header)) {
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
	to, identities, err := b.recipients()
	if err != nil {
		return nil, &sources.Error{
			Kind: sources.KindOf(err), Message: subject + " is to be encrypted with age, but " + err.Error(), Hint: sources.HintOf(err),
		}
	}
	if len(b.readers.Reveal()) == 0 && as.readers > len(to) {
		return nil, &sources.Error{
			Kind:    sources.Refused,
			Message: fmt.Sprintf("%s is encrypted for %d keys, and only %d of them is known from the identity", subject, as.readers, len(to)),
			Hint:    "set " + block + ".recipients to all that shall be able to read it, or to a file that lists them",
		}
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
		return nil, badSettings(block+".recipients cannot be used together", "age does not mix post-quantum and other keys: name keys of one kind")
	}
	return out.Bytes(), b.readable(out.Bytes(), identities, subject)
}

// readable sees to it that what we write we can read back.
func (b *base) readable(sealed []byte, identities []age.Identity, subject string) error {
	if len(identities) == 0 {
		return nil
	}
	known := func() ([]age.Identity, error) { return identities, nil }
	if _, _, err := plaintext(bytes.NewReader(sealed), subject, maxDocument, known); err != nil {
		return &sources.Error{
			Kind: sources.BadSettings, Message: block + ".recipients does not have the key of " + block + ".identity: what is stored could not be read back",
			Hint: "add the recipient that `age-keygen -y` prints for the identity",
		}
	}
	return nil
}

// seals reports whether new files are to be encrypted.
func (b *base) seals() bool { return b.identity.Len() > 0 || b.readers.Len() > 0 }

// recipients gives who can read what is encrypted from now on: those of the
// setting, else the holder of the identity; and the identities, if there are any.
func (b *base) recipients() ([]age.Recipient, []age.Identity, error) {
	var identities []age.Identity
	var err error
	if b.identity.Len() > 0 {
		if identities, err = b.identities(); err != nil {
			return nil, nil, err
		}
	}
	if b.readers.Len() > 0 {
		to, err := b.listed()
		return to, identities, err
	}
	var to []age.Recipient
	for _, identity := range identities {
		switch one := identity.(type) {
		case *age.X25519Identity:
			to = append(to, one.Recipient())
		case *age.HybridIdentity:
			to = append(to, one.Recipient())
		default:
			return nil, nil, noLogin(block+".identity holds a key without a recipient that is known", unsupported)
		}
	}
	if len(to) == 0 {
		return nil, nil, noLogin(block+".recipients and "+block+".identity are not set", "set one of them")
	}
	return to, identities, nil
}

// listed reads the setting `recipients`: public keys, with commas or space
// between them, or the file that lists them.
func (b *base) listed() ([]age.Recipient, error) {
	const hint = "a recipient looks like age1..., and is what `age-keygen -y` prints"
	text := strings.TrimSpace(string(b.readers.Reveal()))
	if strings.HasPrefix(strings.ToUpper(text), "AGE-SECRET-KEY-") {
		return nil, badSettings(block+".recipients holds an identity, which is secret", hint)
	}
	if !strings.HasPrefix(text, "age1") {
		const subject = "the file that " + block + ".recipients names"
		c, err := readFile(everywhere{}, under(b.dir, text), subject, maxIdentities, func() ([]age.Identity, error) {
			return nil, noLogin("a list of recipients cannot be encrypted itself", hint)
		})
		if err != nil {
			return nil, badSettings(err.Error(), sources.HintOf(err))
		}
		text = string(c.data)
	} else {
		text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' }), "\n")
	}
	to, err := age.ParseRecipients(strings.NewReader(text))
	if err == nil && len(to) == 0 {
		err = errors.New("none")
	}
	if err != nil {
		return nil, badSettings(block+".recipients cannot be read", hint)
	}
	return to, nil
}
