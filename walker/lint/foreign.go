package lint

import (
	"strings"

	"bifrost-secrets/walker"
)

// foreign is a reference that is misspelt, or written in the way of another
// tool, so that Bifrost takes it for a value.
type foreign struct {
	what   string
	hint   string
	repair string // the reference that is meant, where that is certain
}

func (f *foreign) found() bool { return f.what != "" }

const (
	writeEnv   = "write env.NAME"
	writeVault = "write vault.path#key"
	writeAny   = "write env.NAME or vault.path#key"
)

// foreignIn looks for one. Where other tools have a say in a text (a command
// line, a free-form config), only what is surely meant for Bifrost is one.
func foreignIn(text string, p place, kind walker.Kind) foreign {
	if !mayBeForeign(text) {
		return foreign{}
	}
	if ref, ok := misspelt(text); ok && (p != zonePlace || !hostLike(ref)) {
		form := foreign{what: "a reference with space around it or in the wrong case", hint: writeAny + ", in lower case and without space"}
		if strings.ContainsAny(text[:1], `"'`) {
			form = foreign{what: "a reference in quotes of its own", hint: writeAny + ", without quotes"}
		}
		if sound(ref) && p != zonePlace && !hostLike(ref) {
			form.repair = ref
		}
		return form
	}
	if form := byPrefix(text, p, kind); form.found() {
		return form
	}
	if form := inside(text, p); form.found() {
		return form
	}
	if p == linePlace || p == zonePlace {
		return foreign{}
	}
	return template(text)
}

// mayBeForeign is a quick test that every foreign form passes.
func mayBeForeign(text string) bool {
	if text == "" {
		return false
	}
	switch text[0] {
	case ' ', '\t', '\r', '\n', '"', '\'', 'v', 'V', 'e', 'E', '%':
		return true
	}
	for _, s := range startsBy[text[0]] {
		if s.begins(text) {
			return true
		}
	}
	return strings.IndexByte(text, '$') >= 0 || strings.IndexByte(text, '{') >= 0 ||
		strings.IndexByte(text, '.') >= 0 && (strings.Contains(text, "env.") || strings.Contains(text, "vault."))
}

// misspelt gives the reference that a text is but for its case, or for space or
// quotes around it.
func misspelt(text string) (ref string, ok bool) {
	bare := strings.Trim(text, " \t\r\n\"'")
	scheme, rest, ok := strings.Cut(bare, ".")
	if !ok || rest == "" || strings.ContainsAny(rest, " \t\r\n") || !strings.EqualFold(scheme, "env") && !strings.EqualFold(scheme, "vault") {
		return "", false
	}
	return strings.ToLower(scheme) + "." + rest, true
}

type scope uint8

const (
	anywhere    scope = iota
	fieldsOnly        // not where other tools have a say
	secretsOnly       // not in settings either, where it may be a path
)

// sound reports whether a text is a reference that nothing is to be said of.
func sound(text string) bool {
	ref, err := walker.ParseReference(text)
	if err != nil || ref.IsZero() || templated(ref) {
		return false
	}
	return ref.Scheme == walker.Vault || isVariable(ref.Name)
}

// templated reports whether a part of a reference is still to be filled in.
func templated(ref walker.Reference) bool {
	return strings.Contains(ref.Name, "${") || strings.Contains(ref.Name, "{{") || strings.Contains(ref.Key, "${") || strings.Contains(ref.Key, "{{")
}

// isVariable reports whether an environment, be it a shell's or that of a
// container, can have a variable of that name.
func isVariable(name string) bool {
	return isWord(strings.ReplaceAll(name, ".", "_")) && !('0' <= name[0] && name[0] <= '9') && !refers(name)
}

// foreignPrefix is how the references of another tool begin.
type foreignPrefix struct {
	starts string // any of these
	also   string // and this somewhere behind
	what   string
	hint   string
	scope  scope
}

var prefixes = []foreignPrefix{
	{"ref+", "://", "a reference in the way of vals, ref+…://", writeVault, anywhere},
	{"op:// awssm:// aws-sm:// awssecretsmanager:// gcpsm:// gcp-sm:// secretmanager:// sm:// ssm:// keyvault:// azurekeyvault:// azure-kv:// akv:// bws:// doppler:// infisical:// secret:// secrets:// vault://",
		"", "a reference in the way of another tool, with a scheme of its own", writeVault, anywhere},
	{"arn:aws", ":secretsmanager:", "the ARN of a secret without vault. before it", "write vault.arn:aws:secretsmanager:…", anywhere},
	{"arn:aws", ":ssm:", "the ARN of a parameter, which no vault_store knows", "store the value as a secret, and " + writeVault, fieldsOnly},
	{"projects/", "/secrets/", "the resource name of a secret of Google Cloud", writeVault, anywhere},
	{"https://", ".vault.azure.net/secrets/", "the address of a secret in Azure Key Vault", writeVault, anywhere},
	{"@Microsoft.KeyVault(", "", "a reference in the way of Azure App Service", writeVault, anywhere},
	{"ENC[", ",data:", "a value that sops has encrypted", "decrypt the file before Bifrost reads it, or " + writeVault, anywhere},
	{"os.environ/ os.environ[ env://", "", "a variable in the way of another tool", writeEnv, anywhere},
	{"process.env. $env: getenv(", "", "a variable in the way of another tool", writeEnv, fieldsOnly},
	{"env: ENV: Env: env/", "", "a variable in the way of another tool", writeEnv, secretsOnly},
	{"vault/ secretref: secretRef: secretKeyRef:", "", "a reference in the way of another tool", writeVault, secretsOnly},
	{"file://", "", "a file in the way of another tool", "name the file's directory in a vault_store of type file, and " + writeVault, secretsOnly},
}

// start is one of the starts of a foreignPrefix.
type start struct {
	text string
	*foreignPrefix
}

func (s *start) begins(text string) bool {
	rest, ok := strings.CutPrefix(text, s.text)
	return ok && (s.also == "" || strings.Contains(rest, s.also))
}

// startsBy are all starts by their first byte.
var startsBy = func() (by [256][]start) {
	for i := range prefixes {
		for _, text := range strings.Fields(prefixes[i].starts) {
			by[text[0]] = append(by[text[0]], start{text, &prefixes[i]})
		}
	}
	return by
}()

func byPrefix(text string, p place, kind walker.Kind) foreign {
	loose := p == linePlace || p == zonePlace
	if rest, ok := strings.CutPrefix(text, "vault:"); ok && rest != "" && !('0' <= rest[0] && rest[0] <= '9') && (!loose || strings.ContainsAny(rest, "#/")) {
		return foreign{what: "a reference in the way of another tool, vault:", hint: writeVault}
	}
	for _, s := range startsBy[text[0]] {
		switch {
		case !s.begins(text):
		case s.scope != anywhere && loose:
		case s.scope == secretsOnly && (kind != walker.SecretKind || p == pathPlace):
		default:
			return foreign{what: s.what, hint: s.hint}
		}
	}
	return foreign{}
}

// inside finds a reference that is only a part of the text.
func inside(text string, p place) foreign {
	const whole = "; only a whole value can be one"
	if i := strings.LastIndexByte(text, ' '); i > 0 && refers(text[i+1:]) {
		word := strings.TrimSuffix(text[:i], ":")
		if isWord(word) && (p != zonePlace && p != linePlace || authWords[strings.ToLower(word)]) {
			return foreign{what: "a reference after another word" + whole, hint: "put the word into the secret too, and refer to the whole"}
		}
	}
	if name, value, ok := strings.Cut(text, "="); ok && p == linePlace && isWord(strings.TrimLeft(name, "-")) && refers(value) {
		return foreign{what: "a reference after NAME=" + whole, hint: "write the NAME alone, and set the variable where Bifrost runs"}
	}
	if _, value, ok := assigned(text); ok && p == linePlace {
		text = value
	}
	if scheme, rest, ok := strings.Cut(text, "://"); ok && isScheme(scheme) {
		authority, _, _ := strings.Cut(rest, "/")
		_, after, colon := strings.Cut(authority, ":")
		if strings.Contains(authority, "@") && (refers(authority) || colon && refers(after)) {
			return foreign{what: "a reference inside of a URL" + whole, hint: "store the whole URL, and refer to it"}
		}
	}
	return foreign{}
}

// authWords come before a credential in a header.
var authWords = set("bearer basic token apikey key digest")

func refers(s string) bool {
	return strings.HasPrefix(s, "env.") && len(s) > len("env.") || strings.HasPrefix(s, "vault.") && len(s) > len("vault.")
}

// template finds what a shell or a template would have filled in.
func template(text string) foreign {
	const filled = "fill it in before Bifrost reads the file, or "
	if name, ok := enclosed(text, "${", "}"); ok && isName(withoutScheme(name)) {
		return foreign{what: "a variable in the way of a shell, ${NAME}", hint: writeEnv, repair: "env." + withoutScheme(name)}
	}
	if name, ok := strings.CutPrefix(text, "$"); ok && isName(name) && name == strings.ToUpper(name) {
		return foreign{what: "a variable in the way of a shell, $NAME", hint: writeEnv}
	}
	if name, ok := enclosed(text, "%", "%"); ok && isName(name) {
		return foreign{what: "a variable in the way of a command prompt, %NAME%", hint: writeEnv}
	}
	if _, after, ok := strings.Cut(text, "{{"); ok && strings.Contains(after, "}}") {
		return foreign{what: "a template, {{…}}, which nothing has filled in", hint: filled + writeAny}
	}
	if _, after, ok := strings.Cut(text, "${"); ok && strings.Contains(after, "}") {
		return foreign{what: "a text with a variable in the way of a shell in it, ${…}", hint: filled + "store the whole value, and " + writeAny}
	}
	if _, ok := enclosed(text, "$(", ")"); ok {
		return foreign{what: "a command or variable in the way of a shell or of Kubernetes, $(…)", hint: writeEnv}
	}
	if i := strings.LastIndex(text, " $"); i > 0 && isWord(text[:i]) && isName(text[i+2:]) && text[i+2:] == strings.ToUpper(text[i+2:]) {
		return foreign{what: "a text with a variable in the way of a shell in it, $NAME", hint: filled + "store the whole value, and " + writeAny}
	}
	return foreign{}
}

// withoutScheme takes the scheme from what stands between the braces of
// ${env.NAME} or ${env:NAME}.
func withoutScheme(name string) string {
	for _, scheme := range []string{"env.", "env:", "ENV."} {
		if rest, ok := strings.CutPrefix(name, scheme); ok {
			return rest
		}
	}
	return name
}

func enclosed(text, open, end string) (string, bool) {
	if len(text) <= len(open)+len(end) || !strings.HasPrefix(text, open) || !strings.HasSuffix(text, end) {
		return "", false
	}
	return text[len(open) : len(text)-len(end)], true
}

// isName reports whether s can be the name of a variable.
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
