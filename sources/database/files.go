package database

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker/regular"
)

// fileMost is more than any file of certificates or passwords has, in bytes.
const fileMost = 4 << 20

// files are those that pgx reads by itself, without a limit and whatever they
// are: the name in an address, libpq's variable, and the name in the home.
var files = []struct{ key, variable, home string }{
	{"passfile", "PGPASSFILE", ".pgpass"},
	{"servicefile", "PGSERVICEFILE", ".pg_service.conf"},
	{"sslrootcert", "PGSSLROOTCERT", ".postgresql/root.crt"},
	{"sslcert", "PGSSLCERT", ".postgresql/postgresql.crt"},
	{"sslkey", "PGSSLKEY", ".postgresql/postgresql.key"},
}

// checkFiles refuses an address for which pgx would read what never ends, and
// files that the address names where allowed, which may be nil, returns an error.
func checkFiles(address string, allowed func(setting, path string) (string, error)) error {
	home, _ := os.UserHomeDir()
	for _, file := range files {
		path, from := inAddress(address, file.key), file.key
		if path != "" && path != "system" && allowed != nil {
			path, err := filepath.Abs(path) // pgx knows of no folder of a document
			if err == nil {
				_, err = allowed(file.key+" of the url", path)
			}
			if err != nil {
				return err
			}
		}
		if path == "" {
			path, from = os.Getenv(file.variable), file.variable
		}
		if path == "" && home != "" {
			path, from = filepath.Join(home, file.home), "~/"+file.home
		}
		if path == "" || file.key == "sslrootcert" && path == "system" {
			continue
		}
		if err := regular.CheckFile(path, fileMost); err != nil {
			return sources.NewError(sources.BadSettings, fmt.Sprintf("the file of %s cannot be read: %v", from, regular.Cause(err)), "name another file, or take the setting out")
		}
	}
	return nil
}

// words are what stands in an address of the form key=value key='value'.
var words = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)([a-z]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(\S*))`) })

// inAddress returns what an address says for key, or "".
func inAddress(address, key string) string {
	if strings.Contains(address, "://") {
		if u, err := url.Parse(address); err == nil {
			return u.Query().Get(key)
		}
		return "" // pgx says what is wrong with it
	}
	for _, word := range words().FindAllStringSubmatch(address, -1) {
		if word[1] == key {
			return strings.NewReplacer(`\\`, `\`, `\'`, `'`).Replace(word[2] + word[3])
		}
	}
	return ""
}
