package render

import (
	"errors"
	"strings"
	"testing"
)

const oneKey = `{"providers": {"openai": {"keys": [{"value": "vault.a"}]}}}`

func TestUnseenCharactersInValues(t *testing.T) {
	for value, want := range map[string]string{
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
	} {
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
