package gcpsecrets

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/cloudtest"
	"bifrost-secrets/sources/gcpsecrets/gcptest"
	"bifrost-secrets/sources/internal/sourcetest"
)

func TestStates(t *testing.T) {
	f := gcptest.StartFake(t)
	s := open(t, f, sourcetest.Options())
	for _, id := range []string{"disabled", "destroyed", "torn", "a-x2F-b"} {
		f.Put(id, []byte("CANARY-old"))
		f.Put(id, []byte("CANARY-new"))
	}
	f.SetState("disabled", "DISABLED")
	f.SetState("destroyed", "DESTROYED")
	f.Tear("torn")
	f.Create("empty")
	f.Deny("a-x2F-b")
	for name, want := range map[string]struct {
		kind       sources.Kind
		said, hint string
	}{
		"disabled":  {sources.Disabled, `secret "disabled" in project demo-project: version 2, the newest, is disabled`, "gcloud secrets versions enable 2 --secret disabled --project demo-project"},
		"destroyed": {sources.Disabled, "version 2, the newest, is destroyed", "gcloud secrets versions add destroyed"},
		"torn":      {sources.Unusable, "did not arrive whole: its CRC32C checksum is another", "run again"},
		"empty":     {sources.NotFound, "does not exist, or has no version", "projects/demo-project/secrets/empty/versions/latest"},
		"a/b":       {sources.Denied, `secret "a/b" in project demo-project may not be read, or does not exist`, "allow secretmanager.versions.access on projects/demo-project/secrets/a-x2F-b, which roles/secretmanager.secretAccessor does"},
		"projects/demo-project/secrets/disabled/versions/2":  {sources.Disabled, "version 2 is disabled", "enable"},
		"projects/demo-project/secrets/disabled/versions/77": {sources.NotFound, "does not exist", "versions/77"},
	} {
		e := sourcetest.WantKind(t, s.Fetch(t.Context(), []string{name})[name].Err, want.kind)
		if !strings.Contains(e.Message, want.said) || !strings.Contains(e.Hint, want.hint) {
			t.Errorf("%s: %s; %s", name, e.Message, e.Hint)
		}
	}
	for name, version := range map[string]string{
		"projects/demo-project/secrets/disabled/versions/1": "1", "projects/" + gcptest.Number + "/secrets/destroyed/versions/1": "1",
	} {
		if r := s.Fetch(t.Context(), []string{name})[name]; r.Err != nil || r.Version != version || string(r.Value.Reveal()) != "CANARY-old" {
			t.Errorf("%s: %v, version %s", name, r.Err, r.Version)
		}
	}
}

// Looking at a version looks at its secret, whichever version is the newest.
func TestInspectVersion(t *testing.T) {
	f := gcptest.StartFake(t)
	f.Put("x", []byte("CANARY"))
	f.Put("x", []byte("CANARY"))
	const name = "projects/demo-project/secrets/x/versions/1"
	item := open(t, f, sourcetest.Options()).(sources.Inspector).Inspect(t.Context(), []string{name})[name]
	if item.Err != nil || !item.Exists || item.Version != "2" {
		t.Errorf("%+v", item)
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		status, reason string
		kind           sources.Kind
		said, hint     string
	}{
		{"PERMISSION_DENIED", "SERVICE_DISABLED", sources.Denied, "api is not enabled", "gcloud services enable secretmanager.googleapis.com --project demo-project"},
		// None of these is mended by a role on the secret.
		{"PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", sources.Denied, "the access scopes of the credentials leave out", "cloud-platform"},
		{"PERMISSION_DENIED", "USER_PROJECT_DENIED", sources.Denied, "may not be billed", "roles/serviceusage.serviceUsageConsumer"},
		{"PERMISSION_DENIED", "BILLING_DISABLED", sources.Denied, "has no billing account", "gcloud billing projects link demo-project"},
		{"PERMISSION_DENIED", "SECURITY_POLICY_VIOLATED", sources.Denied, "VPC Service Controls", "perimeter"},
		{"PERMISSION_DENIED", "IAM_PERMISSION_DENIED", sources.Denied, "may not be read, or does not exist", "allow secretmanager.versions.access on projects/demo-project/secrets/x"},
		{"INVALID_ARGUMENT", "X_Y", sources.BadName, "does not accept the request", "check the name"},
		{"FAILED_PRECONDITION", "X_Y", sources.Disabled, "present state", "gcloud secrets versions list x"},
		{"INTERNAL", "X_Y", sources.Unreachable, "the service failed, after 4 attempts", "status.cloud.google.com"},
	} {
		f := gcptest.StartFake(t)
		f.Reject(c.status, c.reason)
		e := sourcetest.WantKind(t, open(t, f, sourcetest.Options()).Fetch(t.Context(), []string{"x"})["x"].Err, c.kind)
		if !strings.Contains(e.Message, c.said) || !strings.Contains(e.Hint, c.hint) || e.Code != c.status {
			t.Errorf("%s: %v; %s", c.status, e, e.Hint)
		}
	}
	f := gcptest.StartFake(t)
	f.Set(cloudtest.Faults{Page: cloudtest.Always})
	if e := sourcetest.WantKind(t, open(t, f, sourcetest.Options()).Ping(t.Context(), ""), sources.Unreachable); e.Code != "http status 502" {
		t.Error(e)
	}
}

func TestAttempts(t *testing.T) {
	t.Parallel()
	f := gcptest.StartFake(t)
	s := open(t, f, sourcetest.Options())
	f.Put("x", []byte("CANARY"))
	for _, faults := range []cloudtest.Faults{{Reset: 3}, {Throttle: 3}, {Fail: 3}, {Truncate: 2}, {Empty: 1}, {Lose: 2}} {
		f.Set(faults)
		if err := s.Ping(t.Context(), "x"); err != nil {
			t.Errorf("%+v: %v", faults, err)
		}
	}
	f.Set(cloudtest.Faults{})
	slow := open(t, f, sources.Options{Getenv: os.LookupEnv, Log: sourcetest.Options().Log, CallTimeout: 400 * time.Millisecond})
	for late := time.Now().Add(sourcetest.Limit); slow.Ping(t.Context(), "x") != nil && time.Now().Before(late); {
		// On a slow machine the token may come too late.
	}
	f.Set(cloudtest.Faults{Hang: true})
	e := sourcetest.WantKind(t, slow.Ping(t.Context(), "x"), sources.Unreachable)
	if e.Message != "no usable answer from secretmanager.googleapis.com: nothing within 400ms" {
		t.Error(e)
	}
}

// A token that is revoked is not held until it expires.
func TestRevoked(t *testing.T) {
	f := gcptest.StartFake(t)
	s := open(t, f, sourcetest.Options())
	f.Put("x", []byte("CANARY"))
	if err := s.Ping(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	f.Revoke()
	if err := s.Ping(t.Context(), "x"); err != nil {
		t.Errorf("not signed in anew: %v", err)
	}
}

func TestLoginFails(t *testing.T) {
	f := gcptest.StartFake(t)
	f.RejectLogins("invalid_grant")
	names := make([]string, 100)
	for n := range names {
		names[n] = fmt.Sprint("key-", n)
	}
	for _, r := range open(t, f, sourcetest.Options()).Fetch(t.Context(), names) {
		if e := sourcetest.WantKind(t, r.Err, sources.NoLogin); e.Code != "invalid_grant" {
			t.Error(e)
		}
	}
	if f.Total() > 0 || len(f.Grants()) != 1 {
		t.Errorf("%d requests, %d tokens were asked for", f.Total(), len(f.Grants()))
	}
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := write("key.json", gcptest.Credentials())
	write("user.json", gcptest.UserCredentials())
	write("broken.json", `{"type": "service_account", "private_key": "CANARY"}`)
	t.Setenv("HOME", dir) // without the file of gcloud
	for _, c := range []struct {
		setting, env string
		said         string // "" for a success
	}{
		{gcptest.Credentials(), "", ""}, {key, "", ""}, {"key.json", "", ""}, {"user.json", "", ""}, {"", key, ""},
		{"none.json", "", "the file that credentials_json names cannot be read"},
		{"CANARYeyJ0eXBl", "", "neither JSON nor the path of a file"},
		{`{"type": CANARY}`, "", "credentials_json is not JSON"},
		{`{"type": "CANARY"}`, "", "credentials_json is not a credentials file of gcp"},
		{"broken.json", "", "the file that credentials_json names"},
		{strings.Replace(gcptest.Credentials(), "{", `{"universe_domain": "other.example", `, 1), "", "the gcp credentials are for another cloud than googleapis.com"},
		{`{"type": "external_account", "audience": "a", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "https://sts.googleapis.com/v1/token", "credential_source": {"file": "` + dir + `"}}`,
			"", "cannot be read: it is a directory"},
		{"", filepath.Join(dir, "none.json"), "the file that GOOGLE_APPLICATION_CREDENTIALS names cannot be read: no such file"},
		{"", filepath.Join(dir, "broken.json"), "the file that GOOGLE_APPLICATION_CREDENTIALS names is not"},
		{"", `{"type": "service_account", "private_key": "CANARY"}`, "the file that GOOGLE_APPLICATION_CREDENTIALS names cannot be read"},
	} {
		f := gcptest.StartFake(t)
		f.Put("x", []byte("CANARY-value"))
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", c.env)
		o := sourcetest.Options()
		o.Dir = dir
		o.Warn = func(said string) { t.Errorf("%.20s %s: warned: %s", c.setting, c.env, said) }
		err := open(t, f, o, "credentials_json", c.setting).Ping(t.Context(), "x")
		if c.said == "" {
			if err != nil {
				t.Errorf("%.20s %s: %v (%s)", c.setting, c.env, err, sources.HintOf(err))
			}
			if want := map[bool]string{true: "billed"}[c.setting == "user.json"]; f.Billed() != want {
				t.Errorf("%.20s: %q pays, want %q", c.setting, f.Billed(), want)
			}
			continue
		}
		e := sourcetest.WantKind(t, err, sources.NoLogin)
		if strings.HasPrefix(c.env, "{") != strings.Contains(e.Hint, "the text of a credentials file, and is to name one") {
			t.Errorf("%.20s: %s", c.env, e.Hint)
		}
		if !strings.Contains(e.Message, c.said) || e.Hint == "" || strings.Contains(fmt.Sprintf("%+v %s", e, e.Hint), "CANARY") {
			t.Errorf("%.20s %s: %s; %s", c.setting, c.env, e.Message, e.Hint)
		}
	}
}

// The file of gcloud is that of the user, and never one that lies in the working
// directory.
func TestNoHome(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"gcloud", filepath.Join(".config", "gcloud")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "application_default_credentials.json"), []byte(gcptest.Credentials()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	home := t.TempDir()
	s := core(open(t, gcptest.StartFake(t), sourcetest.Options(), "credentials_json", ""))
	for _, c := range [][2]string{{"", ""}, {home, ""}, {home, "."}} {
		t.Setenv("HOME", c[0])
		t.Setenv("APPDATA", c[1]) // of Windows alone
		if text, where, fault := s.file(); text != nil || fault != nil {
			t.Errorf("HOME=%s APPDATA=%s: taken from %s (%v)", c[0], c[1], where, fault)
		}
	}
	t.Setenv("HOME", ".")
	if text, where, fault := s.file(); text == nil || fault != nil {
		t.Errorf("not taken from %s (%v)", where, fault)
	}
}

// The libraries have a log of their own, with the bodies of answers.
func TestLibrariesAreSilent(t *testing.T) {
	t.Setenv("GOOGLE_SDK_GO_LOGGING_LEVEL", "debug")
	said, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	before := os.Stderr
	os.Stderr = said
	defer func() { os.Stderr = before }()
	f := gcptest.StartFake(t)
	f.Put("x", []byte("CANARY"))
	if err := open(t, f, sourcetest.Options()).Ping(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(said.Name()); err != nil || len(b) > 0 {
		t.Errorf("standard error has %d bytes (%v)", len(b), err)
	}
}

func TestSettings(t *testing.T) {
	for want, set := range map[string]sources.Settings{
		"has no project_id":              sourcetest.Settings(),
		"has settings that are not know": sourcetest.Settings("project_id", "demo-project", "region", "x"),
		"is not the id of a project":     sourcetest.Settings("project_id", "Demo Project"),
	} {
		_, err := Backend.Open(t.Context(), set, sourcetest.Options())
		if e := sourcetest.WantKind(t, err, sources.BadSettings); !strings.Contains(e.Message, want) || e.Hint == "" {
			t.Errorf("%v; %s", e, e.Hint)
		}
	}
}

// An editor of Windows puts a mark before the credentials.
func TestMarkInFile(t *testing.T) {
	f := gcptest.StartFake(t)
	f.Put("x", []byte("CANARY"))
	file := filepath.Join(t.TempDir(), "user.json")
	if err := os.WriteFile(file, []byte("\ufeff"+strings.ReplaceAll(gcptest.UserCredentials(), "\n", "\r\n")+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{file, ""} {
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
		if err := open(t, f, sourcetest.Options(), "credentials_json", setting).Ping(t.Context(), "x"); err != nil {
			t.Error(err)
		}
	}
}

// A credentials file that was replaced is read again when what came of the old
// one is refused: within the same use, and with two requests at most.
func TestRenewedOnDisk(t *testing.T) {
	f := gcptest.StartFake(t)
	f.Put("x", []byte("CANARY"))
	file := filepath.Join(t.TempDir(), "user.json")
	write := func(refresh string) {
		if err := os.WriteFile(file, []byte(strings.Replace(gcptest.UserCredentials(), `"r"`, `"`+refresh+`"`, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, setting := range []string{file, ""} { // and by the variable
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
		write("old")
		f.Withdraw("none")
		s := open(t, f, sourcetest.Options(), "credentials_json", setting)
		if err := s.Ping(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		f.Withdraw("old")
		before, grants := f.Total(), len(f.Grants())
		sourcetest.WantKind(t, s.Ping(t.Context(), "x"), sources.NoLogin)
		if n, logins := f.Total()-before, len(f.Grants())-grants; n != 1 || logins != 1 {
			t.Errorf("%d requests and %d logins with what is dead, want one of each", n, logins)
		}
		write("new")
		before = f.Total()
		if err := s.Ping(t.Context(), "x"); err != nil || f.Total()-before != 1 {
			t.Errorf("%v, after %d requests", err, f.Total()-before)
		}
	}
}
