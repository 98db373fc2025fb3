//go:build unix

package main

import (
	"strings"
	"testing"

	"bifrost-secrets/cmd/internal/variables"

	"github.com/spf13/pflag"
)

// Each flag of each command is set by its variable as it is on the command line, but
// for those of which --help says otherwise; and no Service that somebody may name
// sets one.
func TestEveryFlagIsAVariable(t *testing.T) {
	t.Parallel()
	samples := map[string]string{"bool": "true", "duration": "7s", "int": "7", "string": "json", "stringArray": "a,b:c=d"}
	none := map[string]bool{"--help": true, "--version": true, "--allow-path": true, "--allow-commands": true}
	set := 0
	for _, cmd := range allCommands(t) {
		if err := cmd.ParseFlags(nil); err != nil {
			t.Fatal(err)
		}
		for _, name := range variables.FlagOnly(cmd) {
			none[name] = true
		}
		given, names := map[string]string{}, []string{}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			given[variables.Name(f.Name)] = samples[f.Value.Type()]
			names = append(names, variables.Name(f.Name))
			if strings.HasSuffix(f.Name, "port") || strings.HasSuffix(f.Name, "service-host") {
				t.Errorf("--%s: Kubernetes may set its variable", f.Name)
			}
		})
		if err := variables.Set(cmd, func(name string) (string, bool) { v, ok := given[name]; return v, ok }); err != nil {
			t.Errorf("%s: %v", cmd.CommandPath(), err)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			got := strings.Trim(f.Value.String(), `[]"`)
			if variables.Given(f) == none["--"+f.Name] || variables.Given(f) && got != samples[f.Value.Type()] {
				t.Errorf("%s --%s (%s) is %s", cmd.CommandPath(), f.Name, f.Value.Type(), got)
			}
			set++
		})
		for _, one := range variables.Unread(cmd, wholeProgram, names) {
			name, _, _ := strings.Cut(one.Text, " ")
			flag := "--" + strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, variables.Prefix), "_", "-"))
			if !none[flag] || !strings.Contains(one.Text, flag+" is for the command line alone") {
				t.Errorf("%s: %s", cmd.CommandPath(), one.Text)
			}
		}
	}
	if set < 150 {
		t.Errorf("only %d flags were tried", set)
	}
}
