package walker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestParseErrors(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)
	tests := []struct{ name, doc, want string }{
		{"empty", "", "c: the document is empty"},
		{"space", " \n\t", "c: the document is empty"},
		{"truncated", "{\n \"a\": [1,", "c:2:10: the document ends too early"},
		{"truncated string", `{"a": "b`, "c:1:9: the document ends too early"},
		{"trailing garbage", "{}\n{}", "c:2:1: something follows the end of the document"},
		{"trailing brace", "{}}", "c:1:3: something follows the end of the document"},
		{"line comment", "{\n// a\n}", "c:2:1: a comment, which JSON does not have"},
		{"hash comment", "{\"a\":1 # b\n}", "c:1:8: a comment, which JSON does not have"},
		{"trailing comma in object", `{"a":1, }`, "c:1:7: a comma after the last element"},
		{"trailing comma in array", `{"a":[1,]}`, "c:1:8: a comma after the last element"},
		{"NUL", "{\"a\":\x00}", "c:1:6: a NUL byte"},
		{"NUL in string", "{\"a\":\"\x00\"}", "c:1:7: a NUL byte"},
		{"line break in string", "{\"a\":\"b\nc\"}", "c:1:8: a line break or control character inside a string"},
		{"bad escape", `{"a":"\x"}`, "c:1:8: an escape that JSON does not have"},
		{"single quotes", `{'a':1}`, "c:1:2: a single quote where a value or a name should be"},
		{"bare word", `{"a":sk}`, "c:1:6: not valid JSON: unexpected character"},
		{"invalid UTF-8", "{\"a\":\"ö\xff\"}", "c:1:8: not valid UTF-8"},
		{"lone high surrogate", `{"a":"\ud800x"}`, `c:1:7: a \u escape for one half of a surrogate pair`},
		{"lone low surrogate", `{"a":"\uDC00"}`, `c:1:7: a \u escape for one half of a surrogate pair`},
		{"two high surrogates", `{"a":"\ud800\ud800"}`, `c:1:7: a \u escape for one half of a surrogate pair`},
		{"array", "[1]", "c:1:1: the document is not a JSON object"},
		{"string", ` "a"`, "c:1:2: the document is not a JSON object"},
		{"YAML", "providers:\n  openai: {}\n", "c: is YAML, and not JSON"},
		{"YAML with comments", "# ours\n\n---\nproviders: {}\n", "c: is YAML, and not JSON"},
		{"a list in YAML", "- a\n- b\n", "c: is YAML, and not JSON"},
		{"a manifest", "apiVersion: v1\nkind: ConfigMap\ndata:\n  config.json: |\n    {}\n", "c: is YAML, a manifest of Kubernetes, and not JSON"},
		{"TOML", "[providers.openai]\nkey = \"x\"\n", "c: is TOML or an INI file, and not JSON"},
		{"variables", "OPENAI_KEY=sk\nB=c\n", "c: is a file of variables, NAME=value, and not JSON"},
		{"UTF-16", "\xff\xfe{\x00}\x00", "c: is in UTF-16, and not JSON"},
		{"UTF-16 without a mark", "{\x00}\x00", "c: is in UTF-16, and not JSON"},
		{"UTF-16, big end first", "\xfe\xff\x00{\x00}", "c: is in UTF-16, and not JSON"},
		{"HTML", "<!DOCTYPE html><html>", "c: is HTML or XML, and not JSON"},
		{"XML", "<?xml version='1.0'?>", "c: is XML, and not JSON"},
		{"gzip", "\x1f\x8b\x08\x00", "c: is compressed with gzip, and not JSON"},
		{"SQLite", "SQLite format 3\x00", "c: is a SQLite database, and not JSON"},
		{"Git LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:a\n", "c: is a pointer of Git LFS in place of the file, and not JSON"},
		{"a conflict", "<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> x\n", "c: has conflict markers of Git in it, and not JSON"},
		{"a conflict inside", "{\n<<<<<<< HEAD\n\"a\":1\n", "c:2:1: a conflict marker of Git"},
		{"encoded twice", "\"{\\\"a\\\": 1}\"", "c: is JSON inside of a JSON string"},
		{"base64", "eyJwcm92aWRlcnMiOiB7fX0=\n", "c: is base64 of JSON"},
		{"age", "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n", "c: is what age has encrypted, and not JSON"},
		{"ansible-vault", "$ANSIBLE_VAULT;1.1;AES256\n61\n", "c: is what ansible-vault has encrypted, and not JSON"},
		{"a script", "#!/bin/sh\necho\n", "c: is a script, and not JSON"},
		{"JavaScript", "module.exports = {a: 1}", "c: is JavaScript, and not JSON"},
		{"a template", "{{ .Values.config | toJson }}", "c: is a template that nothing has filled in, and not JSON"},
		{"a template inside", "{\"a\": {{ .Values.x }}}", "c:1:7: a template, {{…}}, which nothing has filled in"},
		{"no quotes", "{a: 1}", "c:1:2: a name without quotes"},
		{"typographic quotes", "{“a”: 1}", "c:1:2: a typographic quote where a value or a name should be"},
		{"text", "hello, world", "c:1:1: not JSON"},
		{"too deep", `{"a":` + deep + `}`, "c:1:517: nested more than 512 levels deep"},
		{"too deep and unclosed", strings.Repeat(`[`, 9_000_000), "c:1:513: nested more than 512 levels deep"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("c", []byte(tt.doc))
			var de *DocumentError
			if !errors.As(err, &de) || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	for _, doc := range []string{"{}", " {} \n", "\xef\xbb\xbf{}", `{"a":"\ud83d\ude00"}`, `{"a":"\\ud800"}`,
		`{"a":` + strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1) + "}", `{"a":"` + strings.Repeat("[", 1000) + `"}`} {
		d, err := Parse("c", []byte(doc))
		if err != nil {
			t.Errorf("%.20q: %v", doc, err)
			continue
		}
		if bom := strings.HasPrefix(doc, "\xef"); bom != (len(d.Notes) == 1) || d.Bytes()[0] == 0xef {
			t.Errorf("%.20q: notes %q", doc, d.Notes)
		}
	}
}

func TestPosition(t *testing.T) {
	d, err := Parse("c", []byte("{\n\"ö\": 1,\r\n\n\"b\":2}"))
	if err != nil {
		t.Fatal(err)
	}
	want := func(at string, line, col int) {
		t.Helper()
		if got := d.Position(strings.Index(string(d.Bytes()), at)); got != (Position{line, col}) {
			t.Errorf("%s at %v, want %d:%d", at, got, line, col)
		}
	}
	want(`"b"`, 4, 1)
	want("1", 2, 6)
	want(",", 2, 7)
	want("{", 1, 1)
	want("2", 4, 5)
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	huge := filepath.Join(dir, "huge")
	f, err := os.Create(huge)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(MaxSize+1), f.Close()); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir:                         "is a directory",
		filepath.Join(dir, "no"):    "no such file",
		fifo:                        "is a named pipe, and only regular files are read",
		"/dev/zero":                 "is a device or another special file, and only regular files are read",
		huge:                        "is larger than 256 MiB",
		filepath.Join(huge, "x"):    "cannot be read: not a directory",
		"/proc/self/mem":            "cannot be read: input/output error",
		filepath.Join(dir, "a\x00"): "cannot be read: invalid argument",
	} {
		_, err := ReadFile(path)
		var de *DocumentError
		if !errors.As(err, &de) || de.Reason != want {
			t.Errorf("%q: got %v, want %s", path, err, want)
		}
	}
	path := filepath.Join(dir, "c.json")
	if err := os.WriteFile(path, []byte(`{"a":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := ReadFile(path); err != nil || string(d.Bytes()) != `{"a":1}` {
		t.Errorf("got %v", err)
	}
}

// However long the space between two tokens, and whatever is in it, it is skipped.
func TestSpace(t *testing.T) {
	for _, unit := range []string{" ", "\n", "\t", "\r", "\n ", " \n", "\n          ", "\r\n\t\t"} {
		for n := range 70 {
			for _, behind := range []string{"", "x", "\x00", "\v", "\u00a0", "x       y        "} {
				text := strings.Repeat(unit, n) + behind
				if got, want := space([]byte(text), 0), n*len(unit); got != want {
					t.Fatalf("%q: %d, want %d", text, got, want)
				}
			}
		}
	}
}
