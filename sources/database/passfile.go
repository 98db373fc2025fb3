package database

import (
	"bytes"
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker/regular"

	"github.com/jackc/pgpassfile"
	"github.com/jackc/pgx/v5"
)

// passfile returns the path of libpq's file of passwords, which need not exist.
func passfile() string {
	if path := os.Getenv("PGPASSFILE"); path != "" {
		return path
	}
	if runtime.GOOS == "windows" {
		return filepath.Join(os.Getenv("APPDATA"), "postgresql", "pgpass.conf")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".pgpass")
}

// passfileHost is what a line of the file calls the host of config.
func passfileHost(config *pgx.ConnConfig) string {
	if strings.HasPrefix(config.Host, "/") {
		return "localhost"
	}
	return config.Host
}

func readPassfile(path string) (*pgpassfile.Passfile, error) {
	data, _, err := regular.ReadFile(path, fileMost)
	if err != nil {
		return nil, err
	}
	var lines strings.Builder // without what editors and copying leave at their ends
	for line := range strings.Lines(string(data)) {
		lines.WriteString(sources.Trim(line) + "\n")
	}
	return pgpassfile.ParsePassfile(strings.NewReader(lines.String()))
}

// fromPassfile returns the password that the file at path has for config, or "".
func fromPassfile(config *pgx.ConnConfig, path string) string {
	lines, err := readPassfile(path)
	if err != nil {
		return ""
	}
	return lines.FindPassword(passfileHost(config), strconv.Itoa(int(config.Port)), config.Database, config.User)
}

// sendsAmbient reports whether config, made of the settings with that address, has
// a password that they do not, other than one that the file of passwords has for
// this very host.
func (s Settings) sendsAmbient(config *pgx.ConnConfig, address string) bool {
	if s.Password.Len() > 0 || s.PasswordCommand != nil || config.Password == "" || config.Password == inAddress(address, "password") {
		return false
	}
	if len(hosts(config)) > 1 {
		return true
	}
	file := inAddress(address, "passfile")
	lines, err := readPassfile(cmp.Or(file, passfile()))
	if err != nil {
		return true
	}
	if file == "" {
		lines.Entries = slices.DeleteFunc(lines.Entries, func(e *pgpassfile.Entry) bool { return e.Hostname != config.Host })
	}
	return lines.FindPassword(config.Host, strconv.Itoa(int(config.Port)), config.Database, config.User) != config.Password
}

// warnOfPassfile warns where the password is that of the file, and others may
// read it. libpq would take no notice of such a file; one that a cluster mounts
// is often so, and is used.
func warnOfPassfile(config *pgx.ConnConfig, warn func(string)) {
	info, err := os.Stat(passfile())
	if err != nil || runtime.GOOS == "windows" || info.Mode().Perm()&0o077 == 0 || fromPassfile(config, passfile()) != config.Password {
		return
	}
	warn(fmt.Sprintf("the file of passwords %s may be read by others (mode %04o)", passfile(), info.Mode().Perm()))
}

// noLine continues a hint for a login without a password: what the file lacks.
func noLine(config *pgx.ConnConfig) string {
	path := passfile()
	if path == "" {
		return ""
	}
	which := "PGPASSFILE (or ~/.pgpass)"
	if data, _, err := regular.ReadFile(path, fileMost); err == nil && bytes.IndexByte(data, 0) >= 0 {
		which = path + ", which is in UTF-16, or no text: save it as UTF-8"
	} else if err == nil {
		which = path + ", where none matches"
	} else if os.Getenv("PGPASSFILE") != "" {
		which = path + ", which cannot be read"
	}
	return fmt.Sprintf(", or add a line for %s to %s",
		strings.Join([]string{net.JoinHostPort(passfileHost(config), strconv.Itoa(int(config.Port))), config.Database, config.User}, ":"), which)
}
