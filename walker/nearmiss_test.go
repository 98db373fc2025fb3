package walker

import (
	"strings"
	"testing"
)

// entryAt returns the catalogue's line of a pattern.
func entryAt(t *testing.T, pattern string) *Entry {
	t.Helper()
	for i, e := range Catalogue() {
		if e.Pattern == pattern {
			return &Catalogue()[i]
		}
	}
	t.Fatalf("the catalogue has no %s", pattern)
	return nil
}

const (
	aKey     = "providers.*.keys[].value"
	aURL     = "providers.*.network_config.base_url"
	aHeader  = "providers.*.network_config.extra_headers.*"
	anArg    = "mcp.client_configs[].stdio_config.args[]"
	aZone    = "plugins[].config.**"
	aDocment = "providers.*.keys[].vertex_key_config.auth_credentials"
)

func TestNearMisses(t *testing.T) {
	everywhere := []string{aKey, aHeader, aZone}
	surely := `VAULT.app/x|Vault.app/x#k| vault.app/x|"vault.app/x"|'vault.app/x'|` + "`vault.app/x`|vault .app/x#k|" +
		`“vault.app/x”|‘vault.app/x#k’|«vault.app/x»|(vault.app/x)|[vault.app/x]|<vault.app/x>|{vault.app/x}|{{vault.app/x}}|{{ vault.app/x#k }}|${vault.app/x}|$vault.app/x|$(vault.app/x)|@vault.app/x|=vault.app/x|` +
		"\u200bvault.app/x|\ufeffvault.app/x|\u00a0vault.app/x|\u2060vault.app/x|\u200evault.app/x|\u202avault.app/x\u202c|va\u200bult.app/x#k|vault\u200b.app/x|vault．app/x|ｖａｕｌｔ.app/x|vаult.app/x|\u00advault.app/x|\tvault.app/x|" +
		"vault:app/x|Vault:app/x|vault:app/x#k|vault://app/x|ref+vault://app/x#/k|ref+file://x|op://v/i/f|aws-sm://app|secret://app/x|gcp-secret-manager://x|os.environ/KEY|os.environ['KEY']|env://KEY|projects/p/secrets/s/versions/1|" +
		"arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-AbCdEf|https://v.vault.azure.net/secrets/s|@Microsoft.KeyVault(SecretUri=x)|ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]|Bearer vault.app/x|Bearer env.KEY"
	for _, text := range strings.Split(surely, "|") {
		for _, pattern := range everywhere {
			if miss := FindNearMiss(entryAt(t, pattern), text); !miss.Found() {
				t.Errorf("%s: %q is no near miss", pattern, text)
			}
		}
	}
	inFields := `$KEY|${KEY}|${env.KEY}|${env:KEY}|$env:KEY|$(KEY)|%KEY%|%{KEY}|%(KEY)s|#{KEY}|#{KEY}#|@@KEY@@|{KEY}|{env.KEY}|{{KEY}}|{{ env "KEY" }}|{% KEY %}x{{KEY}}|<%= KEY %>|Bearer $KEY|Bearer ${KEY}|` +
		`ENV.KEY|Env.KEY| env.KEY|"env.KEY"|<env.KEY>|process.env.KEY|process.env['KEY']|env['KEY']|env(KEY)|getenv('KEY')|os.getenv("KEY")|!env KEY|@env:KEY|` + "\u200benv.KEY|еnv.KEY"
	for _, text := range strings.Split(inFields, "|") {
		if miss := FindNearMiss(entryAt(t, aKey), text); !miss.Found() {
			t.Errorf("%q is no near miss", text)
		}
	}
	for _, text := range strings.Split("env:KEY|ENV:KEY_2|env/KEY", "|") {
		if miss := FindNearMiss(entryAt(t, aHeader), text); !miss.Found() {
			t.Errorf("%q is no near miss in a header", text)
		}
	}
	for _, text := range strings.Split("VAULT.app/x|vault:app/x|ref+file://x|op://v/i/f|Bearer env.KEY|TOKEN=env.token|--token=vault.app/x", "|") {
		if miss := FindNearMiss(entryAt(t, anArg), text); !miss.Found() {
			t.Errorf("%q is no near miss in a command line", text)
		}
	}
	inSecrets := `vault/app/x|Vault/app|secretRef:app|secret:app/x|secrets:app/x|keyvault:x|env:KEY|ENV:KEY|env/KEY|file:///run/secrets/x|file:/run/secrets/x|!vault app/x|valut.app/x#k|vualt.app/x|vaul.app/x|vaultt.app/x#k|secret.app/x#k|evn.KEY|envs.KEY|` +
		`vault#app/x|vault;app/x|vault app/x#k|` + "$ANSIBLE_VAULT;1.1;AES256\n6162|-----BEGIN AGE ENCRYPTED FILE-----\nYWdl|vault:v1:8SDd3WHDOjf7mq69CyCqYjBXAiQQAVZRkFM13ok481zoCmHnSeDX9vyf7w=="
	for _, text := range strings.Split(inSecrets, "|") {
		miss := FindNearMiss(entryAt(t, aKey), text)
		if !miss.Found() {
			t.Errorf("%q is no near miss", text)
		}
		if strings.Contains(miss.What+miss.Hint, "app") {
			t.Errorf("%q: the message repeats some of it: %s", text, miss.What)
		}
	}
}

func TestNoNearMiss(t *testing.T) {
	values := map[string][]string{
		aKey: {"sk-proj-abcdefghijklmnopqrstuvwxyz0123456789", "sk-ant-api03-x_y-z", "AIzaSyA-1234567890", "gsk_abc", "hf_abc", "xai-abc", "tgp_v1_abc", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
			"0123456789abcdef0123456789abcdef", "8f2d1c3a-1b11-4222-8333-aabbccddeeff", "p@ss$word", "pa%ss%w0rd!", "a{b}c", "$2a$10$abcdefghijklmnopqrstuv", "s3cr3t/with+base64==", "dummy", "EMPTY", "Env", "vault", "venv.x", "environment", "secret",
			"AgBcd.efg", "Velvet.42", "ENCODED", "projects/x", "日本語のパスワード", "пароль", "naïve", "vaultkey", "vault-key", "vault_key", "sk-vault.x", "key=vault", "-----BEGIN " + "PRIVATE KEY-----\nMIIE"},
		aURL:     {"https://vault.example.com:8200", "https://env.example.com/v1", "http://vault:8200", "http://[::1]:8080/v1", "vault/own", "https://api.openai.com/v1?x={id}", "http://localhost:11434", "file:///etc/x", "https://proj.example.com/projects/1/secrets", "secret:1"},
		aHeader:  {"Bearer abcdef", "application/json", "gzip, deflate;q=0.5", "W/\"etag\"", "text/html; charset=\"utf-8\"", "a=b; c=d", "env:prod", "env:prod,team:core", "env/staging", "Env: prod", "<https://x>; rel=next", "no-cache"},
		anArg:    {"arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-AbCdEf", "--secret_arn=arn:aws:secretsmanager:eu-west-1:123456789012:secret:app", "projects/p/secrets/s/versions/1", "https://v.vault.azure.net/secrets/s", "$RUN", "${HOME}/bin", "{{.ID}}", "vault:1.13", "vault:latest", "--env=prod", "--config=env.toml", "--file=vault.yaml", "-e", "NAME=value", "see env.HOME", "/srv/vault", "hashicorp/vault:1.15", "vault", "env", "%d%"},
		aZone:    {"{{ model }}", "${HOME}/own", "env:prod", "vault:8200", "vault/own", "Vault.example.com", "VAULT.EXAMPLE.COM:8200", "<vault.example.com>", "file:///etc/own", "$5", "%d%", "set it with env.OWN", "Vault.io is great / good", "process.env.X", "We keep it in vault:\nall of it", "env"},
		aDocment: {"/run/secrets/gcp.json", `{"type": "service_account", "private_key": "-----BEGIN ` + `PRIVATE KEY-----\nMIIE"}`},
	}
	for pattern, texts := range values {
		for _, text := range texts {
			if miss := FindNearMiss(entryAt(t, pattern), text); miss.Found() {
				t.Errorf("%s: %q: %s", pattern, text, miss.What)
			}
		}
	}
}

func TestRepairOfNearMiss(t *testing.T) {
	for text, want := range map[string]string{
		"VAULT.app/x#K": "vault.app/x#K", "\ufeffvault.app/x": "vault.app/x", "${vault.app/x}": "vault.app/x", "“env.KEY”": "env.KEY", "${KEY}": "env.KEY", "$KEY": "", "vault:app/x": "", "VAULT.example.com:8200": "",
	} {
		if got := FindNearMiss(entryAt(t, aKey), text).Repair; got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestNearMissOfAField(t *testing.T) {
	for raw, want := range map[string]bool{
		`"\u200bvault.a/b"`: true, `"\u0056AULT.a/b"`: true, `"\"vault.a/b\""`: true, `"vault.a/b"`: false, `"sk-abc"`: false, `12`: false, `null`: false,
		`{"value": "vault.a/b"}`: true, `{"value": "vault.a/b", "type": "plain_text"}`: false, `{"value": "VAULT.a/b"}`: true, `{"value": "sk-abc", "ref": "a/b"}`: true, `{"value": "sk-abc"}`: false,
		`{"ref": "vault.a/b"}`: false, `{"vault": "a/b"}`: true, `{"secretKeyRef": {"name": "a", "key": "b"}}`: true, `{"type": "service_account", "private_key": "x"}`: false,
	} {
		f := NewField(entryAt(t, aKey), "x", []byte(raw))
		if got := f.NearMiss(); got.Found() != want {
			t.Errorf("%s: %v, %s", raw, got.Found(), got.What)
		}
	}
}

func TestReferencesWithUnseenCharacters(t *testing.T) {
	for text, want := range map[string]string{
		"vault.a\u200b": "a zero-width space (U+200B)", "vault.\ufeffa": "a byte order mark (U+FEFF)", "vault.a#\u00a0k": "a no-break space (U+00A0)", "vault.a\u200e#k": "a left-to-right mark (U+200E)", "env.A\u2060": "a word joiner (U+2060)",
		"vault.a\u200bb": "", "vault.a": "", "vault.ä#ü": "",
	} {
		_, err := ParseReference(text)
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestHostLike(t *testing.T) {
	for text, want := range map[string]bool{
		"vault.example.com": true, "vault.example.com:8200": true, "vault.svc": false, "vault.bifrost.svc": true, "vault.example.com:8200/v1": true, "vault:8200": true, "vault.a": false,
		"vault.bifrost/openai": false, "vault.a.com#b": false, "vault.a_b.com": false, "env.A": false, "vault.example.com:x": false, "vault..com": false,
	} {
		if got := HostLike(text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// What mayBeNearMiss goes by: each start of another tool has one of the signs.
func TestStartsOfTools(t *testing.T) {
	for _, tool := range otherTools {
		for start := range strings.FieldsSeq(tool.starts) {
			if !mayBeNearMiss(start) {
				t.Errorf("%s does not pass the quick test", start)
			}
		}
	}
}

// A text that a program reads as JSON has no references of its own.
func TestReferencesInJSONTexts(t *testing.T) {
	for text, want := range map[string]bool{
		`{"headers": {"Authorization": "vault.app/x#k"}}`:                           true,
		`["a", ["vault.app#k"]]`:                                                    true,
		`{"host": "vault.example.com:8200", "note": "see vault.app/x for it"}`:      false,
		`{"a": "vault.app"}`:                                                        false, // may be a host
		`{"vault.app/x": 1}`:                                                        false,
		strings.Repeat("[", 1<<20) + `"vault.app/x#k"` + strings.Repeat("]", 1<<20): false,
	} {
		for _, pattern := range []string{aKey, aZone} {
			miss := FindNearMiss(entryAt(t, pattern), text)
			if got := strings.HasPrefix(miss.What, "a JSON text with a reference in it"); got != want {
				t.Errorf("%.60s in %s: %q", text, pattern, miss.What)
			}
		}
	}
}

// A vault. reference is no way out inside of vault_store.
func TestNearMissesInVaultStore(t *testing.T) {
	for text, want := range map[string]string{
		"https://v.vault.azure.net/secrets/s": "write the setting itself, or env.NAME",
		"op://vault/item/field":               "write the setting itself, or env.NAME",
		"ENV.TENANT":                          "write env.NAME, in lower case and without space",
		"${TENANT}":                           "write env.NAME",
	} {
		if miss := FindNearMiss(entryAt(t, aURL), text).InVaultStore(); miss.Hint != want {
			t.Errorf("%s: %q, want %q", text, miss.Hint, want)
		}
	}
}
