package walker

import "testing"

func TestShown(t *testing.T) {
	const key = "sk-proj-CANARY9fEIj2Kl8MnOp3QrSt7UvWx"
	for text, want := range map[string]string{
		"vault." + key:                                      "vault.(37 characters that look like a key)",
		"vault.prod/" + key + "#a":                          "vault.(42 characters that look like a key)#a",
		"vault.a#" + key:                                    "vault.a#(37 characters that look like a key)",
		"env." + key:                                        "env.(37 characters that are no name)",
		"env.OPENAI_API_KEY":                                "env.OPENAI_API_KEY",
		"env.openaiKey2":                                    "env.openaiKey2",
		"vault.prod/openai-Key-2024-Main#k_1":               "vault.prod/openai-Key-2024-Main#k_1",
		"vault.MyServiceOpenAIKeyProduction2":               "vault.MyServiceOpenAIKeyProduction2",
		"vault.rds!db-0f3c1d2e-aaaa-4bbb-8ccc-0123456789ab": "vault.rds!db-0f3c1d2e-aaaa-4bbb-8ccc-0123456789ab",
		"vault.arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/openai-AbC1e2#key": "vault.arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/openai-AbC1e2#key",
		"vault.projects/my-project-1/secrets/OpenAI_2/versions/3":                           "vault.projects/my-project-1/secrets/OpenAI_2/versions/3",
		"vault.https://Team1.vault.azure.net/secrets/x/0123456789abcdef0123456789abcdef":    "vault.https://Team1.vault.azure.net/secrets/x/0123456789abcdef0123456789abcdef",
	} {
		ref, err := ParseReference(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := ref.Shown(); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}
