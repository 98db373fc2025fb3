package watch

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"bifrost-secrets/sources"
)

func secret(text string) sources.Secret { return sources.NewSecret([]byte(text)) }

// The key of an earlier life is known again, and another one is refused, in
// words that hold neither.
func TestRecordKey(t *testing.T) {
	path := RecordPath(filepath.Join(t.TempDir(), "config.json"))
	r := &Record{Path: path}
	if err := r.Check(secret("the key")); err != nil {
		t.Fatalf("before there is a record: %v", err)
	}
	if err := r.Keep(secret("the key")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the record: %v %v", info.Mode(), err)
	}
	first, _ := os.ReadFile(path)
	if strings.Contains(string(first), "the key") || !strings.Contains(string(first), "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("the record is %s", first)
	}
	r = &Record{Path: path}
	if err := r.Check(secret("the key")); err != nil {
		t.Errorf("the same key: %v", err)
	}
	if err := r.Keep(secret("the key")); err != nil {
		t.Error(err)
	}
	if again, _ := os.ReadFile(path); string(again) != string(first) {
		t.Error("the record of the same key was written again")
	}
	err = (&Record{Path: path}).Check(secret("canary-2"))
	if err == nil || !strings.Contains(err.Error(), "the key is not the one that Bifrost's database was written with") || strings.Contains(err.Error(), "canary") {
		t.Errorf("another key: %v", err)
	}
	if hint := sources.HintOf(err); !strings.Contains(hint, "--accept-new-encryption-key") {
		t.Errorf("the hint is %q", hint)
	}
	// Accepted, it is the one that counts from now on.
	r = &Record{Path: path, AcceptKey: true}
	if err := r.Check(secret("canary-2")); err != nil {
		t.Error(err)
	}
	if err := r.Keep(secret("canary-2")); err != nil {
		t.Error(err)
	}
	r = &Record{Path: path}
	if r.Check(secret("canary-2")) != nil || r.Check(secret("the key")) == nil {
		t.Error("the accepted key is not the one that counts")
	}
}

// A record that cannot be read stops the work: it would let any key through.
func TestRecordDamaged(t *testing.T) {
	for name, content := range map[string]string{
		"no JSON":        `{"encryption_key":`,
		"no fingerprint": `{"encryption_key":"x"}`,
		"another kind":   `{"encryption_key":"$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA"}`,
		"no salt":        `{"encryption_key":"$argon2id$v=19$m=19456,t=2,p=1$$c2FsdHNhbHRzYWx0c2FsdA"}`,
		"no base64":      `{"encryption_key":"$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$???"}`,
		"all the memory": `{"encryption_key":"$argon2id$v=19$m=4294967295,t=2,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA"}`,
		"all the time":   `{"encryption_key":"$argon2id$v=19$m=19456,t=100000,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA"}`,
	} {
		path := filepath.Join(t.TempDir(), "config.json.state")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		err := (&Record{Path: path}).Check(secret("the key"))
		if err == nil || !strings.Contains(err.Error(), "cannot be read") || sources.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is published serves in an outage if it is of this document and young
// enough; its age counts from when it was last confirmed.
func TestRecordServes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json.state")
	document, published, store := []byte("{}"), []byte(`{"a":"value"}`), ""
	serves := func(doc string, most time.Duration) string {
		_, err := (&Record{Path: path}).Serves(Origin{[]byte(doc), store}, published, most)
		if err != nil {
			return err.Error()
		}
		return ""
	}
	check(t, serves("{}", time.Hour), "nothing was rendered here before")
	r := &Record{Path: path}
	if err := r.Confirm(Origin{document, store}, published); err != nil {
		t.Fatal(err)
	}
	check(t, serves("{}", time.Hour), "")
	check(t, serves("{ }", time.Hour), "the config was edited since the last good values were rendered")
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	if got := serves("{}", time.Hour); !regexp.MustCompile(`^the last good values are 2h\d+m\d+s old, more than 1h0m0s \(--start-from-last-good\)$`).MatchString(got) {
		t.Error(got)
	}
	check(t, serves("{}", 3*time.Hour), "")
	if err := (&Record{Path: path}).Confirm(Origin{document, store}, published); err != nil {
		t.Fatal(err)
	}
	check(t, serves("{}", time.Hour), "")
	// What is taken is what was published, and not of a time to come.
	soon := time.Now().Add(2 * time.Hour)
	if err := os.Chtimes(path, soon, soon); err != nil {
		t.Fatal(err)
	}
	if got := serves("{}", 100*time.Hour); !strings.HasPrefix(got, "the last good values are of a time to come, by ") {
		t.Error(got)
	}
	now := time.Now()
	if err := os.Chtimes(path, now, now); err != nil {
		t.Fatal(err)
	}
	published = []byte(`{"a":"other"}`)
	check(t, serves("{}", time.Hour), errNotPublished.Error())
	if err := (&Record{Path: path}).Intact(published); err != errNotPublished {
		t.Error(err)
	}
	// It is of one source, which the record tells nothing of.
	published = []byte(`{"a":"value"}`)
	for _, from := range []string{"token=S3CRET", "", "token=S3CRET"} {
		store = from
		if err := (&Record{Path: path}).Confirm(Origin{document, store}, published); err != nil {
			t.Fatal(err)
		}
		check(t, serves("{}", time.Hour), "")
		for _, store = range []string{"token=S3CRET", "", "token=S3CRET2"} {
			if store != from {
				check(t, serves("{}", time.Hour), "the vault_store is another one than when the last good values were rendered")
			}
		}
	}
	store = "token=S3CRET"
	first, _ := os.ReadFile(path)
	if err := (&Record{Path: path}).Confirm(Origin{document, store}, published); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(path); string(again) != string(first) || strings.Contains(string(first), "S3CRET") {
		t.Errorf("%s became %s", first, again)
	}
	published, store = []byte(`{"a":"other"}`), ""
	// What an older version wrote says nothing of it.
	if err := os.WriteFile(path, []byte(`{"document":"`+digest(document)+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, serves("{}", time.Hour), "an older version noted the last good values, and not what was published")
	// What is published anew is noted at once, whatever the time.
	if err := (&Record{Path: path}).Confirm(Origin{document, store}, published); err != nil {
		t.Fatal(err)
	}
	check(t, serves("{}", time.Hour), "")
	if content, err := os.ReadFile(path); err != nil || strings.Contains(string(content), "other") {
		t.Errorf("%s %v", content, err)
	}
}

// The record's time is when the values were had. What is noted beside that never makes
// them younger, not even for as long as it takes to put the time right.
func TestRecordTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json.state")
	r := &Record{Path: path, AcceptKey: true}
	if err := r.Note(Origin{Document: []byte("{}")}, []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := r.Confirm(Origin{Document: []byte("{}")}, []byte("first")); err != nil {
		t.Fatal(err)
	}
	had := time.Now().Add(-2 * time.Hour).Truncate(time.Second)
	if err := os.Chtimes(path, had, had); err != nil {
		t.Fatal(err)
	}
	events, err := fsnotify.NewBufferedWatcher(100)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	if err := events.Add(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	for what, do := range map[string]func() error{
		"note": func() error { return r.Note(Origin{Document: []byte("{ }")}, []byte("second")) },
		"keep": func() error { return r.Keep(secret("a key")) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(had) {
			t.Errorf("%s: the time is %v, want %v (%v)", what, info.ModTime(), had, err)
		}
	}
	last := path + ".last"
	if err := os.WriteFile(last, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for e := range events.Events {
		if e.Name == last {
			break
		}
		if e.Name == path && e.Has(fsnotify.Chmod) && runtime.GOOS == "linux" { // others tell of each file's end, too
			t.Errorf("it was put in place before it had its time: %v", e)
		}
	}
}

// Whatever stands in a record, reading it ends soon, and lets nothing through
// that is not the key.
func FuzzRecord(f *testing.F) {
	f.Add(`{"encryption_key":"$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA","document":"sha256:"}`)
	f.Add(`{"encryption_key":"$argon2id$v=19$m=19456,t=2,p=1$$"}`)
	f.Add(`{"encryption_key":7}`)
	f.Fuzz(func(t *testing.T, content string) {
		if len(content) > 1000 || strings.Contains(content, "m=") && strings.Contains(content, "00000") {
			return // real fingerprints cost time; their bounds are tested apart
		}
		path := filepath.Join(t.TempDir(), "state")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		r := &Record{Path: path}
		if err := r.Check(secret("a key that no fingerprint here is of")); err == nil && r.what.Key != "" {
			t.Errorf("%s let a key through", content)
		}
	})
}
