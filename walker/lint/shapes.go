package lint

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// shape is a way that the keys of an issuer look.
type shape struct {
	name   string
	prefix string
	least  int    // characters behind the prefix, at least
	more   string // characters that may stand there beside letters and digits
}

// shapes are tried in order; the first that fits names the value. The forms are
// those that the issuers document, or that secret scanners agree on.
var shapes = []shape{
	{"an Anthropic key", "sk-ant-", 16, "_-"},
	{"a Bifrost virtual key", "sk-bf-", 16, "_-"},
	{"an OpenRouter key", "sk-or-", 16, "_-"},
	{"a Langfuse key", "sk-lf-", 16, "_-"},
	{"an OpenAI key", "sk-proj-", 16, "_-"},
	{"an OpenAI key", "sk-svcacct-", 16, "_-"},
	{"an OpenAI key", "sk-admin-", 16, "_-"},
	{"an OpenAI key", "sk-", 20, "_-"},
	{"an AWS access key id", "AKIA", 16, ""},
	{"an AWS access key id", "ASIA", 16, ""},
	{"a Bedrock API key", "ABSK", 40, "+/="},
	{"a Google API key", "AIza", 30, "_-"},
	{"a Slack token", "xoxa-", 10, "-"},
	{"a Slack token", "xoxb-", 10, "-"},
	{"a Slack token", "xoxe-", 10, "-"},
	{"a Slack token", "xoxp-", 10, "-"},
	{"a Slack token", "xoxr-", 10, "-"},
	{"a Slack token", "xoxs-", 10, "-"},
	{"a Slack token", "xapp-", 12, "-"},
	{"a GitHub token", "github_pat_", 30, "_"},
	{"a GitHub token", "ghp_", 30, ""},
	{"a GitHub token", "gho_", 30, ""},
	{"a GitHub token", "ghs_", 30, ""},
	{"a GitHub token", "ghu_", 30, ""},
	{"a GitHub token", "ghr_", 30, ""},
	{"a GitLab token", "glpat-", 16, "_-."},
	{"a Hugging Face token", "hf_", 20, ""},
	{"a Groq key", "gsk_", 20, ""},
	{"a Perplexity key", "pplx-", 20, ""},
	{"an xAI key", "xai-", 20, ""},
	{"a Fireworks key", "fw_", 20, ""},
	{"a Cerebras key", "csk-", 20, ""},
	{"an NVIDIA key", "nvapi-", 20, "_-"},
	{"a Replicate token", "r8_", 20, ""},
	{"a Pinecone key", "pcsk_", 20, "_"},
	{"a Tavily key", "tvly-", 16, "_-"},
	{"a Notion token", "ntn_", 20, ""},
	{"a Linear key", "lin_api_", 20, ""},
	{"a Stripe key", "sk_live_", 16, ""},
	{"a Stripe key", "rk_live_", 16, ""},
	{"a token of HashiCorp Vault", "hvs.", 20, "_-"},
	{"a webhook signing secret", "whsec_", 16, "+/=_-"},
	{"an age identity", "AGE-SECRET-KEY-", 20, ""},
	{"a Slack webhook", "https://hooks.slack.com/services/", 8, "/"},
	{"a Slack webhook", "https://hooks.slack.com/workflows/", 8, "/"},
	{"a Discord webhook", "https://discord.com/api/webhooks/", 8, "/_-"},
}

// shapesBy are the shapes by the first byte of the prefix.
var shapesBy = func() (by [256][]*shape) {
	for i := range shapes {
		c := shapes[i].prefix[0]
		by[c] = append(by[c], &shapes[i])
	}
	return by
}()

// openStart is how a text may begin that holds a secret wherever it stands.
type openStart struct {
	text string
	url  bool // only if there is more in it
}

// openStartsBy are all of them by their first byte: those of shapes, of headers,
// and of URLs.
var openStartsBy = func() (by [256][]openStart) {
	for i := range shapes {
		by[shapes[i].prefix[0]] = append(by[shapes[i].prefix[0]], openStart{shapes[i].prefix, false})
	}
	for _, s := range strings.Fields("eyJ -----BEGIN Bearer Basic") {
		by[s[0]] = append(by[s[0]], openStart{s, false})
	}
	for _, s := range strings.Fields("http:// https:// postgres:// postgresql:// redis:// rediss:// mysql:// mongodb:// mongodb+srv:// amqp:// amqps:// ftp:// /") {
		by[s[0]] = append(by[s[0]], openStart{s, true})
	}
	return by
}()

// mayBeOpen is a quick test, of the inside of a JSON string, that a text passes
// in which openLeak finds something. One that has space before it, or its first
// letters escaped, is not worth the time.
func mayBeOpen(raw []byte) bool {
	if len(raw) == 0 {
		return false
	}
	for _, s := range openStartsBy[raw[0]] {
		if len(raw) > len(s.text) && string(raw[:len(s.text)]) == s.text {
			return !s.url || bytes.IndexByte(raw, '@') >= 0 || bytes.IndexByte(raw, '=') >= 0 || bytes.Contains(raw, []byte(".webhook.office.com/"))
		}
	}
	return false
}

// shapeOf names what a value looks like; empty where it is nothing known.
func shapeOf(text string) string {
	text = strings.TrimSpace(text)
	bare := strings.TrimPrefix(text, "Bearer ")
	if bare == "" {
		return ""
	}
	for _, s := range shapesBy[bare[0]] {
		if rest, ok := strings.CutPrefix(bare, s.prefix); ok && len(rest) >= s.least && madeOf(rest, s.more) {
			return s.name
		}
	}
	if isJWT(bare) {
		return "a JWT"
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
	if host, _, _ := strings.Cut(strings.TrimPrefix(text, "https://"), "/"); len(host) < len(text) && strings.HasSuffix(host, ".webhook.office.com") {
		return "a Microsoft Teams webhook"
	}
	return ""
}

// shapeWithin gives the first string in a JSON text that looks like a real key.
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

func madeOf(s, more string) bool {
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(more, c) >= 0) {
			return false
		}
	}
	return true
}

// isJWT reports whether a text is a JSON Web Token: three parts, the first two
// of which are JSON objects in base64.
func isJWT(text string) bool {
	if !strings.HasPrefix(text, "eyJ") || strings.Count(text, ".") != 2 {
		return false
	}
	parts := strings.Split(text, ".")
	for i, part := range parts {
		if !madeOf(part, "_-") || i < 2 && (len(part) < 10 || !strings.HasPrefix(part, "eyJ")) {
			return false
		}
	}
	return true
}

// privateKey gives what stands between the lines of a PEM private key in a text,
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
		if strings.HasSuffix(kind, "PRIVATE KEY") {
			body, _, _ = strings.Cut(text, "-----END")
			return body, true
		}
	}
}
