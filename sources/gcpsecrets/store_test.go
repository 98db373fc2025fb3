package gcpsecrets

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/cloudtest"
	"bifrost-secrets/sources/gcpsecrets/gcptest"
	"bifrost-secrets/sources/internal/sourcetest"
)

func openStore(t testing.TB, f *gcptest.Fake) *store {
	o := sourcetest.Options()
	o.Write = true
	return open(t, f, o).(*store)
}

// A version bears no token, so a write whose answer was lost is found by its claim.
func TestLostAnswers(t *testing.T) {
	for _, lost := range []string{"CreateSecret", "AddSecretVersion"} {
		for _, faults := range []cloudtest.Faults{{Lose: 1}, {Fail: 1}, {Truncate: 1}} {
			f := gcptest.StartFake(t)
			s := openStore(t, f)
			faults.Only = lost
			f.Set(faults)
			w := sourcetest.Put("a/b", "1", "")
			version, err := s.Put(t.Context(), w)
			if lost == "AddSecretVersion" {
				sourcetest.WantKind(t, err, sources.Unreachable)
				if f.Calls(lost) != 1 {
					t.Errorf("a version was sent %d times", f.Calls(lost))
				}
				version, err = s.Put(t.Context(), w)
			}
			if err != nil || version != "1" || f.Versions("a-x2F-b") != 1 {
				t.Errorf("%s %+v: version %s of %d (%v)", lost, faults, version, f.Versions("a-x2F-b"), err)
			}
		}
	}
	// The version that followed the claim is somebody else's.
	f := gcptest.StartFake(t)
	s := openStore(t, f)
	f.Set(cloudtest.Faults{Only: "AddSecretVersion", Fail: 1})
	w := sourcetest.Put("x", "ours", "")
	_, err := s.Put(t.Context(), w)
	sourcetest.WantKind(t, err, sources.Unreachable)
	f.Put("x", []byte("theirs"))
	_, err = s.Put(t.Context(), w)
	if e := sourcetest.WantKind(t, err, sources.Conflict); !strings.Contains(e.Message, "version 1 is theirs") {
		t.Error(e)
	}
}

func TestClaims(t *testing.T) {
	f := gcptest.StartFake(t)
	s, other := openStore(t, f), openStore(t, f)
	f.Set(cloudtest.Faults{Only: "AddSecretVersion", Fail: 1})
	_, err := s.Put(t.Context(), sourcetest.Put("x", "1", ""))
	sourcetest.WantKind(t, err, sources.Unreachable)
	// Whoever claimed it may still be at it.
	_, err = other.Put(t.Context(), sourcetest.Put("x", "2", ""))
	if e := sourcetest.WantKind(t, err, sources.Conflict); !strings.Contains(e.Message, "is being changed by somebody else") {
		t.Error(e)
	}
	// But not for ever.
	other.now = func() time.Time { return time.Now().Add(2 * claimFor) }
	if version, err := other.Put(t.Context(), sourcetest.Put("x", "2", "")); err != nil || version != "1" {
		t.Errorf("version %s, %v", version, err)
	}
}

// CreateSecret says that the id is taken, and the secret is gone before it is looked
// at: without its etag a claim would be one to whatever is there by then.
func TestGoneMeanwhile(t *testing.T) {
	f := gcptest.StartFake(t)
	s := openStore(t, f)
	w := sourcetest.Put("x", "1", "")
	begun, fault := s.BeginPut(t.Context(), w)
	if fault != nil {
		t.Fatal(fault)
	}
	_, err := (&put{s.source, begun}).update()
	if e := sourcetest.WantKind(t, err, sources.Conflict); !strings.Contains(e.Message, "not there any more") || f.Total() != f.Calls("GetSecret") {
		t.Errorf("%v, %d requests", e, f.Total())
	}
}

func TestForeignAnnotationsStay(t *testing.T) {
	f := gcptest.StartFake(t)
	s := openStore(t, f)
	version, err := s.Put(t.Context(), sourcetest.Put("x", "1", ""))
	if err != nil {
		t.Fatal(err)
	}
	f.Annotate("x", "team", "blue")
	if _, err := s.Put(t.Context(), sourcetest.Put("x", "2", version)); err != nil {
		t.Fatal(err)
	}
	if got := f.Annotations("x"); got["team"] != "blue" || got[marks.Owner] != "gateway" {
		t.Errorf("annotations are %v", got)
	}
	if !strings.Contains(f.Metadata(), "managed-by:bifrost-secrets") {
		t.Error("the label for people is not there")
	}
}

func TestVersionsAreNotWritten(t *testing.T) {
	f := gcptest.StartFake(t)
	s := openStore(t, f)
	const one = "projects/demo-project/secrets/x/versions/1"
	_, err := s.Put(t.Context(), sourcetest.Put(one, "1", ""))
	sourcetest.WantKind(t, err, sources.Refused)
	sourcetest.WantKind(t, s.Delete(t.Context(), one, "gateway", sources.DeleteOptions{}), sources.Refused)
	if f.Total() > 0 {
		t.Errorf("%d requests", f.Total())
	}
}

func TestPolicy(t *testing.T) {
	s := core(open(t, gcptest.StartFake(t), sourcetest.Options()))
	got := string(s.Policy([]string{"b/c", "a", "projects/other/secrets/x/versions/3", "projects/other/secrets/x", "a"}))
	const want = `# who runs bifrost-secrets
MEMBER='serviceAccount:NAME@PROJECT.iam.gserviceaccount.com'
gcloud secrets add-iam-policy-binding a --project=demo-project --member="$MEMBER" --role=roles/secretmanager.secretAccessor
gcloud secrets add-iam-policy-binding b-x2F-c --project=demo-project --member="$MEMBER" --role=roles/secretmanager.secretAccessor
gcloud secrets add-iam-policy-binding x --project=other --member="$MEMBER" --role=roles/secretmanager.secretAccessor
`
	if got != want {
		t.Errorf("got\n%s", got)
	}
	wide := string(s.WritePolicy([]string{"a"}, "team/bifrost"))
	for _, part := range append([]string{"secretmanager.secrets.create,secretmanager.secrets.list", `secrets/team-x2F-bifrost-x2F-\")`, "add-iam-policy-binding a "}, keepPermissions...) {
		if !strings.Contains(wide, part) {
			t.Errorf("no %s in\n%s", part, wide)
		}
	}
}

// The list has pages, and who may not list looks at each.
func TestInspectMany(t *testing.T) {
	f := gcptest.StartFake(t)
	s := openStore(t, f)
	for n := range pageSize + 1 {
		f.Put(fmt.Sprintf("key-%04d", n), []byte("CANARY"))
	}
	names := []string{"none", "projects/" + gcptest.Number + "/secrets/key-0000"}
	for n := range listFrom {
		names = append(names, fmt.Sprintf("key-%04d", pageSize-n))
	}
	check := func() {
		t.Helper()
		items := s.Inspect(t.Context(), names)
		for _, name := range names {
			if item := items[name]; item.Err != nil || item.Exists == (name == "none") {
				t.Errorf("%s: %+v", name, item)
			}
		}
	}
	check()
	if n := f.Calls("ListSecrets"); n != 2 {
		t.Errorf("%d pages", n)
	}
	f.DenyListing()
	check()
	if _, err := s.List(t.Context(), ""); sources.KindOf(err) != sources.Denied || !strings.Contains(sources.HintOf(err), "secretmanager.secrets.list on projects/demo-project") {
		t.Errorf("%v (%s)", err, sources.HintOf(err))
	}
}
