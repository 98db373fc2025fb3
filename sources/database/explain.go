package database

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/walker/regular"
)

// Explain puts an error of a connection or a statement into words, as a
// *sources.Error whose cause is no error of pgx that could show a login. One
// that is a *sources.Error already stays as it is.
func (t *Target) Explain(err error) error {
	var own *sources.Error
	if err == nil || errors.As(err, &own) {
		return err
	}
	where := "the PostgreSQL at " + t.Address()
	down := func(cause error, message, hint string) error {
		return &sources.Error{Kind: sources.Unreachable, Message: message, Hint: hint, Err: cause}
	}
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return t.answered(where, answer)
	}
	var dns *net.DNSError
	var timeout net.Error
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	switch why := netfault.TLS(err); {
	case errors.As(err, &authority):
		return down(nil, where+": "+why, "name the file of the authority's certificate in ssl_root_cert (sslrootcert in a url)")
	case errors.As(err, &name):
		return down(nil, where+": "+why, "write host as the certificate has it; verify-ca does not look at the name")
	case why != "":
		return down(nil, where+": "+why, "check the certificate there, the clock here, and, where it wants a certificate of ours, sslcert or PGSSLCERT")
	case strings.Contains(err.Error(), "ValidateConnect failed"): // whatever the other hosts have said
		return down(nil, where+" is not what target_session_attrs asks for", "a standby has no other role until it fails over: wait, or name every server of the cluster in host")
	case errors.Is(err, context.Canceled):
		return down(context.Canceled, where+" was not waited for any longer", "")
	case errors.As(err, &dns) && !dns.IsTimeout:
		return down(nil, fmt.Sprintf("the host %q of PostgreSQL is not known", dns.Name), "check host for a typing error, and that this machine can resolve it")
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout(), pgconn.Timeout(err):
		return down(context.DeadlineExceeded, "no answer from "+where+" in time", "check host and port, and that a firewall does not swallow the packets")
	case errors.Is(err, syscall.ECONNREFUSED):
		return down(syscall.ECONNREFUSED, where+" refuses connections: nothing listens there", "check host and port, and that PostgreSQL is started and listens on that address")
	case errors.Is(err, fs.ErrNotExist):
		return down(fs.ErrNotExist, where+": there is no socket in that directory", "check host, and that PostgreSQL is started")
	case errors.Is(err, fs.ErrPermission):
		return down(fs.ErrPermission, where+" cannot be reached: no permission", "")
	// pgx has no types for what follows.
	case strings.Contains(err.Error(), "authentication method requirement"), strings.Contains(err.Error(), "channel binding required"):
		return sources.NewError(sources.NoLogin, where+" asks for the password in a way that channel_binding or require_auth rules out", "see pg_hba.conf there; channel binding takes TLS and scram-sha-256")
	case strings.Contains(err.Error(), "server refused TLS connection"):
		return down(nil, where+" knows no TLS", "switch ssl on there; ssl_mode disable is for a network that is trusted")
	case errors.Is(err, pgconn.ErrConnClosed):
		return down(pgconn.ErrConnClosed, "the connection to "+where+" was closed", "")
	}
	return down(nil, "the connection to "+where+" was lost, or what is there does not speak PostgreSQL's protocol", "")
}

// answered puts an answer of the server into words, by its code alone: a message
// is whatever a trigger raises, or a server that is none writes, and may repeat a
// row or the password. The cause that goes with it has nothing but the code.
func (t *Target) answered(where string, a *pgconn.PgError) error {
	if !codeForm().MatchString(a.Code) {
		a = &pgconn.PgError{Code: "XX000"}
	}
	e := &sources.Error{Kind: sources.Unreachable, Code: a.Code, Err: &pgconn.PgError{Code: a.Code}}
	user, name := t.config.User, t.config.Database
	switch a.Code {
	case "28P01":
		e.Kind = sources.NoLogin
		e.Message = fmt.Sprintf("%s refuses the password of %q, or knows no such user", where, user)
		e.Hint = "check user and password; in a url, special characters are percent-encoded"
		if now, err := t.settings.parse(); err == nil && now.Password == "" && t.settings.PasswordCommand == nil {
			e.Message = fmt.Sprintf("%s wants a password of %q, and none is set", where, user)
			e.Hint = "set password to env.NAME of a variable that holds it" + noLine(now)
		}
	case "28000":
		e.Kind = sources.NoLogin
		e.Message = fmt.Sprintf("%s does not let %q in to %q from here", where, user, name)
		e.Hint = "see pg_hba.conf there; it may want TLS (ssl_mode require or better)"
	case "3D000":
		e.Message = fmt.Sprintf("%s has no database %q", where, name)
		e.Hint = "check db_name, or create it: createdb " + name
	case "53300":
		e.Kind = sources.Throttled
		e.Message = where + " has no connection left to give"
		e.Hint = "raise max_connections there, or put a pooler in front"
	case "57P03":
		e.Message, e.Hint = where+" is starting, stopping or recovering", "try again in a moment"
	case "57P01", "57P02", "57P05":
		e.Message = where + " ended the connection"
	case "42501":
		e.Kind = sources.Denied
		e.Message = fmt.Sprintf("%s does not let %q do this", where, user)
		e.Hint = "docs/postgres.md has the GRANTs that are needed"
	case "25006":
		e.Kind = sources.Denied
		e.Message = fmt.Sprintf("the database %q at %s is read-only", name, t.Address())
		e.Hint = "is it a standby? name the primary; or default_transaction_read_only is set for the role"
	default:
		e.Message = where + " failed: " + meaning(a.Code)
		e.Hint = "the log of the server has its own words; " + a.Code + " is explained in PostgreSQL's list of error codes"
	}
	return e
}

var codeForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9A-Z]{5}$`) })

// meanings are what codes of PostgreSQL say, by their beginnings.
var meanings = map[string]string{
	"08": "the connection broke", "0A": "it does not know how to do this", "22": "a value does not fit its column", "23": "a constraint there refuses the row",
	"25": "the transaction was not in the right state", "28": "it does not let us in", "3F": "there is no such schema", "40": "another transaction was in the way",
	"42": "its tables are not those that are expected", "42P01": "there is no such table", "42703": "there is no such column", "53": "it has run out of something",
	"53100": "its disk is full", "53200": "it has run out of memory", "54": "this is too much for it", "55": "something there is in use", "55P03": "it did not get a lock in time",
	"57014": "it cancelled the statement, as its statement_timeout wants", "58": "its own files failed", "P0": "a trigger or a function there refuses it",
}

func meaning(code string) string {
	return cmp.Or(meanings[code], meanings[code[:2]], "an error of its own")
}

// misread says what pgx could not parse; its own words show the address.
func misread(s Settings, err error) error {
	var file *fs.PathError
	text := err.Error()
	text = text[strings.LastIndex(text, "`: ")+1:] // without the address, which may hold any word
	switch {
	case errors.As(err, &file):
		return unreadable(file)
	case strings.Contains(text, "failed to read service"):
		return noService(s)
	case strings.Contains(text, "sslmode"):
		return sources.NewError(sources.BadSettings, "sslmode is none that is known", "known are "+strings.Join(modes, ", "))
	case strings.Contains(text, "port"):
		return sources.NewError(sources.BadSettings, "the port is no number from 1 to 65535", writeURL)
	case s.URL.Len() > 0:
		return sources.NewError(sources.BadSettings, "url cannot be read as an address of PostgreSQL", writeURL)
	}
	return sources.NewError(sources.BadSettings, "the settings of PostgreSQL cannot be read", "check the variables PGHOST, PGSSLMODE and the like")
}

// noService is the error for a service of libpq that its file does not have.
func noService(s Settings) error {
	address, _ := s.address()
	name, path := inAddress(address, "service"), inAddress(address, "servicefile")
	named := "the file of services"
	for _, f := range []struct{ path, called string }{{os.Getenv("PGSERVICEFILE"), "the file of PGSERVICEFILE"}, {inHome(".pg_service.conf"), "~/.pg_service.conf"}} {
		if path == "" && f.path != "" {
			path, named = f.path, f.called
		}
	}
	service := "the service of PGSERVICE"
	if name = cmp.Or(name, os.Getenv("PGSERVICE")); isHost(name) {
		service = fmt.Sprintf("the service %q of PostgreSQL", name)
	}
	e := sources.NewError(sources.BadSettings, service+" is not in "+named, "check PGSERVICE and PGSERVICEFILE; a service begins with its name in brackets, on a line of its own")
	switch data, _, err := regular.ReadFile(path, fileMost); {
	case err != nil:
	case bytes.HasPrefix(data, []byte("\ufeff")):
		e.Hint = named + " begins with a byte order mark, which hides its first service: save it without"
	case bytes.IndexByte(data, 0) >= 0:
		e.Hint = named + " is in UTF-16, or no text: save it as UTF-8"
	}
	return e
}

func inHome(name string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, name)
}

const holdsPEM = "it is to hold the authority's certificate as PEM"

func unreadable(err error) error {
	var file *fs.PathError
	reason := "it cannot be read"
	if errors.As(err, &file) {
		reason = file.Err.Error()
		if errors.Is(file, os.ErrNotExist) {
			reason = "it does not exist"
		}
	}
	return sources.NewError(sources.BadSettings, "the file of ssl_root_cert: "+reason, holdsPEM)
}
