package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bifrost-secrets/sources/postgres/pgtest"
)

// TestConfigStoreDocs does what docs/configstore.md says: its SQL as the
// administrator, its config, and its commands, which must print just what the
// page shows. The page's names of the host and the database stand for those of a
// real server, and the rows are those that it speaks of.
func TestConfigStoreDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/configstore.md")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := os.ReadFile("../../testdata/configstore/1.5.sql")
	if err != nil {
		t.Fatal(err)
	}
	d := pgtest.Start(t, pgtest.Options{}).Database(t)
	d.Exec(t, string(tables)+`
INSERT INTO config_providers (name) VALUES ('openai');
INSERT INTO config_keys (name, provider, provider_id, key_id, value) VALUES ('main', 'openai', 1, '5d885eee', 'vault.openai/key'), ('spare', 'openai', 1, 'e09d55ad', 'sk-Q7vTz0mWk4XhN2bLr8YdC6fP');
INSERT INTO governance_virtual_keys (id, name, value) VALUES ('vk-1', 'team', 'vault.team');`)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "secrets", "openai"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "secrets", "openai", "key"), "sk-another\n")
	real := strings.NewReplacer("db.example:5432", fmt.Sprintf("%s:%d", d.Host, d.Port), `"db.example"`, `"`+d.Host+`"`, `"5432"`, fmt.Sprintf(`"%d"`, d.Port),
		`"bifrost"`, `"`+d.Name+`"`, "/bifrost:", "/"+d.Name+":", "/bifrost\n", "/"+d.Name+"\n")
	var environment []string
	ran := map[string]int{}
	for _, block := range regexp.MustCompile("(?s)```([a-z]+)\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		kind, text := block[1], real.Replace(block[2])
		switch ran[kind]++; kind {
		case "sql":
			d.Exec(t, text)
			continue
		case "json":
			write(t, filepath.Join(dir, "config.json"), text)
			continue
		}
		for _, one := range strings.Split("\n"+text, "\n$ ")[1:] {
			command, want, _ := strings.Cut(strings.TrimSuffix(one, "\n"), "\n")
			if strings.HasPrefix(command, "export ") {
				environment = append(environment, command)
				continue
			}
			if got := console(t, dir, strings.Join(append(environment, command), "\n")); strings.TrimSpace(got) != strings.TrimSpace(want) {
				t.Errorf("%s is to print\n%s\nand prints\n%s", command, want, got)
			}
		}
	}
	if ran["sql"] != 1 || ran["json"] != 1 || ran["console"] < 5 {
		t.Errorf("too little was found on the page: %v", ran)
	}
}
