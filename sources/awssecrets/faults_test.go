package awssecrets

import (
	"bufio"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/sources/cloudtest"
	"bifrost-secrets/sources/internal/porttest"
)

// mark stands in every value of these tests, and may stand in nothing else.
const mark = "CANARY-5f1d"

// show returns all that may be printed of an error, down the chain of causes.
func show(err error) string {
	var b strings.Builder
	for ; err != nil; err = errors.Unwrap(err) {
		fmt.Fprintf(&b, "%v\n%+v\n%#v\n", err, err, err)
		if e, ok := err.(*sources.Error); ok {
			fmt.Fprintln(&b, e.Kind, e.Name, e.Code, e.Message, e.Hint)
		}
	}
	return b.String()
}

func checkWords(t *testing.T, e *sources.Error) {
	t.Helper()
	for what, s := range map[string]string{"message": e.Message, "hint": e.Hint} {
		if strings.HasSuffix(s, ".") || s != "" && s[0] >= 'A' && s[0] <= 'Z' {
			t.Errorf("%s %q is not in lower case or ends in a full stop", what, s)
		}
	}
	if e.Message == "" {
		t.Error("no message")
	}
}

func TestFaults(t *testing.T) {
	forever := awstest.Always
	for _, c := range []struct {
		name    string
		faults  awstest.Faults
		state   awstest.State
		kind    sources.Kind
		message string // a part of it
		hint    string // a part of it
	}{
		{name: "denied", state: awstest.Denied, kind: sources.Denied,
			message: `secret "app/a" in us-east-1 may not be read by arn:aws:iam::123456789012:user/tester`,
			hint:    "allow secretsmanager:GetSecretValue on arn:aws:secretsmanager:us-east-1:*:secret:app/a-??????"},
		{name: "kms denied", state: awstest.KMSDenied, kind: sources.Denied, message: "cannot be decrypted", hint: "allow kms:Decrypt"},
		{name: "decryption", state: awstest.Undecryptable, kind: sources.Denied, message: "cannot be decrypted", hint: "allow kms:Decrypt"},
		{name: "deleted", state: awstest.Deleted, kind: sources.Disabled, message: `secret "app/a" in us-east-1 is scheduled for deletion`,
			hint: "restore it: aws secretsmanager restore-secret --secret-id app/a --region us-east-1"},
		{name: "no value", state: awstest.NoValue, kind: sources.Disabled, message: `secret "app/a" in us-east-1 has no value`, hint: "put-secret-value"},

		{name: "throttled", faults: awstest.Faults{Throttle: forever}, kind: sources.Throttled, message: "too many requests, after 3 attempts", hint: "wait"},
		{name: "failing", faults: awstest.Faults{Fail: forever}, kind: sources.Unreachable, message: "the service failed, after 3 attempts"},
		{name: "reset", faults: awstest.Faults{Reset: forever}, kind: sources.Unreachable, message: "no usable answer from 127.0.0.1:", hint: "AWS_ENDPOINT_URL"},
		{name: "truncated", faults: awstest.Faults{Truncate: forever}, kind: sources.Unreachable, message: "closed within the answer"},
		{name: "garbled", faults: awstest.Faults{Garble: forever}, kind: sources.Unreachable, message: "an answer that cannot be read"},
		{name: "empty", faults: awstest.Faults{Empty: forever}, kind: sources.Unreachable, message: "an answer without a secret"},
		{name: "hanging", faults: awstest.Faults{Hang: true}, kind: sources.Unreachable, message: "nothing within 100ms"},
		{name: "proxy says 502", faults: awstest.Faults{Status: 502}, kind: sources.Unreachable, message: "the service failed"},
		{name: "proxy says 403", faults: awstest.Faults{Status: 403}, kind: sources.Unreachable, message: "http status 403 without an error code of aws", hint: "HTTPS_PROXY"},
		{name: "proxy says 401", faults: awstest.Faults{Status: 401}, kind: sources.Unreachable, message: "http status 401 without"},
		{name: "proxy says 404", faults: awstest.Faults{Status: 404}, kind: sources.Unreachable, message: "http status 404 without an error code of aws", hint: "AWS_ENDPOINT_URL"},
		{name: "proxy says 429", faults: awstest.Faults{Status: 429}, kind: sources.Throttled},
		{name: "proxy says 302", faults: awstest.Faults{Status: 302}, kind: sources.Unreachable},

		{name: "expired", faults: awstest.Faults{Reject: "ExpiredTokenException"}, kind: sources.NoLogin, message: "not accepted by secrets manager in us-east-1", hint: "has expired"},
		{name: "unknown key", faults: awstest.Faults{Reject: "UnrecognizedClientException"}, kind: sources.NoLogin, hint: "access key exists"},
		{name: "clock or key", faults: awstest.Faults{Reject: "InvalidSignatureException"}, kind: sources.NoLogin, hint: "clock"},
		{name: "signature", faults: awstest.Faults{Reject: "SignatureDoesNotMatch"}, kind: sources.NoLogin, hint: "clock"},
		{name: "limit", faults: awstest.Faults{Reject: "RequestLimitExceeded"}, kind: sources.Throttled},
		{name: "validation", faults: awstest.Faults{Reject: "ValidationException"}, kind: sources.BadName, message: "the name was not accepted"},
		{name: "new code", faults: awstest.Faults{Reject: "SomethingNewException"}, kind: sources.Disabled, message: "cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := awstest.StartFake(t)
			s := open(t, f.Env(), settings(), func(o *sources.Options) {
				if c.faults.Hang {
					o.CallTimeout = 100 * time.Millisecond
				}
			})
			f.Mark(f.Put("app/a", mark), c.state)
			f.Mark(f.Put("app/b", mark), c.state)
			// Singly and in a batch: what fails is the same, but for an empty
			// answer, which the second takes for a batch with nothing in it.
			for _, names := range [][]string{{"app/a"}, {"app/a", "app/b"}} {
				f.Set(c.faults)
				for name, r := range s.fetch(t, names...) {
					e := wantKind(t, r.Err, c.kind)
					checkWords(t, e)
					if name != "app/a" || len(names) > 1 {
						continue
					}
					if !strings.Contains(e.Message, c.message) {
						t.Errorf("message %q, want %q in it", e.Message, c.message)
					}
					if !strings.Contains(e.Hint, c.hint) {
						t.Errorf("hint %q, want %q in it", e.Hint, c.hint)
					}
					t.Logf("%v\n\thint: %s", e, e.Hint)
				}
				for _, r := range s.fetch(t, names...) {
					if text := show(r.Err); strings.Contains(text, mark) {
						t.Errorf("a value in an error: %s", text)
					}
				}
			}
			if strings.Contains(s.log.String(), mark) {
				t.Errorf("a value in the log: %s", s.log)
			}
			f.Set(awstest.Faults{})
		})
	}
}

func TestNoValueLeaksWithCredentials(t *testing.T) {
	const key, token = "KEY-CANARY-91", "TOKEN-CANARY-92"
	f := awstest.StartFake(t)
	names := numbered(f, 30)
	for _, name := range names {
		f.Put(name, mark)
	}
	set := settings("access_key_id", "AKIDCANARY93", "secret_access_key", key, "session_token", token, "role_arn", "arn:aws:iam::210987654321:role/r")
	for name, faults := range map[string]awstest.Faults{
		"role denied": {RejectSTS: "AccessDenied"}, "fine": {}, "garbled": {Garble: awstest.Always},
		"expired": {Reject: "ExpiredTokenException"}, "hanging": {Hang: true}, "denied": {DenyBatch: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, f.Env(), set, func(o *sources.Options) {
				if faults.Hang {
					o.CallTimeout = 50 * time.Millisecond
				}
			})
			f.Set(faults)
			text := s.Describe() + fmt.Sprintf("%v %+v %#v", s.source, s.source, s.source)
			for name, r := range s.fetch(t, names...) {
				text += name + fmt.Sprintf("%v %+v", r.Value, r) + show(r.Err)
			}
			text += show(s.Ping(context.Background(), "")) + s.log.String()
			if !strings.Contains(s.log.String(), `"msg":"aws `) {
				t.Errorf("the log has no requests: %s", s.log)
			}
			for _, secret := range []string{mark, key, token, "AKIDCANARY93", "Signature=", "ASIA210987654321"} {
				if strings.Contains(text, secret) {
					t.Errorf("%q is in what was printed", secret)
				}
			}
			f.Set(awstest.Faults{})
		})
	}
}

func TestValues(t *testing.T) {
	f := awstest.StartFake(t)
	f.Put("at the limit", strings.Repeat("x", sources.MaxValue))
	arn := f.Put("empty", "")
	big := f.Put("too-big", mark+strings.Repeat("x", sources.MaxValue))
	image := f.PutBinary("image", []byte{0xff, 0xfe})
	words := f.PutBinary("words", []byte("über"))
	s := open(t, f.Env(), settings())
	for _, names := range [][]string{{arn, big, image, words}, {arn}, {big}, {image}, {words}} {
		for name, r := range s.fetch(t, names...) {
			switch name {
			case arn:
				wantValue(t, r, "")
			case words:
				wantValue(t, r, "über")
			case big:
				if e := wantKind(t, r.Err, sources.Unusable); !strings.Contains(e.Message, "1048576 are allowed") {
					t.Error(e)
				}
			case image:
				wantKind(t, r.Err, sources.Unusable)
			}
		}
	}
}

func TestAnswerWithoutEnd(t *testing.T) {
	f := awstest.StartFake(t)
	f.Put("app/a", strings.Repeat(mark, 2+maxAnswer/len(mark)))
	s := open(t, f.Env(), settings())
	e := wantKind(t, s.fetch(t, "app/a")["app/a"].Err, sources.Unreachable)
	if !strings.Contains(e.Message, "an answer of more than 12582912 bytes") || strings.Contains(show(e), mark) {
		t.Error(e)
	}
}

func TestAnswerThatIsNotHTTP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.Copy(io.Discard, req.Body)
			}
			_, _ = io.WriteString(conn, mark+" is what net/http quotes\r\n\r\n")
			_ = conn.Close()
		}
	})
	t.Cleanup(func() { _ = l.Close(); served.Wait() })
	f := awstest.NewFake()
	f.URL = "http://" + l.Addr().String()
	s := open(t, f.Env(), settings())
	e := wantKind(t, s.fetch(t, "app/a")["app/a"].Err, sources.Unreachable)
	if !strings.Contains(e.Message, "the connection failed") || strings.Contains(show(e)+s.log.String(), mark) {
		t.Error(show(e))
	}
}

func TestExplicitDeny(t *testing.T) {
	f := &regional{source: open(t, nil, settings()).source, region: "eu-west-1"}
	e := f.apiFault(reading, id{text: "a", name: "a"}, "AccessDeniedException",
		"User: arn:aws:iam::123456789012:user/kms is not authorized to perform: secretsmanager:GetSecretValue on resource: a with an explicit deny in a service control policy", 0)
	if !strings.HasPrefix(e.Hint, "a policy denies it explicitly") || !strings.HasSuffix(e.Message, "may not be read by arn:aws:iam::123456789012:user/kms") {
		t.Errorf("%v, hint %q", e, e.Hint)
	}
}

func TestRefusedConnection(t *testing.T) {
	port, release, err := porttest.Keep()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	address := fmt.Sprint("127.0.0.1:", port)
	f := awstest.NewFake()
	f.URL = "http://" + address
	s := open(t, f.Env(), settings())
	e := wantKind(t, s.fetch(t, "app/a")["app/a"].Err, sources.Unreachable)
	if !strings.Contains(e.Message, "from "+address+": connection refused") {
		t.Error(e)
	}
}

func TestTLS(t *testing.T) {
	f := awstest.StartFake(t)
	f.Put("app/a", "v")
	server := httptest.NewUnstartedServer(f)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	env := f.Env()
	env["AWS_ENDPOINT_URL"] = server.URL
	e := wantKind(t, open(t, env, settings()).fetch(t, "app/a")["app/a"].Err, sources.Unreachable)
	if !strings.Contains(e.Message, "tls: the certificate is signed by an unknown authority") {
		t.Error(e)
	}
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(bundle, text, 0o600); err != nil {
		t.Fatal(err)
	}
	env["AWS_CA_BUNDLE"] = bundle
	wantValue(t, open(t, env, settings()).fetch(t, "app/a")["app/a"], "v")
	env["AWS_CA_BUNDLE"] = "/no/bundle"
	e = wantKind(t, open(t, env, settings()).fetch(t, "app/a")["app/a"].Err, sources.NoLogin)
	if !strings.Contains(e.Message, "file /no/bundle") {
		t.Error(e)
	}
}

// TestAuthorityRenewed: the bundle of authorities is renewed while the program runs.
func TestAuthorityRenewed(t *testing.T) {
	f := awstest.StartFake(t)
	f.Put("app/a", "v")
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	server := cloudtest.StartRenewed(t, f)
	server.Save(bundle)
	const role = "arn:aws:iam::210987654321:role/reader"
	f.PutIn("210987654321", awstest.Region, "app/a", "v")
	env := f.Env()
	env["AWS_ENDPOINT_URL"], env["AWS_ENDPOINT_URL_STS"], env["AWS_CA_BUNDLE"] = server.URL, server.URL, bundle
	f.Set(awstest.Faults{RoleFor: time.Second}) // so that each refresh asks for another session of the role
	plain, assumed := open(t, env, settings()), open(t, env, settings("role_arn", role))
	for range 2 {
		wantValue(t, plain.fetch(t, "app/a")["app/a"], "v")
		wantValue(t, assumed.fetch(t, "app/a")["app/a"], "v")
		server.Renew()
		for _, s := range []opened{plain, assumed} {
			e := wantKind(t, s.fetch(t, "app/a")["app/a"].Err, sources.Unreachable)
			if !strings.Contains(e.Message, "tls: the certificate is signed by an unknown authority") {
				t.Error(e)
			}
		}
		server.Save(bundle)
	}
	wantValue(t, plain.fetch(t, "app/a")["app/a"], "v")
	wantValue(t, assumed.fetch(t, "app/a")["app/a"], "v")
}

func TestMaxAttemptsOfTheEnvironment(t *testing.T) {
	f := awstest.StartFake(t)
	f.Set(awstest.Faults{Fail: awstest.Always})
	env := f.Env()
	env["AWS_MAX_ATTEMPTS"] = "1"
	s := open(t, env, settings())
	s.retryer = nil
	wantKind(t, s.fetch(t, "app/a")["app/a"].Err, sources.Unreachable)
	if n := f.Total(); n != 1 {
		t.Errorf("%d attempts", n)
	}
}

func TestWrongEndpoint(t *testing.T) {
	f := awstest.StartFake(t)
	for url, want := range map[string]string{
		strings.Replace(f.URL, "http:", "https:", 1): "tls: the answer is not tls",
		"http://nowhere.invalid":                     "nowhere.invalid",
	} {
		env := f.Env()
		env["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = url // wins over AWS_ENDPOINT_URL
		s := open(t, env, settings())
		e := wantKind(t, s.fetch(t, "app/a")["app/a"].Err, sources.Unreachable)
		if !strings.Contains(e.Message, want) {
			t.Errorf("%v, want %q in it", e, want)
		}
	}
	if f.Total() != 0 {
		t.Error("AWS_ENDPOINT_URL was asked")
	}
}

func TestPing(t *testing.T) {
	f := awstest.StartFake(t)
	f.Mark(f.Put("app/denied", mark), awstest.Denied)
	f.Put("app/a", mark)
	s := open(t, f.Env(), settings())
	ctx := context.Background()
	for _, name := range []string{"", "app/a"} {
		if err := s.Ping(ctx, name); err != nil {
			t.Errorf("ping %q: %v", name, err)
		}
	}
	if f.Calls("ListSecrets") != 1 || f.Calls("GetSecretValue") != 1 || f.Total() != 2 {
		t.Errorf("%d requests", f.Total())
	}
	wantKind(t, s.Ping(ctx, "app/denied"), sources.Denied)
	wantKind(t, s.Ping(ctx, "no such name"), sources.BadName)
	f.Set(awstest.Faults{Reject: "AccessDeniedException"})
	if e := wantKind(t, s.Ping(ctx, ""), sources.Denied); !strings.Contains(e.Hint, "secretsmanager:ListSecrets") {
		t.Error(e.Hint)
	}
	f.Set(awstest.Faults{Throttle: awstest.Always})
	wantKind(t, s.Ping(ctx, ""), sources.Throttled)
	f.Set(awstest.Faults{Hang: true})
	ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	e := wantKind(t, s.Ping(ctx, ""), sources.Unreachable)
	if !strings.Contains(e.Message, "no answer from aws within") {
		t.Error(e)
	}
	checkWords(t, e)
}
