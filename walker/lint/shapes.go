package lint

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// shape is a way that keys of some issuer look. Matching is on the whole value.
type shape struct {
	name string
	text pattern
}

// shapes are tried in order; the first that fits names the value. The forms are
// those that the issuers document, or that secret scanners agree on.
var shapes = []shape{
	{"a PEM private key", lazy(`-----BEGIN [A-Z ]*PRIVATE KEY-----`)},
	{"a Google service account with its private key", lazy(`"private_key"\s*:\s*"`)},
	{"an Anthropic key", lazy(`^sk-ant-[A-Za-z0-9_-]{16,}$`)},
	{"a Bifrost virtual key", lazy(`^sk-bf-[A-Za-z0-9_-]{16,}$`)},
	{"an OpenRouter key", lazy(`^sk-or-[A-Za-z0-9_-]{16,}$`)},
	{"an OpenAI key", lazy(`^sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}$`)},
	{"an AWS access key id", lazy(`^(?:AKIA|ASIA)[A-Z0-9]{16}$`)},
	{"a Google API key", lazy(`^AIza[A-Za-z0-9_-]{30,}$`)},
	{"a Slack token", lazy(`^xox[abeoprs]-[A-Za-z0-9-]{10,}$`)},
	{"a Slack webhook", lazy(`^https://hooks\.slack\.com/services/\S+`)},
	{"a GitHub token", lazy(`^(?:gh[opsur]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})$`)},
	{"a GitLab token", lazy(`^glpat-[A-Za-z0-9_-]{16,}$`)},
	{"a Hugging Face token", lazy(`^hf_[A-Za-z0-9]{20,}$`)},
	{"a Groq key", lazy(`^gsk_[A-Za-z0-9]{20,}$`)},
	{"a Perplexity key", lazy(`^pplx-[A-Za-z0-9]{20,}$`)},
	{"an xAI key", lazy(`^xai-[A-Za-z0-9]{20,}$`)},
	{"a webhook signing secret", lazy(`^whsec_[A-Za-z0-9+/=_-]{16,}$`)},
	{"a JWT", lazy(`^(?:Bearer )?eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*$`)},
}

// shapeOf names what a value looks like; empty where it is nothing known.
func shapeOf(text string) string {
	text = strings.TrimSpace(text)
	bare := strings.TrimPrefix(text, "Bearer ")
	for _, s := range shapes {
		if s.text.MatchString(text) || s.text.MatchString(bare) {
			return s.name
		}
	}
	return ""
}

var fakeWords = lazy(`(?i)example|dummy|fake|placeholder|change[-_ ]?me|replace[-_ ]?me|your[-_ ]|not[-_ ]?(?:a[-_ ])?real|xxxx|\.\.\.|^<.*>$|^todo$|^test$|^secret$|^password$`)

// looksFake reports whether a value is plainly no real one: a placeholder as
// documentation has it, or too short and plain to be a key.
func looksFake(text string) bool {
	if fakeWords.MatchString(text) {
		return true
	}
	kinds := map[rune]bool{}
	for _, r := range strings.ToLower(text) {
		kinds[r] = true
	}
	return len(text) < 8 || len(kinds) <= 3
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
