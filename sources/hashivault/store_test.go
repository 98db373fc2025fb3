package hashivault

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/hashivault/vaulttest"
	"bifrost-secrets/sources/internal/sourcetest"
)

const owner = "gateway"

func writing(t *testing.T, f *vaulttest.Fake, more ...string) *store {
	return &store{open(t, role(f, more...), nil).source}
}

func one(name, value, expect string) sources.Write {
	return sources.Write{
		Name: name, Value: sources.NewSecret([]byte(value)), Expect: expect, Token: sources.NewToken(),
		Mark: sources.Mark{Owner: owner, Path: "a.b"},
	}
}

func mustPut(t *testing.T, s *store, w sources.Write, want string) {
	t.Helper()
	if version, err := s.Put(t.Context(), w); err != nil || version != want {
		t.Errorf("put as version %q: %v (%s), want %s", version, err, sources.HintOf(err), want)
	}
}

// An answer that is lost makes the client ask again, and the vault say that
// another was first.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	s := writing(t, f)
	f.Set(vaulttest.Faults{Lose: 1})
	mustPut(t, s, one("a", "1", ""), "1")
	f.Set(vaulttest.Faults{Lose: 1})
	mustPut(t, s, one("a", "2", "1"), "2")
	if n := f.Versions("a"); n != 2 {
		t.Errorf("%d versions", n)
	}
	if item := s.Inspect(t.Context(), []string{"a"})["a"]; item.Mark == nil || item.Mark.Owner != owner {
		t.Errorf("the item is %+v", item)
	}
}

// Between the value and its mark we may be killed.
func TestStoppedInBetween(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	s := writing(t, f)
	stopped := func(name string) {
		f.Put(name, "1")
		f.SetCustom(name, map[string]string{makingKey: owner, "team": "x"})
	}
	stopped("a")
	if item := s.Inspect(t.Context(), []string{"a"})["a"]; item.Mark != nil {
		t.Errorf("it has the mark %+v", item.Mark)
	}
	sourcetest.WantKind(t, s.Delete(t.Context(), "a", owner, sources.DeleteOptions{Now: true}), sources.Refused)
	_, err := s.Put(t.Context(), one("a", "2", ""))
	if e := sourcetest.WantKind(t, err, sources.Conflict); !strings.Contains(e.Hint, "vault kv metadata delete -mount=secret a") {
		t.Errorf("the hint is %q", e.Hint)
	}
	theirs := one("a", "1", "")
	theirs.Mark.Owner = "another"
	_, err = s.Put(t.Context(), theirs)
	sourcetest.WantKind(t, err, sources.Refused)
	mustPut(t, s, one("a", "1", ""), "1")
	if item := s.Inspect(t.Context(), []string{"a"})["a"]; item.Mark == nil || *item.Mark != (sources.Mark{Owner: owner, Path: "a.b"}) {
		t.Errorf("the item is %+v", item)
	}
	if custom := f.Custom("a"); custom["team"] != "x" || custom[makingKey] != "" {
		t.Errorf("the metadata is %v", custom)
	}
	// Before the value, too.
	f.Put("b", "1")
	mustPut(t, s, one("c", "1", ""), "1")
}

// An entry that has no version yet may have metadata of others, which they keep.
func TestMetadataOfOthersIsKept(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	s := writing(t, f)
	mustPut(t, s, one("a", "1", ""), "1")
	custom := f.Custom("a")
	custom["team"] = "x"
	f.SetCustom("a", custom)
	w := one("a", "2", "1")
	w.Mark.Path = strings.Repeat("p", 2*marks.Max)
	mustPut(t, s, w, "2")
	w = one("a", "3", "2")
	mustPut(t, s, w, "3")
	if custom := f.Custom("a"); len(custom) != 4 || custom["team"] != "x" || custom[sources.ToolKey] != sources.Tool || custom[marks.Owner] != owner || custom[marks.Path] != "a.b" {
		t.Errorf("the metadata is %v", custom)
	}
}

func TestDestroyedCanBeStoredAnew(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	s := writing(t, f)
	mustPut(t, s, one("a", "1", ""), "1")
	f.Change("a", "destroy")
	if item := s.Inspect(t.Context(), []string{"a"})["a"]; !item.Exists || !item.Gone.IsZero() || item.Version != "1" {
		t.Errorf("the item is %+v", item)
	}
	mustPut(t, s, one("a", "2", "1"), "2")
}

// Every version is deleted, and none that was gone before is touched.
func TestDeleteTakesAllVersions(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	s := writing(t, f)
	mustPut(t, s, one("a", "1", ""), "1")
	mustPut(t, s, one("a", "2", "1"), "2")
	if err := s.Delete(t.Context(), "a", owner, sources.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(f.Metadata(), "deletion_time: "); n != 0 {
		t.Errorf("%d versions are left:\n%s", n, f.Metadata())
	}
}

func TestVersionOneIsOnlyRead(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	f.PutDocument("old", "a", `{"k":"v"}`)
	s := writing(t, f, "mount_path", "old")
	_, err := s.Put(t.Context(), one("b", "1", ""))
	if e := sourcetest.WantKind(t, err, sources.Refused); e.Hint != "upgrade it: vault kv enable-versioning old" {
		t.Errorf("the hint is %q", e.Hint)
	}
	sourcetest.WantKind(t, s.Delete(t.Context(), "a", owner, sources.DeleteOptions{Now: true}), sources.Refused)
	sourcetest.WantValue(t, s.Fetch(t.Context(), []string{"a"})["a"], "v")
}

// Those who make a secret at once take the mark from nobody.
func TestRacersKeepTheMark(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	for n := range 20 {
		name := fmt.Sprintf("key-%d", n)
		var racing sync.WaitGroup
		var won atomic.Pointer[string]
		for _, who := range []string{"a", "b", "c", "d"} {
			s := writing(t, f)
			racing.Go(func() {
				w := one(name, "of "+who, "")
				w.Mark.Owner = who
				if _, err := s.Put(t.Context(), w); err == nil {
					won.Store(&who)
				}
			})
		}
		racing.Wait()
		item := writing(t, f).Inspect(t.Context(), []string{name})[name]
		if winner := won.Load(); winner == nil || item.Mark == nil || item.Mark.Owner != *winner {
			t.Errorf("%s is %+v with the mark %+v", name, item, item.Mark)
		}
	}
}

// What lacks the permission for the mark is refused before a value is stored.
func TestNoValueWithoutAMark(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	f.Deny("secret/metadata/a", "patch")
	_, err := writing(t, f).Put(t.Context(), one("a", "1", ""))
	if e := sourcetest.WantKind(t, err, sources.Denied); e.Hint != "allow patch on secret/metadata/a in a policy of the token" {
		t.Errorf("the hint is %q", e.Hint)
	}
	if n := f.Versions("a"); n > 0 {
		t.Errorf("%d versions", n)
	}
}

func TestTooLargeForThisVault(t *testing.T) {
	t.Parallel()
	f := vaulttest.StartFake(t)
	s := writing(t, f)
	mustPut(t, s, one("a", "1", ""), "1")
	f.Set(vaulttest.Faults{TooLarge: true})
	_, err := s.Put(t.Context(), one("a", "2", "1"))
	sourcetest.WantKind(t, err, sources.Refused)
}
