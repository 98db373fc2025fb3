package lint

import (
	"fmt"
	"strings"
	"testing"

	"bifrost-secrets/walker"
)

// Where a secret is found that stands in no field, or in a part of a text: with
// its place, and how bad it is.
func TestStrays(t *testing.T) {
	const opaque = "9c1f04be77d24a6f8e2b5d3310aa94c7"
	args := func(v string) string {
		return `{"mcp":{"client_configs":[{"stdio_config":{"args":[` + v + `]}}]}}`
	}
	envs := func(v string) string {
		return `{"mcp":{"client_configs":[{"stdio_config":{"envs":[` + v + `]}}]}}`
	}
	url := func(v string) string {
		return `{"mcp":{"client_configs":[{"connection_string":"` + v + `"}]}}`
	}
	for _, c := range []struct{ doc, want string }{
		// A name that tells.
		{`{"providers":{"a":{"api_key":"` + opaque + `","apiKey":"` + opaque + `"}}}`, "1:30 warning providers.a.api_key\n1:74 warning providers.a.apiKey"},
		{`{"storage":{"password":"Xk9vQ2mLp7TzRw4","passphrase":"correct-horse-7"}}`, "1:24 warning storage.password\n1:55 warning storage.passphrase"},
		{`{"x":{"env":{"API_TOKEN":"` + opaque + `"},"tokens":["` + opaque + `"]}}`, "1:26 warning x.env.API_TOKEN\n1:72 warning x.tokens[0]"},
		{`{"x":{"private_key":"` + opaque + `","signingKeys":{"value":"` + opaque + `"}}}`, "1:21 warning x.private_key\n1:79 warning x.signingKeys.value"},
		{`{"x":[{"name":"API_TOKEN","value":"` + opaque + `"},{"key":"Authorization","value":"Bearer ` + opaque + `"},{"name":"region","value":"` + opaque + `"}]}`, "1:35 warning x[0].value\n1:102 warning x[1].value"},
		{`{"x":{"cloudflare":"` + opaque + `","region":"` + opaque + `"}}`, "1:20 warning x.cloudflare"},
		{`{"x":{"dsn":"svc:Xk9vQ2mLp7@tcp(db:3306)/x","url":"Server=db;User Id=svc;Password=Xk9vQ2mLp7;"}}`, "1:18 warning x.dsn\n1:83 warning x.url"},
		{`{"x":{"api_key":"env.A","token":"vault.a#b","password":"${X}","secret":"<secret>","auth":"basic","api_key_id":"` + opaque + `","key":"team","max_tokens":"200k","token_url":"https://a.io","keys":["a-b"]}}`, ""},
		{`{"x":{"password":"********","auth_token":"Bearer","key":"claude-sonnet-4-20250514","authorization":"OAuth2","password_file":"/run/x","changePassword":"Change Password"}}`, ""},
		// A key in a longer text stands where it stands.
		{`{"x":"old key was ` + openAI + ` (rotate)"}`, "1:19 error x"},
		{`{"x":"é \"\ud83d\ude00\" ` + openAI + `, ` + awsKey + `."}`, "1:26 error x\n1:63 error x"},
		{`{"x":"the token: ` + opaque + `, password=hunter2hunter"}`, "1:18 warning x\n1:61 warning x"},
		{`{"x":"see https://u:Xk9vQ2mLp7@h/x and the password: required, token: optional-2024"}`, "1:21 warning x"},
		{`{"x":"curl -u svc:Xk9vQ2mLp7 https://h; mysql --password Xk9vQ2mLp7"}`, "1:19 warning x\n1:58 warning x"},
		{`{"x":"-----BEGIN PRIVATE KEY-----","y":"-----BEGIN PRIVATE KEY----------END PRIVATE KEY-----"}`, ""},
		{`{"governance":{"virtual_keys":[{"id":"sk-bf-vk-stage-assistant-de-07","value":"env.A"}]}}`, ""},
		{`{"governance":{"virtual_keys":[{"id":"sk-bf-` + opaque + `","value":"env.A"}]}}`, "1:38 note governance.virtual_keys[0].id"},
		// On command lines, and in the environment.
		{envs(`"HEADERS={\"Authorization\": \"Bearer ` + opaque + `\"}"`), "1:52 warning mcp.client_configs[0].stdio_config.envs[0]"},
		{envs(`"A={\"x\":{\"apiKey\":\"` + opaque + `\"}}","B={\"model\":\"gpt-4o\"}"`), "1:52 warning mcp.client_configs[0].stdio_config.envs[0]"},
		{args(`"--user","svc:Xk9vQ2mLp7","-u","svc:Xk9vQ2mLp7","--user=svc:Xk9vQ2mLp7"`), "1:61 warning mcp.client_configs[0].stdio_config.args[1]\n1:83 warning mcp.client_configs[0].stdio_config.args[3]\n1:100 warning mcp.client_configs[0].stdio_config.args[4]"},
		{args(`"--connection-string","Server=db;Password=Xk9vQ2mLp7","--dsn","svc:Xk9vQ2mLp7@tcp(db)/x"`), "1:74 warning mcp.client_configs[0].stdio_config.args[1]\n1:114 warning mcp.client_configs[0].stdio_config.args[3]"},
		{args(`"--dsn=host=db password=Xk9vQ2mLp7","-p","Xk9vQ2mLp7","-pXk9vQ2mLp7"`), "1:52 warning mcp.client_configs[0].stdio_config.args[0]\n1:93 warning mcp.client_configs[0].stdio_config.args[2]\n1:106 warning mcp.client_configs[0].stdio_config.args[3]"},
		{args(`"-p","8080:80","-p","@scope/pkg@1.2.3","-u","1000:1000","--user","root","-p","3000","--user","name","-pdf2text","-p","tsconfig.json"`), ""},
		// In a URL.
		{url("https://h/a/" + opaque + "/sse"), "1:48 warning mcp.client_configs[0].connection_string"},
		{url("https://h/sse#access_token=" + opaque), "1:48 warning mcp.client_configs[0].connection_string"},
		{url("https://h/#/login?token=" + opaque), "1:48 warning mcp.client_configs[0].connection_string"},
		{url("https://github.com/a/b/blob/" + opaque + "99aabbcc/x"), ""},
		{url("https://h/projects/" + opaque + "/8f2d1c3a-1b11-4222-8333-aabbccddeeff"), ""},
		{url("https://h/v1/models/gpt-4o-mini-2024-07-18/completions"), ""},
	} {
		doc, err := walker.Parse("config.json", []byte(c.doc))
		if err != nil {
			t.Fatalf("%v: %s", err, c.doc)
		}
		var got []string
		for _, f := range Check(doc, Options{}) {
			if f.Rule == plaintextSecret.ID {
				pos := doc.Position(f.Span.Start)
				got = append(got, fmt.Sprintf("%d:%d %s %s", pos.Line, pos.Column, f.Severity, f.Path))
			}
			for _, secret := range []string{openAI, awsKey, opaque, "Xk9vQ2mLp7"} {
				if strings.Contains(f.Message+f.Hint+f.Path, secret) {
					t.Errorf("%s: the value got out: %s", f.Rule, f.Message)
				}
			}
		}
		if strings.Join(got, "\n") != c.want {
			t.Errorf("%s:\ngot\n%s\nwant\n%s", c.doc, strings.Join(got, "\n"), c.want)
		}
	}
}
