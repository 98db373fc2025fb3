package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bifrost-secrets/sources/awssecrets/awstest"
)

// putting runs put and delete as people do, and returns all that they print.
func putting(t *testing.T, value string, args ...string) (said string) {
	t.Helper()
	var out, err bytes.Buffer
	for _, more := range [][]string{{"put", "key", "--verbose"}, {"put", "key", "--json"}, {"put", "key", "--trim-space"}, {"delete", "key", "--yes", "--json", "--verbose"}} {
		command := append([]string{"secret"}, append(more, args...)...)
		code := run(command, strings.NewReader(value), &out, &err, os.Environ())
		fmt.Fprintln(&out, strings.Join(command, " "), code)
	}
	return out.String() + err.String()
}

// TestCanaryPut looks for the value in all that is said of storing it, and in all
// that is kept beside it.
func TestCanaryPut(t *testing.T) {
	value, other := canary("put"), canary("other")
	m := marked(value, other)
	check := func(t *testing.T, said, want string) {
		t.Helper()
		if found := m.in([]byte(said)); found != "" {
			t.Errorf("a value got out, as %q: %s", found, said)
		}
		if !strings.Contains(said, want) {
			t.Errorf("it did not say %q: %s", want, said)
		}
	}
	for name, c := range map[string]struct {
		files map[string]string
		value string
		want  string
	}{
		"all is well":      {value: value, want: "stored \"key\" in file"},
		"with space":       {value: value + "\n", want: "a line break at its end"},
		"foreign":          {value: value, files: map[string]string{"key": other}, want: "was not stored by bifrost-secrets"},
		"too large":        {value: value + strings.Repeat(" "+value, 20_000), want: "more than the 1048576 bytes"},
		"a broken mark":    {value: value, files: map[string]string{"key": other, ".bifrost-secrets/key.json": other}, want: "it says which secrets are ours"},
		"a folder":         {value: value, files: map[string]string{"key/x": other}, want: "is a directory"},
		"a file encrypted": {value: value, files: map[string]string{"key.age": "age-encryption.org/v1\n" + other}, want: "was not stored by"},
		"a JSON file":      {value: value, files: map[string]string{"s.json": `{"a": ` + quoted(other)}, want: "is a JSON file, which is read and never written"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := dir
			for file, content := range c.files {
				full := filepath.Join(dir, filepath.FromSlash(file))
				if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(full, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				if file == "s.json" {
					path = full
				}
			}
			said := putting(t, c.value, "--gateway", "prod", "--vault-type", "file", "--vault-set", "path="+path, "--vault-set", "access_mode=read_and_write")
			check(t, said, c.want)
			_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if name, _ := filepath.Rel(dir, path); c.files[filepath.ToSlash(name)] == "" && strings.HasPrefix(name, ".") && !d.IsDir() {
					b, _ := os.ReadFile(path)
					check(t, path+string(b), "")
				}
				return err
			})
		})
	}
	for name, faults := range map[string]awstest.Faults{
		"none": {}, "throttled": {Throttle: 1}, "cut off": {Truncate: awstest.Always}, "garbled": {Garble: awstest.Always},
		"parameter": {Reject: "InvalidParameterException"}, "denied": {DenyActions: []string{"CreateSecret", "DeleteSecret"}}, "page": {Status: 400},
	} {
		t.Run("aws "+name, func(t *testing.T) {
			f := awstest.StartFake(t)
			awstest.Setenv(t, f.Env())
			t.Setenv("AWS_MAX_ATTEMPTS", "1")
			f.Set(faults)
			said := putting(t, value, "--gateway", "prod", "--vault-type", "aws-secrets-manager", "--vault-set", "access_mode=read_and_write")
			check(t, said+f.Metadata(), "aws request")
		})
	}
}
