package awssecrets

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"bifrost-secrets/sources"
)

func TestPolicy(t *testing.T) {
	s, err := Backend.Open(context.Background(), sources.Settings{"region": sources.NewSecret([]byte("eu-west-1"))}, sources.Options{
		Getenv: func(string) (string, bool) { return "", false },
		Warn:   func(string) {},
		Log:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	names := []string{"b/c", "a", "arn:aws:secretsmanager:us-east-1:123456789012:secret:x-AbCdEf", "arn:aws:secretsmanager:us-east-1:123456789012:secret:y", "a"}
	got := string(s.(*source).Policy(names))
	for _, want := range []string{
		`"arn:aws:secretsmanager:eu-west-1:*:secret:a-??????"`, `"arn:aws:secretsmanager:eu-west-1:*:secret:b/c-??????"`,
		`"arn:aws:secretsmanager:us-east-1:123456789012:secret:x-AbCdEf"`, `"arn:aws:secretsmanager:us-east-1:123456789012:secret:y-??????"`,
		`"secretsmanager:BatchGetSecretValue"`, `"2012-10-17"`,
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("%d times %s in\n%s", strings.Count(got, want), want, got)
		}
	}
	if none := string(s.(*source).Policy(nil)); strings.Contains(none, "Batch") {
		t.Errorf("batches are allowed for no secret:\n%s", none)
	}
}
