package hashivault

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/hashivault/vaulttest"
	"bifrost-secrets/sources/internal/sourcetest"
)

const page = "../../docs/backends/hashicorp-vault.md"

func TestPageHasEverySetting(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range sources.Vault.Keys {
		if !strings.Contains(string(b), "`"+key+"`") {
			t.Errorf("%s does not name %s", page, key)
		}
	}
}

// Every command of the page runs, in its order, and what it sets up is enough.
func TestPageCommands(t *testing.T) {
	v := vaulttest.StartServer(t)
	if _, err := v.Client.Logical().DeleteWithContext(t.Context(), "sys/auth/approle"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "bifrost.hcl"), string((&source{mount: "secret"}).Policy([]string{"bifrost/openai"})))
	writeFile(t, filepath.Join(dir, "openai.key"), "sk-x")
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for line := range strings.Lines(string(b)) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ vault ")
		if !ok {
			continue
		}
		if ran++; strings.HasPrefix(command, "write auth/kubernetes/config") {
			command += " disable_local_ca_jwt=true kubernetes_ca_cert=none" // this server runs in no pod
		}
		cmd := exec.CommandContext(t.Context(), v.Binary, strings.Fields(command)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+dir, "VAULT_ADDR="+v.URL, "VAULT_TOKEN="+vaulttest.Root, "BAO_ADDR="+v.URL, "BAO_TOKEN="+vaulttest.Root)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("vault %s: %v\n%s", command, err, out)
		}
		if strings.HasPrefix(command, "kv metadata get") || strings.HasPrefix(command, "kv undelete") {
			id, secret := v.Credentials(t, "", "bifrost")
			sourcetest.WantValue(t, open(t, sourcetest.Settings("address", v.URL, "role_id", id, "secret_id", secret), nil).fetch(t, "bifrost/openai")["bifrost/openai"], "sk-x")
		}
	}
	if ran < 10 {
		t.Errorf("%d commands were found", ran)
	}
}
