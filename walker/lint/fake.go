package lint

import "strings"

// fakeParts are what placeholders are made of.
var fakeParts = strings.Fields("example dummy fake placeholder changeme change-me change_me replace your insert- insert_ " +
	"not-a-real not-real notreal not-needed not_needed xxxx ... … todo fixme sample redacted goes-here goes_here -here _here")

// fakeValues are placeholders as a whole.
var fakeValues = set("test secret password passwd none null nil undefined empty foo bar foobar admin key token value string n/a na tbd api-key api_key apikey mykey my-key my_key")

var fakeBy = func() (by [256][]string) {
	for _, part := range fakeParts {
		by[part[0]] = append(by[part[0]], part)
	}
	return by
}()

// looksFake reports whether a value is plainly no real secret: a placeholder as
// documentation has it or, where it is no password, too short or too plain to
// be a key.
func looksFake(text string, password bool) bool {
	if key, ok := privateKey(text); ok {
		// The rest of the document may name an example and still hold a real key.
		return len(key) < 64 || hasFakePart(strings.ToLower(key))
	}
	text = strings.TrimPrefix(strings.TrimSpace(text), "Bearer ")
	lower := strings.ToLower(text)
	if hasFakePart(lower) || fakeValues[lower] || strings.HasPrefix(text, "<") && strings.HasSuffix(text, ">") {
		return true
	}
	if password {
		return strings.Trim(text, "*") == ""
	}
	return len(text) < 8 || fewKinds(lower)
}

func hasFakePart(lower string) bool {
	for i := range len(lower) {
		for _, part := range fakeBy[lower[i]] {
			if strings.HasPrefix(lower[i:], part) {
				return true
			}
		}
	}
	return false
}

// fewKinds reports whether a text has at most three different bytes.
func fewKinds(text string) bool {
	var seen [3]byte
	n := 0
next:
	for _, c := range []byte(text) {
		for _, s := range seen[:n] {
			if s == c {
				continue next
			}
		}
		if n == len(seen) {
			return false
		}
		seen[n] = c
		n++
	}
	return true
}
