package awssecrets

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/sources/cloudtest"
)

func TestRole(t *testing.T) {
	const role = "arn:aws:iam::210987654321:role/reader"
	f := awstest.StartFake(t)
	arn := f.PutIn("210987654321", awstest.Region, "app/a", "v")
	s := open(t, f.Env(), settings("role_arn", role))
	for range 2 {
		wantValue(t, s.fetch(t, "app/a")["app/a"], "v")
	}
	if n := f.Calls("AssumeRole"); n != 1 {
		t.Errorf("the role was assumed %d times", n)
	}
	wantValue(t, s.fetch(t, "app/a", arn)["app/a"], "v")
	if n := f.Calls("GetSecretValue"); n != 2 {
		t.Errorf("%d single requests: the account of the role is known", n)
	}

	f.Forget()
	f.Set(awstest.Faults{RejectSTS: "AccessDenied"})
	s = open(t, f.Env(), settings("role_arn", role))
	for _, r := range s.fetch(t, "app/a", "app/b") {
		e := wantKind(t, r.Err, sources.NoLogin)
		if e.Message != "role "+role+" cannot be assumed" || !strings.Contains(e.Hint, "sts:AssumeRole") || e.Code != "AccessDenied" {
			t.Errorf("%v, hint %q", e, e.Hint)
		}
		checkWords(t, e)
	}
	if f.Total() != 1 {
		t.Errorf("%d requests", f.Total())
	}
	// What failed is tried anew.
	f.Set(awstest.Faults{})
	wantValue(t, s.fetch(t, "app/a")["app/a"], "v")

	env := without(f.Env(), "", "AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
	s = open(t, env, settings("role_arn", role))
	e := wantKind(t, s.fetch(t, "app/a")["app/a"].Err, sources.Unreachable)
	if !strings.Contains(e.Message, "from 127.0.0.1:1: connection refused") || !strings.Contains(e.Hint, "AWS_ENDPOINT_URL_STS") {
		t.Errorf("%v, hint %q", e, e.Hint)
	}
}

// An answer of STS that does not end is no credential, and holds up no later login: the
// SDK has all who want credentials wait for one request.
func TestRoleWithoutEnd(t *testing.T) {
	f := awstest.StartFake(t)
	f.PutIn("210987654321", awstest.Region, "app/a", "v")
	for _, lie := range cloudtest.Lies(f.Elsewhere()) {
		if lie.Name != "another protocol" && lie.Name != "body without end" {
			continue
		}
		s := open(t, f.Env(), settings("role_arn", "arn:aws:iam::210987654321:role/reader"))
		f.Tell(&lie)
		if e := wantKind(t, s.fetch(t, "app/a")["app/a"].Err, sources.Unreachable); strings.Contains(e.Message, "within") {
			t.Errorf("%s: %v", lie.Name, e)
		}
		f.Tell(nil)
		wantValue(t, s.fetch(t, "app/a")["app/a"], "v")
	}
}

func TestRoleThatStsDoesNotGive(t *testing.T) {
	f := awstest.StartFake(t)
	const role = "arn:aws:iam::210987654321:role/reader"
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a.b.c"), 0o600); err != nil {
		t.Fatal(err)
	}
	web := without(f.Env(), keyNames, "AWS_ROLE_ARN", role, "AWS_WEB_IDENTITY_TOKEN_FILE", token, "AWS_ENDPOINT_URL_STS", f.URL)
	for _, c := range []struct {
		name   string
		env    map[string]string
		set    sources.Settings
		faults awstest.Faults
		kind   sources.Kind
		hint   string
	}{
		{"denied", f.Env(), settings("role_arn", role), awstest.Faults{RejectSTS: "AccessDenied"}, sources.NoLogin, "sts:AssumeRole"},
		{"throttled", f.Env(), settings("role_arn", role), awstest.Faults{RejectSTS: "Throttling"}, sources.Throttled, "wait"},
		{"key not known", f.Env(), settings("role_arn", role), awstest.Faults{RejectSTS: "InvalidClientTokenId"}, sources.NoLogin, "access key exists"},
		{"web identity denied", web, settings(), awstest.Faults{RejectSTS: "AccessDenied"}, sources.NoLogin, "trust policy"},
		{"web identity expired", web, settings(), awstest.Faults{RejectSTS: "ExpiredTokenException"}, sources.NoLogin, "token file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.Set(c.faults)
			e := wantKind(t, open(t, c.env, c.set).fetch(t, "app/a")["app/a"].Err, c.kind)
			if !strings.Contains(e.Message, "role "+role) || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("%v, hint %q", e, e.Hint)
			}
			checkWords(t, e)
		})
	}
	f.Set(awstest.Faults{})
	f.PutIn("210987654321", awstest.Region, "app/a", "v")
	wantValue(t, open(t, web, settings()).fetch(t, "app/a")["app/a"], "v")
}

// noKeys stands for credentials that cannot be renewed in the middle of a fetch.
type noKeys struct{}

func (noKeys) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{}, errors.New(mark)
}

func TestCredentialsLostOnTheWay(t *testing.T) {
	f := awstest.StartFake(t)
	names := numbered(f, 30)
	s := open(t, f.Env(), settings())
	ids := possible(names, nil)
	o, fault := s.Begin(context.Background(), "", ids...)
	if fault != nil {
		t.Fatal(fault)
	}
	o.Session().cfg.Credentials = login{noKeys{}}
	awstest.Setenv(t, without(f.Env(), keyNames)) // nor are there others
	a := &answers{byName: make(map[string]sources.Result)}
	r := &regional{source: s.source, operation: o, answers: a, region: awstest.Region}
	r.fetch(group(ids, awstest.Region)[0])
	for _, name := range names {
		e := wantKind(t, a.byName[name].Err, sources.NoLogin)
		if e.Name != name || strings.Contains(show(e), mark) {
			t.Error(show(e))
		}
	}
	if f.Total() != 0 {
		t.Errorf("%d requests", f.Total())
	}
}

func TestContainerCredentials(t *testing.T) {
	f := awstest.StartFake(t)
	f.Put("app/a", "v")
	container := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "token" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(`{"AccessKeyId": "a", "SecretAccessKey": "b", "Token": "c", "Expiration": "2999-01-01T00:00:00Z"}`))
	}))
	t.Cleanup(container.Close)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("token"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := without(f.Env(), keyNames, "AWS_CONTAINER_CREDENTIALS_FULL_URI", container.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token)
	wantValue(t, open(t, env, settings()).fetch(t, "app/a")["app/a"], "v")

	env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = "/no/token"
	e := wantKind(t, open(t, env, settings()).fetch(t, "app/a")["app/a"].Err, sources.NoLogin)
	if !strings.Contains(e.Hint, "the container (the file of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read)") {
		t.Error(e.Hint)
	}
}
