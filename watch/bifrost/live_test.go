package bifrost_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/bifrost/bifrosttest"
)

// TestPush rotates one of everything under a client that calls throughout, and
// looks at what reaches the provider, the MCP server and the collector.
func TestPush(t *testing.T) {
	eachBifrost(t, func(t *testing.T, b installation, u *bifrosttest.Upstream) {
		url := b.start(t, first.render(t, u))
		if status, body := chat(t.Context(), url, "model-0"); status != http.StatusOK {
			t.Fatalf("a chat before anything was pushed: %d %s", status, body)
		}
		await(t, u, bifrosttest.Chat, "Authorization", "Bearer "+first.key)
		mcp := hasMCP(t, url, first.password)
		paths := served(mcp, livePaths)
		if mcp {
			await(t, u, bifrosttest.MCP, "Authorization", first.mcp)
		}
		c := client(t, url, nil)
		// As a watcher does: it knows the admin of the document in force.
		if version, err := c.Version(t.Context(), first.render(t, u)); err != nil || version == "" {
			t.Fatalf("version %q: %v", version, err)
		}
		calling := startCaller(url, 2)

		doc := second.render(t, u)
		began := time.Now()
		got := c.Push(t.Context(), doc, targets(t, doc, paths...))
		t.Logf("one of everything is pushed and verified within %s", time.Since(began).Round(time.Millisecond))
		wantStates(t, got, watch.Verified)

		await(t, u, bifrosttest.Chat, "Authorization", "Bearer "+second.key)
		await(t, u, bifrosttest.Chat, "X-Team", second.header)
		if mcp {
			callTool(t, url)
			await(t, u, bifrosttest.MCP, "Authorization", second.mcp)
		}
		await(t, u, bifrosttest.Traces, "X-Token", second.plugin)
		calling.end(t)
		wantLogin(t, url, first.password, http.StatusUnauthorized)
		wantLogin(t, url, second.password, http.StatusOK)
		if got := u.Seen(bifrosttest.MCP, "X-Kept"); mcp && !slices.Equal(got, []string{"kept-value-0001"}) {
			t.Errorf("the other header of the MCP client was seen as %q", got)
		}
		u.Forget()
		if status, body := chat(t.Context(), url, "model-1"); status != http.StatusOK {
			t.Errorf("a chat with the key that was not touched: %d %s", status, body)
		}
		await(t, u, bifrosttest.Chat, "Authorization", "Bearer "+first.key2)
		await(t, u, bifrosttest.Chat, "x.dotted", "stays")

		// And once more, from here to there and on, with the new password.
		third := second
		third.key, third.password = "sk-third-DDDDDDDD-0003", "Admin-third-0003"
		doc = third.render(t, u)
		want := []watch.State{watch.Verified, watch.Verified}
		if mcp {
			want = append(want, watch.Unverifiable)
		}
		if profiled(t, url, second.password) {
			want = append(want, watch.Unverifiable, watch.Verified)
		}
		wantStates(t, c.Push(t.Context(), doc, targets(t, doc, paths...)), append(want, watch.Verified)...)

		// The next start finds it all in the file or in the database.
		b.stop(t)
		url = b.start(t, doc)
		c = client(t, url, nil)
		wantStates(t, c.Verify(t.Context(), doc, targets(t, doc, paths...)), watch.Verified)
		u.Forget()
		if status, body := chat(t.Context(), url, "model-0"); status != http.StatusOK {
			t.Errorf("a chat after the restart: %d %s", status, body)
		}
		await(t, u, bifrosttest.Chat, "Authorization", "Bearer "+third.key)
	})
}

// TestRollbackTrap has the file go back to the value that Bifrost's database has
// read from it before, while the API was used to push another one.
func TestRollbackTrap(t *testing.T) {
	eachBifrost(t, func(t *testing.T, b installation, u *bifrosttest.Upstream) {
		doc := first.render(t, u)
		url := b.start(t, doc)
		pushed := second
		pushed.password = first.password
		later := pushed.render(t, u)
		mcp := hasMCP(t, url, first.password)
		paths := served(mcp, []string{keyPath, headerPath, mcpPath, pluginPath})
		wantStates(t, client(t, url, nil).Push(t.Context(), later, targets(t, later, paths...)), watch.Verified)
		b.stop(t)
		url = b.start(t, doc)
		u.Forget()
		if status, body := chat(t.Context(), url, "model-0"); status != http.StatusOK {
			t.Fatalf("a chat after the restart: %d %s", status, body)
		}
		await(t, u, bifrosttest.Chat, "Authorization", "Bearer "+second.key) // the trap

		c := client(t, url, nil)
		all := targets(t, doc, paths...)
		if got := c.Verify(t.Context(), doc, all[:1]); got[0].State != watch.Failed {
			t.Errorf("before anything is pushed the key is %s", got[0].State)
		}
		wantStates(t, c.Converge(t.Context(), doc, all), watch.Verified)
		if status, body := chat(t.Context(), url, "model-0"); status != http.StatusOK {
			t.Fatalf("a chat after all is mended: %d %s", status, body)
		}
		await(t, u, bifrosttest.Chat, "Authorization", "Bearer "+first.key)
		await(t, u, bifrosttest.Chat, "X-Team", first.header)
		if mcp {
			callTool(t, url)
			await(t, u, bifrosttest.MCP, "Authorization", first.mcp)
		}
		await(t, u, bifrosttest.Traces, "X-Token", first.plugin)
		wantStates(t, c.Converge(t.Context(), doc, all), watch.Verified)
	})
}

// hasMCP reports whether this Bifrost was built with MCP.
func hasMCP(t *testing.T, url, password string) bool {
	t.Helper()
	return ask(t, http.MethodGet, url+"/api/mcp/clients", password, "")[0] == '{'
}

// served returns the paths that a Bifrost with or without MCP has.
func served(mcp bool, paths []string) []string {
	if mcp {
		return paths
	}
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return strings.HasPrefix(p, "mcp.") })
}

// callTool has the MCP client "stub" call its server: a connection for each call is
// made then.
func callTool(t *testing.T, url string) {
	t.Helper()
	ask(t, http.MethodPost, url+"/v1/mcp/tool/execute", second.password, `{"id":"c1","type":"function","function":{"name":"stub-echo","arguments":"{}"}}`)
}

func wantLogin(t *testing.T, url, password string, want int) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url+"/api/config", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", password)
	resp, err := plain.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != want {
		t.Errorf("a login is answered with %d, want %d", resp.StatusCode, want)
	}
}

// basic are the admin's credentials.
func basic(password string) func() bifrost.Auth {
	return func() bifrost.Auth {
		return bifrost.Auth{Scheme: bifrost.Basic, User: sources.NewSecret([]byte("admin")), Secret: sources.NewSecret([]byte(password))}
	}
}
