//go:build unix

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch/service"
)

// daemonCanary is a harness whose every secret is marked, and its own token.
func daemonCanary(t *testing.T) (*harness, *awstest.Fake, []string) {
	f := awstest.StartFake(t)
	s := newHarness(t)
	a, b, token := canary("a"), canary("b"), plainCanary("token")
	f.Put("a", a)
	f.Put("o", `{"b": `+quoted(b)+`, "other": `+quoted(canary("other"))+`}`)
	s.env = slices.Concat(s.env, awsEnv(f.URL), []string{"BIFROST_SECRETS_TOKEN=" + token})
	s.write(filepath.Join(s.app, "config.source.json"), keysFor(awsStore(""), "vault.a", "vault.o#b"))
	return s, f, []string{a, b, canary("other"), canary("new"), token, canaryID, canaryKey, canaryToken}
}

// seen gathers all that a daemon shows, and looks for the secrets in it.
type seen struct {
	t    *testing.T
	m    marks
	lode strings.Builder
	jar  *cookiejar.Jar // of a browser that is signed in
}

func (s *seen) add(text string) { s.lode.WriteString(text + "\n") }

func (s *seen) get(address, path, token string) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodGet, address+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	s.do(req)
}

func (s *seen) flush(address, token string) int {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, address+"/api/vault/flush-cache", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return s.do(req)
}

// signIn has the status page shown to a browser from now on.
func (s *seen) signIn(address, token string) {
	s.t.Helper()
	s.get(address, "/", "")
	_, mark, _ := strings.Cut(s.lode.String(), `name="mark" value="`)
	mark, _, _ = strings.Cut(mark, `"`)
	form := url.Values{"do": {"sign-in"}, "mark": {mark}, "token": {token}}
	req, err := http.NewRequest(http.MethodPost, address+"/", strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", address)
	if s.jar, err = cookiejar.New(nil); err != nil {
		s.t.Fatal(err)
	}
	s.do(req)
	if !strings.Contains(s.lode.String(), `id="references"`) {
		s.t.Errorf("the page is not shown:\n%s", s.lode.String())
	}
}

func (s *seen) do(req *http.Request) int {
	s.t.Helper()
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(next *http.Request, _ []*http.Request) error { next.Header.Del("Origin"); return nil }, // as browsers do
	}
	if s.jar != nil {
		client.Jar = s.jar
	}
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || len(body) == 0 {
		s.t.Fatalf("%s: %d, %v", req.URL, resp.StatusCode, err)
	}
	s.add(string(body))
	return resp.StatusCode
}

func (s *seen) judge(r *running) {
	s.t.Helper()
	text := s.lode.String() + strings.Join(r.all, "\n")
	if found := s.m.in([]byte(text)); found != "" {
		s.t.Errorf("a secret is shown, as %q:\n%s", found, text)
	}
	if strings.Contains(text, "goroutine ") {
		s.t.Errorf("it crashed:\n%s", text)
	}
}

// TestCanaryWatch looks for secrets in the log, the status, the metrics, the
// answers and the command's environment of a watch that goes through failures of
// every kind.
func TestCanaryWatch(t *testing.T) {
	t.Parallel()
	s, f, secrets := daemonCanary(t)
	token := secrets[4]
	told := filepath.Join(s.dir, "told")
	r := s.start("watch", "--config", filepath.Join(s.app, "config.source.json"), "--out", filepath.Join(s.app, "config.json"), "--listen", "127.0.0.1:0",
		"--verbose", "--timeout", "5s", "--apply", "command", "--command", `env >> `+told+`; cat /proc/$$/cmdline >> `+told)
	var entry struct{ Address string }
	if err := json.Unmarshal([]byte(r.logs("listening")), &entry); err != nil {
		t.Fatal(err)
	}
	r.logs(`"trigger":"start","handed_over":2`)
	show := &seen{t: t, m: marked(secrets...)}
	show.signIn(entry.Address, token)
	look := func() {
		for _, path := range []string{"/", "/api/vault/status", "/metrics", "/readyz", "/healthz"} {
			show.get(entry.Address, path, token)
		}
		show.get(entry.Address, "/api/vault/status", "wrong")
	}
	look()
	for _, faults := range []awstest.Faults{
		{Fail: awstest.Always}, {Garble: awstest.Always}, {Hang: true}, {Reject: "ExpiredTokenException"}, {Status: http.StatusBadGateway}, {},
	} {
		f.Set(faults)
		show.flush(entry.Address, token)
		look()
	}
	for _, value := range []string{`{"b": "env.` + canary("new") + `"}`, `{"c": ` + quoted(canary("new")) + `}`, canary("new"), `{"b": ` + quoted(canary("new")) + `}`} {
		f.Put("o", value)
		show.flush(entry.Address, token)
		look()
	}
	for late := time.Now().Add(patience); show.flush(entry.Address, token) != http.StatusOK && time.Now().Before(late); {
	}
	s.write(filepath.Join(s.app, "config.source.json"), keysFor(awsStore(""), canary("new"), "vault.o#gone"))
	show.flush(entry.Address, token)
	look()
	r.signal(syscall.SIGTERM)
	r.ends(0)
	environment, err := os.ReadFile(told)
	if err != nil || !strings.Contains(string(environment), "BIFROST_SECRETS_CHANGED=providers.openai.keys[1].value") {
		t.Errorf("the command was not run: %v\n%s", err, environment)
	}
	for _, secret := range secrets[:5] { // how to sign in to AWS is the command's business too
		if strings.Contains(string(environment), secret[len("CANARY"):]) {
			t.Errorf("the command's environment has a secret:\n%s", environment)
		}
	}
	show.judge(r)
	if !strings.Contains(s.published(), walker.Quote(canary("new"))) {
		t.Errorf("the last value is not in force, so the test has shown little")
	}
}

// TestCanaryExec looks for secrets in the log, and in the arguments and the
// environment of the child: there they belong in env mode alone, and nothing of
// ours does in any.
func TestCanaryExec(t *testing.T) {
	for mode, shown := range map[string]bool{"inline": false, "env": true} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s, _, secrets := daemonCanary(t)
			told := filepath.Join(s.dir, "told")
			r := s.exec([]string{"--mode", mode, "--verbose"}, "sh", "-c", `env > `+told+`; echo started; cat /proc/$PPID/cmdline /proc/$$/cmdline | tr '\0' ' '; echo; exit 3`)
			r.says("started")
			show := &seen{t: t, m: marked(secrets...)}
			for line := range r.out {
				show.add(line)
			}
			r.ends(3)
			show.judge(r)
			environment, err := os.ReadFile(told)
			if err != nil {
				t.Fatal(err)
			}
			if there := strings.Contains(string(environment), secrets[0]) && strings.Contains(string(environment), secrets[1]); there != shown {
				t.Errorf("the values are in the child's environment: %v", there)
			}
			if strings.Contains(string(environment), secrets[4]) || strings.Contains(string(environment), service.OwnVariables) {
				t.Errorf("what is ours is in the child's environment: %s", environment)
			}
			if found := marked(secrets[:2]...).in([]byte(s.published())); (found != "") == shown {
				t.Errorf("in the published file there is %q", found)
			}
		})
	}
}
