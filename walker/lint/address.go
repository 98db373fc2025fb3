package lint

import (
	"net/url"
	"strings"
)

// inURL finds the credential in a URL: the user information before its host, or
// a parameter with a telling name. name says which; text is the credential.
func inURL(address string) (name, text string) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok || !isScheme(scheme) {
		return "", ""
	}
	// By the book the host begins before the first slash, but a password with a
	// slash in it is what people write: the last @ tells.
	front, _, _ := strings.Cut(rest, "?")
	if at := strings.LastIndexByte(front, '@'); at >= 0 {
		user, password, has := strings.Cut(front[:at], ":")
		switch {
		case has && password != "" && !strings.Contains(user, "/") && !portAndPath(password):
			return "a password", password
		case shapeOf(unescaped(user)) != "":
			return "a token for the user", unescaped(user)
		}
	}
	_, query, _ := strings.Cut(rest, "?")
	query, _, _ = strings.Cut(query, "#")
	for query != "" {
		var one string
		one, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(one, "=")
		if name = unescaped(name); value != "" && telling(name) && !numeric(value) {
			if parameters[strings.ToLower(name)] {
				return "the parameter " + name, unescaped(value)
			}
			return "a parameter", unescaped(value)
		}
	}
	return "", ""
}

// parameters are names that a message may show: they stand in what may be a
// secret as a whole, so that no other name does.
var parameters = set("key api_key apikey api-key token access_token auth_token secret client_secret password sig signature x-amz-signature x-amz-security-token x-goog-signature")

func unescaped(s string) string {
	if out, err := url.QueryUnescape(s); err == nil {
		return out
	}
	return s
}

func isScheme(s string) bool {
	for i, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || !('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.')) {
			return false
		}
	}
	return s != ""
}

// portAndPath reports whether what stands behind the colon is a port with a path
// that happens to have an @ in it.
func portAndPath(s string) bool {
	port, _, slash := strings.Cut(s, "/")
	return slash && numeric(port)
}

func numeric(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}
