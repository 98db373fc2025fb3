package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"filippo.io/age"

	"bifrost-secrets/sources/postgres/pgtest"
)

// TestPostgresDocs does what docs/postgres.md says, from its beginning to its
// end: its SQL as the administrator, its file, and its commands in one shell
// each, which must print just what the page shows. The page's names of the host
// and the database stand for those of a real server.
func TestPostgresDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/postgres.md")
	if err != nil {
		t.Fatal(err)
	}
	d := pgtest.Start(t, pgtest.Options{}).Database(t)
	dir := t.TempDir()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(d.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("key.txt", identity.String()+"\n")
	write("ca.pem", string(authority))
	real := strings.NewReplacer("db.example:5432", fmt.Sprintf("%s:%d", d.Host, d.Port), `"db.example"`, `"`+d.Host+`"`, `"5432"`, fmt.Sprintf(`"%d"`, d.Port),
		`"bifrost"`, `"`+d.Name+`"`, "postgres bifrost on", "postgres "+d.Name+" on")

	var environment []string
	ran := map[string]int{}
	for _, block := range regexp.MustCompile("(?s)```([a-z]+)\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		kind, text := block[1], real.Replace(block[2])
		ran[kind]++
		switch kind {
		case "sql":
			d.Exec(t, text)
			continue
		case "json":
			write("store.json", text)
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
	if ran["sql"] < 2 || ran["json"] != 1 || ran["console"] < 4 {
		t.Errorf("too little was found on the page: %v", ran)
	}
}
