package walker

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
)

// kinds are known by how a file begins, white space aside.
var kinds = []struct{ starts, what, hint string }{
	{"\x1f\x8b", "is compressed with gzip", "decompress it"},
	{"PK\x03\x04", "is a ZIP archive", "take the config.json out of it"},
	{"SQLite format 3", "is a SQLite database", "name the config.json beside it"},
	{"<<<<<<< ", "has conflict markers of Git in it", "resolve the conflict"},
	{"version https://git-lfs", "is a pointer of Git LFS in place of the file", "git lfs pull fetches it"},
	{"<?xml", "is XML", writeJSON},
	{"<", "is HTML or XML", "it may be the answer of a server in place of the file"},
	{"#!", "is a script", "name the config.json that it writes"},
	{"{{", "is a template that nothing has filled in", "name what comes of it"},
	{"module.exports", "is JavaScript", writeJSON},
	{"export ", "is JavaScript or a shell script", writeJSON},
	{"const ", "is JavaScript", writeJSON},
}

const writeJSON = "a config.json is JSON, and begins with {"

// InUTF16 reports whether data is text in UTF-16, with a byte order mark or, as far
// as its first characters tell, without.
func InUTF16(data []byte) bool {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return true
	}
	begin := data[:min(len(data), 8)&^1]
	if len(begin) < 4 || (begin[0] == 0) == (begin[1] == 0) {
		return false
	}
	for i, c := range begin {
		if (c == 0) != (begin[i%2] == 0) {
			return false
		}
	}
	return true
}

// Resembles returns what a file is that is not JSON, or no object, and what to do
// about it; nothing where it looks like JSON that is merely not right. Neither
// text holds anything of the file.
func Resembles(data []byte) (what, hint string) {
	if InUTF16(data) {
		return "is in UTF-16", "save it as UTF-8"
	}
	text := strings.TrimSpace(string(data[:min(len(data), 64<<10)]))
	if cipher, likely := Ciphertext(text); cipher != "" && !likely && text[0] != '{' {
		return "is " + cipher, "decrypt it first"
	}
	for _, k := range kinds {
		if strings.HasPrefix(text, k.starts) {
			return k.what, k.hint
		}
	}
	var inner string
	if text != "" && text[0] == '"' && json.Unmarshal(bytes.TrimSpace(data), &inner) == nil && strings.HasPrefix(strings.TrimSpace(inner), "{") {
		return "is JSON inside of a JSON string", "it was encoded twice: write the object itself"
	}
	if !strings.ContainsAny(text, "{:") {
		if plain, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err == nil && bytes.HasPrefix(bytes.TrimSpace(plain), []byte("{")) {
			return "is base64 of JSON", "decode it: base64 -d"
		}
	}
	// This is asked of what is no document alone, so nothing is compiled before.
	text = text[len(regexp.MustCompile(`\A(\s*#[^!][^\n]*\n|\s*#\n|\s)+`).FindString(text)):]
	is := func(pattern string) bool { return regexp.MustCompile(pattern).MatchString(text) }
	yaml := is(`\A(---(\s|\z)|%YAML|- |["']?[A-Za-z_$][A-Za-z0-9_$./-]*["']?\s*:(\s|\z))`)
	switch {
	case yaml && is(`(?m)^kind:\s`):
		return "is YAML, a manifest of Kubernetes", "take the config.json out of it"
	case yaml:
		return "is YAML", writeJSON
	case is(`\A\[+[A-Za-z0-9_."-]+\]+\s*\n`):
		return "is TOML or an INI file", writeJSON
	case is(`\A(export )?[A-Za-z_][A-Za-z0-9_]*=`):
		return "is a file of variables, NAME=value", writeJSON
	}
	return "", ""
}
