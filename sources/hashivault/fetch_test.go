package hashivault

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/cloudtest"
	"bifrost-secrets/sources/hashivault/vaulttest"
	"bifrost-secrets/sources/internal/sourcetest"
)

func TestDocuments(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ document, whole, fragments string }{
		{`{"key":"text <&>"}`, `text <&>`, `{"key":"text <&>"}`},
		{`{"b":"2","a":"1"}`, `{"a":"1","b":"2"}`, ""},
		{`{"a":"<&>\u2028","b":{"c":[1,null]}}`, `{"a":"<&>\u2028","b":{"c":[1,null]}}`, ""},
		{`{"number":12.5}`, `12.5`, `{"number":12.5}`},
		{`{"yes":true}`, `true`, `{"yes":true}`},
		{`{"inner":{"x":"<&>"}}`, `{"x":"<&>"}`, `{"inner":{"x":"<&>"}}`},
		{`{"list":["a"]}`, `["a"]`, `{"list":["a"]}`},
		{`{"empty":""}`, ``, `{"empty":""}`},
		{`{}`, `{}`, ""},
		// What was stored as one text is still an object with keys.
		{`{"value":" {\"a\": 1.50, \"b\":\"x\"}\n"}`, " {\"a\": 1.50, \"b\":\"x\"}\n", `{"value":" {\"a\": 1.50, \"b\":\"x\"}\n","a": 1.50, "b":"x"}`},
		{`{"value":"{\"value\":1}"}`, `{"value":1}`, `{"value":"{\"value\":1}"}`},
		{`{"value":"{}"}`, `{}`, `{"value":"{}"}`},
		{`{"value":"[1]"}`, `[1]`, `{"value":"[1]"}`},
	} {
		f := vaulttest.StartFake(t)
		f.PutDocument("secret", "x", test.document)
		f.PutDocument("old", "x", test.document)
		for _, mount := range []string{"secret", "old"} {
			r := open(t, role(f, "mount_path", mount), nil).fetch(t, "x")["x"]
			sourcetest.WantValue(t, r, test.whole)
			if got := string(r.Document.Reveal()); got != test.fragments {
				t.Errorf("%s of %s: the document for fragments is %s, want %s", test.document, mount, got, test.fragments)
			}
			if (r.Version == "1") != (mount == "secret") {
				t.Errorf("version %q in %s", r.Version, mount)
			}
		}
	}
}

// Version 1 of the engine returns numbers as they were written.
func TestNumbersKeepTheirSpelling(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	f.PutDocument("old", "x", `{"big":12345678901234567890,"n":1.50,"e":1E5}`)
	sourcetest.WantValue(t, open(t, role(f, "mount_path", "old"), nil).fetch(t, "x")["x"], `{"big":12345678901234567890,"e":1E5,"n":1.50}`)
}

func TestNoValue(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	f.PutDocument("secret", "null", `{"a":null}`)
	f.PutDocument("secret", "large", fmt.Sprintf(`{"a":%q,"b":""}`, strings.Repeat("x", sources.MaxValue)))
	for _, name := range []string{"deleted", "destroyed"} {
		f.Put(name, "old")
		f.Put(name, "new")
	}
	f.Change("deleted", "delete")
	f.Change("destroyed", "destroy")
	s := open(t, role(f), nil)
	got := s.fetch(t, "null", "large", "deleted", "destroyed", "none")
	sourcetest.WantKind(t, got["null"].Err, sources.Unusable)
	sourcetest.WantKind(t, got["large"].Err, sources.Unusable)
	if e := sourcetest.WantKind(t, got["deleted"].Err, sources.Disabled); !strings.Contains(e.Hint, "vault kv undelete -mount=secret -versions=2 deleted") {
		t.Errorf("the hint is %q", e.Hint)
	}
	if e := sourcetest.WantKind(t, got["destroyed"].Err, sources.Disabled); !strings.Contains(e.Message, "destroyed") {
		t.Errorf("the message is %q", e.Message)
	}
	if e := sourcetest.WantKind(t, got["none"].Err, sources.NotFound); !strings.Contains(e.Hint, "the mount secret") {
		t.Errorf("the hint is %q", e.Hint)
	}
	const full = "secret/data/a/b"
	if e := sourcetest.WantKind(t, s.fetch(t, full)[full].Err, sources.NotFound); e.Hint != "a path begins below the mount: write vault.a/b" {
		t.Errorf("the hint is %q", e.Hint)
	}
}

// A fetch costs the login, one look at the mount, and one request a secret; the
// next one only the last.
func TestRequests(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	f.Put("a", "1")
	f.Put("b", "2")
	s := open(t, role(f), nil)
	for n := 1; n <= 2; n++ {
		s.fetch(t, "a", "b")
		if all, logins, mounts := f.Count(""), f.Count("PUT auth/approle/login"), f.Count("GET sys/"); all != 2+2*n || logins != 1 || mounts != 1 {
			t.Errorf("after fetch %d: %d requests, %d logins, %d looks at the mount", n, all, logins, mounts)
		}
	}
}

func TestLookingReadsNoValue(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	for _, name := range []string{"a", "b/c", "b/d/e"} {
		f.Put(name, "x")
		f.PutDocument("old", name, `{"k":"v"}`)
	}
	s := open(t, role(f), nil)
	s.Inspect(t.Context(), []string{"a", "b/c", "none"})
	if _, err := s.List(t.Context(), ""); err != nil {
		t.Error(err)
	}
	if n := f.Count("GET secret/data/"); n > 0 {
		t.Errorf("%d values were read", n)
	}
	old := open(t, role(f, "mount_path", "old"), nil)
	for name, item := range old.Inspect(t.Context(), []string{"a", "b/c", "b/d", "none", "no/ne"}) {
		if want := name == "a" || name == "b/c"; item.Exists != want || item.Err != nil {
			t.Errorf("of version 1, %s is %+v", name, item)
		}
	}
	items, err := old.List(t.Context(), "b")
	if err != nil || len(items) != 2 || items[0].Name != "b/c" || items[1].Name != "b/d/e" {
		t.Errorf("of version 1, the list is %+v, %v", items, err)
	}
	if n := f.Count("GET old/a"); n > 0 {
		t.Errorf("%d values were read", n)
	}
}

func TestListOfADeniedFolder(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	f.Put("a/b", "x")
	f.Deny("secret/metadata/a/", "list")
	_, err := open(t, role(f), nil).List(t.Context(), "a/")
	if e := sourcetest.WantKind(t, err, sources.Denied); e.Hint != "allow list on secret/metadata/a/ in a policy of the token" {
		t.Errorf("the hint is %q", e.Hint)
	}
}

func TestMounts(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	f.PutDocument("team/kv", "a", `{"k":"team"}`)
	f.PutDocument("team-a/secret", "a", `{"k":"namespace"}`)
	f.Put("folder/a", "root")
	sourcetest.WantValue(t, open(t, role(f, "mount_path", "/team/kv/"), nil).fetch(t, "a")["a"], "team")
	sourcetest.WantValue(t, open(t, role(f, "namespace", "team-a/"), nil).fetch(t, "a")["a"], "namespace")
	sourcetest.WantValue(t, open(t, role(f), map[string]string{"VAULT_NAMESPACE": "team-a"}).fetch(t, "a")["a"], "namespace")
	if e := sourcetest.WantKind(t, open(t, role(f, "mount_path", "secret/folder"), nil).fetch(t, "a")["a"].Err, sources.BadSettings); !strings.Contains(e.Hint, "mount alone") {
		t.Errorf("the hint is %q", e.Hint)
	}
	sourcetest.WantKind(t, open(t, role(f, "mount_path", "pki"), nil).fetch(t, "a")["a"].Err, sources.BadSettings)
	if e := sourcetest.WantKind(t, open(t, role(f, "mount_path", "none"), nil).fetch(t, "a")["a"].Err, sources.NotFound); !strings.Contains(e.Hint, "sees no secrets engine") {
		t.Errorf("the hint is %q", e.Hint)
	}
	if e := sourcetest.WantKind(t, open(t, role(f, "namespace", "none"), nil).fetch(t, "a")["a"].Err, sources.NoLogin); !strings.Contains(e.Message, "no namespace none") {
		t.Errorf("the message is %q", e.Message)
	}
}

// A mount that becomes one of another version while we run is found out, and
// nothing that is no document is taken for one meanwhile.
func TestAnotherVersionOfTheEngine(t *testing.T) {
	t.Parallel()
	for from, to := range map[int]int{1: 2, 2: 1} {
		f := vaulttest.StartFake(t)
		f.Mount("old", from)
		f.PutDocument("old", "x", `{"k":"v"}`)
		s := open(t, role(f, "mount_path", "old"), nil)
		sourcetest.WantValue(t, s.fetch(t, "x")["x"], "v")
		f.Mount("old", to)
		if r := s.fetch(t, "x")["x"]; r.Err == nil {
			t.Errorf("from %d to %d: the answer of another engine was taken for the value %q", from, to, r.Value.Reveal())
		}
		sourcetest.WantValue(t, s.fetch(t, "x")["x"], "v")
		if n := f.Count("GET sys/"); n != 2 {
			t.Errorf("from %d to %d: %d looks at the mount", from, to, n)
		}
	}
}

// What a server says of a mount is repeated only where it is the type of an engine.
func TestTypeOfAMount(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	for kind, shown := range map[string]bool{"pki": true, "CANARY-7c1e": false, `a\u001b[31m b`: false} {
		f.Tell(&cloudtest.Lie{Serve: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if !strings.HasPrefix(r.URL.Path, "/v1/sys/") {
				next.ServeHTTP(w, r)
				return
			}
			_, _ = io.WriteString(w, `{"request_id":"0","data":{"type":"`+kind+`"}}`)
		}})
		e := sourcetest.WantKind(t, open(t, role(f), nil).fetch(t, "x")["x"].Err, sources.BadSettings)
		if strings.Contains(e.Message, "it has the type "+kind) != shown || strings.Contains(e.Message, "CANARY") || strings.Contains(e.Message, "\x1b") {
			t.Errorf("said %q of %q", e.Message, kind)
		}
	}
}

// Version 1 of the engine has nothing around a document: what is none is not taken
// for an empty one.
func TestNoDocument(t *testing.T) {
	t.Parallel()
	for _, mount := range []string{"secret", "old"} {
		f := vaulttest.StartFake(t)
		f.PutDocument(mount, "x", `{"k":"v"}`)
		s := open(t, role(f, "mount_path", mount), nil)
		sourcetest.WantValue(t, s.fetch(t, "x")["x"], "v")
		for _, body := range []string{
			``, `{}`, `{"message":"no Route matched with those values CANARY-7c1e"}`, `{"data":null}`, `{"other":"CANARY-7c1e"}`, `{"warnings":["CANARY-7c1e"]}`,
			`{"data":null,"wrap_info":{"token":"CANARY-7c1e","ttl":60,"creation_time":"2026-01-01T00:00:00Z"}}`, // a control group
		} {
			for _, status := range []int{http.StatusOK, http.StatusNotFound} {
				f.Tell(&cloudtest.Lie{Serve: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					if !strings.HasPrefix(r.URL.Path, "/v1/"+mount+"/") {
						next.ServeHTTP(w, r)
						return
					}
					w.WriteHeader(status)
					_, _ = io.WriteString(w, body)
				}})
				r := s.fetch(t, "x")["x"]
				kind := sources.KindOf(r.Err)
				if kind != sources.Unreachable || strings.Contains(r.Err.Error()+sources.HintOf(r.Err), "CANARY") {
					t.Errorf("%d %s in %s: %v (%s)", status, body, mount, r.Err, kind)
				}
			}
		}
	}
}
