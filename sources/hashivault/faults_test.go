package hashivault

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/cloudtest"
	"bifrost-secrets/sources/hashivault/vaulttest"
	"bifrost-secrets/sources/internal/porttest"
	"bifrost-secrets/sources/internal/sourcetest"
)

// Each fault, met at the login and after it.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		faults     vaulttest.Faults
		kind       sources.Kind
		said, hint string
	}{
		{vaulttest.Faults{Throttle: true}, sources.Throttled, "too many requests", "quota"},
		{vaulttest.Faults{Sealed: true}, sources.Unreachable, "the vault is sealed", "vault operator unseal"},
		{vaulttest.Faults{Standby: true}, sources.Unreachable, "standby", "active"},
		{vaulttest.Faults{Upgrade: true}, sources.Unreachable, "is being upgraded to version 2", "wait"},
		{vaulttest.Faults{Reset: -1}, sources.Unreachable, "the connection was closed within the answer", "check the network"},
		{vaulttest.Faults{Garble: true}, sources.Unreachable, "no usable answer from 127.0.0.1:", "check the network"},
		{vaulttest.Faults{HTML: true}, sources.Unreachable, "an answer that cannot be read", "check the network"},
	} {
		f := vaulttest.StartFake(t)
		f.Put("a", "x")
		later := open(t, role(f), nil)
		sourcetest.WantValue(t, later.fetch(t, "a")["a"], "x")
		f.Set(test.faults)
		for _, s := range []opened{later, open(t, role(f), nil)} {
			e := sourcetest.WantKind(t, s.fetch(t, "a")["a"].Err, test.kind)
			if !strings.Contains(e.Message, test.said) || !strings.Contains(e.Hint, test.hint) || strings.Contains(e.Message+s.log.String(), "CANARY") {
				t.Errorf("%+v: said %q (%s)", test.faults, e.Message, e.Hint)
			}
		}
	}
}

// The token is looked at in place of a secret: the words are those of reading.
func TestFaultOfThePing(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	s := open(t, role(f), nil)
	if err := s.Ping(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	f.Set(vaulttest.Faults{Throttle: true})
	if e := sourcetest.WantKind(t, s.Ping(t.Context(), ""), sources.Throttled); e.Message != "the list of secrets was not given: too many requests" {
		t.Errorf("said %q", e.Message)
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	f.Put("a", "x")
	s := open(t, role(f), nil)
	for range 2 {
		f.Set(vaulttest.Faults{Reset: 2})
		sourcetest.WantValue(t, s.fetch(t, "a")["a"], "x")
	}
}

// As long as the vault asks to wait is waited for, but not until the deadline: what it
// said of the load would be lost.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status   int
		after    string
		attempts int
		kind     sources.Kind
	}{
		{429, "0", 3, sources.Throttled},
		{429, "3600", 1, sources.Throttled},
		{503, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), 1, sources.Unreachable},
		{429, "soon", 3, sources.Throttled},
	} {
		f := vaulttest.StartFake(t)
		f.Put("a", "x")
		s := open(t, role(f), nil)
		sourcetest.WantValue(t, s.fetch(t, "a")["a"], "x")
		var asked atomic.Int32
		f.Tell(&cloudtest.Lie{Serve: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			asked.Add(1)
			w.Header().Set("Retry-After", test.after)
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, `{"errors":["too many"]}`)
		}})
		ctx, cancel := context.WithTimeout(t.Context(), sourcetest.Limit)
		e := sourcetest.WantKind(t, s.Fetch(ctx, []string{"a"})["a"].Err, test.kind)
		cancel()
		if n := int(asked.Load()); n != test.attempts || strings.Contains(e.Message, "no answer") {
			t.Errorf("%d, Retry-After: %s: %d attempts, and said %q", test.status, test.after, n, e.Message)
		}
	}
}

// An attempt has a deadline of its own, and the client tries again after it.
func TestAttemptsHaveADeadline(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	s := open(t, role(f), nil, func(o *sources.Options) { o.CallTimeout = 400 * time.Millisecond })
	f.Set(vaulttest.Faults{Hang: true})
	var fault *sources.Error
	if s.client, s.idle, fault = s.newClient(); fault != nil {
		t.Fatal(fault)
	}
	n, again := 0, s.client.CheckRetry()
	s.client.SetCheckRetry(func(ctx context.Context, resp *http.Response, err error) (bool, error) {
		n++ // the server does not see what ends before it is sent
		return again(ctx, resp, err)
	})
	if e := sourcetest.WantKind(t, s.fetch(t, "a")["a"].Err, sources.Unreachable); !strings.Contains(e.Message, "nothing within 400ms") {
		t.Errorf("said %q", e.Message)
	}
	if n != 3 {
		t.Errorf("%d attempts", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if e := sourcetest.WantKind(t, s.Fetch(ctx, []string{"a"})["a"].Err, sources.Unreachable); !regexp.MustCompile(`no answer from vault within \d+m?s`).MatchString(e.Message) { // what is left of it
		t.Errorf("said %q", e.Message)
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	port, release, err := porttest.Keep()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if e := sourcetest.WantKind(t, open(t, sourcetest.Settings("address", fmt.Sprint("http://127.0.0.1:", port), "token", "x"), nil).fetch(t, "a")["a"].Err, sources.Unreachable); !strings.Contains(e.Message, "connection refused") {
		t.Errorf("said %q", e.Message)
	}
	if e := sourcetest.WantKind(t, open(t, sourcetest.Settings("address", "https://vault.invalid", "token", "x"), nil).fetch(t, "a")["a"].Err, sources.Unreachable); !strings.Contains(e.Message, "vault.invalid") {
		t.Errorf("said %q", e.Message)
	}
}

// The client reads the process's environment for its certificates, so this test
// is not parallel.
func TestCertificates(t *testing.T) {
	f := vaulttest.StartFake(t)
	f.Put("a", "x")
	secure := httptest.NewTLSServer(f.Config.Handler)
	defer secure.Close()
	set := sourcetest.Settings("address", secure.URL, "token", vaulttest.Root)
	if e := sourcetest.WantKind(t, open(t, set, nil).fetch(t, "a")["a"].Err, sources.Unreachable); !strings.Contains(e.Message, "unknown authority; VAULT_CACERT") {
		t.Errorf("said %q", e.Message)
	}
	if e := sourcetest.WantKind(t, open(t, sourcetest.Settings("address", strings.Replace(secure.URL, "https", "http", 1), "token", "x"), nil).fetch(t, "a")["a"].Err, sources.Unreachable); !strings.Contains(e.Message, "it speaks tls") {
		t.Errorf("said %q", e.Message)
	}
	if e := sourcetest.WantKind(t, open(t, sourcetest.Settings("address", strings.Replace(f.URL, "http", "https", 1), "token", "x"), nil).fetch(t, "a")["a"].Err, sources.Unreachable); !strings.Contains(e.Message, "the answer is not tls") {
		t.Errorf("said %q", e.Message)
	}
	ca := writeFile(t, filepath.Join(t.TempDir(), "ca.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})))
	t.Setenv("VAULT_CACERT", ca)
	t.Setenv("VAULT_TOKEN", "not this one")
	t.Setenv("VAULT_NAMESPACE", "nor-this")
	sourcetest.WantValue(t, open(t, set, nil).fetch(t, "a")["a"], "x")
	t.Setenv("VAULT_CACERT", ca+".none")
	if e := sourcetest.WantKind(t, open(t, set, nil).fetch(t, "a")["a"].Err, sources.BadSettings); !strings.Contains(e.Hint, "VAULT_CACERT") {
		t.Errorf("the hint is %q", e.Hint)
	}
}
