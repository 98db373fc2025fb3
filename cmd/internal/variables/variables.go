// Package variables has each flag of a program as a variable of the environment,
// for where no command line can be given: --app-dir is BIFROST_SECRETS_APP_DIR. A
// flag on the command line wins over its variable.
package variables

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Prefix begins the name of each.
const Prefix = "BIFROST_SECRETS_"

// flagOnly are the flags that have no variable. A variable stays, and is there for
// every command that runs beside it: what is meant for one time, deletes without
// asking or takes a protection away has to stand on the command line.
const flagOnly = "accept-new-encryption-key bifrost-plain-http fix help ignore-config-store max-delete no-trash " +
	"now reveal trust-config version write-baseline yes"

// others are the variables that this package leaves to those who read them. The
// last five are what the command of --apply command gets: where trigger is set, OUT
// is not for a program of ours that the command runs.
const (
	others  = "TOKEN ALLOW_PATH ALLOW_COMMANDS TRIGGER CHANGED COUNT EDITED OUT"
	trigger = Prefix + "TRIGGER"
)

// kubernetes ends the names of what Kubernetes gives the pods beside a Service whose
// own name begins as ours.
var kubernetes = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(SERVICE_PORT(_.+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)
})

const serviceHost = "SERVICE_HOST"

// services returns what the names of Kubernetes' variables begin with. It returns none
// for a Service without a SERVICE_HOST, so that LISTEN_PORT alone is a mistake.
func services(names []string) (all []string) {
	for _, name := range names {
		if begin, ok := strings.CutSuffix(name, serviceHost); ok {
			all = append(all, begin)
		}
	}
	return all
}

// ofService reports whether Kubernetes can have given a variable.
func ofService(name string, services []string) bool {
	return strings.HasSuffix(name, serviceHost) || slices.ContainsFunc(services, func(begin string) bool {
		end, ok := strings.CutPrefix(name, begin)
		return ok && kubernetes().MatchString(end)
	})
}

// Name returns the name of a flag's variable.
func Name(flag string) string {
	return Prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func has(words, word string) bool { return slices.Contains(strings.Fields(words), word) }

// read reports whether a flag has a variable that is read here.
func read(flag string) bool {
	return !has(flagOnly, flag) && flag != "allow-path" && flag != "allow-commands"
}

// FlagOnly returns the flags of a command that have no variable.
func FlagOnly(cmd *cobra.Command) (names []string) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && f.Name != "version" && has(flagOnly, f.Name) {
			names = append(names, "--"+f.Name)
		}
	})
	return names
}

// given marks a flag that has its value from a variable.
const given = "variable"

// Given reports whether a flag has its value from a variable.
func Given(f *pflag.Flag) bool {
	_, ok := f.Annotations[given]
	return ok
}

// Set sets the flags of a command that are not on its command line from their
// variables; an empty one is as if it were not there. A flag that can be repeated
// takes each line of its variable. The error names the variable, and never repeats
// what it holds.
func Set(cmd *cobra.Command, getenv func(name string) (string, bool)) (err error) {
	inside, _ := getenv(trigger)
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		value, _ := getenv(Name(f.Name))
		if err != nil || f.Changed || value == "" || !read(f.Name) || f.Name == "out" && inside != "" {
			return
		}
		values := []string{value}
		if _, ok := f.Value.(pflag.SliceValue); ok {
			values = lines(value)
		}
		for _, one := range values {
			if bad := cmd.Flags().Set(f.Name, one); bad != nil {
				err = errors.New(Name(f.Name) + " " + reason(f, bad))
				return
			}
		}
		if f.Changed {
			_ = cmd.Flags().SetAnnotation(f.Name, given, nil) // fails for unknown flags alone
		}
	})
	return err
}

func lines(text string) (all []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// reason returns what is wrong with a value, without the value.
func reason(f *pflag.Flag, err error) string {
	switch f.Value.Type() {
	case "bool":
		return "is neither true nor false"
	case "duration":
		return "is no duration, such as 30s, 5m or 24h"
	case "int":
		return "is no whole number"
	}
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		err = invalid.Unwrap()
	}
	return strings.TrimSpace(strings.TrimPrefix(err.Error(), "--"+f.Name))
}

// Meant returns which variables the flags are from that a text speaks of; empty
// where none is.
func Meant(cmd *cobra.Command, text string) string {
	words := strings.FieldsFunc(text, func(r rune) bool { return r != '-' && (r < 'a' || r > 'z') })
	var all []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if Given(f) && slices.Contains(words, "--"+f.Name) {
			all = append(all, "--"+f.Name+" is from "+Name(f.Name))
		}
	})
	return strings.Join(all, ", ")
}

// Remark is a variable that nothing reads.
type Remark struct{ Text, Hint string }

// Unread returns a remark for each variable that has the prefix and that no command
// of a program reads. The whole program is asked for only where a variable is not the
// command's own.
func Unread(cmd *cobra.Command, program func() *cobra.Command, names []string) (all []Remark) {
	beside := services(names)
	names = slices.DeleteFunc(slices.Sorted(slices.Values(names)), func(name string) bool {
		rest, ours := strings.CutPrefix(name, Prefix)
		if !ours || has(others, rest) || ofService(name, beside) {
			return true
		}
		flag := flagOf(name)
		return flag != "" && cmd.Flag(flag) != nil && read(flag)
	})
	if len(names) == 0 {
		return nil
	}
	flags := map[string]bool{}
	var add func(cmd *cobra.Command)
	add = func(cmd *cobra.Command) {
		for _, set := range []*pflag.FlagSet{cmd.LocalFlags(), cmd.PersistentFlags()} {
			set.VisitAll(func(f *pflag.Flag) { flags[f.Name] = true })
		}
		for _, sub := range cmd.Commands() {
			add(sub)
		}
	}
	add(program())
	for _, name := range names {
		switch flag := flagOf(name); {
		case flags[flag] && read(flag):
		case flags[flag]:
			all = append(all, Remark{name + " is not read: --" + flag + " is for the command line alone", ""})
		default:
			flag = strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, Prefix), "_", "-"))
			all = append(all, Remark{name + " is no setting of this program, and is not read", near(flag, flags)})
		}
	}
	return all
}

// flagOf returns the flag whose variable a name would be, or nothing.
func flagOf(name string) string {
	flag := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, Prefix), "_", "-"))
	if Name(flag) != name {
		return ""
	}
	return flag
}

// near asks for the variables that one is most likely a misspelling of. Cobra knows
// which words are near each other, of commands.
func near(flag string, flags map[string]bool) string {
	words := cobra.Command{SuggestionsMinimumDistance: 2}
	names := append(slices.Collect(maps.Keys(flags)), "token")
	for _, name := range names {
		if !has(flagOnly, name) {
			words.AddCommand(&cobra.Command{Use: name, Run: func(*cobra.Command, []string) {}})
		}
	}
	found := words.SuggestionsFor(flag)
	if len(found) == 0 {
		return "write " + Prefix + " and the name of a flag that --help shows, with _ for -"
	}
	for i := range found {
		found[i] = Name(found[i])
	}
	slices.Sort(found)
	return "did you mean " + strings.Join(found[:min(len(found), 3)], " or ") + "?"
}
