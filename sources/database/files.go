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
			if file.key == "servicefile" {
				path = string(filepath.Separator) // it names other files, wherever they are
			}
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

// inAddress returns what an address says for key, as pgx reads it, or "". Of a key that
// is there twice the last counts.
func inAddress(address, key string) (value string) {
	each := func(name, text string) {
		if name == key {
			value = text
		}
	}
	if _, rest, isURL := strings.Cut(address, "://"); isURL {
		inURL(rest, each)
		return value
	}
	for _, word := range words().FindAllStringSubmatch(address, -1) {
		each(word[1], escapes().ReplaceAllString(word[2]+word[3], "$1"))
	}
	return value
}

// words are what stands in an address of the form key=value key='value'. A backslash
// takes the character behind it as it is.
var (
	words = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?s)[ \t\n\r\v\f]*([^=]*?)[ \t\n\r\v\f]*=[ \t\n\r\v\f]*(?:'((?:[^'\\]|\\.)*)'|((?:[^ \t\n\r\v\f\\]|\\.)*\\?))`)
	})
	escapes = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?s)\\(.|$)`) })
)

// inURL calls each with the password and the parameters of a URL whose scheme was taken
// off. net/url reads such addresses otherwise: it knows of one host, ends a login at a
// question mark, and takes a plus for a space.
func inURL(rest string, each func(key, value string)) {
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		_, password, _ := strings.Cut(rest[:i], ":")
		each("password", decoded(password))
		rest = rest[i+1:]
	}
	for more := true; more; { // hosts, of which one in brackets may have a question mark
		if strings.HasPrefix(rest, "[") {
			_, rest, _ = strings.Cut(rest, "]")
		}
		i := strings.IndexAny(rest, "/?,")
		if i < 0 {
			return
		}
		more = rest[i] == ','
		rest = rest[i:]
		if more {
			rest = rest[1:]
		}
	}
	_, query, _ := strings.Cut(rest, "?")
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		each(decoded(key), decoded(value))
	}
}

func decoded(text string) string {
	text, err := url.PathUnescape(strings.Trim(text, " "))
	if err != nil {
		return "" // pgx says what is wrong with it
	}
	return text
}
