package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// actionStep returns the script of a step of the GitHub Action.
func actionStep(t *testing.T, id string) string {
	text, err := os.ReadFile("../../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	var action struct {
		Runs struct{ Steps []struct{ ID, Run string } }
	}
	if err := yaml.Unmarshal(text, &action); err != nil {
		t.Fatal(err)
	}
	for _, step := range action.Runs.Steps {
		if step.ID == id {
			return step.Run
		}
	}
	t.Fatalf("action.yml has no step %q", id)
	return ""
}

// The action writes SARIF whatever it finds, fails at what it was told to fail at,
// and gives nothing to upload where lint could not read its input.
func TestAction(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash")
	}
	script := actionStep(t, "lint")
	for name, test := range map[string]struct {
		config, failOn string
		code, findings int // no SARIF: -1
	}{
		"a secret":       {`{"encryption_key": "env.K", "source_of_truth": "config.json", "providers": {"openai": {"keys": [{"name": "a", "value": "sk-proj-Qm3vX8TqLw5ZkRb7NcYh2JdUe9Ps4G", "models": ["*"], "weight": 1}]}}}`, "warning", 1, 1},
		"never":          {`{"encryption_key": "env.K", "source_of_truth": "config.json", "providers": {"openai": {"keys": [{"name": "a", "value": "sk-proj-Qm3vX8TqLw5ZkRb7NcYh2JdUe9Ps4G", "models": ["*"], "weight": 1}]}}}`, "never", 0, 1},
		"nothing":        {`{"encryption_key": "env.K", "source_of_truth": "config.json", "providers": {"openai": {"keys": [{"name": "a", "value": "vault.openai", "models": ["*"], "weight": 1}]}}}`, "warning", 0, 0},
		"no JSON":        {`{"providers": `, "warning", 2, -1},
		"a wrong option": {`{"providers": {}}`, "sometimes", 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			output := filepath.Join(dir, "output")
			if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(test.config), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(bash, "--noprofile", "--norc", "-eo", "pipefail", "-c", script)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "LINT=bifrost-secrets-lint", "PATHS=config.json", "FAIL_ON="+test.failOn, "RUNNER_TEMP="+dir, "GITHUB_OUTPUT="+output)
			out, err := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != test.code {
				t.Fatalf("%v, want exit status %d\n%s", err, test.code, out)
			}
			said, _ := os.ReadFile(output)
			name, written := strings.CutPrefix(strings.TrimSpace(string(said)), "sarif=")
			if written != (test.findings >= 0) {
				t.Fatalf("the step's output is %q\n%s", said, out)
			}
			if !written {
				return
			}
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var sarif struct{ Runs []struct{ Results []any } }
			if err := json.Unmarshal(text, &sarif); err != nil || len(sarif.Runs) != 1 || len(sarif.Runs[0].Results) != test.findings {
				t.Errorf("%v, want %d findings: %s", err, test.findings, text)
			}
			if strings.Contains(string(out), "Qm3vX8TqLw5Z") || strings.Contains(string(text), "Qm3vX8TqLw5Z") {
				t.Error("the value is shown")
			}
		})
	}
}
