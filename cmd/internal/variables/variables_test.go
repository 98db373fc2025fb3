package variables

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// program returns a command with a flag of each kind, below a root.
func program() (root, cmd *cobra.Command) {
	root = &cobra.Command{Use: "program"}
	root.PersistentFlags().BoolP("quiet", "q", false, "")
	cmd = &cobra.Command{Use: "exec", Run: func(*cobra.Command, []string) {}}
	f := cmd.Flags()
	f.String("app-dir", "", "")
	f.Duration("interval", time.Hour, "")
	f.Int("jobs", 0, "")
	f.StringArray("listen", []string{"127.0.0.1:1"}, "")
	f.Bool("yes", false, "")
	f.String("out", "", "")
	f.StringArray("allow-path", nil, "")
	other := &cobra.Command{Use: "prune", Run: func(*cobra.Command, []string) {}}
	other.Flags().String("prefix", "", "")
	root.AddCommand(cmd, other)
	return root, cmd
}

func TestSet(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		name  string
		args  []string
		env   map[string]string
		want  map[string]string
		wrong string
	}{
		{"unset", nil, nil, map[string]string{"app-dir": "", "interval": "1h0m0s", "listen": "[127.0.0.1:1]"}, ""},
		{"each kind", nil, map[string]string{
			"BIFROST_SECRETS_APP_DIR": "/run/a b, c", "BIFROST_SECRETS_INTERVAL": "5m", "BIFROST_SECRETS_JOBS": "3", "BIFROST_SECRETS_QUIET": "true",
			"BIFROST_SECRETS_LISTEN": "unix:/a,b:c\n\n  none \r\n",
		}, map[string]string{"app-dir": "/run/a b, c", "interval": "5m0s", "jobs": "3", "quiet": "true", "listen": `["unix:/a,b:c",none]`}, ""},
		{"a flag wins", []string{"--app-dir", "/b", "--listen", "x"}, map[string]string{"BIFROST_SECRETS_APP_DIR": "/a", "BIFROST_SECRETS_LISTEN": "y"}, map[string]string{"app-dir": "/b", "listen": "[x]"}, ""},
		{"a flag wins over what cannot be read", []string{"--interval", "1m"}, map[string]string{"BIFROST_SECRETS_INTERVAL": "never"}, map[string]string{"interval": "1m0s"}, ""},
		{"empty is unset", nil, map[string]string{"BIFROST_SECRETS_INTERVAL": "", "BIFROST_SECRETS_LISTEN": "\n \n"}, map[string]string{"interval": "1h0m0s", "listen": "[127.0.0.1:1]"}, ""},
		{"not for one time", nil, map[string]string{"BIFROST_SECRETS_YES": "true", "BIFROST_SECRETS_ALLOW_PATH": "/"}, map[string]string{"yes": "false", "allow-path": "[]"}, ""},
		{"an output", nil, map[string]string{"BIFROST_SECRETS_OUT": "a"}, map[string]string{"out": "a"}, ""},
		{"what the command of --apply command gets", nil, map[string]string{"BIFROST_SECRETS_OUT": "/app/data/config.json", "BIFROST_SECRETS_TRIGGER": "tick", "BIFROST_SECRETS_JOBS": "3"}, map[string]string{"out": "", "jobs": "3"}, ""},
		{"no duration", nil, map[string]string{"BIFROST_SECRETS_INTERVAL": "CANARY"}, nil, "BIFROST_SECRETS_INTERVAL is no duration"},
		{"no number", nil, map[string]string{"BIFROST_SECRETS_JOBS": "CANARY"}, nil, "BIFROST_SECRETS_JOBS is no whole number"},
		{"no boolean", nil, map[string]string{"BIFROST_SECRETS_QUIET": "CANARY"}, nil, "BIFROST_SECRETS_QUIET is neither true nor false"},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			root, cmd := program()
			var err error
			cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
				err = Set(cmd, func(name string) (string, bool) { v, ok := one.env[name]; return v, ok })
				return nil
			}
			root.SetArgs(append([]string{"exec"}, one.args...))
			if bad := root.Execute(); bad != nil {
				t.Fatal(bad)
			}
			switch {
			case one.wrong == "" && err != nil, one.wrong != "" && (err == nil || !strings.HasPrefix(err.Error(), one.wrong)):
				t.Fatalf("got %v, want %q", err, one.wrong)
			case err != nil && strings.Contains(err.Error(), "CANARY"):
				t.Errorf("the value is in %q", err)
			}
			for name, want := range one.want {
				f := cmd.Flags().Lookup(name)
				if got := f.Value.String(); got != want {
					t.Errorf("--%s is %s, want %s", name, got, want)
				}
				fromVariable := f.Changed && !slices.Contains(one.args, "--"+name)
				if Given(f) != fromVariable {
					t.Errorf("--%s: from a variable: %v", name, Given(f))
				}
			}
		})
	}
}

func TestUnread(t *testing.T) {
	t.Parallel()
	root, cmd := program()
	whole := func() *cobra.Command { return root }
	for name, want := range map[string]string{
		"BIFROST_SECRETS_APP_DIR":     "",
		"BIFROST_SECRETS_PREFIX":      "", // of another command
		"BIFROST_SECRETS_QUIET":       "",
		"BIFROST_SECRETS_TOKEN":       "",
		"BIFROST_SECRETS_ALLOW_PATH":  "",
		"BIFROST_SECRETS_CHANGED":     "", // for the command of --apply command
		"BIFROST_SECRETS_OUT":         "",
		"BIFROST_SECRET_0123456789":   "", // of env mode
		"PATH":                        "",
		"BIFROST_SECRETS_APPDIR":      "BIFROST_SECRETS_APPDIR is no setting of this program, and is not read|did you mean BIFROST_SECRETS_APP_DIR?",
		"BIFROST_SECRETS_app_dir":     "BIFROST_SECRETS_app_dir is no setting of this program, and is not read|did you mean BIFROST_SECRETS_APP_DIR?",
		"BIFROST_SECRETS_APP-DIR":     "BIFROST_SECRETS_APP-DIR is no setting of this program, and is not read|did you mean BIFROST_SECRETS_APP_DIR?",
		"BIFROST_SECRETS_WHATEVER":    "BIFROST_SECRETS_WHATEVER is no setting of this program, and is not read|write BIFROST_SECRETS_ and the name of a flag that --help shows, with _ for -",
		"BIFROST_SECRETS_TOKN":        "BIFROST_SECRETS_TOKN is no setting of this program, and is not read|did you mean BIFROST_SECRETS_TOKEN?",
		"BIFROST_SECRETS_ALLOW_PATHS": "BIFROST_SECRETS_ALLOW_PATHS is no setting of this program, and is not read|did you mean BIFROST_SECRETS_ALLOW_PATH?",
		"BIFROST_SECRETS_YES":         "BIFROST_SECRETS_YES is not read: --yes is for the command line alone|",
		"BIFROST_SECRETS_SERVICE":     "BIFROST_SECRETS_SERVICE is no setting of this program, and is not read|write BIFROST_SECRETS_ and the name of a flag that --help shows, with _ for -",
		"BIFROST_SECRETS_LISTEN_PORT": "BIFROST_SECRETS_LISTEN_PORT is no setting of this program, and is not read|write BIFROST_SECRETS_ and the name of a flag that --help shows, with _ for -",
		"BIFROST_SECRETS_PORT":        "BIFROST_SECRETS_PORT is no setting of this program, and is not read|did you mean BIFROST_SECRETS_OUT?",
	} {
		var got []string
		for _, one := range Unread(cmd, whole, []string{name}) {
			got = append(got, one.Text+"|"+one.Hint)
		}
		if strings.Join(got, "\n") != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	none := func() *cobra.Command {
		t.Error("all commands are made for the variables of one")
		return root
	}
	Unread(cmd, none, []string{"PATH", "BIFROST_SECRETS_APP_DIR", "BIFROST_SECRETS_TOKEN"})
	// What Kubernetes sets for the Services bifrost-secrets and bifrost-secrets-listen.
	for _, service := range []string{"", "LISTEN_"} {
		var names []string
		for _, end := range []string{"SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_PROBES", "PORT", "PORT_9181_TCP", "PORT_9181_TCP_PROTO", "PORT_9181_TCP_PORT", "PORT_9181_TCP_ADDR"} {
			names = append(names, Prefix+service+end)
		}
		if got := Unread(cmd, none, names); got != nil {
			t.Errorf("%s: %v", service, got)
		}
	}
}
