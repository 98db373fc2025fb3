package service

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/render/publish"
	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
	"bifrost-secrets/watch/control"
)

// Options are the flags of exec and watch. They do not change once a command has
// begun.
type Options struct {
	Flags
	Output
	Listen  Listen
	Cluster Cluster
	Bifrost API

	Interval time.Duration
	NewKey   bool // another encryption_key than before is taken

	Apply        string
	Command      string
	ApplyTimeout time.Duration

	// These are exec's.
	AppDir       string
	StopTimeout  time.Duration
	RestartSplay time.Duration
	Settle       time.Duration // how long a restarted Bifrost has to be ready before the next of the cluster
	Parallel     int           // how many of a cluster may restart at a time
	Drain        time.Duration // from /readyz failing to Bifrost's end; UsualDrain for what is usual where it runs
	LastGood     time.Duration
	Rewrite      bool
	CleanEnv     bool
}

// Listen says where the HTTP server beside the loop is.
type Listen struct {
	Addresses []string
	Probe     string
	TokenFile string
	TLSCert   string
	TLSKey    string
}

// API says where Bifrost's management API is, and how to sign in.
type API struct {
	URL       string
	TokenFile string // of a bearer token, or of user:password
	PlainHTTP bool
}

// Cluster says how a watcher hears of what others are told.
type Cluster struct {
	Database string // empty for Bifrost's own config store; or none
	Listed   bool   // it lists itself in a table there
	// own is Bifrost's config store, which serves where Database is empty; nil
	// where there is none.
	own *database.Target
	// onReject is called when another watcher's Bifrost has rejected values.
	onReject func()
}

// listed is the word of --cluster that has a watcher list itself: alone, or behind an
// address.
const listed = "table"

// takeListed takes the word off the address.
func (c *Cluster) takeListed() error {
	address, rest, found := cutLast(c.Database, ",")
	if !found {
		address, rest = "", c.Database
	}
	if rest != listed {
		return nil
	}
	c.Database, c.Listed = address, true
	if address == none {
		return usageError("--cluster none excludes "+listed, "leave one of them out")
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// none switches the listener or the cluster off.
const none = "none"

// StartTimeout is how long a backend that does not answer at the start is waited for.
func (o *Options) StartTimeout() time.Duration { return 2 * o.Timeout }

func (o *Options) checkLoop() error {
	switch {
	case o.Config == "-":
		return usageError("the config is read again and again, which the standard input cannot be", "name a file with --config")
	case o.Interval < time.Second:
		return usageError("--interval must be a second or more", "write 1h or 5m")
	case o.ApplyTimeout <= 0:
		return usageError("--apply-timeout must be more than nothing", "write 1m")
	case o.Apply == "command" && strings.TrimSpace(o.Command) == "":
		return usageError("--apply command needs --command", "write --command 'systemctl restart bifrost'")
	case o.Apply != "command" && o.Command != "":
		return usageError("--command needs --apply command", "")
	case o.Apply == "api" && o.Mode == string(render.EnvMode):
		return usageError("--apply api does not go with --mode env: it would write the values over the references in Bifrost's database", "use --apply auto, or --mode inline")
	}
	if err := o.Cluster.takeListed(); err != nil || o.Cluster.Database == none {
		return err
	}
	return checkAddress("--cluster", o.Cluster.Database)
}

// CheckWatch refuses flags of watch that do not go together.
func (o *Options) CheckWatch() error {
	if err := o.Flags.Check(); err != nil {
		return err
	}
	if err := o.Output.Check("watch", o.Mode); err != nil {
		return err
	}
	switch {
	case slices.Contains(WatchApplies, o.Apply):
		return o.checkLoop()
	case o.Apply == "restart":
		return usageError("--apply restart is for exec: watch does not start Bifrost", "use --apply command --command '...', or exec")
	}
	return usageError("unknown --apply "+quote(o.Apply), "write auto, api, command or none")
}

// UsualDrain is a --drain that is not given.
const UsualDrain time.Duration = -1

// kubernetesDrain is what --drain is in Kubernetes unless it is given.
const kubernetesDrain = 5 * time.Second

// The words of --apply.
var (
	ExecApplies  = []string{"auto", "api", "restart", "none"}
	WatchApplies = []string{"auto", "api", "command", "none"}
)

// The files of an app dir: Bifrost reads the one, and we the other.
const (
	PublishedName = "config.json"
	SourceName    = "config.source.json"
)

// CheckExec refuses flags of exec that do not go together, and names the files
// that follow from the app dir. args are the child's command.
func (o *Options) CheckExec(h *Host, args []string) error {
	if o.AppDir == "" {
		o.AppDir = h.Env["APP_DIR"]
	}
	switch {
	case len(args) == 0:
		return usageError("exec needs a command", "write it behind --: bifrost-secrets exec --app-dir /app/data -- /app/main")
	case o.AppDir == "":
		return usageError("exec needs --app-dir", "name the directory that Bifrost reads config.json from, with --app-dir or APP_DIR")
	}
	if o.Config == "" {
		o.Config = filepath.Join(o.AppDir, SourceName)
	}
	if o.Drain == UsualDrain {
		o.Drain = 0
		if h.Env["KUBERNETES_SERVICE_HOST"] != "" { // whose endpoints follow /readyz
			o.Drain = min(kubernetesDrain, o.StopTimeout/5)
		}
	}
	o.Out = filepath.Join(o.AppDir, PublishedName)
	if err := o.unmoved(); err != nil {
		return err
	}
	if err := o.Flags.Check(); err != nil {
		return err
	}
	switch {
	case o.Apply == "command":
		return usageError("--apply command is for watch: exec starts Bifrost, and restarts it", "use --apply auto")
	case !slices.Contains(ExecApplies, o.Apply):
		return usageError("unknown --apply "+quote(o.Apply), "write auto, api, restart or none")
	case o.Rewrite && o.Mode != string(render.EnvMode):
		return usageError("--rewrite-database needs --mode env: the values are to be in Bifrost's environment alone", "add --mode env")
	case o.StopTimeout <= 0 || o.Settle < 0 || o.RestartSplay < 0 || o.LastGood < 0 || o.Drain < 0:
		return usageError("--stop-timeout, --drain, --restart-settle, --restart-splay and --start-from-last-good cannot be less than nothing", "")
	case o.Parallel < 1:
		return usageError("--restart-parallel must be 1 or more", "")
	case o.Drain >= o.StopTimeout:
		return usageError("--drain must be less than --stop-timeout, of which it is a part", "")
	case o.LastGood > 0 && o.Mode == string(render.EnvMode):
		return usageError("--start-from-last-good does not go with --mode env: no values rest on the disk", "use --mode inline")
	}
	return o.checkLoop()
}

// unmoved finds a config that stands where the one with the values is to go, and that
// there is none where it is looked for by default.
func (o *Options) unmoved() error {
	source := filepath.Join(o.AppDir, SourceName)
	hint := "exec reads " + SourceName + " and writes " + PublishedName + ": where that is the one with your references, mv " + o.Out + " " + source + "; docs/migrate.md shows the move"
	out, err := os.Stat(o.Out)
	if err != nil {
		if _, err := os.Stat(source); o.Config == source && errors.Is(err, fs.ErrNotExist) {
			return usageError(source+" does not exist", "exec reads "+SourceName+" in --app-dir, unless --config names another file")
		}
		return nil
	}
	if publish.Fixed(o.Out) {
		hint = o.Out + " is mounted, or read-only: have it read where it is, and another written to an empty directory in memory: --config " + o.Out +
			" --app-dir DIR; docs/kubernetes.md shows it"
	}
	in, err := os.Stat(o.Config)
	switch {
	case err == nil && os.SameFile(in, out):
		return usageError(o.Config+": is the file "+PublishedName+" that is read: its references would be lost", hint)
	case errors.Is(err, fs.ErrNotExist) && o.Config == source:
		return usageError(o.Config+" does not exist", hint)
	}
	return nil
}

// Options returns the settings of the server. ok is false where none is wanted.
func (l *Listen) Options(h *Host, metrics http.Handler) (opts control.Options, ok bool, err error) {
	opts = control.Options{
		Listen: l.Addresses, ProbeListen: l.Probe, TokenFile: l.TokenFile, Token: sources.NewSecret([]byte(h.Env[control.TokenVariable])),
		TLSCert: l.TLSCert, TLSKey: l.TLSKey, Metrics: metrics, Log: h.Log,
	}
	if slices.Contains(l.Addresses, none) {
		if len(l.Addresses) > 1 {
			return opts, false, usageError("--listen none excludes other addresses", "leave one of them out")
		}
		opts.Listen = nil
	}
	return opts, len(opts.Listen) > 0 || l.Probe != "", nil
}
