package lint

import (
	"strings"
	"unicode"

	"bifrost-secrets/walker/wordlist"
)

// telling reports whether a name, such as that of a header, a variable or a
// parameter of a URL, says that its value is a credential: `x-api-key`,
// `GITHUB_TOKEN`, `clientSecret`, but not `max_tokens` or `token_url`.
func telling(name string) bool {
	all := words(name)
	if len(all) == 0 || about.Has(all[len(all)-1]) {
		return false
	}
	for _, w := range all {
		if credentials.Has(w) {
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
		return len(all) == 1 || !lookups.Has(all[len(all)-2]) && !open.Has(all[len(all)-2])
	}
	return false
}

// saysAbout reports whether a name ends in a word of what is said about a credential.
func saysAbout(name string) bool {
	all := words(name)
	return len(all) == 0 || about.Has(all[len(all)-1])
}

// hint is how much a name says of its value.
type hint uint8

const (
	silent  hint = iota
	loosely      // it may be a credential, if it looks as if it was drawn at random
	tells        // it is one
)

// hintOf returns what a name says of its value.
func hintOf(name string) hint {
	if telling(name) {
		return tells
	}
	if all := words(name); saysAbout(name) || len(all) > 1 && all[len(all)-1] == "key" && open.Has(all[len(all)-2]) {
		return silent
	}
	if suspicious.In(strings.ToLower(name)) {
		return loosely
	}
	return silent
}

// suspicious are parts of names, by their first byte: what credentials are
// called, and issuers whose keys have no form of their own.
var suspicious = wordlist.Parts{List: "access api auth cred key pass secret session token " +
	"adafruit adobe airtable algolia alibaba asana atlassian beamer bitbucket bittrex cloudflare codecov cohere coinbase confluence confluent contentful " +
	"datadog deepgram discord droneci dropbox etsy facebook fastly finicity finnhub flickr freshbooks gitter gocardless heroku hubspot infura intercom jfrog jira " +
	"kraken kucoin launchdarkly linear linkedin linked_in linked-in looker mailchimp mailgun mapbox mattermost maxmind meraki message-bird message_bird messagebird mistral netlify " +
	"new-relic new_relic newrelic new-york-times newyorktimes nytimes okta plaid private-ai private_ai privateai rapidapi sendbird sentry snyk sonar sourcegraph " +
	"squarespace sumo telegr travis twilio twitch twitter typeform yandex zendesk"}

var (
	// credentials are words that name one.
	credentials = wordlist.Set{List: "authorization token secret password passwd passphrase passcode pass pwd pw credential cookie signature sig jwt pat bearer contribsys"}
	// endings are how words end that are written together: `xauthtoken`.
	endings = []string{"authorization", "token", "secret", "password", "passwd", "passphrase", "apikey", "accesskey", "secretkey", "privatekey", "authkey"}
	// about are last words of a name that says something about a credential.
	about = wordlist.Set{List: "id ids name names file path dir url uri endpoint host type kind ttl timeout limit limits count budget length size " +
		"header headers prefix suffix mode method var variable env ref enabled required expiry expires expiration format version algorithm issuer audience scope scopes field column command policy policies rule rules hint question strength store manager provider at reset since until date time timestamp age duration interval index label title description status state usage"}
	// open are words before `key` of a key that is meant to be seen.
	open = wordlist.Set{List: "public publishable site verification"}
	// lookups are words before `key` of a key that opens nothing.
	lookups = wordlist.Set{List: "cache partition idempotency routing sort primary foreign public group object project index shard dedup row hash map host tag label model lookup session user tenant"}
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

// printable returns a name as a message may show it. A long one, or one of letters
// of both cases and digits, may be anything, for base64 ends in = as well: in its
// place stands what it is.
func printable(name, what string) string {
	if len(name) > 40 || !isWord(name) || strings.ContainsAny(name, "0123456789") && name != strings.ToUpper(name) {
		return what
	}
	return name
}

// isWord reports whether a text is made of letters, digits, - and _.
func isWord(text string) bool { return text != "" && runOf(text, "_-") == len(text) }

// lastName returns the name of the last member in a path, which may be followed
// by the indexes of arrays.
func lastName(path string) string {
	for strings.HasSuffix(path, "]") && !strings.HasSuffix(path, `"]`) {
		path = path[:strings.LastIndexByte(path, '[')]
	}
	if quoted, ok := strings.CutSuffix(path, `"]`); ok {
		// A quote inside of a name has a backslash before it.
		return quoted[strings.LastIndex(quoted, `["`)+2:]
	}
	return path[strings.LastIndexAny(path, ".]")+1:]
}
