package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Lint is the same here as in the program of its own: what is tested here is
// that this program passes on what it says and how it ends.
func TestLint(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	clean := file("clean.json", `{"encryption_key": "env.K"}`)
	plain := file("plain.json", `{"encryption_key": "CANARY-7f3a9c"}`)
	broken := file("broken.json", `{"encryption_key": "CANARY-7f3a9c",}`)
	for _, tt := range []struct {
		args        []string
		code        int
		out, errOut string
	}{
		{[]string{clean}, exitDone, "", "bifrost-secrets: no findings in 1 file\n"},
		{[]string{"--quiet", clean}, exitDone, "", ""},
		{[]string{plain}, 1, "[plaintext-secret]", "bifrost-secrets: 1 warning in 1 file\n"},
		{[]string{broken}, exitUsage, "", "error: a comma after the last element"},
		{[]string{"--format", "xml", clean}, exitUsage, "", `bifrost-secrets: unknown --format "xml"`},
		{[]string{"--nope"}, exitUsage, "", "bifrost-secrets: hint: see bifrost-secrets lint --help"},
		{[]string{"--help"}, exitDone, "--online", ""},
	} {
		var out, errOut bytes.Buffer
		code := run(append([]string{"lint"}, tt.args...), strings.NewReader(""), &out, &errOut, nil)
		if code != tt.code || !strings.Contains(out.String(), tt.out) || !strings.Contains(errOut.String(), tt.errOut) {
			t.Errorf("lint %s: code %d\n%s%s", tt.args, code, &out, &errOut)
		}
		if tt.out == "" && out.Len() > 0 || tt.errOut == "" && errOut.Len() > 0 {
			t.Errorf("lint %s says\n%s%s", tt.args, &out, &errOut)
		}
		if strings.Contains(out.String()+errOut.String(), "CANARY") || strings.Contains(errOut.String(), "bifrost-secrets: \n") {
			t.Errorf("lint %s says\n%s%s", tt.args, &out, &errOut)
		}
	}
}
