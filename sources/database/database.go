// Package database reaches a PostgreSQL: it makes connections of settings, puts
// what goes wrong into words without the password, and keeps the tables that
// are ours at the version that this program knows.
//
// Statements are sent unprepared and in one round trip each, so that a pooler in
// transaction mode may stand in between. LISTEN is what does not pass such a
// pooler.
package database

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker/regular"
)

const (
	// connectTimeout bounds the attempts to connect, one for each host, where the
	// address names no time for one.
	connectTimeout = 10 * time.Second
	// idleTime is how long a connection is kept for the next use: those who
	// refresh every hour should not hold one all the while.
	idleTime = 30 * time.Second
	// mostMessage bounds one message of a server, which is at most a row, in bytes.
	mostMessage = 64 << 20
)

// modes are the values of SSLMode, as libpq has them.
var modes = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}

// Settings say which database, and as whom.
type Settings struct {
	// URL is an address (postgres://user:password@host:5432/name?sslmode=…) or
	// libpq's keywords (host=… user=…). With it, of the other members only
	// Password and PasswordCommand may be set.
	URL sources.Secret

	Host        string // a name, an address, or the directory of a socket
	Port        string // else 5432
	User        string
	DBName      string
	SSLMode     string // disable, allow, prefer (the default), require, verify-ca, verify-full
	SSLRootCert string // the file of the authority's certificate

	// Password is taken as it is: nothing in it needs a quote.
	Password sources.Secret
	// Warn, if it is not nil, is told of a file of passwords that others may read.
	Warn func(string)
	// Elsewhere, if it is not empty, is the setting that names an address which
	// nobody but the document does: no password of libpq's variables goes there,
	// and of its files only one for that host.
	Elsewhere string
	// Path, if it is not nil, returns where the path of a file leads that URL
	// names, or the error that it is not read.
	Path func(setting, path string) (string, error)
	// PasswordCommand, if it is not nil, returns the password at each new
	// connection.
	PasswordCommand func(context.Context) (sources.Secret, error)
}

// Target is a database that can be connected to. It is safe for concurrent use.
type Target struct {
	config   *pgx.ConnConfig // is copied before use
	settings Settings        // what it was made of
	latest   func() *Target  // see Following; may be nil
}

// New checks the settings and makes no connection. What they lack may come from
// libpq's variables and files (PGHOST, PGPASSWORD, ~/.pgpass and the like).
// Errors are of kind BadSettings and show nothing of a URL.
func New(s Settings) (*Target, error) {
	config, err := s.parse()
	if err != nil {
		return nil, err
	}
	if s.Warn != nil && s.Password.Len() == 0 && config.Password != "" {
		warnOfPassfile(config, s.Warn)
	}
	return &Target{config: config, settings: s}, nil
}

// parse makes a config of the settings, libpq's variables and the files that
// they name: those of passwords, services and certificates.
func (s Settings) parse() (*pgx.ConnConfig, error) {
	text, err := s.address()
	if err == nil && !isHost(s.Host) {
		err = notHost
	}
	if err == nil {
		err = checkFiles(text, s.Path)
	}
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(text)
	if err != nil {
		return nil, misread(s, err)
	}
	if config.Database == "" {
		// libpq's default, which a file of passwords is looked up by as well.
		config.Database = config.User
	}
	// pgx looks by other names, behind a byte order mark not at all, and takes a mark
	// behind a password for a part of it.
	if own := fromPassfile(config, cmp.Or(inAddress(text, "passfile"), passfile())); own != "" && sources.Trim(config.Password) == own || config.Password == "" {
		config.Password = own
	}
	if s.Elsewhere != "" && s.sendsAmbient(config, text) {
		return nil, sources.Stays("a password of PGPASSWORD or of the file of passwords", s.Elsewhere)
	}
	config.Password = cmp.Or(string(s.Password.Reveal()), config.Password)
	if config.ConnectTimeout == 0 { // one host that is silent must leave time to the next
		config.ConnectTimeout = connectTimeout / time.Duration(len(hosts(config)))
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "bifrost-secrets"
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.MaxProtocolMessageBodyLen = mostMessage
	for _, one := range hosts(config) {
		if !isHost(one.name) { // of PGHOST, a service or an address
			return nil, notHost
		}
	}
	return config, nil
}

// isHost refuses what is no host and would be shown as one, in messages, logs and
// labels: an address may have a password in it.
func isHost(text string) bool {
	return !strings.Contains(text, "://") && !strings.ContainsAny(text, "@?=") && !strings.ContainsFunc(text, unicode.IsSpace)
}

var notHost = sources.NewError(sources.BadSettings, "host is not the name of a host, nor an address or the directory of a socket", "write the name alone; an address with a user and a password is given as a url")

// address returns what pgx is to parse: the URL, or one made of the other
// settings without the password.
func (s Settings) address() (string, error) {
	others := s.Host + s.Port + s.User + s.DBName + s.SSLMode + s.SSLRootCert
	switch {
	case s.URL.Len() > 0 && others != "":
		return "", sources.NewError(sources.BadSettings, "url is set beside host, port, user, db_name, ssl_mode or ssl_root_cert", "set url, or the others; only password may stand beside url")
	case s.URL.Len() > 0:
		text := string(s.URL.Reveal())
		if scheme, _, ok := strings.Cut(text, "://"); ok && scheme != "postgres" && scheme != "postgresql" {
			return "", sources.NewError(sources.BadSettings, "url is not an address of PostgreSQL", writeURL)
		} else if !ok && !strings.Contains(text, "=") {
			return "", sources.NewError(sources.BadSettings, "url is not an address of PostgreSQL", writeURL)
		} else if ok && slashInLogin(text) {
			return "", sources.NewError(sources.BadSettings, "url cannot be read as an address of PostgreSQL", writeURL)
		}
		return text, nil
	case s.SSLMode != "" && !slices.Contains(modes, s.SSLMode):
		return "", sources.NewError(sources.BadSettings, "ssl_mode is none that is known", "known are "+strings.Join(modes, ", "))
	}
	if n, err := strconv.ParseUint(s.Port, 10, 16); s.Port != "" && (err != nil || n == 0) {
		return "", sources.NewError(sources.BadSettings, "port is no number from 1 to 65535", "PostgreSQL listens on 5432 where nothing else was chosen")
	}
	if s.SSLRootCert != "" {
		pem, _, err := regular.ReadFile(s.SSLRootCert, fileMost)
		if err != nil {
			return "", unreadable(err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(pem) { // which pgx does not look at
			return "", sources.NewError(sources.BadSettings, "the file of ssl_root_cert holds no certificate", holdsPEM)
		}
	}
	query := url.Values{}
	for key, value := range map[string]string{
		"host": s.Host, "port": s.Port, "user": s.User, "dbname": s.DBName, "sslmode": s.SSLMode, "sslrootcert": s.SSLRootCert,
	} {
		if value != "" {
			query.Set(key, value)
		}
	}
	return "postgres:///?" + strings.ReplaceAll(query.Encode(), "+", "%20"), nil // pgx takes a plus for a plus
}

// slashInLogin reports whether a password with a slash ends the hosts of a URL early:
// the rest of it would be shown as the name of a database.
func slashInLogin(address string) bool {
	_, rest, _ := strings.Cut(address, "://")
	rest, _, _ = strings.Cut(rest, "?")
	_, path, _ := strings.Cut(rest, "/")
	return strings.Contains(path, "@")
}

const writeURL = "write postgres://user@host:5432/name?sslmode=verify-full, special characters in the password percent-encoded, or set password apart"

// Address returns the host and the port, or the directory of the socket; where there
// are several, with commas between them.
func (t *Target) Address() string {
	var all []string
	for _, one := range hosts(t.config) {
		all = append(all, one.String())
	}
	return strings.Join(all, ",")
}

// host is where a server may be.
type host struct {
	name string // or the directory of a socket
	port uint16
}

func (h host) String() string {
	if strings.HasPrefix(h.name, "/") {
		return h.name
	}
	return net.JoinHostPort(h.name, strconv.Itoa(int(h.port)))
}

// hosts returns where a config leads, in the order of the attempts, each once: of one
// host there may be an attempt with TLS and one without.
func hosts(config *pgx.ConnConfig) []host {
	all := []host{{config.Host, config.Port}}
	for _, other := range config.Fallbacks {
		if one := (host{other.Host, other.Port}); !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all
}

// Describe returns the name of the database and where it is.
func (t *Target) Describe() string {
	return fmt.Sprintf("%s on %s", t.config.Database, t.Address())
}

// Database returns the name of the database.
func (t *Target) Database() string { return t.config.Database }

// Same reports whether both are one database, reached as the same role.
func (t *Target) Same(other *Target) bool {
	return t.Describe() == other.Describe() && t.User() == other.User()
}

// User returns the role that connections log in as.
func (t *Target) User() string { return t.config.User }

// Following returns the same target, each new connection of which is made as that of
// latest would be, where that is not nil: a login may be another one by then.
func (t *Target) Following(latest func() *Target) *Target {
	return &Target{config: t.config, settings: t.settings, latest: latest}
}

// As returns the same target under another application_name, which is what
// pg_stat_activity shows.
func (t *Target) As(application string) *Target {
	config := t.config.Copy()
	config.RuntimeParams["application_name"] = application
	return &Target{config: config, settings: t.settings, latest: t.latest}
}

// Traced returns the same target with a tracer of its statements.
func (t *Target) Traced(tracer pgx.QueryTracer) *Target {
	config := t.config.Copy()
	config.Tracer = tracer
	return &Target{config: config, settings: t.settings, latest: t.latest}
}

// Connect makes a connection. Errors are *sources.Error.
func (t *Target) Connect(ctx context.Context) (*pgx.Conn, error) {
	config := t.config.Copy()
	if err := t.renew(ctx, config); err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, t.Explain(err)
	}
	return conn, nil
}

// Pool makes a pool of at most size connections, none of which is made before
// it is wanted. Its errors are for [Target.Explain].
func (t *Target) Pool(ctx context.Context, size int32) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, misread(Settings{}, err) // libpq's variables
	}
	config.ConnConfig = t.config.Copy()
	config.MaxConns, config.MinConns, config.MinIdleConns = size, 0, 0
	config.MaxConnIdleTime, config.HealthCheckPeriod = idleTime, idleTime
	config.BeforeConnect = t.renew
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, t.Explain(err)
	}
	return pool, nil
}

// renew puts into config what may have been renewed since the target was made:
// the password of the command, if there is one, or of a file, and certificates.
// What cannot be read just now stays as it was.
func (t *Target) renew(ctx context.Context, config *pgx.ConnConfig) error {
	if t.latest != nil {
		if now := t.latest(); now != nil {
			name, tracer := config.RuntimeParams["application_name"], config.Tracer
			*config = *now.config.Copy()
			config.RuntimeParams["application_name"], config.Tracer = name, tracer
			t = now
		}
	}
	if now, err := t.settings.parse(); err == nil {
		config.Password, config.TLSConfig, config.Fallbacks = now.Password, now.TLSConfig, now.Fallbacks
	}
	if t.settings.PasswordCommand == nil {
		return nil
	}
	password, err := t.settings.PasswordCommand(ctx)
	if err != nil {
		return err
	}
	config.Password = string(password.Reveal())
	return nil
}

// Ping makes a connection and closes it.
func (t *Target) Ping(ctx context.Context) error {
	conn, err := t.Connect(ctx)
	if err != nil {
		return err
	}
	Close(conn)
	return nil
}

// Close closes a connection and waits for it, but not for long: nothing is to
// hang on a server that no longer answers.
func Close(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}
