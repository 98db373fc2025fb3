package control

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/control/controltest"
)

// Bifrost Enterprise's documented answers, to the letter.
func TestFlushAnswersAsEnterpriseDoes(t *testing.T) {
	w := idle()
	r := start(t, w, nil)
	for _, right := range []string{token, otherToken} {
		code, header, body := r.ask(t, http.MethodPost, r.url(0, FlushPath), right)
		if code != 200 || body != `{"message":"vault cache flushed"}` || header.Get("Content-Type") != "application/json" {
			t.Errorf("%d %s %s", code, header.Get("Content-Type"), body)
		}
	}
	if _, refreshes := w.Counts(); refreshes != 2 {
		t.Errorf("%d refreshes, want 2", refreshes)
	}
	w.Set(watch.Status{}, nil, false)
	if code, _, body := r.ask(t, http.MethodPost, r.url(0, FlushPath), token); code != 400 || body != `{"error":"vault: not enabled"}` {
		t.Errorf("without a vault_store: %d %s", code, body)
	}
}

// Whoever has no right token gets no refresh, however he spells it.
func TestFlushWantsAToken(t *testing.T) {
	w := idle()
	r := start(t, w, nil)
	for name, header := range map[string][]string{
		"none": nil, "wrong": {"Bearer " + wrongToken}, "empty": {"Bearer "}, "bare": {token}, "basic": {"Basic " + token},
		"beginning": {"Bearer " + token[:len(token)-1]}, "longer": {"Bearer " + token + "x"}, "two": {"Bearer " + token, "Bearer " + wrongToken},
		"both in one": {"Bearer " + token + "\t" + otherToken}, "long": {"Bearer " + strings.Repeat(wrongToken, 100)},
	} {
		for _, path := range []string{FlushPath, StatusPath} {
			method := map[string]string{FlushPath: http.MethodPost, StatusPath: http.MethodGet}[path]
			code, got, body := r.ask(t, method, r.url(0, path), "", func(req *http.Request) { req.Header["Authorization"] = header })
			if code != 401 || !strings.HasPrefix(got.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s, %s: %d %s", name, path, code, body)
			}
			errorOf(t, body)
		}
	}
	// In the query it is no token, and not logged either.
	if code, _, _ := r.ask(t, http.MethodPost, r.url(0, FlushPath+"?token="+token+"&wait="+token), ""); code != 401 {
		t.Errorf("in the query: %d", code)
	}
	if code, _, _ := r.ask(t, http.MethodPost, r.url(0, FlushPath+"?wait="+token), token); code != 400 {
		t.Errorf("as wait: %d", code)
	}
	if code, _, _ := r.ask(t, http.MethodGet, r.url(0, "/"+token), token); code != 404 {
		t.Errorf("as the path: %d", code)
	}
	if flushes, _ := w.Counts(); flushes != 0 {
		t.Errorf("%d flushes got through", flushes)
	}
	if !strings.Contains(r.log.String(), "request refused") {
		t.Error("nothing was logged")
	}
	if code, _, _ := r.ask(t, http.MethodPost, r.url(0, FlushPath), "", func(req *http.Request) { req.Header.Set("Authorization", "bEARER "+token) }); code != 200 {
		t.Errorf("the scheme in another case: %d", code)
	}
}

func TestMethods(t *testing.T) {
	w := idle()
	r := start(t, w, func(o *Options) { o.Metrics = http.NotFoundHandler() })
	for path, allow := range map[string]string{FlushPath: "POST", StatusPath: "GET, HEAD", HealthPath: "GET, HEAD", ReadyPath: "GET, HEAD", MetricsPath: "GET, HEAD"} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"} {
			code, header, _ := r.ask(t, method, r.url(0, path), token)
			if strings.Contains(allow, method) != (code != 405) || code == 405 && header.Get("Allow") != allow {
				t.Errorf("%s %s: %d, Allow %q", method, path, code, header.Get("Allow"))
			}
		}
	}
}

// A failed refresh says what fails and why, with nothing secret.
func TestFlushFails(t *testing.T) {
	places := []render.Place{{Path: "providers.openai.keys[0].value"}, {Path: "mcp.client_configs[0].headers.Authorization"}}
	fault := error(&render.Problems{Document: "config.json", List: []render.Problem{
		{Secret: "prod/openai", Reference: "vault.prod/openai", Reason: "there is no such secret (ResourceNotFoundException)", Hint: "create it", Code: "ResourceNotFoundException", Kind: sources.NotFound, Places: places},
		{Reason: "the document is cut short", Invalid: true},
	}})
	w := &controltest.Watcher{Refresh: func() error { return fault }}
	r := start(t, w, nil)
	code, _, body := r.ask(t, http.MethodPost, r.url(0, FlushPath), token)
	want := `{"error":"the refresh failed","secrets":[{"secret":"prod/openai","reference":"vault.prod/openai","reason":"there is no such secret (ResourceNotFoundException)","hint":"create it",` +
		`"code":"ResourceNotFoundException","kind":"not found","fields":["providers.openai.keys[0].value","mcp.client_configs[0].headers.Authorization"]},{"reason":"the document is cut short"}]}`
	if code != 502 || body != want {
		t.Errorf("%d\n%s\nwant\n%s", code, body, want)
	}
	fault = fmt.Errorf("%w", &sources.Error{Kind: sources.Unreachable, Message: "no answer\nat all", Hint: "look at the network"})
	if code, _, body = r.ask(t, http.MethodPost, r.url(0, FlushPath), token); code != 502 || body != `{"error":"the refresh failed: no answer; at all","hint":"look at the network","secrets":[]}` {
		t.Errorf("%d %s", code, body)
	}
}

// wait=false does not wait: here the refresh cannot end before the answer is
// there.
func TestFlushWithoutWaiting(t *testing.T) {
	began, end := make(chan struct{}, 8), make(chan struct{})
	w := &controltest.Watcher{Refresh: func() error { began <- struct{}{}; <-end; return nil }}
	r := start(t, w, func(o *Options) { o.flushRate = 1 })
	// The second joins, though the rate would allow only one.
	for i := range 2 {
		if code, _, body := r.ask(t, http.MethodPost, r.url(0, FlushPath+"?wait=false"), token); code != 202 || body != `{"message":"vault cache flush requested"}` {
			t.Errorf("%d %s", code, body)
		}
		if i == 0 {
			<-began // of its own, and not by the other
		}
	}
	close(end)
	w.Wait()
	if flushes, refreshes := w.Counts(); flushes != 2 || refreshes != 2 {
		t.Errorf("%d flushes made %d refreshes, want 2 and 2", flushes, refreshes)
	}
}

// A thousand flushes at once make one refresh, or one more for those that came
// when it had begun; none is refused.
func TestAThousandFlushesAtOnce(t *testing.T) {
	const n = 1000
	began, end := make(chan struct{}, n), make(chan struct{})
	w := &controltest.Watcher{Refresh: func() error { began <- struct{}{}; <-end; return nil }}
	r := start(t, w, func(o *Options) { o.flushRate = 1 })
	codes := make(chan int, n)
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url(0, FlushPath), nil)
			if err != nil {
				panic(err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
			resp, err := r.client.Do(req)
			if err != nil {
				t.Error(err)
				codes <- 0
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			codes <- resp.StatusCode
		})
	}
	<-began
	for flushes := 0; flushes < n && len(codes) == 0; { // all have come, or one has gone
		flushes, _ = w.Counts()
		runtime.Gosched()
	}
	close(end)
	all.Wait()
	for range n {
		if code := <-codes; code != 200 {
			t.Fatalf("one got %d", code)
		}
	}
	if _, refreshes := w.Counts(); refreshes > 2 {
		t.Errorf("%d refreshes", refreshes)
	}
}

// Over the socket the mode of the file is the permission; a wrong token is one
// all the same.
func TestFlushOverUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	w := idle()
	r := start(t, w, func(o *Options) { o.Listen = []string{"unix:" + path} })
	client := overUnix(t, path)
	for given, want := range map[string]int{"": 200, token: 200, wrongToken: 401} {
		if code, _, body := ask(t, client, http.MethodPost, "http://control"+FlushPath, given); code != want {
			t.Errorf("with %q: %d %s", given, code, body)
		}
	}
	if code, _, _ := ask(t, client, http.MethodPost, "http://control"+FlushPath, "", func(req *http.Request) { req.Header.Set("Origin", "http://control") }); code != 403 {
		t.Errorf("a web page got %d", code)
	}
	if got := r.Addresses(); len(got) != 1 || got[0] != "unix:"+path {
		t.Errorf("it listens on %v", got)
	}
}

// Without a token, flush and status are on the socket alone.
func TestNoTokenConfigured(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	r := start(t, idle(), func(o *Options) {
		o.Token = sources.Secret{}
		o.Listen = append(o.Listen, "unix:"+path)
	})
	client := overUnix(t, path)
	for at, method := range map[string]string{FlushPath: http.MethodPost, StatusPath: http.MethodGet} {
		for _, given := range []string{"", wrongToken} {
			code, _, body := r.ask(t, method, r.url(0, at), given)
			if p := errorOf(t, body); code != 404 || p.Hint == "" {
				t.Errorf("%s with %q: %d %s", at, given, code, body)
			}
			if code, _, body := ask(t, client, method, "http://control"+at, given); code != 200 {
				t.Errorf("%s over the socket with %q: %d %s", at, given, code, body)
			}
		}
	}
	if code, _, _ := r.ask(t, http.MethodGet, r.url(0, HealthPath), ""); code != 200 {
		t.Errorf("healthz: %d", code)
	}
}

// What the refresh brought and Bifrost does not have yet is counted beside
// Enterprise's message.
func TestFlushTellsOfWhatWaits(t *testing.T) {
	w := idle()
	r := start(t, w, nil)
	w.Set(watch.Status{Ready: true, RestartRequired: 2, NotApplied: 1}, nil, true)
	code, _, body := r.ask(t, http.MethodPost, r.url(0, FlushPath), token)
	if code != 200 || body != `{"message":"vault cache flushed","restart_required":2,"not_applied":1}` {
		t.Errorf("%d %s", code, body)
	}
}

// Before the first refresh it is not known whether there is a vault_store: a
// flush waits for it, and is then told.
func TestFlushBeforeTheFirstRefresh(t *testing.T) {
	w := idle()
	w.Refresh = func() error { w.Set(watch.Status{}, nil, false); return nil }
	r := start(t, w, nil)
	if code, _, body := r.ask(t, http.MethodPost, r.url(0, FlushPath), token); code != 400 || body != `{"error":"vault: not enabled"}` {
		t.Errorf("%d %s", code, body)
	}
}
