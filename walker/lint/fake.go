package lint

import (
	"strings"

	"bifrost-secrets/walker/wordlist"
)

// fakeParts are what placeholders are made of.
var fakeParts = wordlist.Parts{List: "example dummy fake placeholder changeme change-me change_me replace your insert- insert_ " +
	"/xxx not-a-real not-real notreal not-needed not_needed xxxx ... … todo fixme sample redacted goes-here goes_here -here _here"}

// fakeValues are placeholders as a whole.
var fakeValues = wordlist.Set{List: "test secret password passwd none null nil undefined empty foo bar foobar admin key token value string n/a na tbd api-key api_key apikey mykey my-key my_key"}

// fakeWords are words that placeholders are made of where they are made of
// nothing else: what local servers of models want as a key, which is anything.
var fakeWords = wordlist.Set{List: "sk pk ak vk bf ant or lf proj api apikey key keys token bearer auth secret credential credentials value string my our the a an any anything some for of is " +
	"no not non nokey noauth none null nil nothing required needed necessary need unused ignored ignore anonymous anon public default empty blank noop " +
	"test tests testing tester mock mocked stub dummy fake demo sample example placeholder local localhost localai dev development stage staging prod production internal offline free open " +
	"lm studio lmstudio ollama vllm llama cpp llamacpp llamafile sglang sgl tgi xinference litellm jan gpt4all koboldcpp oobabooga tabby mlx lemonade " +
	"openai anthropic gemini google azure bedrock vertex mistral cohere groq provider model server bifrost gateway service team user client app " +
	"abc abcd abcde abcdef def456 abc123 abc123def456 abcd1234 xyz xyz123 foo bar baz qux foobar asdf qwerty 0 1 2 3 00 000 0000 111 1111 123 1234 12345 123456 1234567 12345678 123456789 1234567890 " +
	"your insert replace change me here with real actual valid existing new old first second todo tbd n"}

// isMadeUp reports whether a text has nothing but such words in it.
func isMadeUp(lower string) bool {
	if len(lower) > 48 {
		return false
	}
	for _, word := range strings.FieldsFunc(lower, func(r rune) bool { return strings.ContainsRune("-_ .:/+", r) }) {
		if !fakeWords.Has(word) {
			return false
		}
	}
	return true
}

// looksFake reports whether a value is plainly no real secret: a placeholder as
// documentation has it or, where it is no password, too short or too plain to
// be a key.
func looksFake(text string, password bool) bool {
	if key, ok := privateKey(text); ok {
		// The rest of the document may name an example and still hold a real key.
		return len(key) < 64 || fakeParts.In(strings.ToLower(key))
	}
	text = strings.TrimPrefix(strings.TrimSpace(text), "Bearer ")
	lower := strings.ToLower(text)
	if fakeParts.In(lower) || fakeValues.Has(lower) || strings.HasPrefix(text, "<") && strings.HasSuffix(text, ">") {
		return true
	}
	if password {
		return strings.Trim(text, "*") == ""
	}
	return len(text) < 8 || fewKinds(lower) || isMadeUp(lower) || repeats(lower)
}

// repeats reports whether one byte stands ten times in a row in a short text, or
// is most of a longer one: AKIA0000000000000001.
func repeats(text string) bool {
	run := 0
	for i := range len(text) {
		if i == 0 || text[i] != text[i-1] {
			run = 0
		}
		if run++; run >= 10 && (len(text) <= 24 || 2*run > len(text)) {
			return true
		}
	}
	return false
}

// fewKinds reports whether a text has at most three different bytes.
func fewKinds(text string) bool {
	var seen [256]bool
	n := 0
	for _, c := range []byte(text) {
		if !seen[c] {
			seen[c] = true
			if n++; n > 3 {
				return false
			}
		}
	}
	return true
}
