package sealed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"bifrost-secrets/sources"
)

const canary = "CANARY-5eal"

func secret(text string) sources.Secret { return sources.NewSecret([]byte(text)) }

func identity(t testing.TB) *age.X25519Identity {
	t.Helper()
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func wantError(t *testing.T, err error, kind sources.Kind, parts ...string) {
	t.Helper()
	var e *sources.Error
	if !errors.As(err, &e) {
		t.Errorf("%v is no *sources.Error", err)
		return
	}
	if e.Kind != kind || e.Hint == "" {
		t.Errorf("kind %q, want %q: %v (%s)", e.Kind, kind, err, e.Hint)
	}
	for _, part := range parts {
		if !strings.Contains(e.Message+e.Hint, part) {
			t.Errorf("%q does not say %q", e.Message, part)
		}
	}
	if strings.Contains(fmt.Sprintf("%+v %#v", err, err), canary) {
		t.Errorf("the value got out: %v", err)
	}
}

func TestSeal(t *testing.T) {
	a, b, other := identity(t), identity(t), identity(t)
	for _, value := range []string{"", canary, "\n", magic, magic + `{"name":"x"}` + "\n", strings.Repeat(canary+"\xff\x00", 20_000)} {
		label := Label{"app/key ü\n\"", "7"}
		text, err := Seal(label, secret(value), []age.Recipient{a.Recipient(), b.Recipient()})
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(canary)) || bytes.Contains(text, []byte("app/key")) {
			t.Error("sealed in the clear")
		}
		for _, with := range [][]age.Identity{{a}, {b}, {other, a}} {
			got, err := Open(text, label, "it", with)
			if err != nil || string(got.Reveal()) != value {
				t.Errorf("%d bytes: %d, %v", len(value), got.Len(), err)
			}
		}
		again, err := Seal(label, secret(value), []age.Recipient{a.Recipient(), b.Recipient()})
		if err != nil || bytes.Equal(text, again) {
			t.Error("equal values look alike", err)
		}
	}
	if _, err := Seal(Label{"\xff", "1"}, secret(canary), []age.Recipient{a.Recipient()}); err == nil {
		t.Error("a name that is not UTF-8 was sealed")
	}
	if _, err := Seal(Label{"a", "1"}, secret(canary), nil); err == nil {
		t.Error("sealed for nobody")
	}
}

func TestRefused(t *testing.T) {
	a, other := identity(t), identity(t)
	label := Label{"app/key", "7"}
	sealed := func(l Label, to age.Recipient) []byte {
		text, err := Seal(l, secret(canary), []age.Recipient{to})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	encrypted := func(plain string, to age.Recipient) []byte {
		var out bytes.Buffer
		w, err := age.Encrypt(&out, to)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, plain)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	good := sealed(label, a.Recipient())
	flipped := bytes.Clone(good)
	flipped[len(flipped)-3] ^= 1
	passphrase, err := age.NewScryptRecipient(canary)
	if err != nil {
		t.Fatal(err)
	}
	passphrase.SetWorkFactor(1)
	for name, test := range map[string]struct {
		text  []byte
		kind  sources.Kind
		parts []string
	}{
		"another secret":  {sealed(Label{"app/other", "7"}, a.Recipient()), sources.Unusable, []string{`it holds what was sealed for "app/other"`}},
		"another version": {sealed(Label{"app/key", "6"}, a.Recipient()), sources.Unusable, []string{`sealed for version "6"`}},
		"other keys":      {sealed(label, other.Recipient()), sources.Denied, []string{"other keys", "secret rekey"}},
		"no label":        {encrypted(canary, a.Recipient()), sources.Unusable, []string{"not sealed with its name"}},
		"half a label":    {encrypted(magic+`{"name":"app/key","version":"7"}`, a.Recipient()), sources.Unusable, []string{"not sealed"}},
		"another label":   {encrypted(magic+`{"name":"app/key", "version":"7"}`+"\n"+canary, a.Recipient()), sources.Unusable, []string{"not sealed"}},
		"two names":       {encrypted(magic+`{"name":"x","name":"app/key","version":"7"}`+"\n"+canary, a.Recipient()), sources.Unusable, []string{"not sealed"}},
		"later format":    {encrypted(strings.Replace(magic, "1", "2", 1)+`{"name":"app/key","version":"7"}`+"\n"+canary, a.Recipient()), sources.Unusable, nil},
		"flipped":         {flipped, sources.Unusable, []string{"damaged"}},
		"cut":             {good[:len(good)-1], sources.Unusable, []string{"damaged"}},
		"empty":           {nil, sources.Unusable, []string{"damaged"}},
		"plain":           {[]byte(canary), sources.Unusable, []string{"damaged"}},
		"passphrase":      {encrypted(canary, passphrase), sources.Unusable, []string{"passphrase"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Open(test.text, label, "it", []age.Identity{a})
			wantError(t, err, test.kind, test.parts...)
			if got.Len() > 0 {
				t.Error("a value beside an error")
			}
		})
	}
}

func TestKeys(t *testing.T) {
	dir := t.TempDir()
	a, b := identity(t), identity(t)
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string, mode os.FileMode) string {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return name
	}
	ra, rb := a.Recipient().String(), b.Recipient().String()
	var warned []string
	keys := func(identity, recipients string) *Keys {
		return &Keys{Block: "vault_store.postgres", Path: sources.Options{Dir: dir}.Path, Identity: secret(identity), Recipients: secret(recipients), Exposed: WarnOnce(func(s string) { warned = append(warned, s) })}
	}
	prints := map[string]string{}
	for name, test := range map[string]struct {
		keys *Keys
		want int
	}{
		"own":        {keys(a.String(), ""), 1},
		"own two":    {keys(a.String()+"\n"+b.String(), ""), 2},
		"own file":   {keys(write("id", "# x\n"+a.String()+"\n", 0o600), ""), 1},
		"indented":   {keys("# x\n  "+a.String()+" \n\t"+b.String(), ""), 2},
		"marks":      {keys(write("marked", "\ufeff# x\r\n  "+a.String()+" \r\n"+b.String()+"\u200b\r\n", 0o600), write("markedto", "\ufeff"+ra+"\r\n"+rb+"\r\n", 0o600)), 2},
		"own hybrid": {keys(hybrid.String(), ""), 1},
		"comma":      {keys("", ra+", "+rb), 2},
		"order":      {keys("", rb+"\n"+ra+" "+rb), 2},
		"file":       {keys("", write("to", "# both\n"+ra+" # a\n\n"+rb+"\r\n", 0o644)), 2},
		"comment":    {keys("", "# a\n"+ra), 1},
		"both":       {keys(a.String(), ra+","+rb), 2},
	} {
		got, print, err := test.keys.Readers()
		if err != nil || len(got) != test.want || len(print) != 16 {
			t.Errorf("%s: %d recipients %q, %v", name, len(got), print, err)
		}
		prints[name] = print
	}
	if p := prints["comma"]; p != prints["order"] || p != prints["file"] || p != prints["own two"] || p == prints["own"] || prints["own"] != prints["comment"] {
		t.Errorf("fingerprints %v", prints)
	}
	if len(warned) > 0 {
		t.Errorf("warned: %q", warned)
	}
	open := keys(write("open", a.String(), 0o644), "")
	const plugin = "AGE-PLUGIN-YUBIKEY-1QQPSXSXPQQQ"
	mixed := keys(write("mixed", "# touch\n  "+plugin+"\r\n"+a.String()+"\n"+strings.ToLower(plugin)+"\n", 0o600), "")
	if got, err := mixed.Identities(); err != nil || len(got) != 1 {
		t.Errorf("%d identities beside those of a plugin: %v", len(got), err)
	}
	if got, _, err := keys(a.String()+"\n"+plugin, ra+","+rb).Readers(); err != nil || len(got) != 2 {
		t.Errorf("%d recipients, %v", len(got), err)
	}
	for range 2 {
		if _, err := open.Identities(); err != nil {
			t.Error(err)
		}
	}
	if len(warned) != 1 || !strings.Contains(warned[0], "(mode 0644)") {
		t.Errorf("warned: %q", warned)
	}
	if got := keys("id", "to").Files(); len(got) != 2 || len(keys(a.String(), ra).Files()) != 0 {
		t.Errorf("files %q", got)
	}

	const noKey = "vault_store.postgres.identity holds no usable key"
	for name, test := range map[string]struct {
		keys  *Keys
		kind  sources.Kind
		parts []string
	}{
		"none":        {keys("", ""), sources.BadSettings, []string{"neither recipients nor an identity"}},
		"identity":    {keys("AGE-SECRET-KEY-1"+canary, ""), sources.NoLogin, []string{noKey}},
		"SSH":         {keys("-----BEGIN OPENSSH PRIVATE KEY-----\n"+canary, ""), sources.NoLogin, []string{noKey, "SSH"}},
		"plugin":      {keys("AGE-PLUGIN-YUBIKEY-1"+canary, ""), sources.NoLogin, []string{noKey, "plugins"}},
		"plugin too":  {keys(a.String()+"\n"+plugin, ""), sources.BadSettings, []string{"the key of a plugin too"}},
		"path":        {keys(canary, ""), sources.NoLogin, []string{"identity names does not exist"}},
		"directory":   {keys(".", ""), sources.NoLogin, []string{"is a directory"}},
		"UTF-16":      {keys(write("wide", "\xff\xfeA\x00G\x00E\x00", 0o600), ""), sources.NoLogin, []string{"is in UTF-16"}},
		"encrypted":   {keys(write("sealed", "age-encryption.org/v1\n", 0o600), ""), sources.NoLogin, []string{"cannot be encrypted itself"}},
		"an identity": {keys("", a.String()), sources.BadSettings, []string{"holds an identity"}},
		"large":       {keys(write("large", strings.Repeat("#\n", maxKeys), 0o600), ""), sources.NoLogin, []string{"larger than"}},
		"empty":       {keys(write("empty", "", 0o600), ""), sources.NoLogin, []string{noKey}},
		"recipients":  {keys("", "age1"+canary), sources.BadSettings, []string{"holds no usable key"}},
		"a secret":    {keys("", "age1x,"+a.String()), sources.BadSettings, []string{"holds no usable key"}},
		"no file":     {keys("", "nowhere/"+canary), sources.BadSettings, []string{"recipients names does not exist"}},
		"no keys":     {keys("", write("none", "# none\n", 0o600)), sources.BadSettings, []string{"holds no key"}},
		"others":      {keys(a.String(), rb), sources.BadSettings, []string{"could not be read back"}},
		"mixed":       {keys("", ra+","+hybrid.Recipient().String()), sources.BadSettings, []string{"cannot be used together"}},
		"mixed ident": {keys(a.String()+"\n"+hybrid.String(), ""), sources.BadSettings, []string{"cannot be used together"}},
	} {
		_, _, err := test.keys.Readers()
		t.Run(name, func(t *testing.T) { wantError(t, err, test.kind, test.parts...) })
	}
	_, err = keys("", ra).Identities()
	wantError(t, err, sources.NoLogin, "vault_store.postgres.identity is not set")
}

// FuzzUnpack: nothing but what header writes is taken for a label.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte(magic+"{\"name\":\"a\",\"version\":\"1\"}\nvalue"), "a", "1")
	f.Add([]byte(magic+"{\"version\":\"1\",\"name\":\"a\"}\n"), "\u2028<&>", "")
	f.Add([]byte(""), "\xff", "\n")
	f.Fuzz(func(t *testing.T, plain []byte, name, version string) {
		if label, value, ok := unpack(plain); ok {
			head, err := header(label)
			if err != nil || !bytes.Equal(append(head, value...), plain) {
				t.Errorf("%q is read as %v and %q", plain, label, value)
			}
		}
		head, err := header(Label{name, version})
		if err != nil {
			return
		}
		label, value, ok := unpack(append(head, plain...))
		if !ok || label != (Label{name, version}) || !bytes.Equal(value, plain) {
			t.Errorf("%q %q is read as %v", name, version, label)
		}
	})
}
