package lint

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// shapeOf names what a value looks like; empty where it is nothing known.
func shapeOf(text string) string {
	text = strings.TrimSpace(text)
	bare := strings.TrimPrefix(text, "Bearer ")
	if bare == "" {
		return ""
	}
	if n, kind := keyAt(bare, 0); n == len(bare) {
		return kind
	}
	if encoded, ok := strings.CutPrefix(text, "Basic "); ok {
		if pair, err := base64.StdEncoding.DecodeString(encoded); err == nil && bytes.IndexByte(pair, ':') > 0 {
			return "HTTP basic credentials"
		}
	}
	if _, pem := privateKey(text); pem {
		if strings.Contains(text, `"private_key"`) {
			return "a Google service account with its private key"
		}
		return "a PEM private key"
	}
	if teamsWebhook(text) {
		return "a Microsoft Teams webhook"
	}
	return ""
}

func teamsWebhook(text string) bool {
	host, _, _ := strings.Cut(strings.TrimPrefix(text, "https://"), "/")
	return len(host) < len(text) && strings.HasSuffix(host, ".webhook.office.com")
}

// keyAt returns how much of a text, from its byte i, is a key by its form alone,
// and what that is. Byte i must begin a word.
func keyAt(text string, i int) (n int, kind string) {
	rest := text[i:]
	if i > 0 { // in a text of which nothing is known
		rest = rest[:min(len(rest), longestKey)]
	}
	for _, s := range starts().Of(rest[0]) {
		if n := s.fits(rest); n > 0 {
			return n, s.name
		}
	}
	word := 0
	for word < len(rest) && (isAlnum(rest[word]) || rest[word] == '_') {
		word++
	}
	switch {
	case strings.HasPrefix(rest, "ey") && word >= 10 && word < len(rest) && rest[word] == '.':
		rest = text[i:]
		if i > 0 {
			rest = rest[:min(len(rest), longestJWT)]
		}
		if n := runOf(rest, "._-/+="); isJWT(rest[:n]) {
			return n, "a JWT"
		}
	case word >= 36 && strings.HasSuffix(rest[:word], "_mmk"):
		return word, "a MaxMind key"
	case word >= 60 && strings.Contains(rest[:word], "JQQJ99"):
		return word, "an Azure key"
	case word >= 2 && word < len(rest):
		return keyAround(rest, word)
	}
	return 0, ""
}

// What is looked at of a text for one key, one address or one value that begins at
// each of its bytes: more would cost the square of its length.
const (
	longestJWT   = 16 << 10
	longestKey   = 1 << 10
	longestURL   = 4 << 10
	longestValue = 1 << 10
	longestPair  = 256
)

// keyAround is keyAt for the forms that have a mark in their middle, behind the
// first word of the text.
func keyAround(text string, word int) (n int, kind string) {
	behind := text[word:]
	id := strings.TrimPrefix(text[:word], "bot")
	switch {
	case strings.HasPrefix(behind, ":A") && len(id) >= 5 && len(id) <= 16 && numeric(id):
		if n := 1 + runOf(behind[1:], "_-"); n >= 35 {
			return word + n, "a Telegram token"
		}
	case (behind[0] == '|' || behind[0] == '%') && word >= 15 && word <= 16 && numeric(text[:word]):
		if n := 1 + runOf(behind[1:], "_-"); n >= 28 {
			return word + n, "a Facebook token"
		}
	case word >= 14 && strings.HasPrefix(behind, ".atlasv1."):
		if n := runOf(behind, "._=-"); n >= 60 {
			return word + n, "a Terraform token"
		}
	case behind[0] == '~' && text[word-1] == 'Q' && '0' <= text[word-2] && text[word-2] <= '9':
		if n := runOf(behind, "_~.-"); n >= 32 {
			return word + n, "an Azure client secret"
		}
	}
	return 0, ""
}

// runOf returns how many bytes a text begins with that are letters, digits or in
// more.
func runOf(text, more string) int {
	n := 0
	for n < len(text) && (isAlnum(text[n]) || contains(more, text[n])) {
		n++
	}
	return n
}

// shapeWithin returns the first string in a JSON text that looks like a real key.
func shapeWithin(text string) string {
	dec := json.NewDecoder(strings.NewReader(text))
	for {
		token, err := dec.Token()
		if err != nil {
			return ""
		}
		if s, ok := token.(string); ok && shapeOf(s) != "" && !looksFake(s, false) {
			return s
		}
	}
}

// isJWT reports whether a text is a JSON Web Token: three parts, the first two
// of which are JSON objects in base64.
func isJWT(text string) bool {
	if !strings.HasPrefix(text, "ey") || strings.Count(text, ".") != 2 {
		return false
	}
	parts := strings.Split(text, ".")
	for i, part := range parts {
		if runOf(part, "_-/+=") < len(part) || i < 2 && (len(part) < 10 || !strings.HasPrefix(part, "ey")) {
			return false
		}
	}
	return true
}

// privateKey returns what stands between the lines of a PEM private key in a text,
// which may be a JSON document that holds it.
func privateKey(text string) (body string, ok bool) {
	for {
		if _, text, ok = strings.Cut(text, "-----BEGIN "); !ok {
			return "", false
		}
		var kind string
		if kind, text, ok = strings.Cut(text, "-----"); !ok {
			return "", false
		}
		if strings.HasSuffix(kind, "PRIVATE KEY") || strings.HasSuffix(kind, "PRIVATE KEY BLOCK") {
			body, _, _ = strings.Cut(text, "-----END")
			return body, true
		}
	}
}
