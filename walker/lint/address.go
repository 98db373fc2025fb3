package lint

import (
	"net/url"
	"strings"

	"bifrost-secrets/walker/wordlist"
)

// aPassword is what the user information of a URL mostly holds.
const aPassword = "a password"

// urlParts finds the credentials in a URL: the user information before its host,
// the parameters with a telling name in its query or its fragment, and steps of
// its path that look as if they were drawn at random.
func urlParts(address string) (parts []part) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok || !isScheme(scheme) {
		return nil
	}
	add := func(from, to int, of string) {
		parts = append(parts, part{start: from, end: to, url: true, of: of})
	}
	base := len(scheme) + len("://")
	// By the book the host begins before the first slash, but a password with a
	// slash in it is what people write: the last @ tells.
	front, _, _ := strings.Cut(rest, "?")
	host := base
	if at := strings.LastIndexByte(front, '@'); at >= 0 {
		user, password, has := strings.Cut(front[:at], ":")
		switch {
		case has && password != "" && !strings.Contains(user, "/") && !portAndPath(password):
			add(base+len(user)+1, base+at, aPassword)
			host = base + at + 1
		case shapeOf(unescaped(user)) != "", !has && opaque(unescaped(user)) && !strings.Contains(front[at:], "sentry"):
			add(base, base+len(user), "a token for the user")
			host = base + at + 1
		}
	}
	end := host + before(address[host:], "?#")
	pathParts(address, host, end, add)
	for at := end; at < len(address); {
		at++ // past the sign before it
		to := at + before(address[at:], "&?#")
		name, value, _ := strings.Cut(address[at:to], "=")
		name = unescaped(name)
		name = strings.TrimLeft(name, "/") // of a route in a fragment
		if value != "" && !numeric(value) && (telling(name) || hintOf(name) == loosely && opaque(unescaped(value))) {
			of := "a parameter"
			if parameters.Has(strings.ToLower(name)) {
				of = "the parameter " + name
			}
			add(to-len(value), to, of)
		}
		at = to
	}
	return parts
}

// pathParts finds the steps of a URL's path, from host to end, that look as if
// they were drawn at random: a key in the path is what many webhooks and servers
// of MCP have.
func pathParts(address string, host, end int, add func(from, to int, of string)) {
	name, _, _ := strings.Cut(address[host:end], "/")
	if publicHost(name) {
		return
	}
	last := ""
	for at := host + len(name); at < end; {
		at++
		to := at + before(address[at:end], "/")
		step := address[at:to]
		if len(step) >= 20 && runOf(step, "_-~=") == len(step) && random(step) && strings.ContainsAny(step, "0123456789") && !isUUID(step) && !things.Has(strings.ToLower(last)) {
			add(at, to, "a step of its path")
		}
		at, last = to, step
	}
}

// before returns how much of a text stands before the first of some bytes; all of it
// where there is none.
func before(text, some string) int {
	if i := strings.IndexAny(text, some); i >= 0 {
		return i
	}
	return len(text)
}

// publicHost reports whether the paths of a host have random steps that are no
// secrets: commits and accounts.
func publicHost(host string) bool {
	for _, end := range []string{"github.com", "githubusercontent.com", "gitlab.com", "cloudflare.com", "google.com", "googleapis.com", "jsdelivr.net", "unpkg.com"} {
		if strings.HasSuffix(host, end) {
			return true
		}
	}
	return false
}

// things are steps of a path before the name of something.
var things = wordlist.Set{List: "account accounts project projects tenant tenants org orgs organization organizations team teams workspace workspaces user users subscription subscriptions " +
	"deployment deployments endpoint endpoints model models file files document documents d commit commits blob tree raw releases images assets oauth2 realms applications apps app"}

func isUUID(text string) bool {
	if len(text) != 36 {
		return false
	}
	for i, c := range []byte(text) {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (c == '-') || !dash && !isAlnum(c) {
			return false
		}
	}
	return true
}

// parameters are names that a message may show: they stand in what may be a
// secret as a whole, so that no other name does.
var parameters = wordlist.Set{List: "key api_key apikey api-key token access_token auth_token secret client_secret password sig signature x-amz-signature x-amz-security-token x-goog-signature"}

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
