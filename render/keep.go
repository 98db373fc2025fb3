package render

import (
	"slices"
	"strings"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// KeepsKey reports, as *Problems, that the rendering would change the
// encryption_key of the file that is in place, whose bytes are old: Bifrost
// could not read its database any more, and the start that fails has already
// damaged it. In env mode the key is in the env file, whose bytes were oldEnv. out is
// what messages call the file; hint is what to do, in place of removing the file.
//
// Where the two cannot be compared (no key before, another mode) there is
// nothing to report.
func (r *Rendering) KeepsKey(out, hint string, old, oldEnv []byte) error {
	after, ok := r.encryptionKey()
	if !ok || len(old) == 0 {
		return nil
	}
	doc, err := walker.Parse(out, old)
	if err != nil {
		return nil
	}
	before, ok := lastText(doc, "encryption_key")
	key, _, known := r.EncryptionKey(nil)
	if !ok || before == "" || !known && strings.HasPrefix(after, "env.") {
		return nil
	}
	text := string(key.Reveal())
	if name, byEnv := strings.CutPrefix(before, "env."); before == text || byEnv && (before != after || keepsVariable(oldEnv, name, text)) {
		return nil
	}
	one := Problem{
		Reason: "the key is not the one in the file that is in place; a changed key makes Bifrost's database unreadable",
		Hint:   hint,
	}
	if hint == "" {
		one.Hint = "restore the old key; or, for a new and empty database, remove " + out + " first"
	}
	if found := r.Plan.Document.Members("encryption_key"); len(found) > 0 {
		one.Places = []Place{placeOf(r.Plan.Document, "encryption_key", found[len(found)-1].Value.Start, found[len(found)-1].Value.End)}
	}
	return &Problems{Document: r.Plan.Document.Name, List: []Problem{one}}
}

// encryptionKey returns the text that the rendered document has for the key.
func (r *Rendering) encryptionKey() (string, bool) {
	for i := len(r.Plan.edits) - 1; i >= 0; i-- {
		e := &r.Plan.edits[i]
		if e.entry.Pattern != "encryption_key" {
			continue
		}
		f := walker.NewField(e.entry, e.path, r.text(e))
		return f.Text(), true
	}
	return lastText(r.Plan.Document, "encryption_key")
}

// EncryptionKey returns the encryption_key that Bifrost will have, in either mode,
// and the secret that it comes from, which is empty where it is none of the
// source's. What Bifrost takes from its environment is looked up in getenv, which
// may be nil: an env. reference that is left for it, and BIFROST_ENCRYPTION_KEY
// where the document has no key. ok is false where there is none that is known.
func (r *Rendering) EncryptionKey(getenv func(string) (string, bool)) (key sources.Secret, secret string, ok bool) {
	for i := len(r.Plan.edits) - 1; i >= 0; i-- {
		e := &r.Plan.edits[i]
		if e.entry.Pattern != "encryption_key" || e.want < 0 {
			continue
		}
		if w := r.Plan.wants[e.want]; w.secret >= 0 {
			secret = r.Plan.Secrets[w.secret]
		}
		return sources.NewSecret(r.values[e.want].text), secret, true
	}
	text, _ := r.encryptionKey()
	name, left := strings.CutPrefix(text, "env.")
	if left || text == "" {
		if getenv == nil {
			return sources.Secret{}, "", false
		}
		text = ""
		if left {
			text, _ = getenv(name)
		}
		if text == "" {
			text, _ = getenv("BIFROST_ENCRYPTION_KEY")
		}
	}
	return sources.NewSecret([]byte(text)), "", text != ""
}

// secretVar is a field that is written like most.
var secretVar = walker.Entry{Form: walker.SecretVarForm, Kind: walker.SecretKind}

// lastText returns the text of the last member of that name at the top.
func lastText(doc *walker.Document, name string) (string, bool) {
	found := doc.Members(name)
	if len(found) == 0 {
		return "", false
	}
	f := walker.NewField(&secretVar, name, doc.Text(found[len(found)-1].Value))
	return f.Text(), f.What != walker.Null
}

// keepsVariable reports whether an env file has a variable with that value, or does not
// have it at all. It may be of any of our formats, which may have changed meanwhile.
func keepsVariable(file []byte, name, value string) bool {
	has := func(begin string) bool { return strings.Contains("\n"+string(file), "\n"+begin) }
	return slices.ContainsFunc(EnvFormats, func(format EnvFormat) bool { return has(format.line(name, value)) }) ||
		!has(name+"=") && !has("export "+name+"=")
}

// HasKey reports whether the document has an encryption_key, so that a caller
// need not read the old file where it has none.
func (r *Rendering) HasKey() bool {
	_, ok := r.encryptionKey()
	return ok
}
