package lint

import (
	"strings"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/wordlist"
)

// part is a credential that stands in a text.
type part struct {
	start, end int
	url        bool
	of         string // what in the text it is the value of
}

// scan finds the credentials in a text of which nothing is known: those whose
// form tells, those of URLs, and what is assigned to a name that tells. It goes
// over the text once, and returns no two parts that overlap.
type scan struct {
	text  string
	parts []part
	done  int // the end of the last part
	run   int // the end of the last value without quotes
	dull  int // the end of the last address that carries nothing
}

func partsOf(text string) []part {
	s := scan{text: text}
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case isAlnum(c):
			if n, _ := keyAt(text, i); n > 0 {
				i = s.add(part{start: i, end: i + n})
				continue
			}
			for i++; i < len(text) && (isAlnum(text[i]) || text[i] == '_'); i++ {
			}
		case c == ':' || c == '=':
			i = s.assigned(i)
		case c == '-' && strings.HasPrefix(text[i:], "-----BEGIN "):
			i = s.pem(i)
		case c == '-' && (i == 0 || isSpace(text[i-1])):
			i = s.option(i)
		default:
			i++
		}
	}
	return s.parts
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// add takes a part, unless it goes back behind the last one or is plainly none,
// and returns where to go on.
func (s *scan) add(p part) int {
	value := s.text[p.start:p.end]
	if p.start >= s.done && !looksFake(value, false) && !filledLater(value) && !walker.Refers(value) {
		s.parts, s.done = append(s.parts, p), p.end
	}
	return p.end
}

func (s *scan) pem(i int) int {
	if kind, _, _ := strings.Cut(s.text[i+len("-----BEGIN "):min(len(s.text), i+64)], "-----"); !strings.Contains(kind, "PRIVATE KEY") {
		return i + 1
	}
	body, ok := privateKey(s.text[i:])
	if !ok || body == "" {
		return i + 1
	}
	end := i + strings.Index(s.text[i:], body) + len(body)
	if looksFake(s.text[i:], false) {
		return end
	}
	s.parts, s.done = append(s.parts, part{start: i, end: end}), end
	return end
}

// assigned looks at what stands around the colon or the equals sign at i:
// NAME=value, name: value, "name": "value", and a URL. It returns where to go
// on.
func (s *scan) assigned(i int) int {
	text := s.text
	name, quoted := nameBefore(text, i)
	if strings.HasPrefix(text[i:], "://") {
		return s.inURL(i-len(name), i)
	}
	at := i + 1
	for at < len(text) && (text[at] == '=' || text[at] == '>' || text[at] == ':') {
		at++
	}
	if name == "" {
		return at
	}
	says := hintOf(name)
	if says == silent {
		return s.beforeHost(at)
	}
	loose := text[i] == ':' && !quoted
	for at < len(text) && isSpace(text[at]) {
		loose = true // as in prose
		at++
	}
	at = s.value(at, name, says, loose)
	return at
}

// beforeHost takes the password of NAME:password@host, which databases are opened
// with, whose first byte is at, and returns where to go on.
func (s *scan) beforeHost(at int) int {
	end := at
	most := min(len(s.text), at+longestPair)
	for end < most && s.text[end] != '@' && !isSpace(s.text[end]) && !contains("/\"'`<>,;", s.text[end]) {
		end++
	}
	if end+1 >= len(s.text) || s.text[end] != '@' || !isAlnum(s.text[end+1]) || strings.HasPrefix(s.text[end:], "@sha256:") {
		return at
	}
	password := s.text[at:end]
	if len(password) < 6 || isWords(password) || !strings.ContainsAny(password, "0123456789") || numeric(password) {
		return at
	}
	return s.add(part{start: at, end: end, of: "a password before a host"})
}

// nameBefore returns the name that ends before the sign at i, with or without
// quotes and space between.
func nameBefore(text string, i int) (name string, quoted bool) {
	end := i
	for end > 0 && isSpace(text[end-1]) && i-end < 2 {
		end--
	}
	for end > 0 && isQuote(text[end-1]) {
		quoted = true
		end--
	}
	start := end
	for start > 0 && (isAlnum(text[start-1]) || contains("_.-", text[start-1])) {
		start--
	}
	return strings.TrimLeft(text[start:end], ".-"), quoted
}

func isQuote(c byte) bool { return c == '"' || c == '\'' || c == '`' || c == '\\' }

// value takes the value at a place if it is a credential, given the name that it
// is assigned to. In prose, less is believed.
func (s *scan) value(at int, name string, says hint, prose bool) int {
	text := s.text
	quote := byte(0)
	for at < len(text) && isQuote(text[at]) {
		quote, prose = text[at], false
		at++
	}
	at += authScheme(text[at:])
	end := at
	if quote == 0 {
		end = max(at, s.run) // between the two is none of what ends a value
	}
	for end < len(text) && text[end] != '\\' && text[end] != '"' && text[end] != quote && !isSpace(text[end]) &&
		(quote != 0 || !contains(",;&'`<>)}]|", text[end])) {
		end++
	}
	if quote == 0 {
		s.run = end
	}
	for end > at && quote == 0 && contains(".,!?", text[end-1]) {
		end--
	}
	value := text[at:end]
	if value == "" {
		return at
	}
	if isAlnum(value[0]) {
		if n, _ := keyAt(text, at); n > 0 {
			return at // where it will be found as what it is
		}
	}
	if !credible(value, name, says, prose) {
		return at
	}
	return s.add(part{start: at, end: end, of: "the value of " + printable(name, "a name")})
}

// authScheme returns the length of the word that stands before a credential in a
// header, and of the space behind it.
func authScheme(text string) int {
	for _, word := range []string{"Bearer ", "bearer ", "Basic ", "basic ", "Token ", "token ", "ApiKey ", "Digest "} {
		if strings.HasPrefix(text, word) {
			return len(word)
		}
	}
	return 0
}

// credible reports whether a value is a credential, given what its name says.
func credible(value, name string, says hint, prose bool) bool {
	value = value[:min(len(value), longestValue)]
	switch {
	case strings.Contains(value, "://"), isPath(value), isNumber(value), isDate(value), walker.Refers(value), filledLater(value), value[0] == '$', value[0] == '<', value[0] == '%':
		return false
	case says == loosely, prose && !isPassword(name):
		return opaque(value)
	case len(value) < 6 || !isPassword(name) && len(value) < 8:
		return false
	case isPassword(name):
		return !isWords(value) && !looksFake(value, true)
	}
	return plausible(value, name) && (random(value) || strings.ContainsAny(value, "0123456789") || len(value) >= 12 && mixesCase(value))
}

// mixesCase reports whether a capital comes behind a small letter.
func mixesCase(text string) bool {
	for i := 1; i < len(text); i++ {
		if 'a' <= text[i-1] && text[i-1] <= 'z' && 'A' <= text[i] && text[i] <= 'Z' {
			return true
		}
	}
	return false
}

// isNumber reports whether a text is made of what numbers and versions are made
// of.
func isNumber(text string) bool {
	return strings.Trim(text, "0123456789.,+-eEv^~<>=*") == ""
}

// isDate reports whether a text begins like a date: 2026-11-28.
func isDate(text string) bool {
	return len(text) >= 10 && text[4] == '-' && text[7] == '-' && numeric(text[:4]) && numeric(text[5:7]) && numeric(text[8:10])
}

// opaque reports whether a text is one word that looks as if it was drawn at
// random.
func opaque(text string) bool {
	return len(text) >= 14 && runOf(text, "_-.+/=~%:") == len(text) && random(text)
}

// isWords reports whether a text is made of words as people write them: small
// letters, perhaps after a capital, and those beyond ASCII.
func isWords(text string) bool {
	for i, c := range []byte(text) {
		if !('a' <= c && c <= 'z' || c == '_' || c == '-' || c == '.' || c >= 0x80 || 'A' <= c && c <= 'Z' && i == 0) {
			return false
		}
	}
	return true
}

// option looks at the option of a command line at i, and at the value that
// follows it after a space: --token x, -u name:password. It returns where to go
// on.
func (s *scan) option(i int) int {
	text := s.text
	end := i
	for end < len(text) && text[end] == '-' {
		end++
	}
	flag := end
	for end < len(text) && (isAlnum(text[end]) || text[end] == '-' || text[end] == '_') {
		end++
	}
	name := text[flag:end]
	if end >= len(text) || text[end] != ' ' || name == "" {
		return max(flag, i+1)
	}
	at := end
	for at < len(text) && isSpace(text[at]) {
		at++
	}
	switch {
	case pairFlags.Has(name):
		from := at
		for from < len(text) && isQuote(text[from]) {
			from++
		}
		to := from
		for to < len(text) && !isSpace(text[to]) && !isQuote(text[to]) {
			to++
		}
		if password := pairIn(text[from:to]); password != "" {
			return s.add(part{start: to - len(password), end: to, of: "the value of " + name})
		}
	case telling(name):
		return max(s.value(at, name, tells, true), flag)
	}
	return max(flag, i+1)
}

// pairFlags are options that take a name and a password, with a colon between.
var pairFlags = wordlist.Set{List: "u U user userpass basic-auth basic auth basicauth proxy-user"}

// pairIn returns the password in NAME:password; empty where a text is none, or
// may be a user and a group.
func pairIn(text string) string {
	user, password, ok := strings.Cut(text, ":")
	if !ok || user == "" || strings.ContainsAny(user, "/ $") || len(password) < 4 || isWords(password) || numeric(password) || isPath(password) ||
		filledLater(password) || looksFake(password, true) {
		return ""
	}
	return password
}

// inURL takes the credentials of the URL whose scheme begins at start and ends
// at colon, and returns where to go on: keys that their form tells may come yet.
func (s *scan) inURL(start, colon int) int {
	if colon < s.dull {
		return colon + len("://")
	}
	end, most := colon+len("://"), len(s.text)
	if start > 0 {
		most = min(most, start+longestURL)
	}
	for end < most && !isSpace(s.text[end]) && !contains("\"'`<>\\", s.text[end]) {
		if contains(",;|", s.text[end]) && beginsURL(s.text[end+1:]) {
			break // one of a list
		}
		end++
	}
	if !mayCarry(s.text[colon+len("://") : end]) {
		s.dull = end
		return colon + len("://")
	}
	for _, p := range urlParts(s.text[start:end]) {
		p.start, p.end = p.start+start, p.end+start
		if p.start >= s.done && !looksFake(unescaped(s.text[p.start:p.end]), p.of == aPassword) && !filledLater(s.text[p.start:p.end]) {
			s.parts, s.done = append(s.parts, p), p.end
		}
	}
	return max(s.done, colon+len("://"))
}

// beginsURL reports whether a text begins with the scheme of a URL.
func beginsURL(text string) bool {
	scheme, _, ok := strings.Cut(text[:min(len(text), len("postgresql+psycopg2://"))], "://")
	return ok && isScheme(scheme)
}

// mayCarry is a quick test, of what stands behind the :// of a URL, that it
// passes in which urlParts finds something.
func mayCarry(rest string) bool {
	slash := 0
	for i, c := range []byte(rest) {
		switch {
		case c == '@', c == '=', i-slash >= 20 && slash > 0:
			return true
		case c == '/':
			slash = i
		}
	}
	return false
}
