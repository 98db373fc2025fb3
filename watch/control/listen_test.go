package control

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/control/controltest"
)

// A web page whose name was made to mean 127.0.0.1 gets nothing at all.
func TestHost(t *testing.T) {
	r := start(t, idle(), func(o *Options) { o.ProbeListen = "127.0.0.1:0" })
	for host, right := range map[string]bool{
		"localhost": true, "LOCALHOST:9180": true, "127.0.0.1": true, "127.0.0.1:1": true, "127.9.9.9": true, "[::1]": true, "[::1]:9180": true,
		"evil.example": false, "evil.example:9180": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false,
		"10.0.0.1": false, "0.0.0.0:9180": false, "[::]": false, "localhost:x": false, "[localhost": false, "2130706433": false,
	} {
		for i, path := range []string{FlushPath, HealthPath} {
			method := map[string]string{FlushPath: http.MethodPost, HealthPath: http.MethodGet}[path]
			code, _, body := r.ask(t, method, r.url(i, path), token, func(req *http.Request) { req.Host = host })
			if right != (code == 200) || !right && code != 403 && code != 400 {
				t.Errorf("%s for %s: %d %s", path, host, code, body)
			}
		}
	}
}

// A zone names one of this machine's interfaces; no browser sends it.
func TestZoneIsNotLocal(t *testing.T) {
	if isLocal("[::1%lo]:80") || isLocal("::1%lo") || isLocal("") {
		t.Error("it is local")
	}
}

// The same page by the right name has an Origin, and no way to leave it out.
func TestOrigin(t *testing.T) {
	w := idle()
	r := start(t, w, nil)
	for _, origin := range []string{"http://localhost:9180", "https://evil.example", "null"} {
		for path, method := range map[string]string{FlushPath: http.MethodPost, StatusPath: http.MethodGet} {
			if code, _, _ := r.ask(t, method, r.url(0, path), token, func(req *http.Request) { req.Header.Set("Origin", origin) }); code != 403 {
				t.Errorf("%s from %s: %d", path, origin, code)
			}
		}
	}
	if flushes, _ := w.Counts(); flushes != 0 {
		t.Errorf("%d flushes got through", flushes)
	}
}

func TestProbeListener(t *testing.T) {
	w := idle()
	r := start(t, w, func(o *Options) {
		o.ProbeListen = "127.0.0.1:0"
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "figures") })
	})
	for i := range 2 {
		for path, want := range map[string]string{HealthPath: "ok", ReadyPath: "ok", MetricsPath: "figures"} {
			if code, _, body := r.ask(t, http.MethodGet, r.url(i, path), ""); code != 200 || body != want {
				t.Errorf("%s on %d: %d %s", path, i, code, body)
			}
		}
	}
	for path, method := range map[string]string{FlushPath: http.MethodPost, StatusPath: http.MethodGet, "/": http.MethodGet, "/debug/pprof/": http.MethodGet} {
		code, _, body := r.ask(t, method, r.url(1, path), token)
		if code != 404 {
			t.Errorf("%s on the probe listener: %d", path, code)
		}
		errorOf(t, body)
	}
	w.Set(watch.Status{}, errors.New("the values are 3h old\nand more"), true)
	if code, _, body := r.ask(t, http.MethodGet, r.url(1, ReadyPath), ""); code != 503 || body != "not ready: the values are 3h old; and more" {
		t.Errorf("readyz: %d %s", code, body)
	}
	if code, _, _ := r.ask(t, http.MethodGet, r.url(1, HealthPath), ""); code != 200 {
		t.Errorf("healthz: %d", code)
	}
}

func TestStatus(t *testing.T) {
	w := idle()
	r := start(t, w, nil)
	code, header, body := r.ask(t, http.MethodGet, r.url(0, StatusPath), token)
	if code != 200 || header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", code, header)
	}
	var got watch.Status
	if err := json.Unmarshal([]byte(body), &got); err != nil || got.Config != "config.json" || !got.Ready {
		t.Errorf("%s (%v)", body, err)
	}
	for _, want := range []string{`"references":[]`, `"problems":[]`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s has no %s", body, want)
		}
	}
}

// faulty is a loop that panics with a secret in hand.
type faulty struct{ Watcher }

func (faulty) Status() watch.Status { panic("CANARY") }

func TestPanic(t *testing.T) {
	r := start(t, faulty{idle()}, nil)
	for range 2 {
		if code, _, body := r.ask(t, http.MethodGet, r.url(0, StatusPath), token); code != 500 || errorOf(t, body).Hint != "" {
			t.Errorf("%d %s", code, body)
		}
	}
	if log := r.log.String(); strings.Count(log, "a fault of this program") != 2 || !strings.Contains(log, "faulty.Status") {
		t.Errorf("the log does not say where:\n%s", log)
	}
}

// What cannot be listened on, is unsafe or contradicts itself is refused before
// anything is bound.
func TestRefusedSettings(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	pair, key := newPair(t, "one")
	open := file(t, "open", token)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
		hint   string
	}{
		"nothing":             {func(o *Options) { o.Listen = nil }, "there is no address", "--listen"},
		"no port":             {func(o *Options) { o.Listen = []string{"127.0.0.1"} }, `--listen "127.0.0.1" is no address`, "HOST:PORT"},
		"empty port":          {func(o *Options) { o.Listen = []string{"127.0.0.1:"} }, "is no address", "HOST:PORT"},
		"no such port":        {func(o *Options) { o.Listen = []string{"127.0.0.1:99999"} }, "is no address", "HOST:PORT"},
		"taken":               {func(o *Options) { o.Listen = []string{taken.Addr().String()} }, "something else listens there", "another"},
		"not ours":            {func(o *Options) { o.Listen = []string{"127.0.0.1:0"}; o.ProbeListen = "203.0.113.1:1" }, "--probe-listen 203.0.113.1:1: this machine does not have that address", ""},
		"everywhere":          {func(o *Options) { o.Listen = []string{":0"} }, "can be reached from other machines", "--tls-cert"},
		"everywhere, spelt":   {func(o *Options) { o.Listen = []string{"0.0.0.0:0"} }, "can be reached from other machines", "--probe-listen"},
		"everywhere, IPv6":    {func(o *Options) { o.Listen = []string{"[::]:0"} }, "can be reached from other machines", "unix:PATH"},
		"probes on a socket":  {func(o *Options) { o.ProbeListen = "unix:/tmp/x" }, `--probe-listen "unix:/tmp/x" is no address`, "over TCP"},
		"half a pair":         {func(o *Options) { o.TLSCert = pair }, "need each other", "both"},
		"no certificate":      {func(o *Options) { o.TLSCert, o.TLSKey = key, key }, "are no pair", ""},
		"no such certificate": {func(o *Options) { o.TLSCert, o.TLSKey = pair+"x", key }, "does not exist", ""},
		"no such token file":  {func(o *Options) { o.TokenFile = open + "x" }, "does not exist", "name a file that holds it"},
		"a folder of tokens":  {func(o *Options) { o.TokenFile = t.TempDir() }, "it is a directory, and only regular files are read", ""},
		"tokens for all":      {func(o *Options) { o.TokenFile = open }, "has mode 0644: others can read", "chmod 600"},
		"no tokens": {func(o *Options) { o.Token = sources.Secret{}; o.TokenFile = file(t, "none", "# none\n\n") },
			"holds no token", "openssl"},
		"tokens in words":     {func(o *Options) { o.TokenFile = file(t, "words", "# these\n"+token+" "+token) }, "line 2 is no token", "openssl"},
		"a variable in words": {func(o *Options) { o.Token = sources.NewSecret([]byte("a b")) }, TokenVariable + ": line 1 is no token", ""},
		"too many tokens":     {func(o *Options) { o.TokenFile = file(t, "many", strings.Repeat("x\n", tokenFileMax)) }, "is larger than the limit", ""},
	} {
		opts := Options{Listen: []string{"127.0.0.1:0"}, Token: sources.NewSecret([]byte(token))}
		c.change(&opts)
		s, err := Open(idle(), opts)
		if err == nil {
			s.Close()
			t.Errorf("%s: it listens on %v", name, s.Addresses())
			continue
		}
		var own *Error
		if !errors.As(err, &own) || !strings.Contains(own.Reason, c.want) || !strings.Contains(own.Hint, c.hint) {
			t.Errorf("%s: %v (%+v), want %s (%s)", name, err, own, c.want, c.hint)
		}
		if strings.Contains(fmt.Sprintf("%v %+v", err, own), "CANARY") {
			t.Errorf("%s: a token stands in the error %+v", name, own)
		}
	}
}

// On what is not loopback any name is right: nobody knows which ones lead here.
func TestListenEverywhere(t *testing.T) {
	cert, key := newPair(t, "one")
	r := start(t, idle(), func(o *Options) { o.Listen, o.TLSCert, o.TLSKey = []string{"0.0.0.0:0"}, cert, key })
	authority, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	address := r.Addresses()[0]
	port := address[strings.LastIndex(address, ":")+1:]
	for bearer, want := range map[string]int{token: 200, "": 401} {
		if code, _, body := ask(t, client, http.MethodPost, "https://127.0.0.1:"+port+FlushPath, bearer, func(req *http.Request) { req.Host = "secrets.example" }); code != want {
			t.Errorf("%d %s", code, body)
		}
	}
}

// newPair makes a certificate for 127.0.0.1 that vouches for itself.
func newPair(t *testing.T, name string) (certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, name, certFile, keyFile)
	return certFile, keyFile
}

func writePair(t *testing.T, name, certFile, keyFile string) {
	t.Helper()
	cert, key, err := controltest.Certificate(name)
	if err != nil {
		t.Fatal(err)
	}
	write(t, certFile, string(cert))
	write(t, keyFile, string(key))
}

// seen returns the name in the certificate that is shown.
func seen(t *testing.T, address string, config *tls.Config) string {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(address, "https://"), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestTLS(t *testing.T) {
	cert, key := newPair(t, "one")
	r := start(t, idle(), func(o *Options) {
		o.Listen, o.TLSCert, o.TLSKey = []string{"127.0.0.1:0", "0.0.0.0:0"}, cert, key
		o.ProbeListen = "127.0.0.1:0"
	})
	if got := r.Addresses(); !strings.HasPrefix(got[0], "https://") || !strings.HasPrefix(got[1], "https://") || !strings.HasPrefix(got[2], "http://") {
		t.Errorf("it listens on %v", got)
	}
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}
	secure := &http.Client{Transport: transport}
	if code, _, body := ask(t, secure, http.MethodPost, r.url(0, FlushPath), token); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	if code, _, body := r.ask(t, http.MethodGet, r.url(2, HealthPath), ""); code != 200 {
		t.Errorf("the probe listener, without TLS: %d %s", code, body)
	}
	// In clear there is nothing but the answer of net/http.
	if code, _, _ := r.ask(t, http.MethodPost, strings.Replace(r.url(0, FlushPath), "https:", "http:", 1), token); code != 400 {
		t.Errorf("in clear: %d", code)
	}
	old := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if conn, err := tls.Dial("tcp", strings.TrimPrefix(r.Addresses()[0], "https://"), old); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is taken")
	}

	lax := &tls.Config{InsecureSkipVerify: true}
	writePair(t, "two", cert, key)
	if got := seen(t, r.Addresses()[0], lax); got != "two" {
		t.Errorf("after a change of the files it shows the certificate %q", got)
	}
	// Half a change, and then all of it.
	newCert, newKey := newPair(t, "three")
	for from, to := range map[string]string{newCert: cert} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if got := seen(t, r.Addresses()[0], lax); got != "two" {
			t.Errorf("after half a change it shows the certificate %q", got)
		}
	}
	if n := strings.Count(r.log.String(), "the TLS certificate cannot be used"); n != 1 {
		t.Errorf("that was said %d times", n)
	}
	if err := os.Rename(newKey, key); err != nil {
		t.Fatal(err)
	}
	if got := seen(t, r.Addresses()[0], lax); got != "three" {
		t.Errorf("after the other half it shows the certificate %q", got)
	}
}

// Tokens rotate without a restart: the new one beside the old, then the old one
// away.
func TestTokenFileRotates(t *testing.T) {
	path := file(t, "tokens", "# since March\n"+token+"\n")
	r := start(t, idle(), func(o *Options) { o.Token, o.TokenFile = sources.Secret{}, path })
	expect := func(when string, first, second int) {
		t.Helper()
		for given, want := range map[string]int{token: first, otherToken: second, wrongToken: 401} {
			if code, _, _ := r.ask(t, http.MethodGet, r.url(0, StatusPath), given); code != want {
				t.Errorf("%s, %s: %d, want %d", when, given, code, want)
			}
		}
	}
	expect("at first", 200, 401)
	write(t, path, otherToken+"\r\n  "+token+"  \n\n")
	expect("with both", 200, 200)
	write(t, path, otherToken) // without a newline
	expect("after the rotation", 401, 200)

	// A file that cannot be used leaves things as they were, and is told of once.
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	expect("readable by all", 401, 200)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expect("removed", 401, 200)
	for _, want := range []string{"has mode 0604", "does not exist"} {
		if n := strings.Count(r.log.String(), want); n != 1 {
			t.Errorf("%q stands %d times in the log", want, n)
		}
	}
	write(t, path, "")
	expect("emptied", 401, 401)
	write(t, path, token)
	expect("at last", 200, 401)
	if n := strings.Count(r.log.String(), "the token file has changed"); n != 4 {
		t.Errorf("%d changes were told of, want 4", n)
	}
}

func TestGroupMayReadTokens(t *testing.T) {
	path := file(t, "tokens", token)
	if err := os.Chmod(path, 0o440); err != nil { // as Kubernetes does with fsGroup
		t.Fatal(err)
	}
	if got, err := ReadTokens(path); err != nil || len(got) != 1 || string(got[0].Reveal()) != token {
		t.Errorf("%v %v", got, err)
	}
	if err := os.Chmod(path, 0o460); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadTokens(path); err == nil {
		t.Error("a file that others may write is taken")
	}
}

func TestShortToken(t *testing.T) {
	r := start(t, idle(), func(o *Options) { o.Token = sources.NewSecret([]byte("short")) })
	if n := strings.Count(r.log.String(), "can be guessed"); n != 1 {
		t.Errorf("it was told of %d times", n)
	}
}

func FuzzParseTokens(f *testing.F) {
	for _, seed := range []string{"", "a\nb", "# c\r\n\r\n d \n", "a b", "\x00", "é", strings.Repeat("x", 300)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := ParseTokens("it", data)
		if err != nil {
			return
		}
		for i := range all {
			text := string(all[i].Reveal())
			if text == "" || strings.ContainsAny(text, " \t\r\n") {
				t.Errorf("%q is a token", text)
			}
			// Each can be sent, and is then what the server finds.
			if got := bearer([]string{"Bearer " + text}); got != text {
				t.Errorf("%q arrives as %q", text, got)
			}
		}
	})
}

func FuzzIsLocal(f *testing.F) {
	for _, seed := range []string{"localhost", "[::1]:80", "127.0.0.1:1", "[", "]", "::1", "a:b:c", "127.0.0.1%0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if isLocal(host) && !strings.Contains(strings.ToLower(host), "localhost") && !strings.Contains(host, "127.") && !strings.Contains(host, ":") {
			t.Errorf("%q is local", host)
		}
	})
}
