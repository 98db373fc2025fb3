package walker

import (
	"strings"

	"bifrost-secrets/walker/wordlist"

	"github.com/tidwall/gjson"
)

// NearMiss is a text that was meant as a reference and is none: misspelt, or
// written in the syntax of another tool. Bifrost takes it for a value.
type NearMiss struct {
	What   string // lower case, no full stop; holds nothing of the text
	Hint   string
	Repair string // the reference that is meant, where that is certain
}

// Found reports whether there is one.
func (n NearMiss) Found() bool { return n.What != "" }

// Message returns what is wrong, and what would come of it in a field of e.
func (n NearMiss) Message(e *Entry) string {
	if CommandLine(e) {
		return n.What + "; the command would get it as it stands"
	}
	return n.What + "; Bifrost would take it for the value itself"
}

// InVaultStore returns the near miss of a setting of vault_store, which no reference
// to a secret can stand for.
func (n NearMiss) InVaultStore() NearMiss {
	n.Hint = strings.NewReplacer(" or vault.path#key", "", writeVault, "write the setting itself, or env.NAME").Replace(n.Hint)
	return n
}

const (
	writeEnv   = "write env.NAME"
	writeVault = "write vault.path#key"
	writeAny   = "write env.NAME or vault.path#key"
)

// manner is what decides how much a text of a field is taken for.
type manner struct {
	line   bool // a part of a command line, or of an environment
	zone   bool // free-form
	secret bool // its every value is a secret, and no path of a file
	header bool // which may hold a label, as in env:prod
}

// loose reports whether other tools have a say in the text too: then only what
// is surely meant for Bifrost is a near miss.
func (m manner) loose() bool { return m.line || m.zone }

// CommandLine reports whether e stands for parts of a command line, or of the
// environment of a command.
func CommandLine(e *Entry) bool {
	p := e.Pattern
	return strings.HasSuffix(p, ".envs[]") || strings.HasSuffix(p, ".args[]") || strings.HasSuffix(p, ".command")
}

// HoldsPath reports whether a value of e may be the path of the file that holds
// the secret.
func HoldsPath(e *Entry) bool {
	p := e.Pattern
	return strings.HasSuffix(p, ".credentials_json") || strings.HasSuffix(p, ".credentials") || strings.HasSuffix(p, ".identity")
}

func mannerOf(e *Entry) manner {
	return manner{line: CommandLine(e), zone: e.Form == ZoneForm, secret: e.Kind == SecretKind && !HoldsPath(e), header: strings.HasSuffix(e.Pattern, "headers.*")}
}

// NearMiss looks for one in what stands in a field of the catalogue; one of the
// object form is judged by the text that Bifrost takes from it.
func (f *Field) NearMiss() NearMiss {
	if f.Entry == nil || f.What != Literal || len(f.raw) == 0 {
		return NearMiss{}
	}
	if f.Object {
		if miss := f.objectMiss(); miss.Found() {
			return miss
		}
	} else if raw := f.raw; raw[0] == '"' { // decided without a copy, where there are no escapes
		if inner := raw[1 : len(raw)-1]; !mayBeNearMiss(inner) {
			return NearMiss{}
		}
	}
	return FindNearMiss(f.Entry, f.Text())
}

// objectMiss finds an object that was meant to refer to something, and that
// Bifrost takes for a text.
func (f *Field) objectMiss() NearMiss {
	if f.isDocument() {
		found := NearMiss{}
		gjson.ParseBytes(f.raw).ForEach(func(key, _ gjson.Result) bool {
			if referring.Has(strings.ToLower(key.String())) {
				found = NearMiss{What: "an object in the syntax of another tool, which is no reference", Hint: writeAny + ", as a string"}
			}
			return !found.Found()
		})
		return found
	}
	o, ok := f.ObjectForm()
	switch {
	case !ok:
	case o.Type == "plain_text": // the way to write a text that looks like a reference
	case Refers(o.Value):
		return NearMiss{What: "the value of an object, which is a text and no reference", Hint: "write the reference itself, as a string"}
	case o.Ref != "":
		return NearMiss{What: "an object with a value and a reference, of which the value counts", Hint: "keep either of them, and write it as a string"}
	}
	return NearMiss{}
}

// referring are members of the objects with which other tools refer.
var referring = wordlist.Set{List: "vault env secret secretref secret_ref secretkeyref secret_key_ref valuefrom value_from fromsecret from_secret $ref $env $vault $secret _secret secretname secret_name vault_path secret_id"}

// FindNearMiss looks for a near miss in a text that stands, or is to stand, in a
// field of e. A text that [ParseReference] takes for a reference is none.
func FindNearMiss(e *Entry, text string) NearMiss {
	if text == "" || !mayBeNearMiss(text) || strings.HasPrefix(text, "vault.") || strings.HasPrefix(text, "env.") {
		return NearMiss{}
	}
	m := mannerOf(e)
	if miss := m.misspelt(text); miss.Found() {
		return miss
	}
	seen, _ := asSeen(text)
	if seen = strings.Trim(seen, " "); seen == "" {
		return NearMiss{}
	}
	if miss := m.byPrefix(seen); miss.Found() {
		return miss
	}
	if miss := m.inside(seen); miss.Found() {
		return miss
	}
	if what, likely := Ciphertext(text); what != "" && !likely {
		return NearMiss{What: what, Hint: "decrypt it before Bifrost reads it, or " + writeVault}
	}
	if m.loose() {
		return NearMiss{}
	}
	if miss := template(seen); miss.Found() {
		return miss
	}
	if m.secret {
		return slip(seen)
	}
	return NearMiss{}
}

// mayBeNearMiss is a quick test that every near miss passes, written out as JSON
// or decoded.
func mayBeNearMiss[T string | []byte](text T) bool {
	if len(text) == 0 {
		return false
	}
	if first[text[0]] {
		return true
	}
	tool := len(starts().Of(text[0])) > 0
	for i := range len(text) {
		switch c := text[i]; {
		case tool && (c == ':' || c == '/' || c == '.' || c == '+' || c == '[' || c == '('): // which each of them has
			return true
		case c == '$', c == '{', c >= 0x80, c == '\\':
			return true
		case c == '.' && i >= 3 && (text[i-1] == 'v' && text[i-2] == 'n' && text[i-3] == 'e' || text[i-1] == 't' && text[i-2] == 'l' && text[i-3] == 'u'):
			return true
		case c == '[' && i == 3, c == '-' && i == 4: // ENC[ and -----
			return true
		}
	}
	return false
}

// first are the bytes that a near miss may begin with, but for the references of
// other tools, which need more than one byte to tell.
var first = func() (t [256]bool) {
	for c := range t {
		t[c] = c <= ' ' || c >= 0x80
	}
	for _, c := range []byte("\"'`()[]{}<>$@=:,;!~|\\#%vVeE") {
		t[c] = true
	}
	return t
}()

// misspelt finds a reference in the wrong case, in quotes or brackets, or with
// characters around or in it that nobody sees.
func (m manner) misspelt(text string) NearMiss {
	const lower = ", in lower case and without space"
	seen, odd := asSeen(text)
	outer := strings.Trim(seen, " \"'")
	ref, ok := foldScheme(outer)
	miss := NearMiss{What: "a reference with space around it or in the wrong case", Hint: writeAny + lower}
	switch bare := strings.Trim(seen, decoration); {
	case ok && odd != 0 && UnseenName(odd) != "":
		miss = NearMiss{What: "a reference with " + UnseenName(odd) + " before or in it, which nobody sees", Hint: "type it anew; " + writeAny}
	case ok && odd != 0:
		miss = NearMiss{What: "a reference with a character that only looks like the right one", Hint: "type it anew; " + writeAny}
	case ok && strings.ContainsAny(seen[:1], `"'`):
		miss = NearMiss{What: "a reference in quotes of its own", Hint: writeAny + ", without quotes"}
	case ok:
	default:
		// What a shell or a template writes with env. in it is found as theirs.
		if ref, ok = foldScheme(bare); !ok || !strings.HasPrefix(ref, "vault.") && (m.loose() || strings.ContainsAny(seen, "{$%")) {
			return NearMiss{}
		}
		miss = NearMiss{What: "a reference with brackets or other characters around it", Hint: writeAny + ", and nothing around it"}
	}
	if m.zone && HostLike(ref) {
		return NearMiss{}
	}
	if SoundReference(ref) && !m.zone && !HostLike(ref) {
		miss.Repair = ref
	}
	return miss
}

// decoration is what people write around a reference, out of the habits of
// other tools or of prose.
const decoration = " \"'()[]{}<>$@=:,;!~|\\#%*&^" + typographic

// foldScheme reports whether text is a reference but for the case of its scheme,
// and returns it in the right one.
func foldScheme(text string) (ref string, ok bool) {
	scheme, rest, ok := strings.Cut(text, ".")
	scheme, rest = strings.ToLower(strings.TrimRight(scheme, " ")), strings.TrimLeft(rest, " ")
	if !ok || rest == "" || scheme != "env" && scheme != "vault" || strings.Contains(rest, " ") {
		return "", false
	}
	return scheme + "." + rest, true
}

// SoundReference reports whether a text is a reference that nothing is to be
// said of.
func SoundReference(text string) bool {
	ref, err := ParseReference(text)
	if err != nil || ref.IsZero() || ref.Templated() {
		return false
	}
	return ref.Scheme == Vault || IsVariable(ref.Name)
}

// Templated reports whether a part of a reference is still to be filled in.
func (r Reference) Templated() bool {
	for _, part := range []string{r.Name, r.Key} {
		if strings.Contains(part, "${") || strings.Contains(part, "{{") {
			return true
		}
	}
	return false
}

// IsVariable reports whether an environment, be it a shell's or that of a
// container, can have a variable of that name.
func IsVariable(name string) bool {
	return isWord(strings.ReplaceAll(name, ".", "_")) && !('0' <= name[0] && name[0] <= '9') && !Refers(name)
}

// inside finds a reference that is only a part of the text.
func (m manner) inside(text string) NearMiss {
	const whole = "; only a whole value can be one"
	if i := strings.LastIndexByte(text, ' '); i > 0 && Refers(text[i+1:]) {
		word := strings.TrimSuffix(text[:i], ":")
		if isWord(word) && (!m.loose() || authWords.Has(strings.ToLower(word))) {
			return NearMiss{What: "a reference after another word" + whole, Hint: "put the word into the secret too, and refer to the whole"}
		}
	}
	if (text[0] == '{' || text[0] == '[') && strings.Contains(text, `"vault.`) && refersWithin(gjson.Parse(text), 0) {
		return NearMiss{What: "a JSON text with a reference in it" + whole, Hint: "store the whole text, and refer to it"}
	}
	if !m.line {
		return inURL(text, whole)
	}
	if name, value, ok := strings.Cut(text, "="); ok && isWord(strings.TrimLeft(name, "-")) && Refers(value) && !fileEndings.Has(value[strings.IndexByte(value, '.')+1:]) {
		return NearMiss{What: "a reference after NAME=" + whole, Hint: "write the NAME alone, and set the variable where Bifrost runs"}
	}
	if i := strings.IndexAny(text, "=: "); i > 0 && text[i] != ' ' && !strings.HasPrefix(text[i:], "://") {
		text = strings.TrimLeft(text[i+1:], " ")
	}
	return inURL(text, whole)
}

// refersWithin reports whether a string in a JSON value is a reference that can be
// nothing else. It does not look deeper than texts that people write are nested.
func refersWithin(v gjson.Result, depth int) (found bool) {
	if !v.IsObject() && !v.IsArray() {
		return v.Type == gjson.String && strings.HasPrefix(v.Str, "vault.") && strings.ContainsAny(v.Str, "/#") && SoundReference(v.Str) && !HostLike(v.Str)
	}
	v.ForEach(func(_, inner gjson.Result) bool {
		found = depth < 16 && refersWithin(inner, depth+1)
		return !found
	})
	return found
}

func inURL(text, whole string) NearMiss {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || scheme == "" || strings.ContainsAny(scheme, " \t\"'({[,;") {
		return NearMiss{}
	}
	authority, _, _ := strings.Cut(rest, "/")
	_, after, colon := strings.Cut(authority, ":")
	if strings.Contains(authority, "@") && (Refers(authority) || colon && Refers(after)) {
		return NearMiss{What: "a reference inside of a URL" + whole, Hint: "store the whole URL, and refer to it"}
	}
	return NearMiss{}
}

// fileEndings are those of the files that commands are started with: env.toml is
// hardly a variable.
var fileEndings = wordlist.Set{List: "cfg cjs conf hcl ini js json jsonc mjs properties py sh toml ts txt yaml yml"}

// authWords come before a credential in a header.
var authWords = wordlist.Set{List: "bearer basic token apikey key digest"}

// Refers reports whether a text begins like a reference to something.
func Refers(s string) bool {
	return strings.HasPrefix(s, "env.") && len(s) > len("env.") || strings.HasPrefix(s, "vault.") && len(s) > len("vault.")
}

// slip finds a scheme with a letter too many, too few, or in another's place,
// before what can only be a path and a key. It is for fields alone whose every
// value is a secret: elsewhere it may be the name of a host.
func slip(text string) NearMiss {
	scheme, rest, ok := strings.Cut(text, ".")
	scheme = strings.ToLower(scheme)
	switch {
	case !ok || rest == "" || strings.Contains(rest, " ") || HostLike(text):
	case (scheme == "evn" || scheme == "nev" || scheme == "envs") && isName(rest):
		return NearMiss{What: "a reference with a misspelt env.", Hint: writeEnv}
	case strings.ContainsAny(rest, "#/") && (scheme == "secret" || scheme == "secrets" || scheme != "vault" && almost(scheme, "vault")):
		return NearMiss{What: "a reference with a misspelt vault.", Hint: writeVault}
	}
	return NearMiss{}
}

// almost reports whether one letter added, left out, changed, or exchanged with
// its neighbour makes a of b.
func almost(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) < len(b) {
		return a[i:] == b[i+1:]
	}
	return i == len(a) || a[i+1:] == b[i+1:] || i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}

func isName(s string) bool {
	return s != "" && isWord(s) && strings.IndexByte(s, '-') < 0 && !('0' <= s[0] && s[0] <= '9')
}

func isWord(s string) bool {
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return s != ""
}
