package lint

import (
	"strings"
	"testing"

	"bifrost-secrets/walker"
)

func TestCheckRow(t *testing.T) {
	for _, tt := range []struct{ row, want string }{
		{`{"providers":{"openai":{"keys":[{"id":"1","name":"a","value":"sk-Q7vTz0mWk4XhN2bLr8YdC6fP"}]}}}`, "plaintext-secret"},
		{`{"providers":{"openai":{"keys":[{"id":"1","name":"a","value":"vault.a"},{"name":"a","value":"env.X"}]}}}`, ""},
		{`{"providers":{"openai":{"keys":[{"value":"sk-C************************0001"}]}}}`, "masked-value"},
		{`{"providers":{"openai":{"keys":[{"value":" vault.a"}]}}}`, "reference-syntax"},
		{`{"governance":{"virtual_keys":[{"value":"Q7vTz0mWk4XhN2bLr8YdC6fP"}]}}`, "plaintext-secret virtual-key-prefix"},
		// As Bifrost itself spells what it stores.
		{`{"providers":{"openai":{"proxy_config":{"url":{"value":"http://p:3128","env_var":"","from_env":false},"password":{"value":"","env_var":"env.P","from_env":true},"ca_cert_pem":null}}}}`, ""},
		{`{"providers":{"openai":{"proxy_config":{"password":{"value":"Q7vTz0mWk4Xh","env_var":"env.P","from_env":true}}}}}`, "plaintext-secret"},
		{`{"plugins":[{"name":"mine","config":{"api_key":"vault.a"}}]}`, ""},
	} {
		doc, err := walker.Parse("row", []byte(tt.row))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range CheckRow(doc, Options{}) {
			got = append(got, f.Rule)
			if f.Fix != nil {
				t.Errorf("%s: a repair of a database", f.Path)
			}
			if strings.Contains(f.Message, "file") {
				t.Errorf("%s: it is no file: %s", f.Path, f.Message)
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %q, want %q", tt.row, got, tt.want)
		}
	}
}
