package walker

import (
	"strings"
	"sync"

	"bifrost-secrets/walker/wordlist"
)

type scope uint8

const (
	anywhere    scope = iota
	notInLines        // not in a command line: the command may ask for the secret itself
	fieldsOnly        // not where other tools have a say
	secretsOnly       // not in settings either, where it may be a path
)

// otherTool is how the references of another tool begin.
type otherTool struct {
	starts string // any of these
	also   string // and this somewhere behind
	what   string
	hint   string
	scope  scope
}

var otherTools = []otherTool{
	{"ref+", "://", "a reference in the syntax of vals, ref+…://", writeVault, anywhere},
	{"op:// awssm:// aws-sm:// awssecret:// awssecrets:// awssecretsmanager:// aws-secretsmanager:// aws-secrets-manager:// asm:// gcpsm:// gcp-sm:// gsm:// gcpsecretmanager:// gcpsecretsmanager:// gcp-secret-manager:// berglas:// " +
		"secretmanager:// secretsmanager:// secret-manager:// sm:// ssm:// awsssm:// aws-ssm:// parameterstore:// keyvault:// azurekeyvault:// azure-keyvault:// azure-key-vault:// azurekv:// azure-kv:// azkv:// akv:// bws:// doppler:// infisical:// " +
		"secret:// secrets:// vault:// hashivault:// hcvault:// hashicorp-vault:// vault-secret:// kv:// akeyless:// conjur:// onepassword:// 1password:// bitwarden:// keyring:// sops:// chamber:// k8s:// kubernetes://",
		"", "a reference in the syntax of another tool, with a scheme of its own", writeVault, anywhere},
	{"arn:aws", ":secretsmanager:", "the ARN of a secret without vault. before it", "write vault.arn:aws:secretsmanager:…", notInLines},
	{"arn:aws", ":ssm:", "the ARN of a parameter, which no vault_store knows", "store the value as a secret, and " + writeVault, fieldsOnly},
	{"projects/", "/secrets/", "the resource name of a secret of Google Cloud", writeVault, notInLines},
	{"https://", ".vault.azure.net/secrets/", "the address of a secret in Azure Key Vault", writeVault, notInLines},
	{"@Microsoft.KeyVault(", "", "a reference in the syntax of Azure App Service", writeVault, anywhere},
	{"ENC[", ",data:", "a value that sops has encrypted", "decrypt the file before Bifrost reads it, or " + writeVault, anywhere},
	{"os.environ/ os.environ[ os.environ. os.environ( env://", "", "a variable in the syntax of another tool", writeEnv, anywhere},
	{"process.env. process.env[ $env: $ENV{ getenv( os.getenv( os.Getenv( System.getenv( env( ENV( env[ ENV[ @env: @env( {env: !env !ENV !Env", "", "a variable in the syntax of another tool", writeEnv, fieldsOnly},
	{"env: ENV: Env: env/ ENV/", "", "a variable in the syntax of another tool", writeEnv, secretsOnly},
	{"secretref: secretRef: secretKeyRef: secret: secrets: secretsmanager: secretmanager: aws-secretsmanager: awssm: gcpsm: gsm: keyvault: akv: !vault !secret !Secret", "", "a reference in the syntax of another tool", writeVault, secretsOnly},
	{"file:// file:/ @/run/ file(", "", "a file in the syntax of another tool", "name the file's directory in a vault_store of type file, and " + writeVault, secretsOnly},
}

// start is one of the starts of an otherTool.
type start struct {
	text string
	*otherTool
}

func (s *start) begins(text string) bool {
	rest, ok := strings.CutPrefix(text, s.text)
	return ok && rest != "" && (s.also == "" || strings.Contains(rest, s.also))
}

// starts returns all of them.
var starts = sync.OnceValue(func() *wordlist.ByFirst[start] {
	return wordlist.Index(func(yield func(start) bool) {
		for i := range otherTools {
			for text := range strings.FieldsSeq(otherTools[i].starts) {
				if !yield(start{text, &otherTools[i]}) {
					return
				}
			}
		}
	}, func(s start) string { return s.text })
})

// byPrefix finds what begins like a reference of another tool.
func (m manner) byPrefix(text string) NearMiss {
	if miss := m.otherSeparator(text); miss.Found() {
		return miss
	}
	for _, s := range starts().Of(text[0]) {
		switch {
		case !s.begins(text):
		case s.scope == notInLines && m.line, s.scope > notInLines && m.loose():
		case s.scope == secretsOnly && !m.secret:
		case s.scope == secretsOnly && m.header && s.hint == writeEnv && !isCapitals(text[len(s.text):]):
		default:
			return NearMiss{What: s.what, Hint: s.hint}
		}
	}
	return NearMiss{}
}

// isCapitals reports whether a text is the name of a variable as most are written.
func isCapitals(text string) bool { return isName(text) && text == strings.ToUpper(text) }

// otherSeparator finds a reference with something else than a dot behind its
// scheme: vault:app/key.
func (m manner) otherSeparator(text string) NearMiss {
	const scheme = "vault"
	if len(text) < len(scheme)+2 || !strings.EqualFold(text[:len(scheme)], scheme) {
		return NearMiss{}
	}
	separator, rest := text[len(scheme)], text[len(scheme)+1:]
	switch separator {
	case ':':
		if '0' <= rest[0] && rest[0] <= '9' && !strings.Contains(rest, "#") { // a port, or the tag of an image
			return NearMiss{}
		}
		if strings.HasPrefix(rest, "v") && rest[1:] != "" && '0' <= rest[1] && rest[1] <= '9' {
			if what, _ := Ciphertext(text); what != "" {
				return NearMiss{} // which says more
			}
		}
		if !m.loose() || strings.ContainsAny(rest, "#/") {
			return NearMiss{What: "a reference in the syntax of another tool, vault:", Hint: writeVault}
		}
	case '/', '\\':
		if m.secret && !m.loose() {
			return NearMiss{What: "a reference in the syntax of another tool", Hint: writeVault}
		}
	case '#', '=', '|', ',', ';', '>', '@', '!', '~', ' ':
		if m.secret && !m.loose() && strings.ContainsAny(rest, "#/") && !strings.Contains(rest, " ") {
			return NearMiss{What: "a reference with another character than a dot behind vault", Hint: writeVault}
		}
	}
	return NearMiss{}
}

// template finds what a shell or a template would have filled in.
func template(text string) NearMiss {
	const filled = "fill it in before Bifrost reads the file, or "
	if name, ok := enclosed(text, "${", "}"); ok && isName(withoutScheme(name)) {
		return NearMiss{What: "a variable in the syntax of a shell, ${NAME}", Hint: writeEnv, Repair: "env." + withoutScheme(name)}
	}
	if name, ok := strings.CutPrefix(text, "$"); ok && isCapitals(name) {
		return NearMiss{What: "a variable in the syntax of a shell, $NAME", Hint: writeEnv}
	}
	for _, around := range [][2]string{{"%", "%"}, {"%{", "}"}, {"%(", ")s"}, {"#{", "}"}, {"#{", "}#"}, {"@@", "@@"}, {"{", "}"}} {
		if name, ok := enclosed(text, around[0], around[1]); ok && isName(withoutScheme(name)) {
			what := "a variable in the syntax of a template, " + around[0] + "NAME" + around[1]
			if around[0] == "%" {
				what = "a variable in the syntax of a command prompt, %NAME%"
			}
			return NearMiss{What: what, Hint: writeEnv}
		}
	}
	if _, after, ok := strings.Cut(text, "{{"); ok && strings.Contains(after, "}}") {
		return NearMiss{What: "a template, {{…}}, which nothing has filled in", Hint: filled + writeAny}
	}
	if _, after, ok := strings.Cut(text, "${"); ok && strings.Contains(after, "}") {
		return NearMiss{What: "a text with a variable in the syntax of a shell in it, ${…}", Hint: filled + "store the whole value, and " + writeAny}
	}
	if _, ok := enclosed(text, "$(", ")"); ok {
		return NearMiss{What: "a command or variable in the syntax of a shell or of Kubernetes, $(…)", Hint: writeEnv}
	}
	if _, ok := enclosed(text, "<%", "%>"); ok {
		return NearMiss{What: "a template, <%…%>, which nothing has filled in", Hint: filled + writeAny}
	}
	if i := strings.LastIndex(text, " $"); i > 0 && isWord(text[:i]) && isCapitals(text[i+2:]) {
		return NearMiss{What: "a text with a variable in the syntax of a shell in it, $NAME", Hint: filled + "store the whole value, and " + writeAny}
	}
	return NearMiss{}
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
