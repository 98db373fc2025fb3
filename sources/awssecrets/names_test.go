package awssecrets

import (
	"strings"
	"testing"

	"bifrost-secrets/sources"
)

func TestNames(t *testing.T) {
	const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
	for text, ok := range map[string]bool{
		"a":                      true,
		"prod/app_1+x=y.z@w-v":   true,
		strings.Repeat("a", 512): true,
		arn + "app/db-AbCdEf":    true,
		arn + "app/db":           true,
		"rds!db-11111111-2222-3333-4444-555555555555":                   true,
		arn + "rds!cluster-11111111-2222-3333-4444-555555555555-AbCdEf": true,
		arn + strings.Repeat("a", 512) + "-Ab":                          true,
		"arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:a":    true,
		"arn:aws-us-gov:secretsmanager:us-gov-1:123456789012:secret:a":  true,
		"":                       false,
		"a b":                    false,
		"a\x00":                  false,
		"ä":                      false,
		"a:b":                    false,
		"a#b":                    false,
		strings.Repeat("a", 513): false,
		"arn:":                   false,
		"arn:aws:secretsmanager": false,
		arn:                      false,
		arn + "a b":              false,
		"arn:aws:secretsmanager::123456789012:secret:a":                 false,
		"arn:aws:secretsmanager:eu-west-1::secret:a":                    false,
		"arn:aws:secretsmanager:eu-west-1:12345:secret:a":               false,
		"arn:aws:ssm:eu-west-1:123456789012:secret:a":                   false,
		"arn:evil:secretsmanager:eu-west-1:123456789012:secret:a":       false,
		"arn:aws:secretsmanager:x.evil.example:123456789012:secret:a":   false,
		arn + "a\narn:aws:secretsmanager:eu-west-1:123456789012:secret": false,
	} {
		i, err := parseID(text)
		if (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil && i.text != text {
			t.Errorf("%q became %q", text, i.text)
		}
		if err != nil {
			wantKind(t, err, sources.BadName)
			checkWords(t, err)
		}
	}
}

func TestWhichAnswerIsForWhichName(t *testing.T) {
	const account = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
	const other = "arn:aws:secretsmanager:eu-west-1:999999999999:secret:"
	for _, c := range []struct {
		id, arn, name string
		want          bool
	}{
		{"a", account + "a-AbCdEf", "a", true},
		{"a", account + "a/b-AbCdEf", "a/b", false},
		{account + "a-AbCdEf", account + "a-AbCdEf", "a", true},
		{account + "a", account + "a-AbCdEf", "a", true},
		{account + "a-AbCdEf", account + "a-AbCdEf-GhIjKl", "a-AbCdEf", true}, // a name that looks like a suffix
		{account + "a-XXXXXX", account + "a-AbCdEf", "a", false},              // that secret is gone, and made anew
		{account + "a", other + "a-AbCdEf", "a", false},
		{account + "a", account + "a/b-AbCdEf", "a/b", false},
		{account + "a", "", "", false},
	} {
		i, err := parseID(c.id)
		if err != nil {
			t.Fatal(err)
		}
		if got := i.is(c.arn, c.name); got != c.want {
			t.Errorf("%s is answered by %s: %v", c.id, c.arn, got)
		}
	}
}

func TestResourceOfAPolicy(t *testing.T) {
	for _, c := range []struct{ id, region, account, want string }{
		{"app/a", "eu-west-1", "", "arn:aws:secretsmanager:eu-west-1:*:secret:app/a-??????"},
		{"app/a", "cn-north-1", "123456789012", "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:app/a-??????"},
		{"app/a", "us-iso-east-1", "", "arn:*:secretsmanager:us-iso-east-1:*:secret:app/a-??????"},
		{"arn:aws:secretsmanager:eu-west-1:123456789012:secret:a", "eu-west-1", "", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-??????"},
		{"arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf", "eu-west-1", "", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf"},
	} {
		i, err := parseID(c.id)
		if err != nil {
			t.Fatal(err)
		}
		if got := i.resource(c.region, c.account); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add("app/a")
	f.Add("arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/a-AbCdEf")
	f.Fuzz(func(t *testing.T, text string) {
		i, err := parseID(text)
		if err != nil {
			return
		}
		if i.text != text || i.prefix+i.name != text || i.isARN() == (i.region == "") {
			t.Errorf("%q: %+v", text, i)
		}
		_ = i.resource("eu-west-1", "")
	})
}
