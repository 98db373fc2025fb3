package awssecrets

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets/awstest"
)

// openStore makes a store of env that does not wait between attempts.
func openStore(t *testing.T, env map[string]string, set sources.Settings, change ...func(*sources.Options)) *store {
	t.Helper()
	return &store{open(t, env, set, change...).source}
}

func writeOf(name, text, expect string) sources.Write {
	return sources.Write{
		Name: name, Value: sources.NewSecret([]byte(mark + text)), Expect: expect, Token: sources.NewToken(),
		Mark: sources.Mark{Owner: "prod", Path: "a.b"},
	}
}

func TestStoreFaults(t *testing.T) {
	forever := awstest.Always
	for _, c := range []struct {
		name         string
		faults       awstest.Faults
		kind         sources.Kind
		create, hint string // parts of the message and of the hint of a new secret
	}{
		{"throttled", awstest.Faults{Throttle: forever}, sources.Throttled, `secret "new" in us-east-1 was not created: too many requests, after 3 attempts`, "wait"},
		{"failing", awstest.Faults{Fail: forever}, sources.Unreachable, `secret "new" in us-east-1 was not created: the service failed, after 3 attempts`, ""},
		{"reset", awstest.Faults{Reset: forever}, sources.Unreachable, "no usable answer from 127.0.0.1:", ""},
		{"hanging", awstest.Faults{Hang: true}, sources.Unreachable, "nothing within 100ms", ""},
		{"expired", awstest.Faults{Reject: "ExpiredTokenException"}, sources.NoLogin, "not accepted by secrets manager", "has expired"},
		{"quota", awstest.Faults{Reject: "LimitExceededException"}, sources.Refused, "as many secrets or versions as aws allows", "quota"},
		{"key", awstest.Faults{Reject: "EncryptionFailure"}, sources.Denied, `secret "new" in us-east-1 cannot be encrypted with its kms key`, "kms:GenerateDataKey and kms:Decrypt"},
		{"state", awstest.Faults{Reject: "InvalidRequestException"}, sources.Disabled, "cannot be created in its present state", ""},
		{"parameter", awstest.Faults{Reject: "InvalidParameterException"}, sources.Refused, "aws does not accept the request", "kms_key_id"},
		{"permission", awstest.Faults{DenyActions: []string{"CreateSecret", "PutSecretValue", "DeleteSecret"}}, sources.Denied,
			`secret "new" in us-east-1 may not be created by arn:aws:iam::123456789012:user/tester`, "allow secretsmanager:CreateSecret on arn:aws:secretsmanager:us-east-1:*:secret:new-??????"},
		{"proxy", awstest.Faults{Status: 403}, sources.Unreachable, "http status 403 without", "HTTPS_PROXY"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := awstest.StartFake(t)
			s := openStore(t, f.Env(), settings())
			version, err := s.Put(t.Context(), writeOf("old", "1", ""))
			if err != nil {
				t.Fatal(err)
			}
			if c.faults.Hang {
				s = openStore(t, f.Env(), settings(), func(o *sources.Options) { o.CallTimeout = 100 * time.Millisecond })
			}
			f.Set(c.faults)
			_, err = s.Put(t.Context(), writeOf("new", "1", ""))
			e := wantKind(t, err, c.kind)
			if !strings.Contains(e.Message, c.create) || !strings.Contains(e.Hint, c.hint) || e.Name != "new" {
				t.Errorf("%s: %v, hint %q", e.Name, e, e.Hint)
			}
			_, changed := s.Put(t.Context(), writeOf("old", "2", version))
			deleted := s.Delete(t.Context(), "old", "prod", sources.DeleteOptions{})
			for what, err := range map[string]error{"create": err, "change": changed, "delete": deleted} {
				kind := c.kind
				if what != "create" && c.name == "parameter" {
					kind = sources.BadName // the look at it was refused
				}
				e := wantKind(t, err, kind)
				checkWords(t, e)
				if text := show(err); strings.Contains(text, mark) {
					t.Errorf("%s: a value in an error: %s", what, text)
				}
			}
			f.Set(awstest.Faults{})
			wantValue(t, open(t, f.Env(), settings()).fetch(t, "old")["old"], mark+"1") // with all the time that it takes
			if n := f.Versions("old"); n != 1 {
				t.Errorf("%d versions", n)
			}
		})
	}
}

// An answer that is lost makes the SDK or the caller ask again, and AWS knows the
// write by its token.
func TestLostAnswers(t *testing.T) {
	for name, faults := range map[string]awstest.Faults{
		"lost": {Truncate: 1}, "garbled": {Garble: 1}, "reset": {Reset: 1}, "failed": {Fail: 1}, "throttled": {Throttle: 1},
		"empty": {Empty: 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := awstest.StartFake(t)
			s := openStore(t, f.Env(), settings())
			put := func(action string, w sources.Write) string {
				t.Helper()
				faults.Only = action
				f.Set(faults)
				version, err := s.Put(t.Context(), w)
				if err != nil {
					version, err = s.Put(t.Context(), w)
				}
				if err != nil || version != w.Token {
					t.Fatalf("%s: version %q, %v", action, version, err)
				}
				return version
			}
			version := put("CreateSecret", writeOf("key", "0", ""))
			for _, action := range []string{"DescribeSecret", "TagResource", "PutSecretValue"} {
				w := writeOf("key", action, version)
				w.Mark.Path = action
				version = put(action, w)
				wantValue(t, s.Fetch(t.Context(), []string{"key"})["key"], mark+action)
			}
			if n := f.Versions("key"); n != 4 {
				t.Errorf("%d versions of 4 values", n)
			}
			faults.Only = "DeleteSecret"
			f.Set(faults)
			err := s.Delete(t.Context(), "key", "prod", sources.DeleteOptions{})
			if err != nil {
				err = s.Delete(t.Context(), "key", "prod", sources.DeleteOptions{})
			}
			if item := s.Inspect(t.Context(), []string{"key"})["key"]; err != nil || item.Gone.IsZero() {
				t.Errorf("%v, %+v", err, item)
			}
		})
	}
}

// Who writes between our look and our write is noticed after it.
func TestWindow(t *testing.T) {
	f := awstest.StartFake(t)
	s := openStore(t, f.Env(), settings())
	version, err := s.Put(t.Context(), writeOf("key", "1", ""))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	defer cancel()
	until := make(chan struct{})
	f.Hold("PutSecretValue", until)
	result := make(chan error, 1)
	go func() {
		_, err := s.Put(ctx, writeOf("key", "ours", version))
		result <- err
	}()
	for next := f.Called(); f.Calls("PutSecretValue") == 0; next = f.Called() {
		select {
		case <-next:
		case <-ctx.Done():
			t.Fatal("no PutSecretValue came")
		}
	}
	f.Put("key", mark+"theirs")
	close(until)
	e := wantKind(t, <-result, sources.Conflict)
	if !strings.Contains(e.Message, "at the same moment") || !strings.Contains(e.Message, "AWSPREVIOUS") || e.Hint == "" {
		t.Errorf("%v, hint %q", e, e.Hint)
	}
	if strings.Contains(show(e), mark) {
		t.Error("a value in an error")
	}
}

// Every action that the store uses is in the policy for it, and no other.
func TestStoreActions(t *testing.T) {
	f := awstest.StartFake(t)
	s := openStore(t, f.Env(), settings("kms_key_id", "alias/gateway"))
	ctx := t.Context()
	version, err := s.Put(ctx, writeOf("bifrost/a", "1", ""))
	if err != nil {
		t.Fatal(err)
	}
	moved := writeOf("bifrost/a", "2", version)
	moved.Mark.Path = "elsewhere"
	if _, err := s.Put(ctx, moved); err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(ctx, "bifrost/"); err != nil {
		t.Fatal(err)
	}
	f.Put("bifrost/b", "x")
	s.Fetch(ctx, []string{"bifrost/a", "bifrost/b"})
	s.Fetch(ctx, []string{"bifrost/a"})
	s.Inspect(ctx, []string{"bifrost/a"})
	if err := s.Delete(ctx, "bifrost/a", "prod", sources.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := f.KMSKey("bifrost/a"); got != "alias/gateway" {
		t.Errorf("stored with the key %q", got)
	}
	var policy struct{ Statement []statement }
	if err := json.Unmarshal(s.WritePolicy([]string{"bifrost/b"}, "bifrost"), &policy); err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{}
	for _, one := range policy.Statement {
		for _, action := range one.Action {
			if name, ok := strings.CutPrefix(action, "secretsmanager:"); ok {
				allowed[name] = true
			}
		}
	}
	calls := 0
	for action := range allowed {
		if f.Calls(action) == 0 {
			t.Errorf("%s is allowed and not used", action)
		}
		calls += f.Calls(action)
	}
	if total := f.Total(); total != calls {
		t.Errorf("%d of %d requests are not in the policy", total-calls, total)
	}
}

func TestListPages(t *testing.T) {
	f := awstest.StartFake(t)
	names := numbered(f, 250)
	f.Put("other", "x")
	s := openStore(t, f.Env(), settings())
	f.Forget()
	items, err := s.List(t.Context(), "app/")
	if err != nil || len(items) != len(names) || f.Calls("ListSecrets") != 3 {
		t.Fatalf("%d items in %d requests, %v", len(items), f.Calls("ListSecrets"), err)
	}
	if !slices.IsSortedFunc(items, func(a, b sources.Item) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not sorted")
	}
	for _, prefix := range []string{"~x", "a b", strings.Repeat("x", 513)} {
		_, err := s.List(t.Context(), prefix)
		wantKind(t, err, sources.BadName)
	}
}

func TestRefused(t *testing.T) {
	f := awstest.StartFake(t)
	s := openStore(t, f.Env(), settings())
	arn := f.Put("key", mark)
	for name, change := range map[string]func(*sources.Write){
		"empty":      func(w *sources.Write) { w.Value = sources.NewSecret(nil) },
		"binary":     func(w *sources.Write) { w.Value = sources.NewSecret([]byte(mark + "\xff")) },
		"long owner": func(w *sources.Write) { w.Mark.Owner = strings.Repeat("ü", 50) },
		"long path":  func(w *sources.Write) { w.Mark.Path = strings.Repeat("p", marks.Parts*marks.Max+1) },
	} {
		w := writeOf("new", "", "")
		change(&w)
		before := f.Total()
		_, err := s.Put(t.Context(), w)
		if e := wantKind(t, err, sources.Refused); e.Hint == "" || strings.Contains(show(err), mark) || f.Total() != before {
			t.Errorf("%s: %v (%s), %d requests", name, e, e.Hint, f.Total()-before)
		}
	}
	_, err := s.Put(t.Context(), writeOf(arn[:len(arn)-len("key-XXXXXX")]+"none-AbCdEf", "", ""))
	wantKind(t, err, sources.Refused)
	for _, days := range []int{-1, 1, 6, 31} {
		wantKind(t, s.Delete(t.Context(), "key", "prod", sources.DeleteOptions{RecoveryDays: days}), sources.Refused)
	}
	wantValue(t, s.Fetch(t.Context(), []string{"key"})["key"], mark)
}

// CreateSecret says that the name is taken, and the secret is gone before it is
// looked at.
func TestGoneMeanwhile(t *testing.T) {
	f := awstest.StartFake(t)
	s := openStore(t, f.Env(), settings())
	p, fault := s.put(t.Context(), writeOf("key", "1", ""))
	if fault != nil {
		t.Fatal(fault)
	}
	_, err := p.update(creating)
	if e := wantKind(t, err, sources.Conflict); !strings.Contains(e.Message, "not there any more") || f.Total() != f.Calls("DescribeSecret") {
		t.Errorf("%v, %d requests", e, f.Total())
	}
}
