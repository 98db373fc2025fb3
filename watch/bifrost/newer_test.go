package bifrost_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/bifrost/bifrosttest"
)

// profiled reports whether this Bifrost shows the plugin otel as a list of profiles
// with masked headers.
func profiled(t *testing.T, url, password string) bool {
	t.Helper()
	return strings.Contains(fmt.Sprint(ask(t, http.MethodGet, url+"/api/plugins/otel", password, "")), "profiles")
}

// ask makes a call as the admin and returns the body of its answer.
func ask(t *testing.T, method, url, password, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", password)
	return answerOf(t, req)
}

// crowd is a document with n MCP clients, each with a header of its own, and a
// header that is the same in all.
func crowd(t *testing.T, u *bifrosttest.Upstream, n int, value string) *walker.Document {
	t.Helper()
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`{"name": "m%d", "connection_type": "http", "connection_string": %q, "auth_type": "headers", "tools_to_execute": ["*"],
			"headers": {"Authorization": "Bearer m%02d-%s", "X-Kept": "kept-value-%04d"}}`, i, u.URL+"/mcp", i, value, i))
	}
	return parse(t, fmt.Sprintf(`{"$schema": "https://www.getbifrost.ai/schema", "framework": %s, "mcp": {"client_configs": [%s]}}`, bifrosttest.Framework(u.URL), strings.Join(all, ",")))
}

// TestThirtyClients has more MCP clients than newer versions show at a time: each
// is given its new header, and keeps the other one.
func TestThirtyClients(t *testing.T) {
	const n = 30
	eachBifrost(t, func(t *testing.T, b installation, u *bifrosttest.Upstream) {
		url := b.start(t, crowd(t, u, n, "first-0001"))
		doc := crowd(t, u, n, "second-0002")
		var paths []string
		for i := range n {
			paths = append(paths, fmt.Sprintf("mcp.client_configs[%d].headers.Authorization", i))
		}
		c := client(t, url, nil)
		if !hasMCP(t, url, "") {
			t.Skip("this build of Bifrost has no MCP")
		}
		wantStates(t, c.Push(t.Context(), doc, targets(t, doc, paths...)), watch.Verified)
		wantStates(t, c.Verify(t.Context(), doc, targets(t, doc, paths...)), watch.Verified)
		if s, ok := b.(*stub); ok {
			s.Called()
			c.Verify(t.Context(), doc, targets(t, doc, paths...))
			if calls := s.Called(); len(calls) > 3 {
				t.Errorf("%d calls to look at %d clients: %q", len(calls), n, calls)
			}
		}
		for i := range n {
			kept := fmt.Sprintf("mcp.client_configs[%d].headers[\"X-Kept\"]", i)
			if got := c.Verify(t.Context(), doc, targets(t, doc, strings.Replace(kept, `["X-Kept"]`, ".X-Kept", 1))); got[0].State != watch.Verified {
				t.Errorf("%s is %s", kept, got[0].State)
			}
		}
	})
}

// TestListThatEndsEarly has a list that does not have what it says: no object in it
// is taken for absent.
func TestListThatEndsEarly(t *testing.T) {
	doc := second.render(t, &bifrosttest.Upstream{URL: "http://127.0.0.1:1"})
	for _, page := range []string{`"clients":[]`, `"clients":[{"config":{"client_id":"id-1","name":"other"}}]`, `"items":[]`} {
		s := &canned{version: "2.0.0", answers: map[string]string{"/api/mcp/clients": `{` + page + `,"total_count":1000000}`}}
		got := s.client(t).Push(t.Context(), doc, targets(t, doc, mcpPath))
		if got[0].State == watch.Verified || strings.Contains(got[0].Reason, "is called") || len(s.written) > 0 {
			t.Errorf("%s: %+v", page, got[0])
		}
	}
}

// TestKeysThatEndEarly has a second page of keys that is none: that is no earlier
// Bifrost, whose provider would be written as a whole.
func TestKeysThatEndEarly(t *testing.T) {
	doc := first.render(t, &bifrosttest.Upstream{URL: "http://127.0.0.1:1"})
	for _, page := range []string{"<!doctype html>", "[]", `{"keys":null}`} {
		s := &canned{version: "2.0.0", answers: map[string]string{
			"/api/providers/openai":                         someProvider,
			"/api/providers/openai/keys":                    `{"keys":[{"id":"id-9","name":"other"}],"total_count":2}`,
			"/api/providers/openai/keys?limit=100&offset=1": page,
		}}
		got := s.client(t).Push(t.Context(), doc, targets(t, doc, keyPath))
		if got[0].State == watch.Verified || len(s.written) > 0 {
			t.Errorf("%s: %+v, and %d writes", page, got[0], len(s.written))
		}
	}
}

// oneClient is a document with the MCP client "stub" and more members in it.
func oneClient(t *testing.T, u *bifrosttest.Upstream, value, more string) *walker.Document {
	t.Helper()
	return parse(t, fmt.Sprintf(`{"$schema": "https://www.getbifrost.ai/schema", "framework": %s, "mcp": {"client_configs": [{"name": "stub", "connection_type": "http",
		"connection_string": "%s/mcp", "auth_type": "headers", "headers": {"Authorization": %q}, "tools_to_execute": ["*"]%s}]}}`, bifrosttest.Framework(u.URL), u.URL, value, more))
}

// TestReconnects has a client that wants a connection that stays open, one that
// does not, and one that is switched off: each is told to connect again only where
// there is something to it.
func TestReconnects(t *testing.T) {
	for _, version := range bifrosttest.Versions {
		for _, c := range []struct {
			name, more string
			want       bool // where there is one for each call
			before     bool // by earlier versions
		}{
			{"per call", "", false, true},
			{"sticky", `, "needs_session_stickiness": true`, true, true},
			{"disabled", `, "disabled": true`, false, true},
		} {
			t.Run(version+" "+c.name, func(t *testing.T) {
				u := bifrosttest.NewUpstream(t)
				s := &stub{bifrosttest.New(t, version)}
				url := s.start(t, oneClient(t, u, first.mcp, c.more))
				s.Called()
				doc := oneClient(t, u, second.mcp, c.more)
				wantStates(t, client(t, url, nil).Push(t.Context(), doc, targets(t, doc, mcpPath)), watch.Verified)
				want := c.before
				switch version {
				case "2.2.1":
					want = c.want
				case "1.5.16":
					want = c.name != "disabled"
				}
				if got := strings.Contains(strings.Join(s.Called(), " "), "/reconnect"); got != want {
					t.Errorf("it is told to connect again: %t", got)
				}
			})
		}
	}
}

// TestNothingToReconnect has a version that is not known to have connections for
// each call, and has them: its refusal is none.
func TestNothingToReconnect(t *testing.T) {
	u := bifrosttest.NewUpstream(t)
	s := &stub{bifrosttest.New(t, "2.2.1")}
	s.start(t, oneClient(t, u, first.mcp, ""))
	older := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/version" {
			_, _ = w.Write([]byte(`"v1.7.0"`))
			return
		}
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(older.Close)
	doc := oneClient(t, u, second.mcp, "")
	wantStates(t, client(t, older.URL, nil).Push(t.Context(), doc, targets(t, doc, mcpPath)), watch.Verified)
	if got := strings.Join(s.Called(), " "); !strings.Contains(got, "/reconnect") {
		t.Errorf("it was not told to connect again: %s", got)
	}
}

// TestProfilesKeepTheirHeaders has a plugin whose config Bifrost shows as a list of
// profiles, masked: the header that is not changed is what it was.
func TestProfilesKeepTheirHeaders(t *testing.T) {
	eachBifrost(t, func(t *testing.T, b installation, u *bifrosttest.Upstream) {
		of := func(token string) *walker.Document {
			return parse(t, strings.Replace(string(second.render(t, u).Bytes()), `{"X-Token": "otel-second-0002"}`, `{"X-Token": "`+token+`", "X-Other": "other-header-0001"}`, 1))
		}
		url := b.start(t, of("otel-first-0001"))
		doc := of("otel-second-0002")
		c := client(t, url, nil)
		wantStates(t, c.Push(t.Context(), doc, targets(t, doc, pluginPath)), watch.Verified)
		if status, body := chat(t.Context(), url, "model-0"); status != http.StatusOK {
			t.Fatalf("a chat: %d %s", status, body)
		}
		await(t, u, bifrosttest.Traces, "X-Token", "otel-second-0002")
		await(t, u, bifrosttest.Traces, "X-Other", "other-header-0001")
		// And once more, from what is stored now.
		doc = of("otel-third-0003")
		wantStates(t, c.Push(t.Context(), doc, targets(t, doc, pluginPath)), watch.Verified)
		if status, body := chat(t.Context(), url, "model-0"); status != http.StatusOK {
			t.Fatalf("a chat: %d %s", status, body)
		}
		await(t, u, bifrosttest.Traces, "X-Token", "otel-third-0003")
		await(t, u, bifrosttest.Traces, "X-Other", "other-header-0001")
	})
}

// TestWantsAnAdmin has changes that Bifrost takes from somebody who is signed in
// alone: no credentials are refused, and trying again would not help.
func TestWantsAnAdmin(t *testing.T) {
	for body, want := range map[string]watch.State{
		`{"error":{"message":"changing the endpoint requires an authenticated admin session"}}`: watch.RestartRequired,
		`{"error":{"message":"Forbidden"}}`:                                                     watch.Failed,
	} {
		var puts atomic.Int32
		s, u := started(t, "2.2.1", func(u *bifrosttest.Upstream) *walker.Document { return first.render(t, u) })
		front := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				puts.Add(1)
				w.WriteHeader(http.StatusForbidden)
				_, _ = w.Write([]byte(body))
				return
			}
			s.ServeHTTP(w, r)
		}))
		doc := second.render(t, u)
		got := client(t, front, func(o *bifrost.Options) { o.Login = basic(first.password) }).Push(t.Context(), doc, targets(t, doc, keyPath))
		if got[0].State != want || puts.Load() != 1 || got[0].Hint == "" || strings.Contains(got[0].Reason, "credentials") == (want == watch.RestartRequired) {
			t.Errorf("%+v after %d writes, want %s", got[0], puts.Load(), want)
		}
	}
}

// TestPasswordPolicy has a Bifrost that takes no such password: it says so.
func TestPasswordPolicy(t *testing.T) {
	s, u := started(t, "2.2.1", func(u *bifrosttest.Upstream) *walker.Document { return first.render(t, u) })
	front := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":{"message":"auth password must include one uppercase letter"}}`))
			return
		}
		s.ServeHTTP(w, r)
	}))
	doc := second.render(t, u)
	got := client(t, front, func(o *bifrost.Options) { o.Login = basic(first.password) }).Push(t.Context(), doc, targets(t, doc, passwordPath))
	if got[0].State != watch.RestartRequired || !strings.Contains(got[0].Hint, "12 characters") {
		t.Errorf("%+v", got[0])
	}
}

// TestDisconnectedClient has the MCP server of a client away while its header
// changes: it is tried again, and in force when the server is back.
func TestDisconnectedClient(t *testing.T) {
	eachBifrost(t, func(t *testing.T, b installation, u *bifrosttest.Upstream) {
		var away atomic.Bool
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if away.Load() {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			u.ServeMCP(w, r)
		}))
		t.Cleanup(server.Close)
		with := func(value string) *walker.Document {
			return parse(t, strings.Replace(string(oneClient(t, u, value, `, "needs_session_stickiness": true`).Bytes()), u.URL+`/mcp"`, server.URL+`/mcp"`, 1))
		}
		url := b.start(t, with(first.mcp))
		if !hasMCP(t, url, "") {
			t.Skip("this build of Bifrost has no MCP")
		}
		c := client(t, url, nil)
		doc := with(second.mcp)
		target := targets(t, doc, mcpPath)
		away.Store(true)
		got := c.Push(t.Context(), doc, target)
		t.Logf("while it is away: %s %s", got[0].State, got[0].Reason)
		if got[0].State == watch.RestartRequired {
			t.Errorf("%+v", got[0])
		}
		wantNoValue(t, got[0])
		away.Store(false)
		u.Forget()
		// Bifrost goes on with its own tries for a while, and refuses others meanwhile.
		for deadline := time.Now().Add(3 * time.Minute); got[0].State == watch.Failed && time.Now().Before(deadline); {
			got = c.Push(t.Context(), doc, target)
		}
		if got[0].State != watch.Verified {
			t.Errorf("once it is back: %+v", got[0])
		}
		await(t, u, bifrosttest.MCP, "Authorization", second.mcp)
	})
}
