package lint

import (
	"slices"
	"strings"
	"testing"
)

func TestTelling(t *testing.T) {
	for _, name := range strings.Fields("Authorization Proxy-Authorization X-Api-Key x-api-key apikey apiKey APIKey api_key OPENAI_API_KEY GITHUB_TOKEN authToken xauthtoken " +
		"clientSecret client_secret PGPASSWORD DB_PASS Cookie Set-Cookie X-Auth key --key Ocp-Apim-Subscription-Key X-Amz-Signature sig X-Goog-Api-Key ENCRYPTION_KEY jwt GITHUB_PAT access_token secret.value") {
		if !telling(name) {
			t.Errorf("%s is not telling", name)
		}
	}
	for _, name := range strings.Fields("X-Team Content-Type max_tokens budget_tokens token_url tokenUrl X-Token-Limit X-Author authority Idempotency-Key X-Cache-Key cacheKey partition_key " +
		"secret_name password_file keyId X-Api-Key-Id auth_type auth_method Access-Control-Allow-Credentials secretary monkey keyboard path compass anthropic-version OpenAI-Organization") {
		if telling(name) {
			t.Errorf("%s is telling", name)
		}
	}
}

func TestWords(t *testing.T) {
	for name, want := range map[string]string{
		"X-Api-Key": "x api key", "api_key": "api key", "apiKey": "api key", "APIKey": "api key", "OPENAI_API_KEY": "openai api key", "oauth2Token": "oauth2 token", "": "", "--": "", "ÄÖToken": "äö token",
	} {
		if got := words(name); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestLastName(t *testing.T) {
	for path, want := range map[string]string{
		"a.b": "b", "a.b[3]": "b", "a[0][1]": "a", `a.headers["x.y"]`: "x.y", `a["b"].c`: "c", `a["b]c"]`: "b]c", `a["b"][2]`: "b", `["a"]`: "a", "a": "a",
	} {
		if got := lastName(path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestShapeOf(t *testing.T) {
	tail := strings.Repeat("aB3d", 20)
	for _, s := range shapes {
		for prefix := range strings.FieldsSeq(s.prefixes) {
			value := prefix + tail
			if got := shapeOf(value); got != s.name {
				t.Errorf("%s…: %q, want %q", prefix, got, s.name)
			}
			if looksFake(value, false) {
				t.Errorf("%s… looks fake", prefix)
			}
			if got := shapeOf(prefix + "aB"); got != "" {
				t.Errorf("%s and two letters: %q", prefix, got)
			}
		}
	}
	for value, want := range map[string]string{
		"Bearer sk-ant-" + tail: "an Anthropic key", " sk-ant-" + tail + "\n": "an Anthropic key", "Basic dTpw": "HTTP basic credentials", "Basic authentication": "",
		"eyJhbGciOiJ9.eyJzdWIiOiJ9.": "a JWT", "eyJ.eyJ.x": "", "-----BEGIN " + "CERTIFICATE-----\naaaa": "", "https://a.webhook.office.com/x": "a Microsoft Teams webhook",
		"https://hooks.slack.com/services/T/B/" + tail: "a Slack webhook", "": "", "Bearer ": "", "sk-" + tail + "!": "",
	} {
		if got := shapeOf(value); got != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
}

func TestLooksFake(t *testing.T) {
	for _, value := range []string{"sk-...", "sk-…", "YOUR_API_KEY", "<key>", "REPLACE_ME", "xxxxxxxxxxxx", "sk-XXXXXXXXXXXX", "aaaaaaaaaaaa", "changeme", "TODO-later", "Bearer <token>", "short", "insert-key-here", "vk-openai-yyyyyyyyyyyyyyyyyyyyyyyyyyyy", "vk_abc123def456", "-----BEGIN " + "PRIVATE KEY-----\n...\n"} {
		if !looksFake(value, false) {
			t.Errorf("%q looks real", value)
		}
	}
	for _, value := range []string{"correct-battery-staple", "77ab91cdefgh", "s3cretValue", "q8Zk0000000000000000vX3nT9bWfLs5"} {
		if looksFake(value, false) {
			t.Errorf("%q looks fake", value)
		}
	}
	for _, value := range strings.Fields("lm-studio sk-no-key-required token-abc123 mock-key test-key none-needed no_api_key ollama-key sk-local-dev llama.cpp-server sk-1234567890 local-vllm sk-bf-test-key api-key-not-required anything-works-or-not") {
		if got := looksFake(value, false); got != !strings.Contains(value, "works") {
			t.Errorf("%q looks fake: %v", value, got)
		}
		if looksFake(value, true) != fakeParts.In(value) {
			t.Errorf("the password %q looks fake", value)
		}
	}
	for value, want := range map[string]bool{"hunter2": false, "a": false, "changeme": true, "password": true, "****": true} {
		if got := looksFake(value, true); got != want {
			t.Errorf("the password %q looks fake: %v", value, got)
		}
	}
}

func TestInURL(t *testing.T) {
	for address, want := range map[string]string{
		"https://u:pw12345@h/x": "pw12345", "https://u:p@ss/w#rd@h/x": "p@ss/w#rd", "redis://:pw@h": "pw", "https://h/?key=abc&x=1#f": "abc", "https://h?a=b&access_token=%41bc": "Abc",
		"https://h:8080/a@b": "", "https://h/@scope/x:y@z": "", "https://user@h": "", "https://h/?keyword=a": "", "https://h/?token=123": "", "u:p@h": "", "1a://u:p@h": "", "https://h/#a:b@c": "", "://": "",
	} {
		got := ""
		if parts := urlParts(address); len(parts) > 0 {
			got = unescaped(address[parts[0].start:parts[0].end])
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", address, got, want)
		}
	}
}
