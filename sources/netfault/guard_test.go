package netfault

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"bifrost-secrets/sources/cloudtest"
)

func TestGuardedRedirects(t *testing.T) {
	var stolen []string
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { stolen = append(stolen, r.URL.Path) }))
	t.Cleanup(thief.Close)
	honest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch to, _ := strings.CutPrefix(r.URL.Path, "/to"); {
		case strings.HasPrefix(to, "/away"):
			w.Header().Set("Location", thief.URL+"/taken")
			w.WriteHeader(map[string]int{"/301": 301, "/302": 302, "/303": 303, "/307": 307, "/308": 308}[strings.TrimPrefix(to, "/away")])
		case to == "/here":
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
		}
	}))
	t.Cleanup(honest.Close)
	guarded := &http.Client{Transport: Guard(&http.Transport{})}
	// Cloned, as the AWS SDK does before each use.
	cloned := &http.Client{Transport: Transport(time.Second, 1).Clone()}
	for what, client := range map[string]*http.Client{"guarded": guarded, "cloned": cloned} {
		for _, status := range []string{"301", "302", "303", "307", "308"} {
			resp, err := client.Post(honest.URL+"/to/away/"+status, "text/plain", strings.NewReader("token"))
			if err == nil {
				_ = resp.Body.Close()
			}
			if !Elsewhere(err) || Cause(err, 0) != "it redirects or leads to another host, which is not followed" {
				t.Errorf("%s, %s: %v", what, status, err)
			}
			if e := system.Unreachable(err, "honest", 0); !strings.Contains(e.Message, "from honest:") || strings.Contains(e.Message, "taken") {
				t.Errorf("%s, %s: %s", what, status, e.Message)
			}
		}
		resp, err := client.Get(honest.URL + "/to/here")
		if err != nil {
			t.Fatalf("%s: a redirect within the host: %v", what, err)
		}
		_ = resp.Body.Close()
	}
	if len(stolen) > 0 {
		t.Errorf("another host was sent %q", stolen)
	}
	for _, c := range []struct {
		from, to string
		leaves   bool
	}{
		{"http://a:1/x", "http://a:1/y", false},
		{"http://A/x", "https://a/x", false},
		{"http://a:8200/x", "https://a:443/x", false},
		{"https://a/x", "https://a:443/y", false},
		{"https://[::1]/x", "https://[::1]:443/y", false},
		{"https://a/x", "http://a/x", true},
		{"https://a/x", "https://a:444/x", true},
		{"https://a/x", "https://b.a/x", true},
		{"http://a/x", "https://a.b/x", true},
	} {
		from, to := httptest.NewRequest("GET", c.from, nil).URL, httptest.NewRequest("GET", c.to, nil).URL
		if got := leaves(from, to); got != c.leaves {
			t.Errorf("%s to %s: leaves is %v", c.from, c.to, got)
		}
	}
}

// A proxy that lets nobody through is not the host's failure, and says so itself.
func TestProxyThatRefuses(t *testing.T) {
	status := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "CANARY", status) }))
	t.Cleanup(proxy.Close)
	at, err := url.Parse(strings.Replace(proxy.URL, "http://", "http://user:CANARY@", 1))
	if err != nil {
		t.Fatal(err)
	}
	tr := Guard(&http.Transport{Proxy: http.ProxyURL(at)}).Clone()
	for of, want := range map[int]string{
		407: "the proxy wants a login, which HTTPS_PROXY has before its host: http://user:password@host:port",
		403: "the proxy does not let this through (http status 403)", 502: "the proxy does not let this through (http status 502)",
	} {
		status = of
		_, err := (&http.Client{Transport: tr}).Get("https://vault.example/x")
		if e := system.Unreachable(err, "", 0); err == nil || !strings.Contains(e.Message, "from vault.example: "+want) || strings.Contains(fmt.Sprintf("%+v", e), "CANARY") {
			t.Errorf("%d: %v", of, e)
		}
	}
}

// A switch to another protocol ends a request, and so does the time of a connection
// whose answers are to be short.
func TestAnotherProtocol(t *testing.T) {
	var lie *cloudtest.Lie
	for _, one := range cloudtest.Lies("") {
		if one.Name == "another protocol" {
			lie = &one
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { lie.Serve(w, r, nil) }))
	t.Cleanup(server.Close)
	for what, through := range map[string]http.RoundTripper{
		"limited": Limited(Transport(time.Minute, 1), 100), "brief": Brief(Guard(&http.Transport{}), 100*time.Millisecond),
	} {
		resp, err := (&http.Client{Transport: through}).Get(server.URL)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
		}
		if want := map[string]string{"limited": "it switches to another protocol", "brief": "nothing within 2s"}[what]; err == nil || Cause(err, 2*time.Second) != want {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// GODEBUG=http2debug=1 makes both implementations of HTTP/2 print what they send
// and receive, tokens and values, so that neither may be in use.
func TestGuardedIsHTTP1(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	for what, make := range map[string]func() *http.Transport{
		"net/http": func() *http.Transport { return &http.Transport{ForceAttemptHTTP2: true} },
		"x/net/http2": func() *http.Transport {
			tr := &http.Transport{}
			//lint:ignore SA1019 what client libraries call is what is to be undone
			_ = http2.ConfigureTransport(tr)
			return tr
		},
	} {
		for guarded, want := range map[bool]string{false: "HTTP/2.0", true: "HTTP/1.1"} {
			tr := make()
			if tr.TLSClientConfig == nil {
				tr.TLSClientConfig = new(tls.Config)
			}
			tr.TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
			if guarded {
				tr = Guard(tr).Clone()
			}
			resp, err := (&http.Client{Transport: tr}).Get(server.URL)
			if err != nil {
				t.Fatal(what, guarded, err)
			}
			proto, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			tr.CloseIdleConnections()
			if string(proto) != want {
				t.Errorf("%s, guarded %v: %s, want %s", what, guarded, proto, want)
			}
		}
	}
}
