package file

import (
	"bytes"
	"fmt"
	"io"

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
