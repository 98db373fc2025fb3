package render

import (
	"errors"
	"strings"
	"testing"

	"bifrost-secrets/walker"
)

const oneKey = `{"providers": {"openai": {"keys": [{"value": "vault.a"}]}}}`

func TestUnseenCharactersInValues(t *testing.T) {
	wantNotes(t, map[string]string{
		"\ufeffsk-abc":         "begins with a byte order mark (U+FEFF)",
		"sk-abc\u200b":         "ends with a zero-width space (U+200B)",
		"sk-abc\u200e":         "ends with a left-to-right mark (U+200E)",
		"“sk-abc”":             "begins with a typographic quote (U+201C) and ends with a typographic quote (U+201D)",
		"«sk-abc»":             "begins with a typographic quote (U+00AB) and",
		"\u00a0sk-abc":         "begins with a no-break space (U+00A0)",
		"sk-abc\u2009":         "ends with a space that is not the plain one (U+2009)",
		"sk-abc\u3000":         "ends with an ideographic space (U+3000)",
		"sk-abc\u2060":         "ends with a word joiner (U+2060)",
		"\u202dsk-abc\u202c":   "begins with a mark of the direction of text (U+202D) and ends with",
		"sk-abc\u00ad":         "ends with a soft hyphen (U+00AD)",
		"sk-abc\u200c":         "ends with a zero-width non-joiner (U+200C)",
		"sk-abc\u2066":         "ends with a mark of the direction of text (U+2066)",
		"sk-abc\u0085":         "ends with a control character (U+0085)",
		"\x1b[31msk-abc":       "begins with a control character (U+001B)",
		"sk-\u200babc":         "has a zero-width space (U+200B) in it",
		"sk-abc\x7fdef":        "has a control character (U+007F) in it",
		"'sk-abc'":             "stands in quotes",
		"sk-abc\U000e0041":     "ends with a character that leaves no mark (U+E0041)",
		"sk-abc ":              "begins or ends with space",
		"sk-abc":               "",
		"pass wörd, ünïcode’s": "",
		"naïve\u00a0café":      "",
		"it's":                 "",
	})
}

func TestValuesThatSomethingWasToFillIn(t *testing.T) {
	wantNotes(t, map[string]string{
		"{{ .Values.key }}":                "the value looks like a template, {{…}}, which nothing has filled in",
		"${OPENAI_API_KEY}":                "the value looks like a variable in the syntax of a shell, ${NAME}",
		"$OPENAI_API_KEY":                  "a variable in the syntax of a shell, $NAME",
		"op://vault/item/field":            "a reference in the syntax of another tool",
		"ref+awssecrets://a#/k":            "a reference in the syntax of vals",
		"Bearer vault.a/b#c":               "a reference after another word",
		" vault.a/b#c":                     "a reference with space around it",
		"API_KEY=sk-abc":                   "a variable with its name, NAME=value",
		"export OPENAI_API_KEY=sk-abc":     "a variable with its name, NAME=value",
		`{"k": "sk-abc"}`:                  "the value is a JSON object",
		"{sk-abc-def}":                     "",
		"sk-abc":                           "",
		"c2stYWJjX2RlZg==":                 "",
		"AB_CD==":                          "",
		"Endpoint=sb://x/;SharedAccessKey": "",
		"p@$$w0rd${":                       "",
		"https://hooks.example/T0/B0/x":    "",
	})
}

// wantNotes renders a key with each value, and wants what the notes say of it, without
// the value; an empty text for no note.
func wantNotes(t *testing.T, values map[string]string) {
	t.Helper()
	for value, want := range values {
		_, notes, err := renderText(t, oneKey, map[string]string{"a": value}, Options{})
		if err != nil {
			t.Errorf("%q: %v", value, err)
			continue
		}
		var said []string
		for _, n := range notes {
			said = append(said, n.Reason)
			if strings.Contains(n.Reason+n.Hint, "sk-abc") {
				t.Errorf("%q: the note repeats the value", value)
			}
		}
		if got := strings.Join(said, "; "); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
}

func TestFragmentsOfWhatHasNoKeys(t *testing.T) {
	for value, want := range map[string]string{
		"\xff\xfe{\x00\"\x00k\x00":                 "the secret is in UTF-16, and no JSON object, so it has no keys",
		"{\x00\"\x00k\x00":                         "the secret is in UTF-16",
		"api_key: sk-abc\n":                        "the secret is YAML, and no JSON object",
		"API_KEY=sk-abc\n":                         "the secret is a file of variables, NAME=value, and no JSON object",
		"eyJrIjoic2stYWJjIn0=":                     "the secret is base64 of JSON",
		"sk-abc":                                   "the secret is not a JSON object, so it has no keys",
		`{"k": "sk-abc"`:                           "the secret begins like a JSON object and is not valid JSON",
		`{"sk-Proj4AbCdEfGhIjKlMnOpQrSt7Uv": "x"}`: "",
	} {
		_, err := Fragment([]byte(value), "k")
		if err == nil || !strings.Contains(err.Message, want) {
			t.Errorf("%q: got %v, want %q", value, err, want)
		} else if strings.Contains(err.Message+err.Hint, "sk-abc") || strings.Contains(err.Hint, "AbCdEfGhIj") {
			t.Errorf("%q: the error repeats the value", value)
		}
	}
	for _, value := range []string{"\xfe\xff\x00s\x00k", "s\x00k\x00-\x00", "\x00s\x00k"} {
		if _, err := whole([]byte(value)); err == nil || err.Message != "the secret is in UTF-16" {
			t.Errorf("%q: got %v", value, err)
		}
	}
}

func planOf(t *testing.T, doc string) *Plan {
	t.Helper()
	d, err := walker.Parse("config.json", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPlan(d, awsStore, Options{Mode: Inline, Getenv: none})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Bifrost itself takes these values from its environment.
func TestVariablesLeftForBifrost(t *testing.T) {
	const doc = `{"providers": {"openai": {"keys": [{"name": "a", "value": "env.A"}, {"name": "b", "value": "env.A"}]}},
		"governance": {"virtual_keys": [{"id": "v", "name": "v", "value": "env.VK"}]}}`
	for value, want := range map[string]string{
		"sk-abc":        "",
		"":              "warning: the variable is empty; set it, or take the reference out",
		"sk-abc\n":      "note: the value has a line break in it; set the variable to the value itself, note: the value begins or ends with space; set the variable to the value itself",
		"sk-abc\u200b":  "note: the value ends with a zero-width space (U+200B); set the variable to the value itself",
		`"sk-abc"`:      "warning: the variable's value begins or ends with a double quote, which is a part of it; set the variable to the value itself",
		"vault.a#b":     "warning: the variable holds a reference, which nothing resolves there; set the variable to the value itself",
		"********":      "warning: the variable holds a mask, and not the value; set the variable to the value itself",
		"{cipher}AQB1c": "warning: the value is a value that Spring Cloud Config has encrypted, and Bifrost would use it as it stands; set the variable to the value itself",
	} {
		plan := planOf(t, doc)
		notes, err := plan.CheckLeft(func(name string) (string, bool) { return map[string]string{"A": value, "VK": "sk-bf-x"}[name], true })
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, n := range notes {
			severity := map[bool]string{true: "warning: ", false: "note: "}[n.Warning]
			said = append(said, severity+n.Reason+"; "+n.Hint)
			if len(n.Places) != 2 || n.Reference != "env.A" {
				t.Errorf("%q: a note of %q is for %d places", value, n.Reference, len(n.Places))
			}
		}
		if got := strings.Join(said, ", "); got != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
	notes, err := planOf(t, doc).CheckLeft(func(name string) (string, bool) { return "sk-abc", name == "VK" })
	if notes != nil || err == nil || !strings.Contains(err.Error(), "env.A: the variable is not set in Bifrost's environment") {
		t.Errorf("not set: %v, %v", notes, err)
	}
	notes, err = planOf(t, doc).CheckLeft(func(string) (string, bool) { return "sk-abc", true })
	if err != nil || len(notes) != 1 || !notes[0].Warning || notes[0].Hint != "virtual keys begin sk-bf-" {
		t.Errorf("no virtual key: %v, %v", notes, err)
	}
}

func TestCiphertextIsNoValue(t *testing.T) {
	const sops = "ENC[AES256_GCM,data:Tr7o1,iv:1vhv,tag:Vd8w==,type:str]"
	long := strings.Repeat("Qk3/", 120)
	for value, want := range map[string]string{
		sops:                                    "the value is a value that sops has encrypted",
		"\ufeff " + sops:                        "sops",
		`{"k":"` + sops + `"}`:                  "sops",
		"api_key: " + sops + "\n":               "sops",
		"$ANSIBLE_VAULT;1.1;AES256\n6162636465": "ansible-vault",
		"\ufeff-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24ub3JnL3Yx\n-----END AGE ENCRYPTED FILE-----": "age has encrypted",
		"age-encryption.org/v1\n-> X25519":           "age has encrypted",
		"YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+":           "age has encrypted, in base64",
		"-----BEGIN PGP MESSAGE-----\n\nhQEMA":       "PGP has encrypted",
		"\x00GITCRYPT\x00\x01\x02":                   "git-crypt has encrypted",
		"vault:v1:8SDd3WHDOjf7mq69CyCqYjBXAiQQ":      "the transit engine of Vault",
		"ENC[PKCS7,MIIBygYJKoZIhvcNAQcDoIIBuzCC]":    "eyaml",
		"{cipher}AQB1c2VyOnBhc3N3b3Jk":               "Spring Cloud Config",
		"ENC(G6N718UuyPE5bHyWKyuLQSm02auQPUtm)":      "note: the value looks like a value that Jasypt",
		"AQICAHh" + long:                             "note: the value looks like a ciphertext of AWS KMS",
		"AQECAHh" + long:                             "note: the value looks like a ciphertext of AWS KMS",
		"CiQAs2G" + long:                             "note: the value looks like a ciphertext of GCP KMS",
		"AgCy8hC" + long:                             "note: the value looks like a value that kubeseal",
		"AgDy8hC" + long:                             "note: the value looks like a value that kubeseal",
		"hQIMAw9" + long:                             "note: the value looks like what PGP",
		"eyJpdiI6Im5vdCByZWFsIiwi" + long:            "note: the value looks like a value that Laravel",
		"encrypted:BDqD" + long:                      "dotenvx has encrypted",
		"AQAAANCMnd8BFdERjHoAwE" + long:              "Windows has encrypted",
		"01000000d08c9ddf0115d1118c7a00c04fc297eb00": "Windows has encrypted",
		"JEFOU0lCTEVfVkFVTFQ7MS4xO0FFUzI1Ng==":       "ansible-vault has encrypted",
		"LS0tLS1CRUdJTiBQR1AgTUVTU0FHRS0tLS0t":       "PGP has encrypted",
		"{\n  \"kind\": \"SealedSecret\"\n}":         "a sealed secret of Kubernetes",
		"encrypted:Bad":                              "",
		"AgBy8hC" + long:                             "note: the value looks like a value that kubeseal",
		"gAAAAABk" + long:                            "note: the value looks like a Fernet token",
		"U2FsdGVkX1" + long:                          "note: the value looks like what openssl",
		"sk-proj-abc":                                "",
		"AQIDBA==":                                   "",
		"vault:v1":                                   "",
		"ENCRYPTED":                                  "",
		"AgB":                                        "",
		"-----BEGIN " + "PRIVATE KEY-----\nMIIE\n":   "",
	} {
		_, notes, err := renderText(t, oneKey, map[string]string{"a": value}, Options{})
		got := ""
		if err != nil {
			got = err.Error()
		}
		for _, n := range notes {
			if strings.Contains(n.Reason, "looks like") {
				got += "note: " + n.Reason
			}
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%.40q: got %q, want %q", value, got, want)
		}
	}
	_, _, err := renderText(t, `{"providers": {"openai": {"keys": [{"value": "vault.a#k"}]}}}`, map[string]string{"a": `{"k":"` + sops + `","sops":{"version":"3.9.0"}}`}, Options{})
	var problems *Problems
	if !errors.As(err, &problems) || len(problems.List) != 1 || !strings.Contains(problems.List[0].Reason, "sops") {
		t.Errorf("a key of a document of sops: %v", err)
	}
	_, _, err = renderText(t, `{"providers": {"openai": {"keys": [{"value": "vault.a#k"}]}}}`, map[string]string{"a": "$ANSIBLE_VAULT;1.1;AES256\n61"}, Options{})
	if err == nil || !strings.Contains(err.Error(), "ansible-vault has encrypted, so it has no keys") {
		t.Errorf("a key of what ansible-vault has encrypted: %v", err)
	}
	for _, utf16 := range []string{"\xff\xfes\x00k\x00", "\xfe\xff\x00s\x00k"} {
		if _, _, err = renderText(t, oneKey, map[string]string{"a": utf16}, Options{}); err == nil || !strings.Contains(err.Error(), "the secret is in UTF-16") {
			t.Errorf("UTF-16: %v", err)
		}
	}
}
