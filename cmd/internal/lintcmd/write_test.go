//go:build unix

package lintcmd

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestWriteBack(t *testing.T) {
	const old, text = `{"a": 1}`, `{"a": 2}`
	for _, tt := range []struct {
		name, before, after, fails string
		mode                       os.FileMode
	}{
		{"plain", old, text, "", 0o604},
		{"a byte order mark", "\ufeff" + old, "\ufeff" + text, "", 0o604},
		{"changed in the meantime", `{"a": 3}`, "", "it was changed in the meantime", 0o604},
		{"grown in the meantime", "junk" + old, "", "it was changed in the meantime", 0o604},
		{"read-only", old, "", "it is read-only", 0o404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			name := write(t, filepath.Join(dir, "c.json"), tt.before)
			if err := os.Chmod(name, tt.mode); err != nil {
				t.Fatal(err)
			}
			if os.Geteuid() == 0 {
				if err := os.Chown(name, 65534, 65533); err != nil {
					t.Fatal(err)
				}
			}
			err := writeBack(name, []byte(old), []byte(text))
			want := tt.after
			if tt.fails != "" {
				want = tt.before
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("got %v, want %s", err, tt.fails)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if now, err := os.ReadFile(name); err != nil || string(now) != want {
				t.Errorf("%v: got %q, want %q", err, now, want)
			}
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != tt.mode {
				t.Errorf("mode %v", info.Mode())
			}
			if s := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 && (s.Uid != 65534 || s.Gid != 65533) {
				t.Errorf("owner %d:%d", s.Uid, s.Gid)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
				t.Errorf("%v: something is left behind: %v", err, entries)
			}
		})
	}
}

// What could not be repaired is still reported.
func TestNotRepaired(t *testing.T) {
	name := write(t, filepath.Join(t.TempDir(), strings.Repeat("c", 245)+".json"), `{"encryption_key": "ENV.K"}`) // too long for the name of a temporary file beside it
	got := call(Program{}, t.Context(), "--fix", name)
	if got.code() != exitUsage || !strings.Contains(got.failure.Error(), "is not repaired") {
		t.Fatalf("code %d, %v", got.code(), got.failure)
	}
	if !strings.Contains(got.out, "[reference-syntax]") || strings.Contains(got.err, "no findings") {
		t.Errorf("it says %s%s", got.out, got.err)
	}
}

// What is no regular file is not replaced by one.
func TestWriteBackRefuses(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, reason := range map[string]string{pipe: "it is not a regular file", dir: "it is not a regular file", dir + "/nowhere": "no such file"} {
		err := writeBack(name, nil, []byte("{}"))
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: got %v, want %s", name, err, reason)
		}
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode().IsRegular() {
		t.Errorf("%v: %v", err, info)
	}
}
