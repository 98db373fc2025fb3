//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"bifrost-secrets/sources/azurevault/azuretest"
	"bifrost-secrets/sources/gcpsecrets/gcptest"
	"bifrost-secrets/sources/hashivault/vaulttest"
	"bifrost-secrets/sources/postgres/pgtest"
)

// exampled are the values that the examples are run with, by the end of the names
// of their secrets.
func exampled(name string) string {
	for _, one := range [][2]string{{"encryption", "CANARY-encryption-key"}, {"admin", "CANARY-password-1"}, {"postgres", "CANARY-postgres"}} {
		if strings.Contains(name, one[0]) {
			return one[1]
		}
	}
	return "sk-CANARY-0001"
}

// compose starts what a compose file of deploy/examples has Bifrost do. Of two
// variables of a name the later one counts.
func (s *stage) compose(folder string, env ...string) *running {
	s.t.Helper()
	one := composed(s.t, folder).Services["bifrost"]
	s.env = append(s.env, "APP_DIR="+s.root+imageAppDir)
	for name, value := range one.Environment {
		if !strings.HasPrefix(value, "$") {
			s.env = append(s.env, name+"="+value)
		}
	}
	s.env = append(s.env, env...)
	r := s.start(append([]string{"exec", "--apply", "restart", "--restart-settle", "0s", "--apply-timeout", "1s"}, s.all(one.Command)...)...)
	r.says("started sk-CANARY-0001")
	s.holds("/app/data/config.json", "CANARY-encryption-key")
	s.holds("/app/data/config.json", "CANARY-password-1")
	return r
}

func (r *running) terminate() {
	r.t.Helper()
	r.signal(syscall.SIGTERM)
	r.says("term")
	r.ends(0)
}

// What the comments put into Vault is what the config wants of it.
func TestDeployExampleVault(t *testing.T) {
	t.Parallel()
	const folder = "examples/vault"
	f := vaulttest.StartFake(t)
	for _, m := range regexp.MustCompile(`(?m)^#.* vault kv put -mount=(\S+) (\S+) (\w+)=-$`).FindAllStringSubmatch(deployed(t, folder+"/compose.yaml"), -1) {
		f.PutDocument(m[1], m[2], fmt.Sprintf(`{%q: %q}`, m[3], exampled(m[2])))
	}
	c := composed(t, folder)
	server := c.Services["vault"].Environment
	if server["VAULT_TOKEN"] != server["VAULT_DEV_ROOT_TOKEN_ID"] || c.Services["bifrost"].Environment["VAULT_TOKEN"] != server["VAULT_TOKEN"] {
		t.Errorf("the tokens differ: %v", server)
	}
	s := newStage(t, strings.Replace(deployed(t, folder+"/config.json"), "http://vault:8200", f.URL, 1))
	s.compose(folder, "VAULT_TOKEN="+vaulttest.Root).terminate()
}

// What the comments put into PostgreSQL is what the config wants of it, and what is
// put again is there at once.
func TestDeployExamplePostgres(t *testing.T) {
	t.Parallel()
	const folder = "examples/postgres"
	db := pgtest.Shared(t).Database(t)
	ours := strings.NewReplacer(
		`"host": "postgres"`, fmt.Sprintf(`"host": %q`, db.Host), `"port": "5432"`, fmt.Sprintf(`"port": "%d"`, db.Port),
		`"user": "bifrost"`, fmt.Sprintf(`"user": %q`, pgtest.Superuser), `"db_name": "bifrost"`, fmt.Sprintf(`"db_name": %q`, db.Name),
	)
	s := newStage(t, ours.Replace(deployed(t, folder+"/config.json")))
	s.write(s.root+"/etc/bifrost/store.json", s.at(ours.Replace(deployed(t, folder+"/store.json"))))
	identity, err := newAgeIdentity()
	if err != nil {
		t.Fatal(err)
	}
	s.write(s.root+"/run/secrets/age-key", identity.String()+"\n")
	s.env = append(s.env, "POSTGRES_PASSWORD="+db.Password)
	put := func(args, value string) {
		cmd := exec.Command("bifrost-secrets", s.all(strings.Fields("secret put "+args))...)
		cmd.Dir, cmd.Env, cmd.Stdin = s.dir, s.env, strings.NewReader(value)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	openai := ""
	for _, m := range regexp.MustCompile(`(?m)^#   (?:.* \| )?put (\S+)( --.*?)(?: < .*)?$`).FindAllStringSubmatch(deployed(t, folder+"/compose.yaml"), -1) {
		put(m[1]+m[2], exampled(m[1]))
		openai = m[1] + m[2]
	}
	r := s.compose(folder)
	put(openai, "sk-CANARY-0002")
	r.says("started sk-CANARY-0002")
	r.terminate()
}

func TestDeployExampleAge(t *testing.T) {
	t.Parallel()
	const folder = "examples/age"
	s := newStage(t, deployed(t, folder+"/config.json"))
	identity, err := newAgeIdentity()
	if err != nil {
		t.Fatal(err)
	}
	s.write(s.root+"/run/secrets/age-key", identity.String()+"\n")
	made := regexp.MustCompile(`(?m)^#   .*\bage -r \S+ -o (secrets/\S+\.age)\b`).FindAllStringSubmatch(deployed(t, folder+"/compose.yaml"), -1)
	if volumes := composed(t, folder).Services["bifrost"].Volumes; volumes[0] != "./secrets:/etc/bifrost/secrets:ro" || len(made) != 3 {
		t.Fatalf("volumes %q, files %q", volumes, made)
	}
	seal := func(file, value string) {
		sealed, err := identity.seal(value, false)
		if err != nil {
			t.Fatal(err)
		}
		s.write(s.root+"/etc/bifrost/"+file, sealed)
	}
	for _, m := range made {
		seal(m[1], exampled(m[1])+"\n")
	}
	r := s.compose(folder)
	seal("secrets/openai.age", "sk-CANARY-0002\n")
	r.says("started sk-CANARY-0002")
	r.terminate()
}

// The manifests for clouds, in pods as these make them: with the identity that the
// platform gives, and no key.
func TestDeployExampleClouds(t *testing.T) {
	t.Parallel()
	for name, platform := range map[string]func(t *testing.T, s *stage, names []string) (config *strings.Replacer){
		"gcp": func(t *testing.T, s *stage, names []string) *strings.Replacer {
			f := gcptest.StartFake(t)
			for _, name := range names {
				f.Put(name, []byte(exampled(name)))
			}
			metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Metadata-Flavor", "Google")
				if strings.HasSuffix(r.URL.Path, "/service-accounts/default/token") {
					token, _ := f.Give("")
					_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "expires_in": 3600, "token_type": "Bearer"})
				}
			}))
			t.Cleanup(metadata.Close)
			for name, value := range f.Env() {
				s.env = append(s.env, name+"="+value)
			}
			s.env = append(s.env, "GCE_METADATA_HOST="+strings.TrimPrefix(metadata.URL, "http://"), "HOME="+s.dir)
			return strings.NewReplacer("my-project-123", gcptest.Project)
		},
		"azure": func(t *testing.T, s *stage, names []string) *strings.Replacer {
			f := azuretest.StartFake(t)
			for _, name := range names {
				f.Put(name, exampled(name))
			}
			for name, value := range f.Env() {
				s.env = append(s.env, name+"="+value)
			}
			token := filepath.Join(s.dir, "azure-identity-token")
			s.write(token, azuretest.Assertion)
			s.env = append(s.env, "AZURE_TENANT_ID="+azuretest.Tenant, "AZURE_CLIENT_ID="+azuretest.ClientID, "AZURE_FEDERATED_TOKEN_FILE="+token)
			return strings.NewReplacer("https://my-vault.vault.azure.net", azuretest.URL)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := kubernetes(t, "../examples/"+name+"/exec")
			config := c.config.Data["config.json"]
			_, plan := planOf(t, config)
			s := newStage(t, "{}")
			config = platform(t, s, plan.Secrets).Replace(onDatabase(t, config))
			if err := os.WriteFile(s.root+"/etc/bifrost/config.json", []byte(s.at(config)), 0o600); err != nil {
				t.Fatal(err)
			}
			r := s.start(slices.Insert(s.all(c.ours(t).args(t)), 1, "--listen", "127.0.0.1:0")...)
			r.says("started sk-CANARY-0001")
			s.holds("/app/data/config.json", "CANARY-postgres")
			r.terminate()
		})
	}
}
