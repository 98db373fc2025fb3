package azurevault

import (
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/azurevault/azuretest"
	"bifrost-secrets/sources/cloudtest"
	"bifrost-secrets/sources/internal/sourcetest"
)

func openStore(t testing.TB, f *azuretest.Fake) *store {
	o := sourcetest.Options()
	o.Write = true
	return open(t, f, o).(*store)
}

func (s *store) must(t *testing.T, w sources.Write) string {
	t.Helper()
	version, err := s.Put(t.Context(), w)
	if err != nil {
		t.Fatalf("%v (%s)", err, sources.HintOf(err))
	}
	return version
}

func TestPurgeProtection(t *testing.T) {
	f := azuretest.StartFake(t)
	f.Protect()
	s := openStore(t, f)
	s.must(t, sourcetest.Put("x", "1", ""))
	e := sourcetest.WantKind(t, s.Delete(t.Context(), "x", "gateway", sources.DeleteOptions{Now: true}), sources.Refused)
	if !strings.Contains(e.Message, "purge protection") || f.Calls("DeleteSecret") > 0 {
		t.Errorf("%v; %d deletions", e, f.Calls("DeleteSecret"))
	}
	if err := s.Delete(t.Context(), "x", "gateway", sources.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	sourcetest.WantKind(t, s.Delete(t.Context(), "x", "gateway", sources.DeleteOptions{Now: true}), sources.Refused)
	_, err := s.Put(t.Context(), sourcetest.Put("x", "2", ""))
	if e := sourcetest.WantKind(t, err, sources.Refused); !strings.Contains(e.Hint, "az keyvault secret recover --vault-name demo --name x") {
		t.Error(e.Hint)
	}
}

// A deletion takes a while, and a purge has to wait for it.
func TestSlowDeletion(t *testing.T) {
	f := azuretest.StartFake(t)
	s := openStore(t, f)
	s.must(t, sourcetest.Put("x", "1", ""))
	f.Slow(3)
	if err := s.Delete(t.Context(), "x", "gateway", sources.DeleteOptions{Now: true}); err != nil {
		t.Fatal(err)
	}
	if f.Versions("x") > 0 {
		t.Error("it is not purged")
	}
	// It is told apart from one that never ends.
	s.must(t, sourcetest.Put("x", "1", ""))
	f.Slow(1000)
	e := sourcetest.WantKind(t, s.Delete(t.Context(), "x", "gateway", sources.DeleteOptions{Now: true}), sources.Refused)
	if !strings.Contains(e.Message, "is not purged yet") {
		t.Error(e)
	}
	// What the look does not see, the write is told.
	_, err := s.Put(t.Context(), sourcetest.Put("x", "1", ""))
	if e := sourcetest.WantKind(t, err, sources.Refused); e.Code != "ObjectIsBeingDeleted" {
		t.Error(e)
	}
}

// The SDK sends a write again whose answer was lost; that is no conflict.
func TestLostAnswer(t *testing.T) {
	f := azuretest.StartFake(t)
	s := openStore(t, f)
	f.Set(cloudtest.Faults{Only: "SetSecret", Lose: 1})
	version := s.must(t, sourcetest.Put("x", "1", ""))
	if version != f.Newest("x") || f.Versions("x") != 2 {
		t.Errorf("version %s of %d", version, f.Versions("x"))
	}
	s.must(t, sourcetest.Put("x", "2", version))
}

func TestTags(t *testing.T) {
	f := azuretest.StartFake(t)
	s := openStore(t, f)
	version := s.must(t, sourcetest.Put("x", "1", ""))
	f.Tag("x", "team", "blue")
	s.must(t, sourcetest.Put("x", "2", version))
	if got := f.Tags("x"); got["team"] != "blue" || got[marks.Owner] != "gateway" {
		t.Errorf("tags are %v", got)
	}
	// Another tool that says so has taken it over.
	f.Put("x", "3")
	f.Tag("x", sources.ToolKey, "terraform")
	if item := s.Inspect(t.Context(), []string{"x"})["x"]; item.Mark != nil {
		t.Errorf("what another tool manages has the mark %+v", item.Mark)
	}
	sourcetest.WantKind(t, s.Delete(t.Context(), "x", "gateway", sources.DeleteOptions{}), sources.Refused)
	// More tags than fit.
	version = s.must(t, sourcetest.Put("y", "1", ""))
	for n := range 12 {
		f.Tag("y", strings.Repeat("t", n+1), "")
	}
	_, err := s.Put(t.Context(), sourcetest.Put("y", "2", version))
	sourcetest.WantKind(t, err, sources.Refused)
}

func TestDisabledIsOursStill(t *testing.T) {
	f := azuretest.StartFake(t)
	s := openStore(t, f)
	version := s.must(t, sourcetest.Put("x", "1", ""))
	version = s.must(t, sourcetest.Put("x", "2", version)) // of the same second
	f.Disable("x")
	item := s.Inspect(t.Context(), []string{"x"})["x"]
	if item.Err != nil || item.Version != version || item.Mark == nil {
		t.Errorf("%+v, want version %s", item, version)
	}
	s.must(t, sourcetest.Put("x", "3", version))
}

func TestPolicy(t *testing.T) {
	s := core(open(t, azuretest.StartFake(t), sourcetest.Options()))
	got := string(s.Policy([]string{"b/c", "a", azuretest.URL + "/secrets/a"}))
	const want = `# who runs bifrost-secrets: the object id of an app or of a managed identity
PRINCIPAL=00000000-0000-0000-0000-000000000000
VAULT=$(az keyvault show --name demo --query id --output tsv)
az role assignment create --assignee "$PRINCIPAL" --role "Key Vault Secrets User" --scope "$VAULT/secrets/a"
az role assignment create --assignee "$PRINCIPAL" --role "Key Vault Secrets User" --scope "$VAULT/secrets/b-x2F-c"
`
	if got != want {
		t.Errorf("got\n%s", got)
	}
	if wide := string(s.WritePolicy([]string{"a"}, "bifrost")); !strings.Contains(wide, `--role "Key Vault Secrets Officer" --scope "$VAULT"`+"\n") {
		t.Errorf("got\n%s", wide)
	}
}
