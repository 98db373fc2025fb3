//go:build unix

package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/tidwall/sjson"

	"bifrost-secrets/sources/postgres/pgtest"
	"bifrost-secrets/watch"
	management "bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/bifrost/bifrosttest"
	"bifrost-secrets/watch/control"
)

// TestBifrostFields rotates one of every kind of field of the Bifrost that
// BIFROST_BIN names, below exec: live, over a restart, and back to the value that
// its database has had before. What reaches the other end is held against what exec
// says of each field, and against releases.tsv. The log has the table.
func TestBifrostFields(t *testing.T) {
	if os.Getenv("BIFROST_BIN") == "" {
		t.Skip("BIFROST_BIN is not set: this test starts a real Bifrost; name its binary there to run it")
	}
	// Bifrost starts on no older one as its logs_store.
	if version := pgtest.Shared(t).Database(t).Text(t, "SELECT current_setting('server_version_num')"); len(version) < 6 || version < "160000" {
		t.Skipf("PostgreSQL is %s, and this test wants 16 or newer: name the folder of its programs in POSTGRES_BIN", version)
	}
	t.Run("inline", func(t *testing.T) { newFielded(t, "inline").liveStory() })
	t.Run("env", func(t *testing.T) { newFielded(t, "env").restartStory() })
	t.Run("env without a login", func(t *testing.T) {
		if f := newFielded(t, "env"); f.login() != 0 {
			t.Skip("this build takes env. as the admin's password: see above")
		}
		f := newFielded(t, "env", "auth_config")
		f.restartStory()
	})
}

// fieldKind is a kind of field. Its value of generation n is what value returns, and
// seen returns which generation is in use, by what arrives at the other end: 0 where
// that cannot be told.
type fieldKind struct {
	name  string
	path  string
	since int // 20000: there is no such field before 2.0
	value func(n int) string
	seen  func(f *fielded) int
	stays bool // inline, a restart does not bring in a new value of the file

	takenBy [2]int // but in versions from the first on, below the second
}

func numbered(format string) func(int) string {
	return func(n int) string { return fmt.Sprintf(format, n) }
}

func fieldKinds() []fieldKind {
	return []fieldKind{
		{name: "provider key", path: "providers.openai.keys[0].value", value: numbered("sk-CANARY-key-%04d"), seen: chatHeader("Authorization", "Bearer sk-CANARY-key-%04d")},
		{name: "extra_headers", path: "providers.openai.network_config.extra_headers.X-Team", value: numbered("CANARY-team-%04d"), seen: chatHeader("X-Team", "CANARY-team-%04d")},
		{name: "proxy", path: "providers.groq.proxy_config.password", value: numbered("CANARY-proxy-%04d"), seen: (*fielded).proxied},
		{name: "mcp header", path: "mcp.client_configs[0].headers.Authorization", value: numbered("Bearer CANARY-mcp-%04d"), seen: func(f *fielded) int { return f.tool(f.up, "stub-echo", "Bearer CANARY-mcp-%04d") }},
		{name: "mcp header (sticky)", path: "mcp.client_configs[1].headers.Authorization", since: 20000, value: numbered("Bearer CANARY-sticky-%04d"), seen: func(f *fielded) int { return f.tool(f.sticky, "sticky-echo", "Bearer CANARY-sticky-%04d") }},
		{name: "mcp connection_string", path: "mcp.client_configs[3].connection_string", seen: (*fielded).moved, stays: true, takenBy: [2]int{10500, 10600}},
		{name: "oauth_config", path: "mcp.client_configs[2].oauth_config.client_secret", since: 20000, value: numbered("CANARY-oauth-%04d"), seen: (*fielded).oauth, stays: true},
		{name: "plugin config", path: "plugins[0].config.headers.X-Token", value: numbered("CANARY-otel-%04d"), seen: (*fielded).traced},
		{name: "webhook header", path: "webhooks[0].headers.X-Hook-Token", since: 20000, value: numbered("CANARY-hook-%04d"), seen: func(f *fielded) int { n, _ := f.hooked(); return n }},
		{name: "webhook secret", path: "webhooks[0].secret", since: 20000, value: hookSecret, seen: func(f *fielded) int { _, n := f.hooked(); return n }, stays: true},
		{name: "admin password", path: "auth_config.admin_password", value: numbered("Admin-CANARY-%04d"), seen: (*fielded).login},
		{name: "virtual key", path: "governance.virtual_keys[0].value", value: numbered("sk-bf-CANARY-vk-%04d"), seen: (*fielded).virtualKey},
		{name: "config store password", path: "config_store.config.password", value: numbered("CANARYconfig%04d"), seen: func(f *fielded) int { return f.connected(f.db, f.role, f.stored) }},
		{name: "logs store password", path: "logs_store.config.password", value: numbered("CANARYlogs%04d"), seen: func(f *fielded) int { return f.connected(f.logs, f.logsRole, f.stored) }},
		{name: "vector store api_key", path: "vector_store.config.api_key", value: numbered("CANARY-vector-%04d"), seen: func(f *fielded) int { return generationIn(f.out.last("vector"), "Bearer CANARY-vector-%04d") }},
	}
}

func hookSecret(n int) string {
	return "whsec_" + base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "the signing key of generation %04d", n))
}

// fielded is a Bifrost below exec with one of each kind.
type fielded struct {
	*harness
	t        *testing.T
	mode     string
	run      *running
	port     string
	api      string // of Bifrost
	control  string // of ours
	child    int
	version  int
	says     string // the version, as Bifrost says it
	up       *bifrosttest.Upstream
	sticky   *bifrosttest.Upstream    // the server of the sticky MCP client
	servers  [2]*bifrosttest.Upstream // where the MCP client "moved" is sent, by generation
	out      *outside
	db, logs *pgtest.Database
	role     string
	logsRole string
	stored   int // the generation that the databases have as the passwords of the roles
	admin    int // the generation that the admin signed in with last
	client   *http.Client
	table    map[string]string
}

// newFielded makes one without some sections of the config.
func newFielded(t *testing.T, mode string, without ...string) *fielded {
	f := &fielded{harness: newHarness(t), t: t, mode: mode, up: bifrosttest.NewUpstream(t), sticky: bifrosttest.NewUpstream(t), out: newOutside(t),
		servers: [2]*bifrosttest.Upstream{bifrosttest.NewUpstream(t), bifrosttest.NewUpstream(t)},
		db:      pgtest.Shared(t).Database(t), logs: pgtest.Shared(t).Database(t), stored: 1, admin: 1, table: map[string]string{},
		client: &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}}
	f.role = f.db.Role(t, f.value("config store password", 1), "GRANT ALL ON DATABASE "+f.db.Name+" TO %s", "GRANT ALL ON SCHEMA public TO %s")
	f.logsRole = f.logs.Role(t, f.value("logs store password", 1), "GRANT ALL ON DATABASE "+f.logs.Name+" TO %s", "GRANT ALL ON SCHEMA public TO %s")
	f.write(filepath.Join(f.dir, "config.schema.json"), "{}")
	f.env = append(f.env, "BIFROST_SECRETS_TOKEN=CANARY-token-of-this-test", "HOME="+f.dir, "TMPDIR="+f.dir)
	f.rotate(1)
	config := f.config()
	for _, name := range without {
		var err error
		if config, err = sjson.Delete(config, name); err != nil {
			t.Fatal(err)
		}
	}
	f.write(filepath.Join(f.app, "config.source.json"), config)
	f.port = bifrosttest.FreePort(t)
	f.api = "http://127.0.0.1:" + f.port
	f.exec()
	_, text := f.ask(http.MethodGet, "/api/version", "")
	if err := json.Unmarshal([]byte(text), &f.says); err != nil {
		t.Fatalf("the version is %s: %v", text, err)
	}
	f.version = versionNumber(f.says)
	return f
}

// exec starts exec, and Bifrost below it.
func (f *fielded) exec() {
	f.t.Helper()
	apply := "api"
	if f.mode == "env" {
		apply = "restart"
	}
	f.run = f.start("exec", "--app-dir", f.app, "--mode", f.mode, "--apply", apply, "--listen", "127.0.0.1:0", "--restart-settle", "0s", "--",
		os.Getenv("BIFROST_BIN"), "-app-dir", f.app, "-host", "127.0.0.1", "-port", f.port, "-log-style", "json")
	f.tell()
	var entry struct{ Address string }
	if err := json.Unmarshal([]byte(f.run.logs(`"msg":"listening"`)), &entry); err != nil {
		f.t.Fatal(err)
	}
	f.control = entry.Address
	f.started()
}

// tell has the last of what Bifrost prints shown where the test fails.
func (f *fielded) tell() {
	run := f.run
	var mu sync.Mutex
	var last []string
	go func() {
		for line := range run.out {
			mu.Lock()
			last = append(last[max(0, len(last)-40):], line)
			mu.Unlock()
		}
	}()
	f.t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		if f.t.Failed() {
			f.t.Logf("Bifrost's last words:\n%s\nthe log:\n%s", strings.Join(last, "\n"), strings.Join(run.all[max(0, len(run.all)-40):], "\n"))
		}
	})
}

func (f *fielded) value(kind string, n int) string {
	i := slices.IndexFunc(fieldKinds(), func(k fieldKind) bool { return k.name == kind })
	return fieldKinds()[i].value(n)
}

// rotate stores the values of a generation.
func (f *fielded) rotate(n int) {
	all := map[string]string{}
	for _, k := range fieldKinds() {
		if all[k.path] = f.servers[n-1].URL + "/mcp"; k.value != nil {
			all[k.path] = k.value(n)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		f.t.Fatal(err)
	}
	f.put("all", string(text))
}

// alter sets the passwords of the roles of the databases to those of a generation.
func (f *fielded) alter(n int) {
	f.db.Exec(f.t, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", f.role, f.value("config store password", n)))
	f.logs.Exec(f.t, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", f.logsRole, f.value("logs store password", n)))
	f.stored = n
}

// started waits until Bifrost runs and has what exec gave it.
func (f *fielded) started() {
	f.t.Helper()
	var entry struct{ PID int }
	if err := json.Unmarshal([]byte(f.run.logs("started Bifrost")), &entry); err != nil {
		f.t.Fatal(err)
	}
	f.child = entry.PID
	if f.mode == "inline" {
		f.run.logs(`"trigger":"restarted"`)
		return
	}
	f.healthy()
}

// flush has exec fetch anew. What it answers is not looked at: the fields that want
// a restart make it a 502.
func (f *fielded) flush() {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.control+control.FlushPath, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	f.ours(req)
}

func (f *fielded) states() map[string]watch.ReferenceStatus {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, f.control+control.StatusPath, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	var st watch.Status
	if err := json.Unmarshal(f.ours(req), &st); err != nil {
		f.t.Fatal(err)
	}
	all := map[string]watch.ReferenceStatus{}
	for _, r := range st.References {
		all[r.Path] = r
	}
	return all
}

// claimed reports whether exec says that Bifrost uses the newest value: what it was
// given and hides is said to be so, what a restart is not known to bring in is not.
func claimed(s watch.ReferenceStatus) bool {
	return s.State == watch.Verified || s.State == watch.InForce || s.State == watch.Unverifiable && strings.Contains(s.Reason, "shows too little")
}

// look holds what is in use of each kind against what exec says, and notes it. now
// is the newest generation, and before the one before.
func (f *fielded) look(phase string, now, before int, want func(k fieldKind) bool) {
	f.t.Helper()
	states := f.states()
	for _, k := range fieldKinds() {
		if f.version < k.since {
			f.table[k.name+phase] = "no such field"
			continue
		}
		if why := f.cannot(k); why != "" {
			f.table[k.name+phase] = why
			continue
		}
		got, st := k.seen(f), states[k.path]
		told := claimed(st)
		switch {
		case got == now && told:
			f.table[k.name+phase] = "right"
		case got == now && (k.stays || !want(k) || f.mode == "env" && k.name == "virtual key"): // its database may have had another one
			f.table[k.name+phase] = "right, and said to be unsure"
		case got == before && !told:
			f.table[k.name+phase] = "not taken, and said so"
		default:
			f.table[k.name+phase] = "WRONG"
			f.t.Errorf("%s%s: generation %d is in use, want %d (%d before), and exec says %q: %s", k.name, phase, got, now, before, st.State, st.Reason)
		}
		if want(k) != (got == now) && (want(k) || told) {
			f.t.Errorf("%s%s: generation %d is in use, want %d: %v; exec says %q: %s", k.name, phase, got, now, want(k), st.State, st.Reason)
		}
	}
}

// cannot returns why a kind cannot be tried with this Bifrost.
func (f *fielded) cannot(k fieldKind) string {
	api := map[string]string{"mcp": "/api/mcp/clients", "webhooks": "/api/webhooks"}
	root, _, _ := strings.Cut(strings.ReplaceAll(k.path, "[", "."), ".")
	if path := api[root]; path != "" && f.version >= k.since {
		if status, body := f.ask(http.MethodGet, path, ""); status != http.StatusOK || !json.Valid([]byte(body)) {
			return "not in this build"
		}
	}
	if k.name == "admin password" && f.login() == 0 {
		return "env. is broken there in this build"
	}
	return ""
}

func everyKind(fieldKind) bool { return true }

// inEnv reports whether a kind is taken by a restart where its value is in the
// environment: before 2.0, the database has what a virtual key's variable came to.
func (f *fielded) inEnv(k fieldKind) bool { return f.version >= 20000 || k.name != "virtual key" }

// afterRestart reports whether a kind is taken from the file by a restart, inline.
func (f *fielded) afterRestart(k fieldKind) bool {
	return !k.stays || k.takenBy[0] <= f.version && f.version < k.takenBy[1]
}

// liveStory is that of values in the file.
func (f *fielded) liveStory() {
	f.t.Helper()
	release := management.Proven{}
	for _, r := range management.Releases() {
		if "v"+r.Version == f.says {
			release = r
		}
	}
	live := func(k fieldKind) bool { return slices.Contains(release.Live, k.name) }
	f.look("|start", 1, 0, everyKind)
	f.rotate(2)
	f.flush()
	f.look("|live", 2, 1, live)
	f.alter(2)
	f.again()
	f.look("|restart", 2, 1, f.afterRestart)
	f.rotate(1)
	f.flush()
	f.look("|back live", 1, 2, live)
	f.alter(1)
	f.again()
	f.look("|back", 1, 2, f.afterRestart)
	f.end("|start", "|live", "|restart", "|back live", "|back")
}

// restartStory is that of values in the environment: a rotation is a restart.
func (f *fielded) restartStory() {
	f.t.Helper()
	f.look("|start", 1, 0, everyKind)
	f.alter(2)
	f.rotate(2)
	f.flush()
	f.started()
	f.look("|restart", 2, 1, f.inEnv)
	f.alter(1)
	f.rotate(1)
	f.flush()
	f.started()
	f.look("|back", 1, 2, f.inEnv)
	f.end("|start", "|restart", "|back")
}

// again has Bifrost crash, and exec with it, and come back.
func (f *fielded) again() {
	f.t.Helper()
	if err := syscall.Kill(f.child, syscall.SIGKILL); err != nil {
		f.t.Fatal(err)
	}
	f.run.ends(137)
	f.exec()
}

func (f *fielded) end(phases ...string) {
	f.t.Helper()
	var table strings.Builder
	fmt.Fprintf(&table, "\n%s %s\tkind%s\n", f.says, f.mode, strings.ReplaceAll(strings.Join(phases, ""), "|", "\t"))
	for _, k := range fieldKinds() {
		fmt.Fprintf(&table, "%s %s\t%s", f.says, f.mode, k.name)
		for _, p := range phases {
			fmt.Fprintf(&table, "\t%s", f.table[k.name+p])
		}
		table.WriteString("\n")
	}
	f.t.Log(table.String())
	f.run.signal(syscall.SIGTERM)
	f.run.wait()
}

func (f *fielded) config() string {
	ref := func(kind string) string {
		i := slices.IndexFunc(fieldKinds(), func(k fieldKind) bool { return k.name == kind })
		return `"vault.all#` + fieldKinds()[i].path + `"`
	}
	postgres := func(db *pgtest.Database, role, kind string) string {
		return fmt.Sprintf(`{"host": %q, "port": "%d", "user": %q, "password": %s, "db_name": %q, "ssl_mode": "disable"}`, db.Host, db.Port, role, ref(kind), db.Name)
	}
	network := fmt.Sprintf(`"base_url": %q, "allow_private_network": true, "max_retries": 1, "default_request_timeout_in_seconds": 45`, f.up.URL)
	buffers := `"concurrency_and_buffer_size": {"concurrency": 20, "buffer_size": 100}`
	return `{
  "$schema": "https://www.getbifrost.ai/schema",
  "framework": ` + bifrosttest.Framework(f.up.URL) + `,
  "config_store": {"enabled": true, "type": "postgres", "config": ` + postgres(f.db, f.role, "config store password") + `,
    "vault_store": {"enabled": true, "type": "file", "file": {"path": "../secrets"}}},
  "logs_store": {"enabled": true, "type": "postgres", "config": ` + postgres(f.logs, f.logsRole, "logs store password") + `},
  "vector_store": {"enabled": true, "type": "weaviate", "config": {"scheme": "http", "host": "` + strings.TrimPrefix(f.out.url, "http://") + `", "api_key": ` + ref("vector store api_key") + `}},
  "client": {"log_retention_days": 30, "initial_pool_size": 50, "max_request_body_size_mb": 10, "disable_content_logging": true},
  "auth_config": {"admin_username": "admin", "admin_password": ` + ref("admin password") + `, "is_enabled": true, "disable_auth_on_inference": true},
  "governance": {"virtual_keys": [{"id": "vk-1", "name": "team", "value": ` + ref("virtual key") + `, "is_active": true,
    "provider_configs": [{"provider": "openai", "weight": 1, "allowed_models": ["model-0"], "key_ids": ["*"]}]}]},
  "providers": {
    "openai": {"keys": [{"name": "main", "value": ` + ref("provider key") + `, "models": ["model-0"], "weight": 1}],
      "network_config": {` + network + `, "extra_headers": {"X-Team": ` + ref("extra_headers") + `}}, ` + buffers + `},
    "groq": {"keys": [{"name": "proxied", "value": "gsk-CANARY-static", "models": ["model-p"], "weight": 1}],
      "network_config": {` + network + `}, "proxy_config": {"type": "http", "url": "` + f.out.url + `", "username": "proxy", "password": ` + ref("proxy") + `}, ` + buffers + `}
  },
  "mcp": {"client_configs": [
    {"name": "stub", "connection_type": "http", "connection_string": "` + f.up.URL + `/mcp", "auth_type": "headers", "headers": {"Authorization": ` + ref("mcp header") + `}, "tools_to_execute": ["*"]},
    {"name": "sticky", "connection_type": "http", "connection_string": "` + f.sticky.URL + `/mcp", "auth_type": "headers", "needs_session_stickiness": true, "headers": {"Authorization": ` + ref("mcp header (sticky)") + `}, "tools_to_execute": ["*"]},
    {"name": "signed", "connection_type": "http", "connection_string": "` + f.sticky.URL + `/mcp", "auth_type": "oauth", "tools_to_execute": ["*"],
      "oauth_config": {"client_id": "client-1", "client_secret": ` + ref("oauth_config") + `, "authorize_url": "` + f.out.url + `/authorize", "token_url": "` + f.out.url + `/token", "scopes": ["read"]}},
    {"name": "moved", "connection_type": "http", "connection_string": ` + ref("mcp connection_string") + `, "auth_type": "headers", "headers": {"Authorization": "Bearer CANARY-moved"}, "tools_to_execute": ["*"]}
  ]},
  "plugins": [{"name": "otel", "enabled": true, "version": 2, "config": {"service_name": "bifrost", "collector_url": "` + f.up.URL + `/v1/traces", "trace_type": "genai_extension", "protocol": "http",
    "headers": {"X-Token": ` + ref("plugin config") + `}}}],
  "webhooks": [{"name": "hook", "url": "` + f.out.url + `/hook", "events": ["async_job.completed"], "allow_private_network": true, "headers": {"X-Hook-Token": ` + ref("webhook header") + `}, "secret": ` + ref("webhook secret") + `}]
}`
}
