package sources

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The mark in every way that a printer may spell it: as text, as hexadecimal
// bytes, as decimal bytes, as base64.
var spellings = []string{"CANARY", "43414e415259", "43414E415259", "67 65 78", "[67,65,78", "Q0FOQVJZ", "0x43, 0x41"}

func check(t *testing.T, out string) {
	t.Helper()
	for _, s := range spellings {
		if strings.Contains(out, s) {
			t.Errorf("the value got out: %s", out)
		}
	}
}

func TestMain(m *testing.M) {
	if os.Getenv("SECRET_PANIC") != "" {
		panic(NewSecret([]byte("CANARY")))
	}
	os.Exit(m.Run())
}

func TestSecretMasksItself(t *testing.T) {
	s := NewSecret([]byte("CANARY"))
	type holder struct {
		Public  Secret
		private Secret
		pointer *Secret
	}
	h := holder{s, s, &s}
	for _, v := range []any{s, &s, h, &h, []Secret{s}, map[string]Secret{"a": s}, Result{Value: s}, Settings{"a": s}, struct{ any }{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%c", "%U", "%t", "%e", "%p", "%08d", "%!"} {
			check(t, fmt.Sprintf(verb, v))
		}
		check(t, fmt.Sprint(v)+fmt.Sprintln(v))
		out, err := json.Marshal(v)
		if err == nil {
			check(t, string(out))
		}
		var b bytes.Buffer
		slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "k", v)
		slog.New(slog.NewTextHandler(&b, nil)).Info("m", "k", v)
		check(t, b.String())
	}
	if got := fmt.Sprintf("%s %v", s, s); got != "[secret] [secret]" {
		t.Errorf("printed as %s", got)
	}
	if string(s.Reveal()) != "CANARY" || s.Len() != 6 {
		t.Error("the value itself is lost")
	}
	if (Secret{}).Reveal() != nil {
		t.Error("the zero Secret has a value")
	}
}

// A panic prints its value by the runtime's own rules, so it takes a process.
func TestSecretInPanic(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "SECRET_PANIC=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "[secret]") {
		t.Errorf("%v: %s", err, out)
	}
	check(t, string(out))
}

func TestErrors(t *testing.T) {
	inner := &Error{Kind: Denied, Name: "a", Code: "AccessDenied", Message: "not allowed", Hint: "allow it"}
	wrapped := fmt.Errorf("x: %w", inner)
	if KindOf(wrapped) != Denied || HintOf(wrapped) != "allow it" || inner.Error() != "not allowed (AccessDenied)" {
		t.Error(wrapped)
	}
	if KindOf(nil) != "" || HintOf(fmt.Errorf("y")) != "" {
		t.Error("kinds from nowhere")
	}
	for kind, down := range map[Kind]bool{Unreachable: true, Throttled: true, NoLogin: true, NotFound: false, Denied: false, Unusable: false, "": false} {
		if kind.Retryable() != down {
			t.Errorf("%s: down is %v", kind, !down)
		}
	}
}
