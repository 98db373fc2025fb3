package control

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/control/controltest"

	"golang.org/x/net/html"
)

// visitor is somebody with a browser, who follows no redirect.
type visitor struct {
	t      *testing.T
	r      *running
	url    string
	cookie *http.Cookie
}

// do makes a request as the page has a browser make it.
func (v *visitor) do(method string, form url.Values, change ...func(*http.Request)) (int, http.Header, string) {
	v.t.Helper()
	return v.r.ask(v.t, method, v.url, "", append([]func(*http.Request){func(req *http.Request) {
		if v.cookie != nil {
			req.AddCookie(v.cookie)
		}
		if method == http.MethodPost {
			req.Header.Set("Origin", strings.TrimSuffix(v.url, "/"))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			text := form.Encode()
			req.Body, req.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		}
	}}, change...)...)
}

var markForm = regexp.MustCompile(`name="mark" value="([0-9a-f]{64})"`)

// mark returns that of the forms of the page.
func (v *visitor) mark() string {
	v.t.Helper()
	_, _, body := v.do(http.MethodGet, nil)
	found := markForm.FindStringSubmatch(body)
	if found == nil {
		v.t.Fatalf("there is no form:\n%s", body)
	}
	return found[1]
}

// signIn returns the code and the body of the answer, and keeps the cookie.
func (v *visitor) signIn(token string) (int, string) {
	v.t.Helper()
	code, header, body := v.do(http.MethodPost, url.Values{"do": {"sign-in"}, "mark": {v.mark()}, "token": {token}})
	if cookies := (&http.Response{Header: header}).Cookies(); len(cookies) == 1 {
		v.cookie = cookies[0]
	}
	return code, body
}

// in reports whether the visitor is shown the status.
func (v *visitor) in() bool {
	v.t.Helper()
	_, _, body := v.do(http.MethodGet, nil)
	return strings.Contains(body, `id="references"`)
}

// The page is shown to who has given a token, for whom an id stands that is no token,
// and to nobody else.
func TestPage(t *testing.T) {
	cert, key := newPair(t, "one")
	for name, change := range map[string]func(*Options){"http": nil, "https": func(o *Options) { o.TLSCert, o.TLSKey = cert, key }} {
		t.Run(name, func(t *testing.T) {
			r := start(t, idle(), change)
			r.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // its own certificate
			v := &visitor{t: t, r: r, url: r.url(0, "/")}
			code, header, body := v.do(http.MethodGet, nil)
			if code != 200 || !strings.Contains(body, `type="password"`) || strings.Contains(body, "config.json") || header.Get("Set-Cookie") != "" {
				t.Errorf("without a session: %d %v\n%s", code, header, body)
			}
			for name, want := range map[string]string{
				"Content-Security-Policy": "default-src 'none'; style-src 'sha256-", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
				"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin", "Content-Type": "text/html; charset=utf-8",
			} {
				if !strings.HasPrefix(header.Get(name), want) {
					t.Errorf("%s: %q", name, header.Get(name))
				}
			}
			if policy := header.Get("Content-Security-Policy"); strings.Contains(policy, "unsafe") || strings.Contains(policy, "script") ||
				!strings.Contains(policy, "frame-ancestors 'none'") || !strings.Contains(policy, "form-action 'self'") {
				t.Error(policy)
			}
			if code, body := v.signIn(wrongToken); code != 200 || v.cookie != nil || !strings.Contains(body, "not a right token") || strings.Contains(body, "CANARY") {
				t.Errorf("a wrong token: %d\n%s", code, body)
			}
			code, _ = v.signIn(otherToken)
			if code != http.StatusSeeOther || v.cookie == nil || !v.in() {
				t.Fatalf("a right token: %d, %v", code, v.cookie)
			}
			c := v.cookie
			_, port, _ := strings.Cut(strings.TrimSuffix(v.url[len(name)+3:], "/"), ":")
			if c.Name != map[string]string{"http": "", "https": "__Host-"}[name]+"bifrost-secrets-"+port || c.Secure != (name == "https") || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 3600 {
				t.Errorf("the cookie: %s", c.Raw)
			}
			if len(c.Value) < 22 || strings.Contains(c.Value, "CANARY") {
				t.Errorf("its value: %s", c.Value)
			}
			other := &visitor{t: t, r: r, url: v.url}
			if other.signIn(otherToken); other.cookie == nil || other.cookie.Value == c.Value {
				t.Error("two sessions of a token have one id")
			}
			// What a session knows is no bearer token, and a token no session.
			if code, _, _ := r.ask(t, http.MethodGet, r.url(0, StatusPath), c.Value); code != 401 {
				t.Errorf("the id as a bearer: %d", code)
			}
			v.cookie = &http.Cookie{Name: c.Name, Value: otherToken}
			if v.in() {
				t.Error("the token as a cookie")
			}
			v.cookie = c
			code, header, _ = v.do(http.MethodPost, url.Values{"do": {"sign-out"}, "mark": {v.mark()}})
			if code != http.StatusSeeOther || v.in() || !other.in() {
				t.Errorf("signing out: %d", code)
			}
			if gone := (&http.Response{Header: header}).Cookies(); len(gone) != 1 || gone[0].Name != c.Name || gone[0].Value != "" || gone[0].MaxAge >= 0 || gone[0].Secure != c.Secure {
				t.Errorf("signing out leaves the cookie: %v", header["Set-Cookie"])
			}
		})
	}
}

// Cookies are of a host, and not of a port: those of others stand beside ours.
func TestCookiesOfOthers(t *testing.T) {
	r, two := start(t, idle(), nil), start(t, idle(), nil)
	v, w := &visitor{t: t, r: r, url: r.url(0, "/")}, &visitor{t: t, r: two, url: two.url(0, "/")}
	v.signIn(" " + token + "\t") // as it is pasted
	w.signIn(token)
	if v.cookie == nil || w.cookie == nil || v.cookie.Name == w.cookie.Name {
		t.Fatalf("whoever signs in at one port is signed out at the other: %v, %v", v.cookie, w.cookie)
	}
	if code, _, body := v.do(http.MethodGet, nil, func(req *http.Request) {
		req.Header.Set("Cookie", v.cookie.Name+"=of-another; "+w.cookie.String()+"; "+v.cookie.Name+"="+v.cookie.Value)
	}); code != 200 || !strings.Contains(body, `id="references"`) {
		t.Errorf("with a cookie of the same name: %d", code)
	}
	// The form stood there when the program was started anew.
	v.cookie = nil
	code, _, body := v.do(http.MethodPost, url.Values{"do": {"sign-in"}, "mark": {strings.Repeat("0", 64)}, "token": {token}})
	if code != 403 || !strings.Contains(body, v.mark()) || !strings.Contains(body, "before this program was started") {
		t.Errorf("a form of an earlier process: %d %s", code, body)
	}
}

// Only a form of the page, sent by the page, does anything.
func TestForeignForms(t *testing.T) {
	w := idle()
	r := start(t, w, nil)
	v := &visitor{t: t, r: r, url: r.url(0, "/")}
	if v.signIn(token); v.cookie == nil {
		t.Fatal("not signed in")
	}
	stranger := &visitor{t: t, r: r, url: v.url}
	own, theirs := v.mark(), stranger.mark()
	origin := func(text string) func(*http.Request) {
		return func(req *http.Request) {
			if req.Header.Del("Origin"); text != "" {
				req.Header.Set("Origin", text)
			}
		}
	}
	flush := url.Values{"do": {"flush"}, "mark": {own}}
	for name, c := range map[string]struct {
		form   url.Values
		change func(*http.Request)
		code   int
	}{
		"no origin":           {flush, origin(""), 403},
		"null":                {flush, origin("null"), 403},
		"another port":        {flush, origin("http://127.0.0.1:3000"), 403},
		"no port":             {flush, origin("http://127.0.0.1"), 403},
		"another name":        {flush, origin(strings.Replace(v.url[:len(v.url)-1], "127.0.0.1", "localhost", 1)), 403},
		"https":               {flush, origin("https" + v.url[4:len(v.url)-1]), 403},
		"two":                 {flush, origin(v.url[:len(v.url)-1] + " http://evil.example"), 403},
		"two headers":         {flush, func(req *http.Request) { req.Header.Add("Origin", "http://evil.example") }, 403},
		"another host":        {flush, func(req *http.Request) { req.Host = "evil.example"; req.Header.Set("Origin", "http://evil.example") }, 403},
		"no mark":             {url.Values{"do": {"flush"}}, nil, 403},
		"mark of a stranger":  {url.Values{"do": {"flush"}, "mark": {theirs}}, nil, 403},
		"no session":          {flush, func(req *http.Request) { req.Header.Del("Cookie") }, 303},
		"an old session":      {flush, func(req *http.Request) { req.Header.Set("Cookie", v.cookie.Name+"=AAAA") }, 303},
		"no session, no mark": {url.Values{"do": {"sign-in"}, "token": {token}}, func(req *http.Request) { req.Header.Del("Cookie") }, 403},
		"too large":           {url.Values{"do": {"flush"}, "mark": {own}, "x": {strings.Repeat("x", 1<<20)}}, nil, 413},
		"signed in already":   {url.Values{"do": {"sign-in"}, "mark": {theirs}, "token": {wrongToken}}, nil, 303},
		"nothing to do":       {url.Values{"do": {"fly"}, "mark": {own}}, nil, 303},
	} {
		if c.change == nil {
			c.change = func(*http.Request) {}
		}
		if code, _, body := v.do(http.MethodPost, c.form, c.change); code != c.code {
			t.Errorf("%s: %d %.200s", name, code, body)
		}
	}
	// The mark is in the form, and nowhere else.
	if code, _, _ := r.ask(t, http.MethodPost, v.url+"?do=flush&mark="+own, "", origin(v.url[:len(v.url)-1]), func(req *http.Request) { req.AddCookie(v.cookie) }); code != 403 {
		t.Errorf("in the query: %d", code)
	}
	if code, _, body := v.do(http.MethodGet, nil, origin("http://127.0.0.1:3000")); code != 403 || strings.Contains(body, "<") {
		t.Errorf("a page that asks for the page: %d", code)
	}
	if code, _, _ := v.do(http.MethodGet, nil, func(req *http.Request) { req.Host = "evil.example" }); code != 403 {
		t.Errorf("by another name: %d", code)
	}
	if code, _, _ := v.do(http.MethodPut, nil); code != 405 {
		t.Errorf("PUT: %d", code)
	}
	if flushes, _ := w.Counts(); flushes != 0 {
		t.Errorf("%d flushes got through", flushes)
	}
	if code, _, _ := v.do(http.MethodPost, flush); code != 303 {
		t.Errorf("the page's own: %d", code)
	}
	if flushes, _ := w.Counts(); flushes != 1 {
		t.Errorf("%d flushes", flushes)
	}
}

// There is no page where nobody has a token, and none for probes.
func TestNoPage(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	r := start(t, idle(), func(o *Options) {
		o.Token, o.ProbeListen, o.Listen = sources.Secret{}, "127.0.0.1:0", append(o.Listen, "unix:"+socket)
	})
	for i, want := range map[int]string{0: "there is no status page, since no token is configured", 2: "not found"} {
		if code, _, body := r.ask(t, http.MethodGet, r.url(i, "/"), ""); code != 404 || errorOf(t, body).Error != want {
			t.Errorf("%d %s", code, body)
		}
	}
	if code, _, _ := ask(t, overUnix(t, socket), http.MethodGet, "http://localhost/", ""); code != 404 {
		t.Errorf("over the socket: %d", code)
	}
	start(t, idle(), func(o *Options) { o.Listen = []string{"unix:" + socket + "2"} })
	if _, _, body := ask(t, overUnix(t, socket+"2"), http.MethodGet, "http://localhost/", ""); strings.Contains(body, `id="references"`) || !strings.Contains(body, "password") {
		t.Errorf("over the socket, with a token configured: %s", body)
	}
}

// A session ends with its hour, and with its token.
func TestSessionEnds(t *testing.T) {
	path := file(t, "tokens", token+"\n"+otherToken)
	r := start(t, idle(), func(o *Options) { o.TokenFile, o.Token = path, sources.Secret{} })
	one, other := &visitor{t: t, r: r, url: r.url(0, "/")}, &visitor{t: t, r: r, url: r.url(0, "/")}
	one.signIn(token)
	other.signIn(otherToken)
	if !one.in() || !other.in() {
		t.Fatal("not signed in")
	}
	write(t, path, otherToken)
	if !other.in() { // which is the only one that asks while the token is gone
		t.Error("the other token has no session any more")
	}
	write(t, path, otherToken+"\n"+token)
	if one.in() {
		t.Error("the session is back with its token")
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSessions()
		right := tokens{{1}}
		begun := s.begin([32]byte{1})
		req, _ := http.NewRequest(http.MethodGet, "/", nil)
		req.AddCookie(&http.Cookie{Name: "bifrost-secrets", Value: begun.id})
		for range 2 {
			time.Sleep(sessionLasts/2 - time.Second)
			if got, _ := s.of(req, right); got == nil {
				t.Error("it has ended early")
			}
		}
		time.Sleep(2 * time.Second) // however much it was used
		if got, _ := s.of(req, right); got != nil || len(s.all) != 0 {
			t.Error("it has not ended")
		}
		s.begin([32]byte{1})
		if begun = s.begin([32]byte{2}); len(s.all) != 2 {
			t.Error("not begun")
		}
		req.Header.Set("Cookie", "bifrost-secrets="+begun.id)
		if got, _ := s.of(req, tokens{{2}}); got != begun || len(s.all) != 1 {
			t.Errorf("the session of a token that is gone is kept")
		}
		first := s.begin([32]byte{1})
		for range 3 * sessionsKept {
			time.Sleep(time.Millisecond)
			s.begin([32]byte{1})
		}
		req, _ = http.NewRequest(http.MethodGet, "/", nil)
		req.AddCookie(&http.Cookie{Name: "bifrost-secrets", Value: first.id})
		if got, _ := s.of(req, right); got != nil || len(s.all) != sessionsKept {
			t.Errorf("%d sessions are kept", len(s.all))
		}
	})
}

// Who tries tokens is slowed down, alone, and is let in with a right one all the same
// once the time is over.
func TestGuessing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startInMemory(t, idle(), nil)
		try := func(ip, token string) int {
			form := url.Values{"do": {"sign-in"}, "mark": {m.sessions.mark("")}, "token": {token}}.Encode()
			c := m.callFrom(ip, fmt.Sprintf("POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", len(form), form))
			defer func() { _ = c.Close() }()
			return code(t, c)
		}
		for range guessBurst {
			if got := try("127.0.0.1", wrongToken); got != 200 {
				t.Errorf("a wrong token: %d", got)
			}
		}
		for range 3 {
			if got := try("127.0.0.1", token); got != 429 {
				t.Errorf("after too many: %d", got)
			}
		}
		if got := try("127.0.0.2", token); got != 303 {
			t.Errorf("another client: %d", got)
		}
		for i := range guessBurst + 1 { // one who has a whole network, as anybody with IPv6 has
			if got, want := try(fmt.Sprintf("2001:db8::%d:1", i), wrongToken), map[bool]int{true: 429, false: 200}[i == guessBurst]; got != want {
				t.Errorf("address %d of a network: %d, want %d", i, got, want)
			}
		}
		if got := try("2001:db8:0:1::1", token); got != 303 {
			t.Errorf("another network: %d", got)
		}
		time.Sleep(guessEvery)
		if got := try("127.0.0.1", token); got != 303 {
			t.Errorf("later: %d", got)
		}
		m.stop(t)
	})
}

// shape is a page without its texts: its elements, and the names of their attributes.
func shape(t *testing.T, page string) (out []string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type == html.TextNode {
			continue
		}
		line := fmt.Sprint(n.Type, " ", n.Data)
		for _, a := range n.Attr {
			line += " " + a.Key
			if a.Key == "href" && !strings.HasPrefix(a.Val, "/?") && a.Val != "#references" && a.Val != "data:," {
				t.Errorf("a link leads to %s", a.Val)
			}
		}
		out = append(out, line)
	}
	return out
}

// No text can become anything but text, wherever it is shown.
func FuzzPage(f *testing.F) {
	for _, seed := range []string{
		"plain", "</style><script>alert(1)</script>", `" onclick="alert(1)`, "'><img src=x>", "<!--", "]]>", "%", "%%%s", "&lt;", "&#x3c;b>", "\x00<b>", "\u202egnp", "\r\n\r\n<b>",
		"</title><b>", "</textarea></svg><b>", "javascript:alert(1)", "\xff\xfe", "#", "?a=b&c=d",
	} {
		f.Add(seed)
	}
	page := func(text string) string {
		now := time.Unix(1e9, 0)
		r := watch.ReferenceStatus{Path: text, Reference: text, Secret: text, Version: text, State: watch.State(text), Reason: text, Fetched: now, Since: now}
		return overview(view{
			status: watch.Status{
				Version: text, Host: text, Source: text, Config: text, Out: text, Mode: text, Apply: text, NotReady: text, Problems: []string{text}, Hints: []string{text},
				References: []watch.ReferenceStatus{r}, Bifrost: &watch.BifrostStatus{API: text, Version: text, Started: now}, Unusable: text,
				Recent: []watch.Attempt{{Trigger: watch.Trigger(text), Result: "x" + text, At: now}}, Last: &watch.Attempt{Trigger: watch.Trigger(text), Result: "x" + text},
			},
			now: now, enabled: true, mark: text, said: "x" + text, alone: text,
			peers: []watch.Peer{{ID: text, Host: text, Version: text, Bifrost: text, Source: text, Seen: now, Behind: []string{text, text}, References: []watch.Held{{Reference: text, Version: text, State: watch.State(text)}}}},
			query: url.Values{"q": {text}, "sort": {text}, "only": {"x" + text}, "x" + text: {text}},
		}) + signIn(text, "x"+text)
	}
	want := map[bool][]string{}
	f.Fuzz(func(t *testing.T, text string) {
		if slices.Contains([]string{"field", "reference", "version", "age", "state", ""}, strings.TrimPrefix(text, "-")) {
			return // a word of sort, or nothing: the page has another shape
		}
		got := page(text)
		found := strings.Contains(got, "#references\">Reference")
		if want[found] == nil {
			plain := "plain"
			if !found {
				plain = " \u00a0x"
			}
			want[found] = shape(t, page(plain))
		}
		if have := shape(t, got); !slices.Equal(have, want[found]) {
			t.Errorf("%q changes the page:\n%s", text, got)
		}
	})
}

// A watcher whose references are not known is not taken for one that has them all.
func TestPageUnread(t *testing.T) {
	now := time.Unix(1e9, 0)
	for gone, want := range map[time.Duration]string{0: "seen now", time.Hour: "seen 1h0m ago"} {
		got := overview(view{now: now, peers: []watch.Peer{{Host: "odd", Seen: now.Add(-gone), Unread: true}}})
		if !strings.Contains(got, "what it has is not known") || strings.Contains(got, "the newest of all") || !strings.Contains(got, want) {
			t.Errorf("the page: %s", got)
		}
	}
}

// The state in one sentence.
func TestSentence(t *testing.T) {
	now := time.Date(2026, 3, 4, 22, 20, 0, 0, time.UTC)
	fresh := func(n int) (all []watch.ReferenceStatus) {
		for range n {
			all = append(all, watch.ReferenceStatus{Fresh: true, State: watch.Verified, Since: now.Add(-4 * time.Minute)})
		}
		return all
	}
	stale := fresh(3)
	stale[1].Fresh = false
	for want, st := range map[string]watch.Status{
		"ok: All 21 references fresh; last change 22:16 UTC; next look in 41 min.": {Ready: true, References: fresh(21), Next: now.Add(41 * time.Minute)},
		"ok: The one reference fresh; last change 22:16 UTC; next look in 3 days.": {Ready: true, References: fresh(1), Next: now.Add(71 * time.Hour)},
		"ok: Nothing to resolve.":                                                                          {Ready: true},
		"bad: Not ready: Bifrost is being restarted.":                                                      {NotReady: "Bifrost is being restarted"},
		"bad: 1 of 3 references not fresh since 3 Mar 22:20 UTC; last change 22:16 UTC.":                   {Ready: true, References: stale, Failing: &watch.Lasting{Since: now.Add(-24 * time.Hour)}},
		"warn: All 1,234 references fresh; 1 field waits for a restart of Bifrost; last change 22:16 UTC.": {Ready: true, References: fresh(1234), RestartRequired: 1},
		"bad: All 2 references fresh; 2 fields not applied yet; last change 22:16 UTC; next look in 5 s.":  {Ready: true, References: fresh(2), NotApplied: 2, Next: now.Add(5 * time.Second)},
		"bad: Refreshes fail since 22:20 UTC; the config as it stands is not used; last change 22:16 UTC.": {Ready: true, References: fresh(2), Failing: &watch.Lasting{Since: now}, Unusable: "x"},
		"warn: Bifrost runs with the last good values of 22:20 UTC.":                                       {Ready: true, LastGood: now, References: []watch.ReferenceStatus{}},
	} {
		text, class := (&view{status: st, now: now}).sentence()
		if got := class + ": " + text; got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

// What a flush brings is said once.
func TestPageFlush(t *testing.T) {
	w := &controltest.Watcher{Refresh: func() error { return os.ErrDeadlineExceeded }}
	w.Set(watch.Status{Ready: true}, nil, true)
	r := start(t, w, func(o *Options) { o.flushRate = 0.001 })
	v := &visitor{t: t, r: r, url: r.url(0, "/")}
	v.signIn(token)
	flush := func() string {
		v.do(http.MethodPost, url.Values{"do": {"flush"}, "mark": {v.mark()}})
		_, _, body := v.do(http.MethodGet, nil)
		return body
	}
	if body := flush(); !strings.Contains(body, "not all went well") {
		t.Error(body)
	}
	if body := flush(); !strings.Contains(body, "Too many flushes") {
		t.Error(body)
	}
	w.Set(watch.Status{Ready: true}, nil, false)
	if body := flush(); !strings.Contains(body, "no vault_store") {
		t.Error(body)
	}
}
