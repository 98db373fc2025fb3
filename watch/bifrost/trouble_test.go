package bifrost_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/bifrost/bifrosttest"
)

func TestNew(t *testing.T) {
	for _, c := range []struct {
		url   string
		auth  bifrost.Scheme
		wants string // a part of the error
	}{
		{"http://127.0.0.1:8080", bifrost.Basic, ""},
		{"http://localhost:8080/", bifrost.Bearer, ""},
		{"http://[::1]:8080", bifrost.Basic, ""},
		{"https://bifrost.example.com", bifrost.Basic, ""},
		{"unix:/run/bifrost.sock", bifrost.Basic, ""},
		{"http://bifrost:8080", bifrost.NoAuth, "unencrypted to http://bifrost:8080"},
		{"http://10.0.0.1", bifrost.NoAuth, "unencrypted to http://10.0.0.1"},
		{"http://bifrost:8080", bifrost.Basic, "unencrypted to http://bifrost:8080"},
		{"http://10.0.0.1:8080", bifrost.Bearer, "unencrypted to http://10.0.0.1:8080"},
		{"http://127.0.0.1.example.com", bifrost.Basic, "unencrypted"},
		{"http://admin:canary@127.0.0.1", bifrost.NoAuth, "has credentials in it"},
		{"http://127.0.0.1/?token=canary", bifrost.NoAuth, "has a query"},
		{"ftp://127.0.0.1", bifrost.NoAuth, "is no http, https or unix one"},
		{"127.0.0.1:8080", bifrost.NoAuth, "cannot be read"},
		{"http://[canary", bifrost.NoAuth, "cannot be read"},
		{"unix:", bifrost.NoAuth, "names no socket"},
		{"", bifrost.NoAuth, "is no http"},
	} {
		_, err := bifrost.New(bifrost.Options{URL: c.url, Login: func() bifrost.Auth { return bifrost.Auth{Scheme: c.auth} }})
		switch e := new(bifrost.Error); {
		case c.wants == "" && err != nil:
			t.Errorf("%s: %v", c.url, err)
		case c.wants == "":
		case !errors.As(err, &e) || !strings.Contains(e.Reason, c.wants) || e.Hint == "":
			t.Errorf("%s: %v, want an error with %q and a hint", c.url, err, c.wants)
		case strings.Contains(e.Reason+e.Hint, "canary"):
			t.Errorf("%s is repeated: %v", c.url, err)
		}
	}
	// Where something else encrypts that may be said, for values; never for what
	// one signs in with.
	for scheme, wants := range map[bifrost.Scheme]string{bifrost.NoAuth: "", bifrost.Basic: "credentials"} {
		_, err := bifrost.New(bifrost.Options{URL: "http://bifrost:8080", PlainHTTP: true, Login: func() bifrost.Auth { return bifrost.Auth{Scheme: scheme} }})
		if (err == nil) != (wants == "") || err != nil && !strings.Contains(err.Error(), wants) {
			t.Errorf("plain http is allowed: %v, want %q", err, wants)
		}
	}
}

// started returns a Bifrost in memory that has read the first document.
func started(t testing.TB, version string, doc func(*bifrosttest.Upstream) *walker.Document) (*bifrosttest.Server, *bifrosttest.Upstream) {
	t.Helper()
	u := bifrosttest.NewUpstream(t)
	s := bifrosttest.New(t, version)
	if err := s.Start(doc(u).Bytes()); err != nil {
		t.Fatal(err)
	}
	return s, u
}

// dashboard calls the API as the admin, and decodes the answer.
func dashboard(t testing.TB, s *bifrosttest.Server, method, path string, in any) map[string]any {
	t.Helper()
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, s.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", first.password)
	resp, err := plain.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %d %v", method, path, resp.StatusCode, err)
	}
	return out
}

// edits are what somebody does in the dashboard: each has the path that is
// read, what it does there, and what has to be found afterwards.
var edits = []struct {
	name, version string
	target        string
	read          string
	edit          func(t *testing.T, s *bifrosttest.Server, read map[string]any, n int32)
	holds         func(read map[string]any) bool
}{
	{"key", "1.5.0-prerelease7", keyPath, "/api/providers/openai/keys", func(t *testing.T, s *bifrosttest.Server, read map[string]any, n int32) {
		k := read["keys"].([]any)[0].(map[string]any)
		k["weight"] = 1 + n
		dashboard(t, s, http.MethodPut, "/api/providers/openai/keys/"+k["id"].(string), k)
	}, func(read map[string]any) bool { return read["keys"].([]any)[0].(map[string]any)["weight"] != 1.0 }},
	{"provider", "1.4.19", keyPath, "/api/providers/openai", func(t *testing.T, s *bifrosttest.Server, read map[string]any, n int32) {
		read["network_config"].(map[string]any)["max_retries"] = 10 + n
		dashboard(t, s, http.MethodPut, "/api/providers/openai", read)
	}, func(read map[string]any) bool {
		return read["network_config"].(map[string]any)["max_retries"].(float64) > 10
	}},
	{"mcp client", "1.4.19", mcpPath, "/api/mcp/clients", func(t *testing.T, s *bifrosttest.Server, read map[string]any, n int32) {
		c := read["clients"].([]any)[0].(map[string]any)["config"].(map[string]any)
		c["tools_to_execute"] = []string{"one"}
		dashboard(t, s, http.MethodPut, "/api/mcp/client/"+c["client_id"].(string), c)
	}, func(read map[string]any) bool {
		return read["clients"].([]any)[0].(map[string]any)["config"].(map[string]any)["tools_to_execute"].([]any)[0] == "one"
	}},
	{"plugin", "2.2.1", pluginPath, "/api/plugins/otel", func(t *testing.T, s *bifrosttest.Server, read map[string]any, n int32) {
		read["config"].(map[string]any)["service_name"] = "other"
		dashboard(t, s, http.MethodPut, "/api/plugins/otel", read)
	}, func(read map[string]any) bool { return read["config"].(map[string]any)["service_name"] == "other" }},
	{"configuration", "1.5.0-prerelease7", passwordPath, "/api/config", func(t *testing.T, s *bifrosttest.Server, read map[string]any, n int32) {
		read["client_config"].(map[string]any)["log_retention_days"] = 77
		dashboard(t, s, http.MethodPut, "/api/config", read)
	}, nil},
}

// TestEditedMeanwhile has somebody save an edit between our reading and writing:
// the edit stays, and the next try brings the value beside it.
func TestEditedMeanwhile(t *testing.T) {
	for _, e := range edits {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			s, u := started(t, e.version, func(u *bifrosttest.Upstream) *walker.Document { return first.render(t, u) })
			var read map[string]any
			doc := second.render(t, u)
			c := client(t, s.URL, func(o *bifrost.Options) { o.Login = basic(first.password) })
			var reads, busy atomic.Int32
			var late atomic.Int32 // the readings after which the edit is still to come
			wrote := false
			var own atomic.Bool
			// It comes right before the last reading that goes before the writing.
			s.OnCall(func(r *http.Request) int {
				if own.Load() {
					return 0
				}
				if r.Method == http.MethodPut {
					wrote = true
				}
				if r.Method == http.MethodGet && r.URL.Path == e.read && r.Header.Get("Authorization") != "" && reads.Add(1) == late.Load() && busy.CompareAndSwap(0, 1) {
					own.Store(true)
					e.edit(t, s, read, late.Load())
					own.Store(false)
				}
				return 0
			})
			target := targets(t, doc, e.target)
			// How often it is read before it is written is not said: so the edit
			// comes later and later, until it falls between the two.
			seen := false
			for late.Store(2); late.Load() < 8 && !seen; late.Add(1) {
				reads.Store(0)
				busy.Store(0)
				wrote = false
				own.Store(true)
				read = dashboard(t, s, http.MethodGet, e.read, nil)
				own.Store(false)
				got := c.Push(t.Context(), doc, target)
				if strings.Contains(got[0].Reason, "changed meanwhile") {
					seen = true
					if got[0].State != watch.Failed || wrote {
						t.Errorf("it is %s, and written: %t", got[0].State, wrote)
					}
				}
			}
			s.OnCall(nil)
			if !seen {
				t.Fatal("no edit was ever noticed")
			}
			if e.holds == nil {
				return
			}
			c.Push(t.Context(), doc, target)
			wantStates(t, c.Verify(t.Context(), doc, target), watch.Verified)
			if !e.holds(dashboard(t, s, http.MethodGet, e.read, nil)) {
				t.Error("the edit is lost")
			}
		})
	}
}

// TestHangs has a server that does not answer one of the calls, or answers
// after the deadline.
func TestHangs(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			s, u := started(t, "1.4.19", func(u *bifrosttest.Upstream) *walker.Document { return first.render(t, u) })
			s.OnCall(func(r *http.Request) int {
				if r.Method == method {
					_, _ = io.Copy(io.Discard, r.Body) // so that the server sees the end of the connection
					<-r.Context().Done()
				}
				return 0
			})
			doc := second.render(t, u)
			c := client(t, s.URL, func(o *bifrost.Options) {
				o.Timeout, o.Login = 300*time.Millisecond, basic(first.password)
			})
			began := time.Now()
			got := c.Push(t.Context(), doc, targets(t, doc, mcpPath))
			wantStates(t, got, watch.Failed)
			if !strings.Contains(got[0].Reason, "nothing within 300ms") || got[0].Hint == "" {
				t.Errorf("the reason is %q, with the hint %q", got[0].Reason, got[0].Hint)
			}
			if took := time.Since(began); took > 2*time.Minute {
				t.Errorf("it took %s", took)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			got = c.Push(ctx, doc, targets(t, doc, livePaths...))
			wantStates(t, got, watch.Failed)
			if len(got) != len(livePaths) || !strings.Contains(got[0].Reason, "stopped before ") {
				t.Errorf("stopped, it says %v", got)
			}
		})
	}
}

// TestRefusals has a server that says no, and repeats the body while it does.
func TestRefusals(t *testing.T) {
	for status, want := range map[int]watch.State{
		400: watch.RestartRequired, 409: watch.RestartRequired, 422: watch.RestartRequired,
		404: watch.Failed, 429: watch.Failed, 500: watch.Failed, 502: watch.Failed, 302: watch.Failed,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			s, u := started(t, "1.5.0-prerelease7", func(u *bifrosttest.Upstream) *walker.Document { return first.render(t, u) })
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					s.ServeHTTP(w, r)
					return
				}
				w.Header().Set("Location", "/?canary")
				w.WriteHeader(status)
				_, _ = io.Copy(w, r.Body)
			}))
			defer front.Close()
			doc := second.render(t, u)
			c := client(t, front.URL, func(o *bifrost.Options) { o.Login = basic(first.password) })
			got := c.Push(t.Context(), doc, targets(t, doc, livePaths...))
			wantStates(t, got, want)
			for _, o := range got {
				if !strings.Contains(o.Reason, fmt.Sprint(status)) {
					t.Errorf("%s does not tell the status: %s", o.Path, o.Reason)
				}
			}
		})
	}
}

func TestCredentials(t *testing.T) {
	s, u := started(t, "1.5.0-prerelease7", func(u *bifrosttest.Upstream) *walker.Document { return first.render(t, u) })
	now := first
	now.key = second.key
	doc := now.render(t, u)
	wrong := second.render(t, u) // its password is not in force
	pair := sources.NewSecret([]byte("YWRtaW46QWRtaW4tZmlyc3QtMDAwMQ=="))
	for _, c := range []struct {
		name string
		doc  *walker.Document
		auth bifrost.Auth
		want watch.State
	}{
		{"the document's", doc, bifrost.Auth{}, watch.Verified},
		{"given", wrong, basic(first.password)(), watch.Verified},
		{"a token", wrong, bifrost.Auth{Scheme: bifrost.Bearer, Secret: pair}, watch.Verified},
		{"wrong ones, and the document's", doc, basic("wrong")(), watch.Verified},
		{"wrong ones", wrong, basic("wrong")(), watch.Failed},
		{"none", parse(t, `{"providers":{"openai":{"keys":[{"name":"main","value":"sk-second-CCCCCCC-0002"}]}}}`), bifrost.Auth{}, watch.Failed},
	} {
		t.Run(c.name, func(t *testing.T) {
			api := client(t, s.URL, func(o *bifrost.Options) { o.Login = func() bifrost.Auth { return c.auth } })
			got := api.Verify(t.Context(), c.doc, targets(t, c.doc, keyPath))
			if c.want == watch.Failed {
				wantStates(t, got, c.want)
				if !strings.Contains(got[0].Reason, "credentials") || !strings.Contains(got[0].Hint, "auth_config") {
					t.Errorf("it says %q, hint %q", got[0].Reason, got[0].Hint)
				}
				return
			}
			if got[0].State != watch.Failed || !strings.Contains(got[0].Reason, "another value") {
				t.Errorf("%s: %s", got[0].State, got[0].Reason)
			}
		})
	}
	// Not over plain http to elsewhere, although the document has them.
	elsewhere := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(s.URL, "http://"))
	}}}
	api := client(t, "http://bifrost.internal:8080", func(o *bifrost.Options) { o.HTTPClient, o.PlainHTTP = elsewhere, true })
	got := api.Push(t.Context(), doc, targets(t, doc, keyPath, passwordPath))
	wantStates(t, got, watch.Failed)
	if !strings.Contains(got[0].Reason, "unencrypted") || !strings.Contains(got[0].Hint, "https") {
		t.Errorf("it says %q, hint %q", got[0].Reason, got[0].Hint)
	}
}

// TestUnixSocket speaks to a Bifrost behind a socket.
func TestUnixSocket(t *testing.T) {
	s, u := started(t, "1.5.0-prerelease7", func(u *bifrosttest.Upstream) *walker.Document { return first.render(t, u) })
	path := t.TempDir() + "/s"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	front := &httptest.Server{Listener: l, Config: &http.Server{Handler: s}}
	front.Start()
	defer front.Close()
	doc := second.render(t, u)
	c := client(t, "unix:"+path, func(o *bifrost.Options) { o.Login = basic(first.password) })
	wantStates(t, c.Push(t.Context(), doc, targets(t, doc, livePaths...)), watch.Verified)
}

func TestWait(t *testing.T) {
	u := bifrosttest.NewUpstream(t)
	s := bifrosttest.New(t, "1.4.19")
	c := client(t, s.URL, nil)
	doc := first.render(t, u)
	if err := c.Ping(t.Context()); err == nil {
		t.Error("what is not started answers")
	}
	got := c.Push(t.Context(), doc, targets(t, doc, keyPath))
	wantStates(t, got, watch.Failed)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the wait ended with %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait(t.Context()) }()
	if err := s.Start(doc.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestSideBySide counts the writes that are under way at one time.
func TestSideBySide(t *testing.T) {
	const providers, limit = 8, 3
	u := bifrosttest.NewUpstream(t)
	render := func(n string) *walker.Document {
		var all []string
		for i := range providers {
			all = append(all, fmt.Sprintf(`"p%d": {"keys": [{"name": "k%d", "value": "sk-value-%d-%s", "models": ["*"], "weight": 1}, {"name": "l%d", "value": "sk-other-%d-%s", "models": ["*"], "weight": 1}], "network_config": {"base_url": %q}}`, i, i, i, n, i, i, n, u.URL))
		}
		return parse(t, `{"providers": {`+strings.Join(all, ",")+`}}`)
	}
	s := bifrosttest.New(t, "1.5.0-prerelease7")
	if err := s.Start(render("0001").Bytes()); err != nil {
		t.Fatal(err)
	}
	var under, most atomic.Int32
	reached, once := make(chan struct{}), sync.Once{}
	s.OnCall(func(r *http.Request) int {
		if r.Method == http.MethodPut {
			n := under.Add(1)
			defer under.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			if n == limit {
				once.Do(func() { close(reached) })
			}
			<-reached // until there are as many as there may be
		}
		return 0
	})
	doc := render("0002")
	var paths []string
	for i := range providers {
		paths = append(paths, fmt.Sprintf("providers.p%d.keys[0].value", i), fmt.Sprintf("providers.p%d.keys[1].value", i))
	}
	c := client(t, s.URL, func(o *bifrost.Options) { o.Concurrency = limit })
	wantStates(t, c.Push(t.Context(), doc, targets(t, doc, paths...)), watch.Verified)
	if most.Load() != limit {
		t.Errorf("%d writes at a time, want %d", most.Load(), limit)
	}
}

// TestReconnectFails has an MCP server that cannot be connected to with the new
// header at first: Bifrost has it then, and its connection does not.
func TestReconnectFails(t *testing.T) {
	for _, again := range []string{"push", "converge"} {
		t.Run(again, func(t *testing.T) {
			s, u := started(t, "1.4.19", func(u *bifrosttest.Upstream) *walker.Document { return first.render(t, u) })
			s.OnCall(func(r *http.Request) int {
				if r.Method == http.MethodPost {
					return http.StatusInternalServerError
				}
				return 0
			})
			doc := second.render(t, u)
			target := targets(t, doc, mcpPath)
			c := client(t, s.URL, func(o *bifrost.Options) { o.Login = basic(first.password) })
			for range 2 {
				got := c.Push(t.Context(), doc, target)
				wantStates(t, got, watch.Failed)
				if !strings.Contains(got[0].Reason, "could not connect") || !strings.Contains(got[0].Hint, "tried again") {
					t.Errorf("it says %q, hint %q", got[0].Reason, got[0].Hint)
				}
			}
			s.OnCall(nil)
			if again == "push" {
				wantStates(t, c.Push(t.Context(), doc, target), watch.Verified)
			} else {
				wantStates(t, c.Converge(t.Context(), doc, target), watch.Verified)
			}
			if got, _ := u.Last(bifrosttest.MCP, "Authorization"); got != second.mcp {
				t.Errorf("the connection has %q", got)
			}
		})
	}
}

// TestOneAfterTheOther has a push wait for an earlier one, and not longer than
// it may.
func TestOneAfterTheOther(t *testing.T) {
	s, u := started(t, "1.5.0-prerelease7", func(u *bifrosttest.Upstream) *walker.Document { return first.render(t, u) })
	entered, leave := make(chan struct{}), make(chan struct{})
	s.OnCall(func(r *http.Request) int {
		if r.Method == http.MethodPut {
			close(entered)
			<-leave
		}
		return 0
	})
	doc := second.render(t, u)
	c := client(t, s.URL, func(o *bifrost.Options) { o.Login = basic(first.password) })
	done := make(chan []watch.Outcome)
	go func() { done <- c.Push(t.Context(), doc, targets(t, doc, keyPath)) }()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantStates(t, c.Verify(ctx, doc, targets(t, doc, livePaths...)), watch.Failed)
	close(leave)
	wantStates(t, <-done, watch.Verified)
}

// TestBusy has Bifrost's database fail the first two writes.
func TestBusy(t *testing.T) {
	s, u := started(t, "1.4.19", func(u *bifrosttest.Upstream) *walker.Document { return first.render(t, u) })
	var puts atomic.Int32
	s.OnCall(func(r *http.Request) int {
		if r.Method == http.MethodPut && puts.Add(1) < 3 {
			return http.StatusInternalServerError
		}
		return 0
	})
	doc := second.render(t, u)
	c := client(t, s.URL, func(o *bifrost.Options) { o.Login = basic(first.password) })
	wantStates(t, c.Push(t.Context(), doc, targets(t, doc, keyPath)), watch.Verified)
}
