package bifrost_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/bifrost/bifrosttest"
)

// sections is a document with every kind of key and of provider secret; n is a
// part of every value.
func sections(t testing.TB, u *bifrosttest.Upstream, n string) *walker.Document {
	return parse(t, fmt.Sprintf(`{
  "$schema": "https://www.getbifrost.ai/schema",
  "framework": %[1]s,
  "providers": {
    "bedrock": {"keys": [{"name": "aws", "value": "", "models": ["m"], "weight": 1, "bedrock_key_config": {
      "access_key": "AKIA-%[3]s", "secret_key": "bedrock-secret-%[3]s", "session_token": "bedrock-token-%[3]s", "region": "us-east-1"}}],
      "network_config": {"base_url": %[2]q}},
    "vertex": {"keys": [{"name": "gcp", "value": "", "models": ["m"], "weight": 1, "vertex_key_config": {
      "project_id": "project-1", "region": "us-central1", "auth_credentials": "{\"private_key\":\"pem\",\"id\":\"%[3]s\"}"}}],
      "network_config": {"base_url": %[2]q}},
    "groq": {"keys": [{"name": "groq", "value": "gsk-value-%[3]s", "models": ["*"], "weight": 1}],
      "network_config": {"base_url": %[2]q, "extra_headers": {"X-Team": "short"}},
      "proxy_config": {"type": "http", "url": %[2]q, "username": "proxy-user-%[3]s", "password": "proxy-password-%[3]s"}}
  },
  "mcp": {"client_configs": [{
    "name": "stub", "connection_type": "http", "connection_string": "%[2]s/mcp", "auth_type": "headers",
    "headers": {"X-Api.Key": "mcp-value-%[3]s", "12": "number-%[3]s"}, "tools_to_execute": ["*"]}]},
  "plugins": [{"name": "otel", "enabled": true, "version": 2, "config": {
    "service_name": "bifrost", "collector_url": "%[2]s/v1/traces", "trace_type": "genai_extension", "protocol": "http",
    "headers": {"X.Dotted": "otel-%[3]s", "a*b?": "glob-%[3]s"}}}]
}`, bifrosttest.Framework(u.URL), u.URL, n))
}

var sectionPaths = map[string]watch.State{
	"providers.bedrock.keys[0].bedrock_key_config.access_key":     watch.Verified,
	"providers.bedrock.keys[0].bedrock_key_config.secret_key":     watch.Verified,
	"providers.bedrock.keys[0].bedrock_key_config.session_token":  watch.Verified,
	"providers.vertex.keys[0].vertex_key_config.auth_credentials": watch.Verified,
	"providers.groq.keys[0].value":                                watch.Verified,
	"providers.groq.proxy_config.username":                        watch.Verified,
	"providers.groq.proxy_config.password":                        watch.Unverifiable,
	`mcp.client_configs[0].headers["X-Api.Key"]`:                  watch.Verified,
	`mcp.client_configs[0].headers.12`:                            watch.Verified,
	`plugins[0].config.headers["X.Dotted"]`:                       watch.Verified,
	`plugins[0].config.headers["a*b?"]`:                           watch.Verified,
}

// TestSections pushes every kind of field, several of one object together.
func TestSections(t *testing.T) {
	eachBifrost(t, func(t *testing.T, b installation, u *bifrosttest.Upstream) {
		url := b.start(t, sections(t, u, "0001"))
		c := client(t, url, nil)
		doc := sections(t, u, "0002")
		var paths []string
		for p := range sectionPaths {
			paths = append(paths, p)
		}
		paths = served(hasMCP(t, url, ""), paths)
		if s, ok := b.(*stub); ok {
			s.Called()
		}
		for _, o := range c.Push(t.Context(), doc, targets(t, doc, paths...)) {
			if o.State != sectionPaths[o.Path] || o.State == watch.Verified && o.Reason != "" {
				t.Errorf("%s is %s, want %s: %s", o.Path, o.State, sectionPaths[o.Path], o.Reason)
			}
			wantNoValue(t, o)
		}
		if s, ok := b.(*stub); ok {
			wantOnePutEach(t, s.Called())
		}
		for _, o := range c.Verify(t.Context(), doc, targets(t, doc, paths...)) {
			// What is a document of its kind looks like any other.
			if o.State != sectionPaths[o.Path] && !strings.Contains(o.Path, "auth_credentials") {
				t.Errorf("read again, %s is %s, want %s: %s", o.Path, o.State, sectionPaths[o.Path], o.Reason)
			}
		}
		// Nothing is lost for who comes after.
		if got := c.Converge(t.Context(), doc, targets(t, doc, "providers.groq.keys[0].value")); got[0].State != watch.Verified {
			t.Errorf("the key is %s: %s", got[0].State, got[0].Reason)
		}
	})
}

func wantOnePutEach(t *testing.T, calls []string) {
	t.Helper()
	count := map[string]int{}
	for _, c := range calls {
		if strings.HasPrefix(c, http.MethodPut) {
			count[c]++
		}
	}
	for call, n := range count {
		if n != 1 {
			t.Errorf("%d times %s", n, call)
		}
	}
	if len(count) == 0 {
		t.Error("nothing was written at all")
	}
}

// TestCannotTell has values that Bifrost's masks do not tell apart. What was given
// is not written again.
func TestCannotTell(t *testing.T) {
	cases := []struct {
		name, before, after   string
		pushed, converged     watch.State
		writes, writesAgainst int // of a Push, and of a Converge after it
	}{
		{"another", "sk-first-AAAA-0001", "sk-second-AAA-0002", watch.Verified, watch.Verified, 1, 0},
		{"same ends", "sk-first-AAAA-0001", "sk-f-other-AA-0001", watch.Unverifiable, watch.Verified, 1, 0},
		{"eight", "12345678", "87654321", watch.Unverifiable, watch.Unverifiable, 1, 0},
		{"eight to nine", "12345678", "123456789", watch.Verified, watch.Verified, 1, 0},
		{"six to five", "123456", "54321", watch.Unverifiable, watch.Unverifiable, 1, 0},
		{"a document", `{"a":"0001"}`, `{"a":"0002"}`, watch.Verified, watch.Unverifiable, 1, 0},
		{"not ascii", "äöü-AAAA-ñandú", "äöü-BBBB-ñandé", watch.Verified, watch.Verified, 1, 0},
	}
	for _, version := range bifrosttest.Versions {
		for _, c := range cases {
			t.Run(version+" "+c.name, func(t *testing.T) {
				t.Parallel()
				u := bifrosttest.NewUpstream(t)
				s := &stub{bifrosttest.New(t, version)}
				old, now := first, first
				old.key, now.key = c.before, c.after
				url := s.start(t, old.render(t, u))
				doc := now.render(t, u)
				api := client(t, url, nil)
				one := targets(t, doc, keyPath)
				s.Called()
				if got := api.Push(t.Context(), doc, one); got[0].State != c.pushed {
					t.Errorf("pushed, it is %s, want %s: %s", got[0].State, c.pushed, got[0].Reason)
				}
				if n := writes(s.Called()); n != c.writes {
					t.Errorf("%d writes of a push, want %d", n, c.writes)
				}
				if status, _ := chat(t.Context(), url, "model-0"); status != http.StatusOK {
					t.Errorf("a chat is answered with %d", status)
				}
				if got, _ := u.Last(bifrosttest.Chat, "Authorization"); got != "Bearer "+c.after {
					t.Errorf("the provider has seen %q", got)
				}
				if got := api.Converge(t.Context(), doc, one); got[0].State != c.converged {
					t.Errorf("converged, it is %s, want %s: %s", got[0].State, c.converged, got[0].Reason)
				}
				if n := writes(s.Called()); n != c.writesAgainst {
					t.Errorf("%d writes of a converge, want %d", n, c.writesAgainst)
				}
			})
		}
	}
}

func writes(calls []string) (n int) {
	for _, c := range calls {
		if !strings.HasPrefix(c, http.MethodGet) {
			n++
		}
	}
	return n
}

// A value that Bifrost's masks do not tell from another is written once for each run
// of Bifrost, whose database may be another one by then, and not at every look.
func TestOnceARun(t *testing.T) {
	for _, value := range []string{"12345678", `{"type":"service_account","n":"0001"}`, "-----BEGIN A KEY-----\nAAAA\n-----END A KEY-----\n", "https://u:p@127.0.0.1/first-0001"} {
		for _, version := range bifrosttest.Versions {
			for metrics, want := range map[bool]string{true: "1 0 0 1 0 0 1 0 0", false: "1 0 0 0 0 0 0 0 0"} {
				u := bifrosttest.NewUpstream(t)
				s := &stub{bifrosttest.New(t, version)}
				if !metrics {
					s.NoMetrics()
				}
				v := first
				v.key = value
				doc := v.render(t, u)
				url := s.start(t, doc)
				api := client(t, url, nil)
				var got []string
				for run := range 3 {
					if run > 0 {
						s.Stop()
						s.start(t, doc)
					}
					for range 3 {
						s.Called()
						wantStates(t, api.Converge(t.Context(), doc, targets(t, doc, keyPath)), watch.Unverifiable)
						got = append(got, strconv.Itoa(writes(s.Called())))
					}
				}
				if strings.Join(got, " ") != want {
					t.Errorf("%s, metrics %v, a value of %d characters: the writes are %s, want %s", version, metrics, len(value), got, want)
				}
			}
		}
	}
}

// A value that Bifrost does not keep is written a few times and then only looked at.
func TestNotKept(t *testing.T) {
	s, u := started(t, "1.5.0-prerelease7", func(u *bifrosttest.Upstream) *walker.Document { return first.render(t, u) })
	kept := false
	s.OnCall(func(r *http.Request) int {
		if r.Method == http.MethodPut && !kept {
			return http.StatusOK
		}
		return 0
	})
	doc := second.render(t, u)
	c := client(t, s.URL, func(o *bifrost.Options) { o.Login = basic(first.password) })
	all := targets(t, doc, keyPath)
	s.Called()
	for range 20 {
		wantStates(t, c.Push(t.Context(), doc, all), watch.Failed)
	}
	if n := writes(s.Called()); n != 3 {
		t.Errorf("%d writes, want 3", n)
	}
	kept = true
	now := second
	now.key = "sk-third-EEEEEEEE-0003"
	doc = now.render(t, u)
	wantStates(t, c.Push(t.Context(), doc, targets(t, doc, keyPath)), watch.Verified)
}

// TestKnownToBeOlder has Bifrost hold a value that this client has pushed itself
// since, and that looks like the one that shall be.
func TestKnownToBeOlder(t *testing.T) {
	u := bifrosttest.NewUpstream(t)
	s := &stub{bifrosttest.New(t, "1.5.0-prerelease7")}
	now, later := first, first
	later.key = "sk-first-ZZZZZZZZ-0001" // the same ends
	doc := now.render(t, u)
	url := s.start(t, doc)
	c := client(t, url, nil)
	pushed := later.render(t, u)
	wantStates(t, c.Push(t.Context(), pushed, targets(t, pushed, keyPath)), watch.Unverifiable)
	s.stop(t)
	s.start(t, doc)
	wantStates(t, c.Converge(t.Context(), doc, targets(t, doc, keyPath)), watch.Unverifiable)
	if status, _ := chat(t.Context(), url, "model-0"); status != http.StatusOK {
		t.Fatal(status)
	}
	await(t, u, bifrosttest.Chat, "Authorization", "Bearer "+first.key)
}

// TestCalls counts the calls for one key: with a password each costs Bifrost
// some 60 ms.
func TestCalls(t *testing.T) {
	for version, want := range map[string]string{
		"1.4.19":            "GET version, GET providers/openai/keys, GET providers/openai, GET providers/openai, PUT providers/openai, GET providers/openai",
		"1.5.0-prerelease7": "GET version, GET providers/openai/keys, GET providers/openai/keys, PUT providers/openai/keys/ID, GET providers/openai/keys",
	} {
		s, u := started(t, version, func(u *bifrosttest.Upstream) *walker.Document { return first.render(t, u) })
		doc := second.render(t, u)
		c := client(t, s.URL, func(o *bifrost.Options) { o.Login = basic(first.password) })
		wantStates(t, c.Push(t.Context(), doc, targets(t, doc, keyPath)), watch.Verified)
		var got []string
		for _, call := range s.Called() {
			call = strings.Replace(call, "/api/", "", 1)
			if i := strings.Index(call, "/keys/"); i > 0 {
				call = call[:i] + "/keys/ID"
			}
			got = append(got, call)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: the calls are %q, want %q", version, got, want)
		}
	}
}
