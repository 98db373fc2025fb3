package lint

import (
	"strings"
	"unicode"
)

// telling reports whether a name, such as that of a header, a variable or a
// parameter of a URL, says that its value is a credential: `x-api-key`,
// `GITHUB_TOKEN`, `clientSecret`, but not `max_tokens` or `token_url`.
func telling(name string) bool {
	all := words(name)
	if len(all) == 0 || about[all[len(all)-1]] {
		return false
	}
	for _, w := range all {
		if credentials[w] {
			return true
		}
		for _, end := range endings {
			if strings.HasSuffix(w, end) {
				return true
			}
		}
	}
	switch all[len(all)-1] {
	case "auth":
		return true
	case "key":
		return len(all) == 1 || !lookups[all[len(all)-2]]
	}
	return false
}

func set(list string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(list) {
		out[w] = true
	}
	return out
}

var (
	// credentials are words that name one.
	credentials = set("authorization token secret password passwd passphrase pass pwd credential cookie signature sig jwt pat bearer")
	// endings are how words end that are written together: `xauthtoken`.
	endings = strings.Fields("authorization token secret password passwd passphrase apikey accesskey secretkey privatekey authkey")
	// about are last words of a name that says something about a credential.
	about = set("id ids name names file path dir url uri endpoint host type kind ttl timeout limit limits count budget length size " +
		"header headers prefix suffix mode method var variable env ref enabled required expiry expires expiration format version algorithm issuer audience scope scopes field column command policy policies rule rules hint question strength store manager provider")
	// lookups are words before `key` of a key that opens nothing.
	lookups = set("cache partition idempotency routing sort primary foreign public group object project index shard dedup row hash map host tag label model lookup session user tenant")
)

// words takes a name apart: `X-Api-Key`, `api_key`, `apiKey` and `APIKey` are
// api and key.
func words(name string) []string {
	var out []string
	var word []rune
	flush := func() {
		if len(word) > 0 {
			out = append(out, strings.ToLower(string(word)))
			word = word[:0]
		}
	}
	runes := []rune(name)
	for i, r := range runes {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			flush()
			continue
		}
		if unicode.IsUpper(r) && i > 0 {
			lowerBefore := !unicode.IsUpper(runes[i-1])
			lowerBehind := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if lowerBefore || lowerBehind && unicode.IsUpper(runes[i-1]) {
				flush()
			}
		}
		word = append(word, r)
	}
	flush()
	return out
}

// printable gives a name as a message may show it. A long one, or one of letters
// of both cases and digits, may be anything: base64 ends in = as well.
func printable(name string) string {
	if len(name) > 40 || !isWord(name) || strings.ContainsAny(name, "0123456789") && name != strings.ToUpper(name) {
		return ""
	}
	return name
}

func isWord(s string) bool {
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return s != ""
}

// refers reports whether a text begins like a reference.
func refers(s string) bool {
	return strings.HasPrefix(s, "env.") && len(s) > len("env.") || strings.HasPrefix(s, "vault.") && len(s) > len("vault.")
}
