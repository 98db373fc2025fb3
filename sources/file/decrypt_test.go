package file

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"bifrost-secrets/sources"
)

func encrypt(t *testing.T, data string, to ...age.Recipient) string {
	t.Helper()
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(data)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func armored(t *testing.T, data string) string {
	t.Helper()
	var out bytes.Buffer
	w := armor.NewWriter(&out)
	if _, err := w.Write([]byte(data)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// newIdentity returns a new key and what encrypts for it.
func newIdentity(t *testing.T) (key string, to func(string) string) {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return identity.String(), func(data string) string { return encrypt(t, data, identity.Recipient()) }
}

func TestDecrypt(t *testing.T) {
	key, to := newIdentity(t)
	other, _ := newIdentity(t)
	dir := t.TempDir()
	identities := map[string]string{
		"text":       key,
		"text lines": "\n# created: today\n" + other + "\r\n" + key + "\n",
		"file":       write(t, filepath.Join(dir, "key.txt"), "# several\n\n"+other+"\n"+key+"\n"),
	}
	mount := filepath.Join(dir, "mount")
	limit := strings.Repeat("x", sources.MaxValue)
	write(t, filepath.Join(mount, "binary"), to(canary+"\n"))
	write(t, filepath.Join(mount, "armored"), armored(t, to(canary)))
	write(t, filepath.Join(mount, "spaced"), strings.Repeat(" \r\n", 300)+armored(t, to(canary))+"\n\n")
	write(t, filepath.Join(mount, "windows"), strings.ReplaceAll(armored(t, to(canary)), "\n", "\r\n"))
	write(t, filepath.Join(mount, "mark"), byteOrderMark+armored(t, to(canary)))
	write(t, filepath.Join(mount, "mark.windows.AGE"), byteOrderMark+strings.ReplaceAll(armored(t, to(canary)), "\n", "\r\n"))
	write(t, filepath.Join(mount, "upper.Age"), "\n"+armored(t, to(canary)))
	write(t, filepath.Join(mount, "empty"), to(""))
	write(t, filepath.Join(mount, "limit"), armored(t, to(limit)))
	write(t, filepath.Join(mount, "db", "suffix.age"), to(canary))
	write(t, filepath.Join(mount, "both"), "plain")
	write(t, filepath.Join(mount, "both.age"), to(canary))
	object := `{"a":"CANARY","b":{"c":1}}`
	binary := write(t, filepath.Join(dir, "binary.json"), to(object))
	text := write(t, filepath.Join(dir, "armored.json.age"), armored(t, to(object)))
	if err := os.Chmod(filepath.Join(mount, "binary"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, identity := range identities {
		t.Run(name, func(t *testing.T) {
			o := openAt(t, mount, identity)
			for name, value := range map[string]string{
				"binary": canary + "\n", "armored": canary, "spaced": canary, "windows": canary, "empty": "",
				"mark": canary, "mark.windows.AGE": canary, "upper.Age": canary,
				"limit": limit, "db/suffix": canary, "db/suffix.age": canary, "both": "plain", "both.age": canary,
			} {
				o.wantValue(t, name, value)
			}
			if len(o.warnings) > 0 {
				t.Errorf("warned of encrypted files: %q", o.warnings)
			}
			for _, path := range []string{binary, text} {
				o := openAt(t, path, identity)
				o.wantValue(t, "a", canary)
				o.wantValue(t, "b", `{"c":1}`)
			}
		})
	}
	openAt(t, mount, key).wantError(t, "db/sufix", sources.NotFound, `did you mean "db/suffix"?`)
}

func TestDecryptHybrid(t *testing.T) {
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), encrypt(t, canary, identity.Recipient()))
	openAt(t, dir, identity.String()).wantValue(t, "a", canary)
}

// TestNameSaysEncrypted: a name that ends .age decrypts or fails.
func TestNameSaysEncrypted(t *testing.T) {
	key, to := newIdentity(t)
	plain := []string{"is not encrypted with age, although its name ends .age"}
	twice := []string{"is encrypted with age twice"}
	wide := func(order, text string) string {
		for _, c := range []byte(text) {
			if order == "\xff\xfe" {
				order += string([]byte{c, 0})
			} else {
				order += string([]byte{0, c})
			}
		}
		return order
	}
	for name, test := range map[string]struct {
		data  string
		parts []string
	}{
		"plain text":            {canary, plain},
		"nothing":               {"", plain},
		"a byte order mark":     {byteOrderMark + canary, plain},
		"a mark before binary":  {byteOrderMark + to(canary), plain},
		"a comment before":      {"# openai\n" + armored(t, to(canary)), plain},
		"base64":                {base64.StdEncoding.EncodeToString([]byte(to(canary))), plain},
		"base64 of armor":       {base64.StdEncoding.EncodeToString([]byte(armored(t, to(canary)))), plain},
		"too much space before": {strings.Repeat(" ", 2*leadingSpace) + armored(t, to(canary)), plain},
		"twice":                 {to(to(canary)), twice},
		"twice, as text":        {armored(t, to(armored(t, to(canary)))), twice},
		"UTF-16":                {wide("\xff\xfe", armored(t, to(canary))), []string{"is in UTF-16", "PowerShell"}},
		"UTF-16, big end first": {wide("\xfe\xff", armored(t, to(canary))), []string{"is in UTF-16"}},
		"an armor of nothing":   {armor.Header + "\n", []string{"damaged or cut short"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range []string{"a.age", "b.AGE"} {
				write(t, filepath.Join(dir, file), test.data)
				o := openAt(t, dir, key)
				o.wantError(t, file, sources.Unusable, test.parts...)
				path := write(t, filepath.Join(dir, "s.json"+file[1:]), test.data)
				openAt(t, path, key).wantError(t, "a", sources.Unusable, test.parts...)
			}
			openAt(t, dir, key).wantError(t, "a", sources.Unusable, test.parts...) // whose file is a.age
		})
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "wide"), wide("\xff\xfe", armored(t, to(canary))))
	openAt(t, dir, key).wantError(t, "wide", sources.Unusable, "is in UTF-16")
}

func TestUndecryptable(t *testing.T) {
	key, to := newIdentity(t)
	_, toOther := newIdentity(t)
	passphrase, err := age.NewScryptRecipient("passphrase")
	if err != nil {
		t.Fatal(err)
	}
	passphrase.SetWorkFactor(1)
	good := to(strings.Repeat("x", 100<<10) + canary)
	flipped := []byte(good)
	flipped[len(flipped)-1] ^= 1
	const macLine = "\n--- "
	mac := strings.Replace(good, macLine, macLine+"A", 1)
	text := armored(t, good)

	damaged := []string{"is encrypted with age, but damaged or cut short"}
	tests := []struct {
		name, data string
		kind       sources.Kind
		parts      []string
	}{
		{"other key", toOther(canary), sources.Denied, []string{"for other keys than the identity", "age-keygen -y"}},
		{"passphrase", encrypt(t, canary, passphrase), sources.Unusable, []string{"with a passphrase", "native age keys"}},
		{"flipped bit", string(flipped), sources.Unusable, damaged},
		{"other MAC", mac, sources.Unusable, damaged},
		{"cut", good[:len(good)-1], sources.Unusable, damaged},
		{"cut at a chunk", good[:len(good)-(36<<10)], sources.Unusable, damaged},
		{"cut in the header", good[:60], sources.Unusable, damaged},
		{"header alone", binaryHeader, sources.Unusable, damaged},
		{"followed", good + canary, sources.Unusable, damaged},
		{"header, then a value", binaryHeader + "\n" + canary + "\n", sources.Unusable, damaged},
		{"armor cut", text[:len(text)-10], sources.Unusable, damaged},
		{"armor alone", armor.Header + "\n" + canary + "\n", sources.Unusable, damaged},
		{"armor without end", armor.Header + "\n" + strings.Repeat("A", 8<<20), sources.Unusable, damaged},
		{"large", to(canary + strings.Repeat("x", sources.MaxValue)), sources.Unusable, []string{"larger than the limit"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "a"), test.data)
			parts := append([]string{`"a" in ` + dir}, test.parts...)
			openAt(t, dir, key).wantError(t, "a", test.kind, parts...)

			path := write(t, filepath.Join(dir, "s.json"), test.data)
			if test.name == "large" {
				return // not for a document
			}
			openAt(t, path, key).wantError(t, "a", test.kind, append([]string{path}, test.parts...)...)
		})
	}
}

func TestIdentityRefused(t *testing.T) {
	key, to := newIdentity(t)
	dir := t.TempDir()
	mount := filepath.Join(dir, "mount")
	write(t, filepath.Join(mount, "sealed"), to(canary))
	write(t, filepath.Join(mount, "plain"), canary)
	in := func(name, data string) string { return write(t, filepath.Join(dir, name), data) }
	const notUsable = "vault_store.file.identity holds no usable key"
	tests := []struct {
		name     string
		identity []string
		parts    []string
	}{
		{"none", nil, []string{"vault_store.file.identity is not set", "set it to"}},
		{"misspelt", []string{key[:20] + canary + key[20:]}, []string{notUsable}},
		{"lower case", []string{strings.ToLower(key) + canary}, []string{notUsable}},
		{"SSH", []string{"-----BEGIN OPENSSH PRIVATE KEY-----\n" + canary}, []string{notUsable, "SSH keys"}},
		{"plugin", []string{"AGE-PLUGIN-YUBIKEY-1" + canary}, []string{notUsable, "plugins"}},
		{"lines", []string{canary + "\n" + canary}, []string{notUsable}},
		{"path of nothing", []string{canary}, []string{"the file that vault_store.file.identity names does not exist"}},
		{"directory", []string{dir}, []string{"identity names is a directory"}},
		{"empty file", []string{in("empty", "")}, []string{notUsable}},
		{"other file", []string{in("other", canary)}, []string{notUsable}},
		{"separator", []string{in("separator", "AGE-SECRET-KEY-1"+canary+"1QQQQQQQQ")}, []string{notUsable}},
		{"encrypted file", []string{in("encrypted", to(key))}, []string{"cannot be encrypted itself"}},
		{"large file", []string{in("large", strings.Repeat("#\n", 1<<20))}, []string{"larger than"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := openAt(t, mount, test.identity...)
			o.wantValue(t, "plain", canary) // the identity is not looked at
			parts := append([]string{`"sealed" in ` + mount + " is encrypted with age, but "}, test.parts...)
			o.wantError(t, "sealed", sources.NoLogin, parts...)
		})
	}
}

func TestIdentityIsReadAfresh(t *testing.T) {
	oldKey, toOld := newIdentity(t)
	newKey, toNew := newIdentity(t)
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "key.txt"), oldKey)
	mount := filepath.Join(dir, "mount")
	write(t, filepath.Join(mount, "a"), toOld(canary))
	o := openAt(t, mount, path)
	o.wantValue(t, "a", canary)
	write(t, path, newKey)
	write(t, filepath.Join(mount, "a"), toNew(canary+"2"))
	o.wantValue(t, "a", canary+"2")
}

func TestExposedIdentity(t *testing.T) {
	key, to := newIdentity(t)
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "key.txt"), key)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	mount := filepath.Join(dir, "mount")
	write(t, filepath.Join(mount, "a"), to(canary))
	write(t, filepath.Join(mount, "plain"), canary)
	o := openAt(t, mount, path)
	o.one(t, "plain")
	if len(o.warnings) > 0 {
		t.Errorf("the identity was read without need: %q", o.warnings)
	}
	for range 2 {
		o.one(t, "a")
	}
	want := []string{"1 age identity file in " + dir + ` may be read by others: "key.txt" (mode 0644)`}
	if !reflect.DeepEqual(o.warnings, want) {
		t.Errorf("warnings %q, want %q", o.warnings, want)
	}
}

// TestCopiedFile: what we have encrypted cannot stand for another secret.
func TestCopiedFile(t *testing.T) {
	dir := t.TempDir()
	key, to := newIdentity(t)
	s := storeAt(t, map[string]string{"path": dir, "identity": key})
	large := strings.Repeat("x", sources.MaxValue-len(canary))
	mustPut(t, s, "app/admin", "admin", "")
	mustPut(t, s, "app/mine", large[1:], "")
	o := openAt(t, dir, key)
	o.wantValue(t, "app/admin", canary+"admin")
	o.wantValue(t, "app/mine", canary+large[1:])
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, "app", name+".age"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	write(t, filepath.Join(dir, "app", "mine.age"), read("admin"))
	o.wantError(t, "app/mine", sources.Unusable, `"app/mine" in `+dir, `sealed for "app/admin"`, "copied over")
	o.wantValue(t, "app/admin", canary+"admin")
	// What a person encrypts has no label.
	write(t, filepath.Join(dir, "app", "mine.age"), to(canary))
	o.wantValue(t, "app/mine", canary)
	write(t, filepath.Join(dir, "app", "mine.age"), to(canary+large+"x"))
	o.wantError(t, "app/mine", sources.Unusable, "larger than the limit of 1048576 bytes")
}
