//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var unfit = regexp.MustCompile("only regular files are read|no regular file|is a named pipe|is a device or another special file")

// Whatever names a file to read, a pipe without a writer is not waited for, and
// what has no end is not read into memory: it is an error that says so.
func TestNothingIsReadForEver(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	pipe := filepath.Join(s.dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	const config = `{"providers":{"openai":{"keys":[{"name":"a","value":"vault.openai"}]}}}`
	plain := filepath.Join(s.dir, "plain.json")
	s.write(plain, config)
	for _, dir := range []string{"settings", "state"} {
		if err := os.Mkdir(filepath.Join(s.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.write(filepath.Join(s.dir, "settings", "c.json"), config)
	s.write(filepath.Join(s.dir, "state", "config.source.json"), `{"encryption_key":"0123456789abcdef0123456789abcdef"}`)
	ping := func(kind string, set ...string) []string {
		args := []string{"ping", "--config", plain, "--timeout", "1h", "--vault-type", kind}
		for _, one := range set {
			args = append(args, "--vault-set", one)
		}
		return args
	}
	// In the arguments and the environment the path stands as @.
	for name, test := range map[string]struct {
		args []string
		env  string
	}{
		"config":             {args: []string{"render", "--config", "@", "--out", "o.json"}},
		"vault store":        {args: []string{"render", "--config", plain, "--vault-store", "@", "--out", "o.json"}},
		"lint":               {args: []string{"lint", "@"}},
		"lint settings":      {args: []string{"lint", "--settings", "@", plain}},
		"file":               {args: ping("file", "path=@")},
		"vault token":        {args: ping("hashicorp-vault", "address=http://127.0.0.1:1", "token_file=@")},
		"vault authority":    {args: ping("hashicorp-vault", "address=http://127.0.0.1:1", "token=env.T"), env: "T=t VAULT_CACERT=@"},
		"vault certificate":  {args: ping("hashicorp-vault", "address=http://127.0.0.1:1", "token=env.T"), env: "T=t VAULT_CLIENT_CERT=@ VAULT_CLIENT_KEY=@"},
		"gcp setting":        {args: ping("gcp-secret-manager", "project_id=p", "credentials_json=env.C"), env: "C=@"},
		"gcp variable":       {args: ping("gcp-secret-manager", "project_id=p"), env: "GOOGLE_APPLICATION_CREDENTIALS=@"},
		"azure token":        {args: ping("azure-key-vault", "vault_url=https://x.vault.azure.net"), env: "AZURE_FEDERATED_TOKEN_FILE=@ AZURE_CLIENT_ID=c AZURE_TENANT_ID=t"},
		"aws credentials":    {args: ping("aws-secrets-manager", "region=x"), env: "AWS_SHARED_CREDENTIALS_FILE=@"},
		"aws config":         {args: ping("aws-secrets-manager", "region=x"), env: "AWS_CONFIG_FILE=@"},
		"aws token":          {args: ping("aws-secrets-manager", "region=x"), env: "AWS_WEB_IDENTITY_TOKEN_FILE=@ AWS_ROLE_ARN=r"},
		"aws authority":      {args: ping("aws-secrets-manager", "region=x"), env: "AWS_CA_BUNDLE=@"},
		"postgres authority": {args: ping("postgres", "host=127.0.0.1", "port=1", "user=u", "db_name=d", "ssl_root_cert=@")},
		"postgres key":       {args: ping("postgres", "url=env.URL"), env: "URL=postgres://u_AT_127.0.0.1:1/d?sslkey=@&sslcert=@"},
		"postgres words":     {args: ping("postgres", "url=env.URL"), env: "URL=host=127.0.0.1+passfile='@'"},
		"postgres variable":  {args: ping("postgres", "url=env.URL"), env: "URL=postgres://u_AT_127.0.0.1:1/d PGSSLROOTCERT=@"},
		"passwords":          {args: ping("postgres", "host=127.0.0.1", "port=1", "user=u", "db_name=d"), env: "PGPASSFILE=@"},
		"services":           {args: ping("postgres", "host=127.0.0.1", "port=1", "user=u", "db_name=d"), env: "PGSERVICEFILE=@ PGSERVICE=s"},
		"token":              {args: []string{"flush", "--token-file", "@"}},
		"authority":          {args: []string{"status", "--address", "https://127.0.0.1:1"}, env: "SSL_CERT_FILE=@"},
		"tokens of watch":    {args: []string{"watch", "--config", plain, "--out", "o.json", "--token-file", "@", "--listen", "127.0.0.1:0"}},
		"tls of watch":       {args: []string{"watch", "--config", plain, "--out", "o.json", "--tls-cert", "@", "--tls-key", "@", "--listen", "127.0.0.1:0"}},
		"system's authority": {args: []string{"render", "--config", plain, "--out", "o.json"}, env: "SSL_CERT_FILE=@"},
		"the same of exec":   {args: []string{"exec", "--app-dir", "state", "--listen", "none", "--", "true"}, env: "SSL_CERT_FILE=@"},
		"recipients":         {args: []string{"secret", "put", "n", "--gateway", "o", "--vault-type", "file", "--vault-set", "path=" + s.secrets, "--vault-set", "recipients=@", "--vault-set", "access_mode=read_and_write"}},
		"secret":             {args: []string{"render", "--config", "secret.json", "--vault-type", "file", "--vault-set", "path=specials", "--out", "o.json"}},
		"settings beside":    {args: []string{"lint", "settings/c.json"}},
		"record":             {args: []string{"exec", "--app-dir", "state", "--listen", "none", "--", "true"}},
	} {
		for kind, path := range map[string]string{"pipe": pipe, "device": "/dev/zero"} {
			if kind == "device" && strings.HasPrefix(name, "postgres") && name != "postgres authority" {
				continue // the same way
			}
			t.Run(name+" as a "+kind, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				place := func(link string) {
					if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, link)), 0o700); err != nil {
						t.Fatal(err)
					}
					if err := os.Symlink(path, filepath.Join(dir, link)); err != nil {
						t.Fatal(err)
					}
				}
				copied := func(name string) {
					if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
						t.Fatal(err)
					}
					content, err := os.ReadFile(filepath.Join(s.dir, name))
					if err == nil {
						err = os.WriteFile(filepath.Join(dir, name), content, 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				copied("state/config.source.json")
				switch name {
				case "settings beside":
					copied("settings/c.json")
					place("settings/.bifrost-secrets-lint.json")
				case "record":
					place("state/config.json.state")
				case "secret":
					if kind == "device" {
						t.Skip("a link out of the directory is refused whatever it leads to")
					}
					if err := os.WriteFile(filepath.Join(dir, "secret.json"), []byte(config), 0o600); err != nil {
						t.Fatal(err)
					}
					if err := os.Mkdir(filepath.Join(dir, "specials"), 0o700); err != nil {
						t.Fatal(err)
					}
					if err := syscall.Mkfifo(filepath.Join(dir, "specials", "openai"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				args := make([]string, len(test.args))
				for i, arg := range test.args {
					args[i] = strings.ReplaceAll(arg, "@", path)
				}
				cmd := exec.Command("bifrost-secrets", args...)
				var log strings.Builder
				cmd.Dir, cmd.Stderr, cmd.Stdin = dir, &log, strings.NewReader("value")
				cmd.Env = append(slices.Clone(s.env), "HOME="+dir)
				for _, variable := range strings.Fields(test.env) {
					cmd.Env = append(cmd.Env, strings.NewReplacer("@", path, "_AT_", "@", "+", " ").Replace(variable))
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
				_ = cmd.Wait()
				if !late.Stop() {
					t.Fatalf("it reads for ever: %s", log.String())
				}
				if code := cmd.ProcessState.ExitCode(); code <= 0 || !unfit.MatchString(log.String()) {
					t.Errorf("it ended with %d: %s", code, log.String())
				}
			})
		}
	}
}

// A config that becomes a pipe is a refresh that fails, and no more.
func TestConfigBecomesAPipe(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	source := filepath.Join(s.app, "config.source.json")
	r := s.stub()
	r.says("started CANARY-1")
	pipe := filepath.Join(s.dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(pipe, source); err != nil {
		t.Fatal(err)
	}
	r.logs("is a named pipe, and only regular files are read")
	s.write(source, harnessConfig)
	s.put("openai", "CANARY-2")
	r.says("started CANARY-2")
	r.signal(syscall.SIGTERM)
	r.ends(5)
}
