package awssecrets

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/sources/internal/sourcetest"
)

// setup is what moto and the fake have in common.
func setup() sourcetest.Setup {
	return sourcetest.Setup{
		Lacks:    map[sourcetest.Ability]string{sourcetest.CompareAndSet: "PutSecretValue has no condition"},
		Names:    []string{"x", strings.Repeat("n", 512), "a/b/c", "AZaz09/_+=.@-", "-x", "a//b", "/a"},
		BadNames: []string{"", "a b", "a#b", "a*", "é", "a:b", strings.Repeat("n", 513), "arn:aws:secretsmanager:us-east-1:1:secret:x", "~x"},
		Foreign:  []string{"rds!db-11111111-2222-3333-4444-555555555555", "events!connection/x/y", "ecs-sc!x"},
		AtOnce:   atOnce,
	}
}

// opener opens sources of env that do not wait between attempts.
func opener(t *testing.T, env map[string]string, o sources.Options) func() sources.Source {
	awstest.Setenv(t, env)
	return func() sources.Source {
		s, err := Backend.Open(t.Context(), settings(), o)
		if err != nil {
			t.Fatal(err)
		}
		core(s).retryer = func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return time.Millisecond, nil })
			})
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
}

func core(s sources.Source) *source {
	if w, ok := s.(*store); ok {
		return w.source
	}
	return s.(*source)
}

func TestFakeConformance(t *testing.T) {
	s := setup()
	s.Column = "aws"
	s.Start = func(t *testing.T, o sources.Options) *sourcetest.Backend {
		f := awstest.StartFake(t)
		file := filepath.Join(t.TempDir(), "credentials")
		keys := 0
		renew := func() {
			keys++
			text := fmt.Sprintf("[default]\naws_access_key_id = KEY%d\naws_secret_access_key = secret\naws_session_token = token%d\n", keys, keys)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		renew()
		again := opener(t, without(f.Env(), keyNames, "AWS_SHARED_CREDENTIALS_FILE", file), o)
		return &sourcetest.Backend{
			Source: again(), Again: again,
			Seed:       func(name, text string) { f.Put(name, text) },
			SeedBinary: func(name string, b []byte) { f.PutBinary(name, b) },
			Deny:       func(name string) { f.Mark(f.ARN(name), awstest.Denied) },
			Throttle:   func() { f.Set(awstest.Faults{Throttle: awstest.Always}) },
			Hang:       func() { f.Set(awstest.Faults{Hang: true}) },
			Between:    func() { f.Set(awstest.Faults{Status: 403}) },
			Break:      func() { f.Set(awstest.Faults{Garble: awstest.Always}) },
			Expire: func(after int) {
				f.Set(awstest.Faults{Expire: after, ExpireKey: fmt.Sprintf("KEY%d", keys)})
				renew()
			},
			Refuse: func() { f.Set(awstest.Faults{Reject: "ExpiredTokenException"}) },
			DenyWrites: func() {
				f.Set(awstest.Faults{DenyActions: []string{"CreateSecret", "PutSecretValue", "DeleteSecret", "TagResource"}})
			},
			Rotate: func(name string) { f.Mark(f.ARN(name), awstest.Rotated) },
			Liar:   &f.Liar, Elsewhere: f.Elsewhere(),
			Versions: f.Versions, Metadata: f.Metadata,
			Requests: f.Total, MostAtOnce: f.MostAtOnce,
		}
	}
	sourcetest.Run(t, s)
}

func TestMotoConformance(t *testing.T) {
	m := awstest.Moto(t)
	s := setup()
	s.Many = 60 // three batches: moto is slow, and the fake is asked for all
	for _, ability := range []sourcetest.Ability{sourcetest.Denial, sourcetest.Throttling, sourcetest.Hanging, sourcetest.Breaking, sourcetest.Proxied, sourcetest.Expiring, sourcetest.Lying, sourcetest.Naming} {
		s.Lacks[ability] = "moto cannot be made to misbehave: see TestFakeConformance"
	}
	s.Lacks[sourcetest.WriteDenial] = "the errors that moto gives of its policies are not those of AWS: see TestFakeConformance"
	s.Lacks[sourcetest.Rotation] = "moto rotates with a function alone: see TestFakeConformance"
	s.Lacks[sourcetest.Counting] = "moto does not tell how many requests are under way: see TestFakeConformance"
	s.Start = func(t *testing.T, o sources.Options) *sourcetest.Backend {
		m.Reset(t)
		again := opener(t, m.Env(), o)
		client := m.Client(awstest.Region, "")
		seed := func(name string, text *string, b []byte) {
			if _, err := client.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: text, SecretBinary: b}); err == nil {
				return
			}
			if _, err := client.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: text, SecretBinary: b}); err != nil {
				t.Fatal(err)
			}
		}
		return &sourcetest.Backend{
			Source: again(), Again: again,
			Seed:       func(name, text string) { seed(name, &text, nil) },
			SeedBinary: func(name string, b []byte) { seed(name, nil, b) },
			Versions: func(name string) int {
				out, err := client.ListSecretVersionIds(t.Context(), &secretsmanager.ListSecretVersionIdsInput{SecretId: &name, IncludeDeprecated: aws.Bool(true)})
				if err != nil {
					t.Fatal(err)
				}
				return len(out.Versions)
			},
			Metadata: func() string {
				out, err := client.ListSecrets(t.Context(), &secretsmanager.ListSecretsInput{})
				if err != nil {
					t.Fatal(err)
				}
				b, err := json.Marshal(out.SecretList)
				if err != nil {
					t.Fatal(err)
				}
				return string(b)
			},
		}
	}
	sourcetest.Run(t, s)
}
