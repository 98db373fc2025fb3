package report

import (
	"bufio"
	"encoding/json"
	"strings"
	"testing"

	"bifrost-secrets/walker/lint"
)

func TestRenderRows(t *testing.T) {
	findings := []lint.Finding{
		{Rule: "plaintext-secret", Severity: lint.Warning, Message: "key \"a\x1b[31m\": a secret in plain text", Hint: "store it", Path: "config_keys/1/value"},
		{Rule: "database-reference", Severity: lint.Note, Message: "the reference vault.x", Path: "config_mcp_clients/1/headers_json/A,b"},
	}
	const name = "postgres://127.0.0.1:5432/bifrost"
	for format, want := range map[string]string{
		Text: "postgres://127.0.0.1:5432/bifrost: config_keys/1/value: warning: key \"a\ufffd[31m\": a secret in plain text [plaintext-secret]\n      = hint: store it\n" +
			"postgres://127.0.0.1:5432/bifrost: config_mcp_clients/1/headers_json/A,b: note: the reference vault.x [database-reference]\n",
	} {
		o := Options{Format: format}
		if got := string(o.RenderRows(name, findings)); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", format, got, want)
		}
		if got := o.RenderRows(name, nil); got != nil {
			t.Errorf("%s: of nothing: %s", format, got)
		}
	}
	for _, format := range []string{JSON, SARIF} {
		o := Options{Format: format, Rules: append(lint.Rules(), lint.DatabaseRules...)}
		var out strings.Builder
		w := bufio.NewWriter(&out)
		o.Write(w, []Fragment{o.RenderRows(name, findings), nil, o.RenderRows(name, findings)}, false)
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if !json.Valid([]byte(out.String())) || strings.Contains(out.String(), "startLine") || strings.Contains(out.String(), "\x1b") {
			t.Errorf("%s: %s", format, out.String())
		}
		if strings.Count(out.String(), name) != 4 {
			t.Errorf("%s: %s", format, out.String())
		}
	}
}
