package awssecrets

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets/awstest"
)

func TestMoto(t *testing.T) {
	m := awstest.Moto(t)
	ctx := context.Background()

	t.Run("what a secret can be", func(t *testing.T) {
		m.Reset(t)
		arn := m.Put(t, awstest.Region, "app/full", "by its arn")
		part := m.Put(t, awstest.Region, "app/part", "by its arn without suffix")
		part = part[:len(part)-len("-XXXXXX")]
		far := m.Put(t, "eu-west-1", "app/far", "in another region")
		m.Put(t, awstest.Region, "app/plain", "a text\n")
		m.Put(t, awstest.Region, "app/json", `{"a.b": "c", "n": 1}`)
		m.PutBinary(t, awstest.Region, "app/binary", []byte("text in bytes"))
		m.PutBinary(t, awstest.Region, "app/image", []byte{0xff, 0xfe, 0})
		s := open(t, m.Env(), settings())
		names := []string{"app/plain", "app/json", "app/binary", "app/image", arn, part, far, "app/none"}
		got := s.fetch(t, names...)
		wantValue(t, got["app/plain"], "a text\n")
		wantValue(t, got["app/json"], `{"a.b": "c", "n": 1}`)
		wantValue(t, got["app/binary"], "text in bytes")
		wantValue(t, got[arn], "by its arn")
		wantValue(t, got[part], "by its arn without suffix")
		wantValue(t, got[far], "in another region")
		e := wantKind(t, got["app/image"].Err, sources.Unusable)
		if !strings.Contains(e.Message, "binary secret is not utf-8 text") {
			t.Error(e)
		}
		e = wantKind(t, got["app/none"].Err, sources.NotFound)
		if e.Code != "ResourceNotFoundException" || !strings.Contains(e.Hint, "us-east-1, in account "+awstest.Account) {
			t.Errorf("%v, hint %q", e, e.Hint)
		}
	})

	t.Run("versions", func(t *testing.T) {
		m.Reset(t)
		m.Put(t, awstest.Region, "app/key", "first")
		s := open(t, m.Env(), settings())
		first := s.fetch(t, "app/key")["app/key"]
		wantValue(t, first, "first")
		_, err := m.Client(awstest.Region, "").PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
			SecretId: aws.String("app/key"), SecretString: aws.String("second"),
		})
		if err != nil {
			t.Fatal(err)
		}
		second := s.fetch(t, "app/key")["app/key"]
		wantValue(t, second, "second")
		if first.Version == second.Version {
			t.Error("a new value has the version of the old one")
		}
	})

	t.Run("the requests are those planned", func(t *testing.T) {
		m.Reset(t)
		var names []string
		for n := range 45 {
			name := fmt.Sprintf("app/%d", n)
			m.Put(t, awstest.Region, name, name)
			names = append(names, name)
		}
		names = append(names, m.Put(t, "eu-west-1", "far", "far"))
		s := open(t, m.Env(), settings())
		plan := s.Plan(names)
		if want := (sources.Calls{Batch: 3, Single: 1, IfRefused: 45}); plan != want {
			t.Errorf("plan %+v, want %+v", plan, want)
		}
		before := m.Requests(t)
		for name, r := range s.fetch(t, names...) {
			if r.Err != nil {
				t.Errorf("%s: %v", name, r.Err)
			}
		}
		if got := m.Requests(t) - before; got != plan.Total() {
			t.Errorf("%d requests, planned %d", got, plan.Total())
		}
	})

	t.Run("another account", func(t *testing.T) {
		m.Reset(t)
		const role = "arn:aws:iam::210987654321:role/reader"
		m.Put(t, awstest.Region, "app/key", "of the first account")
		m.PutAs(t, role, awstest.Region, "app/key", "of the other account")
		s := open(t, m.Env(), settings("role_arn", role))
		wantValue(t, s.fetch(t, "app/key")["app/key"], "of the other account")
		got := s.fetch(t, "app/key", "app/none")
		wantValue(t, got["app/key"], "of the other account")
		e := wantKind(t, got["app/none"].Err, sources.NotFound)
		if !strings.Contains(e.Hint, "account 210987654321") {
			t.Error(e.Hint)
		}
	})

	t.Run("keys from the settings", func(t *testing.T) {
		m.Reset(t)
		m.Put(t, "eu-west-1", "app/key", "v")
		env := m.Env()
		delete(env, "AWS_ACCESS_KEY_ID")
		delete(env, "AWS_SECRET_ACCESS_KEY")
		s := open(t, env, settings("access_key_id", "test", "secret_access_key", "test", "session_token", "t", "region", "eu-west-1", "role_arn", ""))
		wantValue(t, s.fetch(t, "app/key")["app/key"], "v")
	})

	t.Run("web identity", func(t *testing.T) {
		m.Reset(t)
		const role = "arn:aws:iam::210987654321:role/pod"
		m.PutAs(t, role, "eu-west-1", "app/key", "v")
		token := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(token, []byte("a.b.c"), 0o600); err != nil {
			t.Fatal(err)
		}
		// For web identity the SDK does not look at AWS_ENDPOINT_URL.
		env := without(m.Env(), keyNames+" AWS_REGION", "AWS_ROLE_ARN", role, "AWS_WEB_IDENTITY_TOKEN_FILE", token, "AWS_ENDPOINT_URL_STS", m.URL)
		s := open(t, env, settings("region", "eu-west-1"))
		before := m.Requests(t)
		for range 2 {
			wantValue(t, s.fetch(t, "app/key")["app/key"], "v")
		}
		if got := m.Requests(t) - before; got != 3 {
			t.Errorf("%d requests: one to sts and two for the secret are enough", got)
		}
	})

	t.Run("deleted", func(t *testing.T) {
		m.Reset(t)
		for _, name := range []string{"gone", "other"} {
			m.Put(t, awstest.Region, name, "v")
		}
		_, err := m.Client(awstest.Region, "").DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{
			SecretId: aws.String("gone"), RecoveryWindowInDays: aws.Int64(7),
		})
		if err != nil {
			t.Fatal(err)
		}
		s := open(t, m.Env(), settings())
		for _, names := range [][]string{{"gone"}, {"gone", "other"}} {
			e := wantKind(t, s.fetch(t, names...)["gone"].Err, sources.Disabled)
			if e.Hint != "restore it: aws secretsmanager restore-secret --secret-id gone --region us-east-1" {
				t.Errorf("%v, hint %q", e, e.Hint)
			}
		}
	})

	t.Run("a secret without a value fails a whole batch", func(t *testing.T) {
		m.Reset(t)
		m.Put(t, awstest.Region, "full", "v")
		_, err := m.Client(awstest.Region, "").CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("empty")})
		if err != nil {
			t.Fatal(err)
		}
		s := open(t, m.Env(), settings())
		got := s.fetch(t, "full", "empty")
		wantValue(t, got["full"], "v")
		wantKind(t, got["empty"].Err, sources.Disabled)
	})

	t.Run("ping", func(t *testing.T) {
		m.Reset(t)
		m.Put(t, awstest.Region, "app/key", "v")
		s := open(t, m.Env(), settings())
		before := m.Requests(t)
		for _, name := range []string{"", "app/key"} {
			if err := s.Ping(ctx, name); err != nil {
				t.Errorf("ping %q: %v", name, err)
			}
		}
		wantKind(t, s.Ping(ctx, "app/none"), sources.NotFound)
		if got := m.Requests(t) - before; got != 3 {
			t.Errorf("%d requests for three pings", got)
		}
	})
}
