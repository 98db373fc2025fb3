package sources_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// The table of docs/backends has a row for each backend, with its type, its block
// and all of its settings, and no other.
func TestPage(t *testing.T) {
	const page = "../docs/backends/README.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile("`([^`]+)`")
	rows := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) == 6 {
			var names []string
			for _, name := range quoted.FindAllStringSubmatch(cells[3], -1) {
				names = append(names, name[1])
			}
			slices.Sort(names)
			rows[strings.Trim(cells[1], " `")] = strings.Trim(cells[2], " `") + ": " + strings.Join(names, " ")
		}
	}
	delete(rows, "type")
	delete(rows, "---")
	for _, f := range sources.Table {
		if want := f.Block + ": " + strings.Join(f.Keys, " "); rows[f.Type] != want {
			t.Errorf("%s: the row of %s is %q, want %q", page, f.Type, rows[f.Type], want)
		}
		delete(rows, f.Type)
	}
	if len(rows) > 0 {
		t.Errorf("%s has rows of what is no backend: %v", page, rows)
	}
}

// The catalogue has a line for each setting, which says whether it is a credential,
// and no other below vault_store.
func TestCatalogue(t *testing.T) {
	lines := map[string]walker.Kind{}
	for _, e := range walker.Catalogue() {
		if setting, ok := strings.CutPrefix(e.Pattern, "config_store.vault_store."); ok && strings.Contains(setting, ".") {
			lines[setting] = e.Kind
		}
	}
	for _, f := range sources.Table {
		if !slices.IsSorted(f.Keys) {
			t.Errorf("the settings of %s are not sorted", f.Type)
		}
		for _, key := range f.Keys {
			kind, ok := lines[f.Block+"."+key]
			if secret := slices.Contains(f.Credentials, key); !ok || secret != (kind == walker.SecretKind) {
				t.Errorf("%s.%s: a credential is %v, and the catalogue's line is %v (%v)", f.Block, key, secret, kind, ok)
			}
			delete(lines, f.Block+"."+key)
		}
	}
	if len(lines) > 0 {
		t.Errorf("the catalogue has lines of what is no setting: %v", lines)
	}
}

func TestCheckName(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
	for kind, names := range map[string]struct{ good, bad []string }{
		"aws-secrets-manager": {
			[]string{"a", "a/B_+=.@!-9", long(512), "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:a/b-AbCdEf", arn + long(519)},
			[]string{"a b", "ü", long(513), "arn:aws:secretsmanager:eu-west-1:1234:secret:a", arn + long(520), arn, "a:b", "a\n"},
		},
		"gcp-secret-manager": {
			[]string{"a", "a/b", "ü", long(255), "projects/p/secrets/s", "projects/example.com:p/secrets/s/versions/3", "//secretmanager.googleapis.com/projects/p/secrets/s", "projects/p/secrets/" + long(255) + "/versions/" + long(63)},
			[]string{long(256), strings.Repeat("/", 52), "projects/p/locations/l/secrets/s", "//secretmanager.googleapis.com/x", "projects/p/secrets/" + long(256), "projects/p/secrets/s/versions/" + long(64), "a\n"},
		},
		"azure-key-vault": {
			[]string{"a", "a/b", long(127), "https://v.vault.azure.net/secrets/s", "https://v/secrets/s/0123456789abcdef0123456789abcdef", "https://v/secrets/" + long(127)},
			[]string{long(128), strings.Repeat("_", 26), "https://v/keys/s", "https://v/secrets/" + long(128), "a\x7f"},
		},
		"hashicorp-vault": {
			[]string{"a", "a b/ü", "a/...", "a?*", long(2048)},
			[]string{"/a", "a/", "a//b", ".", "a/../b", "a#b", "a\n", "a\u2028", "a\xff", long(2049)},
		},
		"postgres": {
			[]string{"a", "a b/ü", long(512), strings.Repeat("ü", 256), "\u2028"},
			[]string{long(513), strings.Repeat("ü", 257), "a\n", "a\x00", "\x7f", "\u0085", "\xff"},
		},
		"file":    {[]string{"a", "../a", long(9999)}, []string{"a\x00"}},
		"another": {[]string{"a", "a\x00", ""}, nil},
	} {
		for _, name := range names.good {
			if why, hint := sources.CheckName(kind, name); why+hint != "" {
				t.Errorf("%s: %.40q %s (%s)", kind, name, why, hint)
			}
		}
		if kind != "another" {
			names.bad = append(names.bad, "")
		}
		for _, name := range names.bad {
			if why, hint := sources.CheckName(kind, name); why == "" || hint == "" {
				t.Errorf("%s: %.40q may be a name", kind, name)
			}
		}
	}
}
