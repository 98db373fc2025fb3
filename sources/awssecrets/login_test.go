package awssecrets

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets/awstest"
)

func TestOpen(t *testing.T) {
	const role = "arn:aws:iam::210987654321:role/path/reader"
	for _, c := range []struct {
		name    string
		set     sources.Settings
		message string // a part of it; empty for a source
	}{
		{"nothing", settings(), ""},
		{"everything", settings("region", "eu-west-1", "access_key_id", "a", "secret_access_key", "b", "session_token", "c", "role_arn", role, "kms_key_id", "k"), ""},
		{"all empty", settings("region", "", "access_key_id", "", "secret_access_key", "", "session_token", "", "role_arn", "", "kms_key_id", ""), ""},
		{"not known", settings("regoin", "x", "profile", "y"), "not known: profile, regoin"},
		{"key without its half", settings("access_key_id", "a"), "must be set together"},
		{"half a key", settings("secret_access_key", "a", "access_key_id", ""), "must be set together"},
		{"token alone", settings("session_token", "a"), "session_token is set without"},
		{"no region", settings("region", "not a region"), "region is not"},
		{"no role", settings("role_arn", "reader"), "role_arn is not"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Backend.Open(context.Background(), c.set, options(t, nil, new(lockedBuffer)))
			if c.message == "" {
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			if s != nil {
				t.Error("a source and an error")
			}
			e := wantKind(t, err, sources.BadSettings)
			checkWords(t, e)
			if !strings.Contains(e.Message, c.message) || e.Hint == "" {
				t.Errorf("%v, hint %q", e, e.Hint)
			}
		})
	}
}

// without returns env less some of its variables, with others added in pairs.
func without(env map[string]string, names string, add ...string) map[string]string {
	env = maps.Clone(env)
	for _, name := range strings.Fields(names) {
		delete(env, name)
	}
	for n := 0; n < len(add); n += 2 {
		env[add[n]] = add[n+1]
	}
	return env
}

const keyNames = "AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY"

func TestRegion(t *testing.T) {
	f := awstest.StartFake(t)
	arn := f.PutIn(awstest.Account, "eu-north-1", "app/a", "v")
	for _, region := range []string{"eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1"} {
		f.PutIn(awstest.Account, region, "app/a", "v")
	}
	profile := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(profile, []byte("[default]\nregion = eu-west-3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := without(f.Env(), "AWS_REGION")
	metadata := without(none, "AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT", f.URL)
	for _, c := range []struct {
		name     string
		env      map[string]string
		set      sources.Settings
		names    []string
		want     string // the region in the answer's error; empty where there is none
		metadata int
		describe string
	}{
		{"the setting wins", without(metadata, "", "AWS_REGION", "xx-east-1"), settings("region", "eu-west-1"), []string{"no"}, "eu-west-1", 0, "eu-west-1"},
		{"AWS_REGION", without(metadata, "", "AWS_REGION", "eu-west-1", "AWS_DEFAULT_REGION", "eu-west-2"), settings(), []string{"no"}, "eu-west-1", 0, "eu-west-1"},
		{"AWS_DEFAULT_REGION", without(metadata, "", "AWS_DEFAULT_REGION", "eu-west-2"), settings(), []string{"no"}, "eu-west-2", 0, "eu-west-2"},
		{"profile", without(metadata, "", "AWS_CONFIG_FILE", profile), settings(), []string{"no"}, "eu-west-3", 0, "eu-west-3"},
		{"metadata", metadata, settings(), []string{"no"}, "eu-central-1", 2, "eu-central-1"},
		{"an arn needs none", metadata, settings(), []string{arn}, "", 0, ""},
		{"an arn has its own", metadata, settings("region", "eu-west-1"), []string{arn}, "", 0, "eu-west-1"},
		{"no metadata, but an arn", none, settings(), []string{arn}, "", 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.Forget()
			s := open(t, c.env, c.set)
			r := s.fetch(t, c.names...)[c.names[0]]
			if c.want == "" {
				wantValue(t, r, "v")
			} else if e := wantKind(t, r.Err, sources.NotFound); !strings.Contains(e.Message, "in "+c.want) {
				t.Errorf("%v, want region %s", e, c.want)
			}
			if n := f.Calls("InstanceMetadata"); n != c.metadata {
				t.Errorf("the instance metadata was asked %d times", n)
			}
			want := "aws-secrets-manager"
			if c.describe != "" {
				want += " in " + c.describe
			}
			if got := s.Describe(); got != want {
				t.Errorf("described as %q, want %q", got, want)
			}
		})
	}

	// No request goes to a region that there is not, and an ARN has its own.
	t.Run("no region at all", func(t *testing.T) {
		zone := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(zone, []byte("[default]\nregion = eu-west-3b\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for want, env := range map[string][]string{
			`AWS_REGION is not the code of a region; a region looks like eu-west-1`:                          {"AWS_REGION", `"eu-west-1"`},
			`AWS_DEFAULT_REGION is not the code of a region; a region looks like eu-west-1`:                  {"AWS_DEFAULT_REGION", "EU-WEST-1"},
			`AWS_REGION is an availability zone, and not a region; write eu-west-1`:                          {"AWS_REGION", "eu-west-1a"},
			`the region of aws profile "default" is an availability zone, and not a region; write eu-west-3`: {"AWS_CONFIG_FILE", zone},
		} {
			f.Forget()
			got := open(t, without(none, "", env...), settings()).fetch(t, "app/a", arn)
			wantValue(t, got[arn], "v")
			if e := wantKind(t, got["app/a"].Err, sources.BadSettings); e.Message+"; "+e.Hint != want {
				t.Errorf("%v; %s, want %s", e, e.Hint, want)
			}
			if n := f.Total(); n != 1 {
				t.Errorf("%s: %d requests", want, n)
			}
		}
		_, err := newSource(settings("region", "eu-west-1a"), sources.Options{Getenv: func(string) (string, bool) { return "", false }})
		if e := wantKind(t, err, sources.BadSettings); e.Message != "region is an availability zone, and not a region" {
			t.Error(e)
		}
	})

	t.Run("none", func(t *testing.T) {
		f.Forget()
		s := open(t, none, settings())
		got := s.fetch(t, "app/a", "app/b", arn)
		wantValue(t, got[arn], "v")
		e := wantKind(t, got["app/a"].Err, sources.BadSettings)
		if !strings.Contains(e.Hint, "AWS_DEFAULT_REGION") || !strings.Contains(e.Hint, "disabled by AWS_EC2_METADATA_DISABLED") {
			t.Errorf("%v, hint %q", e, e.Hint)
		}
		checkWords(t, e)
		if n := f.Total(); n != 1 {
			t.Errorf("%d requests", n)
		}
		wantKind(t, s.Ping(context.Background(), ""), sources.BadSettings)
		wantKind(t, s.Ping(context.Background(), "app/a"), sources.BadSettings)
	})

	t.Run("asked for when it is wanted", func(t *testing.T) {
		f.Forget()
		s := open(t, metadata, settings())
		wantValue(t, s.fetch(t, arn)[arn], "v")
		if s.Describe() != "aws-secrets-manager" {
			t.Errorf("the region of an arn became that of all names: %s", s.Describe())
		}
		got := s.fetch(t, arn, "app/a", "app/none")
		wantValue(t, got[arn], "v")
		wantValue(t, got["app/a"], "v")
		got = s.fetch(t, "app/a")
		wantValue(t, got["app/a"], "v")
		if n := f.Calls("InstanceMetadata"); n != 2 { // a token and the region, once
			t.Errorf("the instance metadata was asked %d times", n)
		}
	})

	t.Run("plan of names and arns", func(t *testing.T) {
		local := f.PutIn(awstest.Account, "eu-west-3", "local", "v")
		s := open(t, without(none, "", "AWS_CONFIG_FILE", profile), settings())
		if got, want := s.Plan([]string{"app/a", local}), (sources.Calls{Batch: 1, IfRefused: 2}); got != want {
			t.Errorf("plan %+v, want %+v", got, want)
		}
	})
}

func TestNothingToFetchWantsNoCredentials(t *testing.T) {
	s := open(t, map[string]string{"AWS_PROFILE": "no-such-profile", "AWS_CONFIG_FILE": os.DevNull}, settings())
	if got := s.Fetch(context.Background(), nil); len(got) != 0 {
		t.Error(got)
	}
	e := wantKind(t, s.fetch(t, "not a name")["not a name"].Err, sources.BadName)
	checkWords(t, e)
	if got := s.Plan([]string{"not a name", "arn:aws:iam::1:role/x"}); got != (sources.Calls{}) {
		t.Errorf("plan %+v", got)
	}
	e = wantKind(t, s.fetch(t, "app/a")["app/a"].Err, sources.NoLogin)
	if !strings.Contains(e.Message, `aws profile "no-such-profile" is in none`) {
		t.Error(e)
	}
}

func TestNoCredentials(t *testing.T) {
	f := awstest.StartFake(t)
	none := without(f.Env(), keyNames)
	for _, c := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"nothing", none, "the environment (AWS_ACCESS_KEY_ID is not set), web identity (AWS_WEB_IDENTITY_TOKEN_FILE is not set), " +
			`the shared config files (nothing for profile "default"), the container (AWS_CONTAINER_CREDENTIALS_FULL_URI is not set), ` +
			"the instance metadata (disabled by AWS_EC2_METADATA_DISABLED)"},
		{"half a key", without(none, "", "AWS_ACCESS_KEY_ID", "a"), "the environment (AWS_SECRET_ACCESS_KEY is not set)"},
		{"no role", without(none, "AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT", f.URL), "the instance metadata (gave none)"},
		{"no token file", without(none, "", "AWS_WEB_IDENTITY_TOKEN_FILE", "/no/token", "AWS_ROLE_ARN", "arn:aws:iam::210987654321:role/r"),
			"web identity (the file of AWS_WEB_IDENTITY_TOKEN_FILE cannot be read)"},
		{"no container", without(none, "", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/c"), "the container (connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.Forget()
			s := open(t, c.env, settings())
			for _, r := range s.fetch(t, "app/a", "app/b") {
				e := wantKind(t, r.Err, sources.NoLogin)
				if e.Message != "no aws credentials were found" || !strings.Contains(e.Hint, c.want) {
					t.Errorf("%v, hint %q\nwant %q in it", e, e.Hint, c.want)
				}
				checkWords(t, e)
			}
			if f.Calls("BatchGetSecretValue") != 0 {
				t.Error("a request without credentials")
			}
		})
	}
}

func TestSharedConfigIsNotQuoted(t *testing.T) {
	f := awstest.StartFake(t)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"broken":   "[default\n" + mark + "\n",
		"no value": "[default]\naws_access_key_id\n" + mark,
		"process":  "[default]\ncredential_process = sh -c 'echo " + mark + "; exit 1'\n",
		"sso":      "[default]\nsso_start_url = https://x.invalid/" + mark + "\nsso_region = eu-west-1\nsso_account_id = 210987654321\nsso_role_name = r\n",
		"role":     "[default]\nrole_arn = arn:aws:iam::210987654321:role/r\nsource_profile = other\n",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, name)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, without(f.Env(), keyNames, "AWS_CONFIG_FILE", file, "HOME", dir), settings())
			e := wantKind(t, s.fetch(t, "app/a")["app/a"].Err, sources.NoLogin)
			if strings.Contains(show(e), mark) {
				t.Errorf("the file is quoted: %v", show(e))
			}
			checkWords(t, e)
			t.Logf("%v\n\thint: %s", e, e.Hint)
		})
	}
}

func TestSigningInEndsWithItsContext(t *testing.T) {
	f := awstest.StartFake(t)
	f.PutIn("210987654321", awstest.Region, "app/a", "v")
	s := open(t, f.Env(), settings("role_arn", "arn:aws:iam::210987654321:role/r"))
	hold := make(chan struct{})
	f.Hold("AssumeRole", hold)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	r := s.Fetch(ctx, []string{"app/a"})["app/a"]
	wantKind(t, r.Err, sources.Unreachable)
	if !errors.Is(r.Err, context.DeadlineExceeded) {
		t.Error(r.Err)
	}
	close(hold)
	wantValue(t, s.fetch(t, "app/a")["app/a"], "v")
}

// An address that is none is a fault of the settings, and not of the network.
func TestEndpointThatIsNone(t *testing.T) {
	for _, c := range []struct{ variable, value, ignored, want string }{
		{"AWS_ENDPOINT_URL", "127.0.0.1:4566", "", "AWS_ENDPOINT_URL is not the address of a service"},
		{"AWS_ENDPOINT_URL", `"http://127.0.0.1:4566"`, "", "AWS_ENDPOINT_URL is not the address of a service"},
		{"AWS_ENDPOINT_URL_SECRETS_MANAGER", "localhost", "", "AWS_ENDPOINT_URL_SECRETS_MANAGER is not the address of a service"},
		{"AWS_ENDPOINT_URL", "127.0.0.1:4566", "true", ""},
		{"AWS_ENDPOINT_URL", "http://127.0.0.1:4566", "", ""},
	} {
		_, err := newSource(settings("region", "eu-west-1"), sources.Options{Getenv: func(name string) (string, bool) {
			v, ok := map[string]string{c.variable: c.value, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": c.ignored}[name]
			return v, ok
		}})
		if c.want == "" {
			if err != nil {
				t.Errorf("%+v: %v", c, err)
			}
		} else if e := wantKind(t, err, sources.BadSettings); e.Message != c.want {
			t.Errorf("%+v: %v", c, e)
		}
	}
}
