package walker

import "strings"

// cipher is how the ciphertext of a tool is known.
type cipher struct {
	starts string // the text begins so
	inside string // or has this in it
	also   string // and this behind
	least  int    // and is at least so long
	what   string
	likely bool // it may be something else
}

var ciphers = []cipher{
	{inside: "ENC[AES256_GCM,", also: "data:", what: "a value that sops has encrypted"},
	{starts: "ENC[PKCS7,", what: "a value that eyaml has encrypted"},
	{starts: "ENC[GPG,", what: "a value that eyaml has encrypted"},
	{inside: "$ANSIBLE_VAULT;", what: "what ansible-vault has encrypted"},
	{inside: "-----BEGIN AGE ENCRYPTED FILE-----", what: "what age has encrypted"},
	{starts: "age-encryption.org/v1", what: "what age has encrypted"},
	{starts: "YWdlLWVuY3J5cHRpb24ub3Jn", what: "what age has encrypted, in base64"},
	{starts: "LS0tLS1CRUdJTiBBR0UgRU5DUllQVEVE", what: "what age has encrypted, in base64"},
	{starts: "JEFOU0lCTEVfVkFVTFQ7", what: "what ansible-vault has encrypted, in base64"},
	{starts: "LS0tLS1CRUdJTiBQR1AgTUVTU0FHR", what: "what PGP has encrypted, in base64"},
	{starts: "hQEMA", least: 200, what: "what PGP has encrypted, in base64", likely: true},
	{starts: "hQIMA", least: 200, what: "what PGP has encrypted, in base64", likely: true},
	{inside: "-----BEGIN PGP MESSAGE-----", what: "what PGP has encrypted"},
	{inside: "-----BEGIN CMS-----", what: "what CMS has encrypted"},
	{inside: "-----BEGIN PKCS7-----", what: "what PKCS #7 has encrypted", likely: true},
	{starts: "Salted__", what: "what openssl has encrypted"},
	{starts: "U2FsdGVkX1", least: 24, what: "what openssl has encrypted, in base64", likely: true},
	{starts: "{cipher}", what: "a value that Spring Cloud Config has encrypted"},
	{starts: "ENC(", also: ")", what: "a value that Jasypt has encrypted", likely: true},
	{starts: "AQECAH", least: 64, what: "a ciphertext of AWS KMS", likely: true},
	{starts: "AQICAH", least: 64, what: "a ciphertext of AWS KMS", likely: true},
	{starts: "gAAAAAB", least: 90, what: "a Fernet token, which is a ciphertext", likely: true},
	{inside: "kind: SealedSecret", what: "a sealed secret of Kubernetes"},
	{inside: `"kind": "SealedSecret"`, what: "a sealed secret of Kubernetes"},
	{inside: `"kind":"SealedSecret"`, what: "a sealed secret of Kubernetes"},
	{starts: "AgA", least: 400, what: "a value that kubeseal has encrypted", likely: true},
	{starts: "AgB", least: 400, what: "a value that kubeseal has encrypted", likely: true},
	{starts: "AgC", least: 400, what: "a value that kubeseal has encrypted", likely: true},
	{starts: "AgD", least: 400, what: "a value that kubeseal has encrypted", likely: true},
	{starts: "CiQA", least: 64, what: "a ciphertext of GCP KMS", likely: true},
	{starts: "encrypted:B", least: 100, what: "a value that dotenvx has encrypted"},
	{starts: "AQAAANCMnd8BFdERjHoAwE", what: "what Windows has encrypted for one user"},
	{starts: "01000000d08c9ddf0115d1118c7a00c04fc297eb", what: "what Windows has encrypted for one user"},
	{starts: "eyJpdiI6", least: 64, what: "a value that Laravel has encrypted", likely: true},
}

// Ciphertext returns what a text is that a tool has encrypted and nothing has
// decrypted: "a value that sops has encrypted". likely is true where it may be
// something else; what is empty where text does not look so.
func Ciphertext(text string) (what string, likely bool) {
	if strings.HasPrefix(text, "\x00GITCRYPT") {
		return "what git-crypt has encrypted", false
	}
	text = TrimUnseen(strings.TrimPrefix(text, "\ufeff"))
	if text == "" {
		return "", false
	}
	for i := range ciphers {
		c := &ciphers[i]
		rest, ok := strings.CutPrefix(text, c.starts)
		if c.inside != "" {
			_, rest, ok = strings.Cut(text, c.inside)
		}
		if ok && len(text) >= c.least && (c.also == "" || strings.Contains(rest, c.also)) {
			return c.what, c.likely
		}
	}
	if rest, ok := strings.CutPrefix(text, "vault:v"); ok { // vault:v1:8SDd3WHDOjf7mq69…
		if version, _, ok := strings.Cut(rest, ":"); ok && version != "" && strings.Trim(version, "0123456789") == "" {
			return "what the transit engine of Vault has encrypted", false
		}
	}
	return "", false
}
