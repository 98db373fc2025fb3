package main

import (
	"slices"
	"strconv"
	"strings"

	"bifrost-secrets/sources/database"

	"github.com/spf13/cobra"
)

// allowCommandsVariable says for exec and watch, whose command line may be that of
// an image, what --allow-commands would.
const allowCommandsVariable = ownVariables + "ALLOW_COMMANDS"

// commandsRun makes a command one that runs what the config names, and signs in
// where it says: Bifrost, for which exec and watch work, runs the same commands of
// the same config.
func (j *job) commandsRun(cmd *cobra.Command) {
	f := cmd.Flags().Lookup("allow-commands")
	f.DefValue, j.allowCommands, j.commandsSaid = "true", true, func() bool { return f.Changed }
	j.ambient = true
	f.Usage += "; as Bifrost does (or " + allowCommandsVariable + ")"
}

// checkCommands reads the variable, where the flag does not say.
func (j *job) checkCommands() error {
	if j.commandsSaid == nil || j.commandsSaid() {
		return nil
	}
	text, ok := j.p.getenv(allowCommandsVariable)
	if !ok {
		return nil
	}
	allow, err := strconv.ParseBool(text)
	if err != nil {
		return usageError(allowCommandsVariable+" is neither true nor false", "write one of the two")
	}
	j.allowCommands = allow
	return nil
}

// commands returns a function for the environment of the commands that the config
// names, and nil where none is run. It has nothing that is for this program alone:
// neither its settings nor what opens a backend or a database.
func (j *job) commands() func() []string {
	if !j.allowCommands {
		return nil
	}
	return func() []string {
		hidden := slices.Clone(database.Ambient)
		for _, b := range backends {
			hidden = append(hidden, b.Ambient...)
		}
		if j.store != nil {
			hidden = append(hidden, j.store.Credentials(backends)...)
		}
		if name, ok := strings.CutPrefix(j.database, "env."); ok {
			hidden = append(hidden, name)
		}
		return j.ownless(hidden)
	}
}

// ownless returns our environment without what is ours alone: our settings and
// tokens, what is hidden, and systemd's socket.
func (j *job) ownless(hidden []string) []string {
	var env []string
	for name, value := range j.p.env {
		if !isOwn(name, hidden) {
			env = append(env, name+"="+value)
		}
	}
	slices.Sort(env)
	return env
}

func isOwn(name string, hidden []string) bool {
	return strings.HasPrefix(name, ownVariables) || name == "NOTIFY_SOCKET" || slices.Contains(hidden, name)
}
