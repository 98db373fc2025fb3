package lint

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// shape is a way that keys of some issuer look. Matching is on the whole value.
type shape struct {
	name  string
	start string // what every such value begins with, looked at before the expression; empty: see text
	text  pattern
}

// shapes are tried in order; the first that fits names the value. The forms are
// those that the issuers document, or that secret scanners agree on.
var shapes = []shape{
	{"a PEM private key", "", lazy(`-----BEGIN [A-Z ]*PRIVATE KEY-----`)},
	{"a Google service account with its private key", "", lazy(`"private_key"\s*:\s*"`)},
	{"an Anthropic key", "sk-ant-", lazy(`^sk-ant-[A-Za-z0-9_-]{16,}$`)},
	{"a Bifrost virtual key", "sk-bf-", lazy(`^sk-bf-[A-Za-z0-9_-]{16,}$`)},
	{"an OpenRouter key", "sk-or-", lazy(`^sk-or-[A-Za-z0-9_-]{16,}$`)},
	{"an OpenAI key", "sk-", lazy(`^sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}$`)},
	{"an AWS access key id", "A", lazy(`^(?:AKIA|ASIA)[A-Z0-9]{16}$`)},
	{"a Google API key", "AIza", lazy(`^AIza[A-Za-z0-9_-]{30,}$`)},
	{"a Slack token", "xox", lazy(`^xox[abeoprs]-[A-Za-z0-9-]{10,}$`)},
	{"a Slack webhook", "https://hooks", lazy(`^https://hooks\.slack\.com/services/\S+`)},
	{"a GitHub token", "g", lazy(`^(?:gh[opsur]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})$`)},
	{"a GitLab token", "glpat-", lazy(`^glpat-[A-Za-z0-9_-]{16,}$`)},
	{"a Hugging Face token", "hf_", lazy(`^hf_[A-Za-z0-9]{20,}$`)},
	{"a Groq key", "gsk_", lazy(`^gsk_[A-Za-z0-9]{20,}$`)},
	{"a Perplexity key", "pplx-", lazy(`^pplx-[A-Za-z0-9]{20,}$`)},
	{"an xAI key", "xai-", lazy(`^xai-[A-Za-z0-9]{20,}$`)},
	{"a webhook signing secret", "whsec_", lazy(`^whsec_[A-Za-z0-9+/=_-]{16,}$`)},
	{"a JWT", "eyJ", lazy(`^eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*$`)},
}

// shapeOf names what a value looks like; empty where it is nothing known.
func shapeOf(text string) string {
	text = strings.TrimPrefix(strings.TrimSpace(text), "Bearer ")
	for i := range shapes {
		s := &shapes[i]
		if s.start == "" && !strings.Contains(text, "PRIVATE KEY") && !strings.Contains(text, `"private_key"`) {
			continue
		}
		if strings.HasPrefix(text, s.start) && s.text.MatchString(text) {
			return s.name
		}
	}
	return ""
}

// fakeWords are parts of values that documentation has in place of real ones,
// without the signs between their words.
var fakeWords = []string{"example", "dummy", "fake", "placeholder", "changeme", "replaceme", "notreal", "notareal", "xxxx", "..."}

var wordSigns = strings.NewReplacer("-", "", "_", "", " ", "")

// looksFake reports whether a value is plainly no real one: a placeholder as
// documentation has it, or too short and plain to be a key.
func looksFake(text string) bool {
	if len(text) < 8 || text[0] == '<' && text[len(text)-1] == '>' {
		return true
	}
	lower := strings.ToLower(text)
	for _, start := range []string{"your-", "your_", "your "} {
		if strings.Contains(lower, start) {
			return true
		}
	}
	joined := wordSigns.Replace(lower)
	for _, word := range fakeWords {
		if strings.Contains(joined, word) {
			return true
		}
	}
	kinds := 0
	var seen [256]bool
	for i := range len(lower) {
		if !seen[lower[i]] {
			seen[lower[i]] = true
			kinds++
		}
	}
	return kinds <= 3 || lower == "password"
}

// sensitive are the parts of names whose values are credentials.
var sensitive = lazy(`(?i)auth|token|secret|passw|pwd|api[-_]?key|apikey|access[-_]?key|credential|cookie|private[-_]?key|signature|^key$|[-_]key$`)

// inURL gives the part of a URL that is a credential: the password before its
// host, or a parameter of a telling name.
func inURL(text string) string {
	if !strings.Contains(text, "://") {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	if password, ok := u.User.Password(); ok && password != "" && !looksFake(password) {
		return "a password"
	}
	query := u.Query()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !sensitive.MatchString(name) || looksFake(query.Get(name)) {
			continue
		}
		if parameter.MatchString(name) {
			return "the parameter " + name
		}
		return "a parameter"
	}
	return ""
}

// parameter is the form of a name that is printed.
var parameter = lazy(`^[a-z][a-z_-]{0,31}$`)
