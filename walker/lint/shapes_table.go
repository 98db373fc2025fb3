package lint

import (
	"strings"
	"sync"

	"bifrost-secrets/walker/wordlist"
)

// shape is a way that the keys of an issuer look.
type shape struct {
	name     string
	prefixes string // any of these
	least    int    // characters behind the prefix, at least
	more     string // characters that may stand there beside letters and digits
	// weak says that words may look so too: what stands behind the prefix must
	// look as if it was drawn at random.
	weak bool
}

const virtualKey = "a Bifrost virtual key"

// shapes are tried in order; the first that fits names the value. The forms are
// those that the issuers document, or that secret scanners agree on.
var shapes = []shape{
	{"an Anthropic key", "sk-ant-", 16, "_-", true},
	{virtualKey, "sk-bf-", 16, "_-", true},
	{"an OpenRouter key", "sk-or-", 16, "_-", true},
	{"a Langfuse key", "sk-lf-", 16, "_-", true},
	{"an OpenAI key", "sk-proj- sk-svcacct- sk-admin-", 16, "_-", true},
	{"an OpenAI key", "sk-", 20, "_-", true},
	{"an AWS access key id", "AKIA ASIA ABIA ACCA", 16, "", false},
	{"an AWS access key id", "A3T", 17, "", false},
	{"a Bedrock API key", "ABSK", 40, "+/=", true},
	{"a Bedrock API key", "bedrock-api-key-", 24, "+/=", false},
	{"a Google API key", "AIza", 30, "_-", false},
	{"a Google API key", "AQ.", 35, "_-", true},
	{"a Google OAuth secret", "GOCSPX-", 20, "_-", false},
	{"a Google access token", "ya29.", 20, "_-.", false},
	{"a Slack token", "xoxa-", 8, "-", false},
	{"a Slack token", "xoxb- xoxe- xoxo- xoxp-", 10, "-", false},
	{"a Slack token", "xoxr-", 8, "-", false},
	{"a Slack token", "xoxs-", 10, "-", false},
	{"a Slack token", "xoxe.xox", 20, "-", false},
	{"a Slack token", "xapp-", 12, "-", false},
	{"a GitHub token", "github_pat_", 30, "_", false},
	{"a GitHub token", "ghp_ gho_ ghs_ ghu_ ghr_", 30, "", false},
	{"a GitLab token", "glpat-", 16, "_-.", false},
	{"a GitLab token", "glcbt- gldt- glffct- glft- glimt- glagent- gloas- glptt-", 20, "_-", false},
	{"a GitLab token", "glrt-", 20, "_-.", false},
	{"a GitLab token", "glsoat- GR1348941", 20, "_-", false},
	{"a Hugging Face token", "hf_ api_org_", 20, "", true},
	{"a Groq key", "gsk_", 20, "", true},
	{"a Perplexity key", "pplx-", 20, "", true},
	{"an xAI key", "xai-", 20, "", true},
	{"a Fireworks key", "fw_", 20, "", true},
	{"a Cerebras key", "csk-", 20, "", true},
	{"an NVIDIA key", "nvapi-", 20, "_-", true},
	{"a Replicate token", "r8_", 20, "", true},
	{"a Together key", "tgp_v1_", 20, "_-", false},
	{"a Voyage key", "pa-", 30, "_-", true},
	{"a LangSmith key", "lsv2_", 20, "_", false},
	{"a Pinecone key", "pcsk_", 20, "_", true},
	{"a Tavily key", "tvly-", 16, "_-", true},
	{"a Firecrawl key", "fc-", 20, "", true},
	{"a Jina key", "jina_", 20, "_-", true},
	{"a Context7 key", "ctx7sk-", 16, "-", false},
	{"an E2B key", "e2b_", 20, "", true},
	{"an Apify token", "apify_api_", 20, "", false},
	{"a Browserbase key", "bb_live_", 20, "_-", true},
	{"a RunPod key", "rpa_", 30, "", true},
	{"a Notion token", "ntn_", 20, "", true},
	{"a Notion token", "secret_", 40, "", true},
	{"a Linear key", "lin_api_ lin_oauth_", 20, "", false},
	{"an Atlassian token", "ATATT3 ATCTT3", 40, "_-=.", false},
	{"a Bitbucket token", "ATBB", 28, "", true},
	{"a Databricks token", "dapi", 32, "-", true},
	{"a Supabase key", "sbp_", 30, "", true},
	{"a Supabase key", "sb_secret_", 20, "_-", false},
	{"a Neon key", "napi_", 30, "", true},
	{"a Figma token", "figd_", 20, "_-", false},
	{"a Stripe key", "sk_live_ rk_live_", 10, "", false},
	{"a Stripe key", "sk_test_ rk_test_ sk_prod_ rk_prod_", 10, "", true},
	{"a token of HashiCorp Vault", "hvs. hvb. hvr.", 20, "_-", false},
	{"a token of HashiCorp Vault", "s.", 24, "", true},
	{"a Grafana token", "glsa_", 20, "_", false},
	{"a Grafana token", "glc_", 20, "+/=", false},
	{"a Grafana token", "eyJrIjoi", 40, "=", false},
	{"a New Relic key", "NRAK-", 20, "", false},
	{"a New Relic key", "NRJS-", 19, "", false},
	{"a New Relic key", "NRII-", 20, "_-", false},
	{"a SendGrid key", "SG.", 40, "_-.=", true},
	{"a Brevo key", "xkeysib-", 40, "-", false},
	{"an npm token", "npm_", 30, "", true},
	{"a PyPI token", "pypi-", 40, "_-", false},
	{"a RubyGems key", "rubygems_", 30, "", true},
	{"a Clojars token", "CLOJARS_", 40, "", false},
	{"a DigitalOcean token", "dop_v1_ doo_v1_ dor_v1_", 40, "", false},
	{"a Doppler token", "dp.pt.", 30, "", false},
	{"a Doppler token", "dp.st.", 30, "._", false},
	{"a Dynatrace token", "dt0c01.", 40, ".", false},
	{"a 1Password token", "ops_eyJ", 40, "+/=_-", false},
	{"an Alibaba access key id", "LTAI", 16, "", true},
	{"an Artifactory key", "AKCp", 40, "", false},
	{"an Artifactory token", "cmVmd", 48, "", true},
	{"a ClickHouse key", "4b1d", 38, "", true},
	{"an Adobe secret", "p8e-", 32, "", true},
	{"a Cloudflare key", "v1.0-", 40, "-", true},
	{"a Defined Networking key", "dnkey-", 40, "=_-", false},
	{"a Duffel token", "duffel_", 40, "_=-", false},
	{"an EasyPost key", "EZAK EZTK", 40, "", true},
	{"a Facebook token", "EAAM EAAC", 40, "", true},
	{"a Square token", "EAAA", 22, "_-", true},
	{"a Square token", "sq0atp-", 20, "_-", false},
	{"a Flutterwave key", "FLWSECK_TEST- FLWPUBK_TEST-", 12, "-", false},
	{"a Fly.io token", "fo1_", 40, "_-", true},
	{"a Fly.io token", "fm1a_ fm1r_ fm2_", 40, "+/=", true},
	{"a Frame.io token", "fio-u-", 40, "_=-", false},
	{"a Harness key", "pat. sat.", 40, "._-", true},
	{"an Airtable token", "pat", 40, ".", true},
	{"a Heroku key", "HRKU-", 30, "_-", false},
	{"a HubSpot token", "pat-na1- pat-eu1-", 30, "-", true},
	{"an Infracost token", "ico-", 30, "", true},
	{"an Intra42 secret", "s-s4t2", 40, "-", true},
	{"a Mailgun key", "key-", 32, "", true},
	{"a Mapbox token", "pk. sk.", 40, "._-", true},
	{"an Octopus Deploy key", "API-", 26, "", true},
	{"an OpenShift token", "sha256~", 40, "_-", false},
	{"a PlanetScale token", "pscale_tkn_ pscale_oauth_", 20, "=._-", false},
	{"a PlanetScale password", "pscale_pw_", 20, "=._-", false},
	{"a Postman key", "PMAK-", 40, "-", false},
	{"a Prefect token", "pnu_", 30, "", true},
	{"a Pulumi token", "pul-", 40, "", true},
	{"a ReadMe key", "rdme_", 40, "", true},
	{"a Scalingo token", "tk-us-", 40, "_-", true},
	{"a Sentry token", "sntrys_", 40, "+/=_", false},
	{"a Sentry token", "sntryu_", 40, "", false},
	{"a SettleMint token", "sm_aat_ sm_pat_ sm_sat_", 16, "", false},
	{"a Shippo token", "shippo_", 40, "_", true},
	{"a Shopify token", "shpat_ shpca_ shppa_ shpss_", 32, "", false},
	{"a Sourcegraph token", "sgp_", 40, "_", true},
	{"a Typeform token", "tfp_", 40, "._=-", true},
	{"a Yandex key", "AQVN", 35, "_-", true},
	{"a Yandex token", "t1.", 60, "._=-", true},
	{"a Dropbox token", "sl.", 60, "_=-", true},
	{"a Beamer token", "b_", 40, "_=-", true},
	{"a Plaid token", "access-", 32, "-", true},
	{"a Sonar token", "squ_ sqp_ sqa_", 36, "_=-", true},
	{"a Twitter token", "AAAAAAAAAAAAAAAAAAAAAA", 60, "%", true},
	{"a 1Password secret key", "A3-", 30, "-", true},
	{"an Authress key", "sc_ ext_ scauth_ authress_", 50, "._-+/=", true},
	{"a live key", "live_", 31, "_=-", true},
	{"a test key", "test_", 31, "_=-", true},
	{"a JWT in base64", "ZXlK", 50, "+/=_-", false},
	{"a Twilio key", "SK", 32, "", true},
	{"a webhook signing secret", "whsec_", 16, "+/=_-", true},
	{"an age identity", "AGE-SECRET-KEY-", 20, "", false},
	{"a Slack webhook", "https://hooks.slack.com/services/ https://hooks.slack.com/workflows/ https://hooks.slack.com/triggers/ hooks.slack.com/services/ hooks.slack.com/workflows/ hooks.slack.com/triggers/", 8, "/", false},
	{"a Discord webhook", "https://discord.com/api/webhooks/ https://discordapp.com/api/webhooks/", 8, "/_-", false},
}

// start is one of the prefixes of a shape.
type start struct {
	prefix string
	*shape
}

// starts returns every one of them.
var starts = sync.OnceValue(func() *wordlist.ByFirst[start] {
	return wordlist.Index(func(yield func(start) bool) {
		for i := range shapes {
			for prefix := range strings.FieldsSeq(shapes[i].prefixes) {
				if !yield(start{prefix, &shapes[i]}) {
					return
				}
			}
		}
	}, func(s start) string { return s.prefix })
})

// fits returns how much of a text, from its start, is a key of that shape; 0
// where it begins with none.
func (s start) fits(text string) int {
	if len(text) <= len(s.prefix) || text[1] != s.prefix[1] || text[:len(s.prefix)] != s.prefix || len(text) < len(s.prefix)+s.least {
		return 0
	}
	rest := text[len(s.prefix):]
	n := runOf(rest, s.more)
	// What ends a sentence or a file's name is no part of it.
	for n > 0 && (rest[n-1] == '.' || rest[n-1] == '/') {
		n--
	}
	if n < s.least || s.weak && !random(rest[:n]) {
		return 0
	}
	return len(s.prefix) + n
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func contains(set string, c byte) bool {
	for i := range len(set) {
		if set[i] == c {
			return true
		}
	}
	return false
}

// random reports whether a text looks as if it was drawn at random, and not like
// words: letters and digits change places often, or there is no end to a word.
func random(text string) bool {
	const (
		other = iota
		lower
		upper
		digit
	)
	was, changes, run, longest := other, 0, 0, 0
	for _, c := range []byte(text) {
		is := other
		switch {
		case 'a' <= c && c <= 'z':
			is = lower
		case 'A' <= c && c <= 'Z':
			is = upper
		case '0' <= c && c <= '9':
			is = digit
		}
		if is == other {
			run = 0
		} else {
			run++
			longest = max(longest, run)
		}
		// From a capital to a small letter is how words begin.
		if is != was && is != other && was != other && !(was == upper && is == lower) {
			changes++
		}
		was = is
	}
	return changes >= 3 && changes*7 >= len(text) || longest >= 24
}
