package sourcetest

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"bifrost-secrets/sources"
)

const (
	owner   = "gateway-1"
	another = "gateway-2"
	path    = `providers.openai.keys[0]["a b"].value`
)

var writing = []test{
	{"create", "", testCreate},
	{"update", "", testUpdate},
	{"conflict", "", testConflict},
	{"not ours", "", testForeign},
	{"the one rule", "", testRule},
	{"marks", "", testMarks},
	{"the same write again", "", testAgain},
	{"sizes", "", testSizes},
	{"writing names at the limits", "", testWrittenNames},
	{"writing impossible names", "", testWrittenBadNames},
	{"write denied", WriteDenial, testWriteDenied},
	{"rotated", Rotation, testRotated},
	{"at once", "", testAtOnce},
	{"update at once", "", testUpdateAtOnce},
	{"looking at many", "", testInspectMany},
	{"nothing of a value beside it", Metadata, testMetadata},
	{"list", "", testList},
	{"lying lists", Lying, testLyingLists},
	{"delete", "", testDelete},
	{"delete what is not ours", "", testDeleteForeign},
	{"recover", Recovery, testRecovery},
}

// write makes a write of a value with that label.
func write(name, label, expect string) sources.Write {
	return sources.Write{
		Name: name, Value: sources.NewSecret([]byte(value(label))), Expect: expect, Token: sources.NewToken(),
		Mark: sources.Mark{Owner: owner, Path: path},
	}
}

func testCreate(r *run) {
	before := r.watch.item(r.ctx, "app/new")
	if before.Exists || before.Version != "" || before.Mark != nil {
		r.Errorf("before it was made: %+v", before)
	}
	w := write("app/new", "1", before.Version)
	version := r.watch.must(r.ctx, w)
	if got := r.watch.want(r.ctx, "app/new", value("1")); got != version {
		r.Errorf("it was put as version %s and fetched as %s", version, got)
	}
	r.is(w, version)
	// The same for another process.
	b := r.another()
	b.want(r.ctx, "app/new", value("1"))
	if item := b.item(r.ctx, "app/new"); item.Version != version || item.Mark == nil || *item.Mark != w.Mark {
		r.Errorf("another process sees %+v %+v", item, item.Mark)
	}
}

// is checks that a secret exists as it was written.
func (r *run) is(w sources.Write, version string) {
	r.Helper()
	item := r.watch.item(r.ctx, w.Name)
	switch {
	case !item.Exists || item.Version != version || !item.Gone.IsZero() || item.Rotated:
		r.Errorf("%.60q is %+v, want it there in version %s", w.Name, item, version)
	case item.Mark == nil || *item.Mark != w.Mark:
		r.Errorf("%.60q has the mark %+v, want %+v", w.Name, item.Mark, w.Mark)
	}
}

func testUpdate(r *run) {
	first := r.watch.must(r.ctx, write("key", "1", ""))
	other := r.watch.must(r.ctx, write("other", "other", ""))
	// What other secrets go through is no conflict.
	w := write("key", "2", first)
	w.Mark.Path = "somewhere.else"
	second := r.watch.must(r.ctx, w)
	if second == first {
		r.Error("the version stayed")
	}
	r.watch.want(r.ctx, "key", value("2"))
	r.is(w, second)
	r.watch.must(r.ctx, write("other", "other 2", other))
	third := r.watch.must(r.ctx, write("key", "3", r.watch.item(r.ctx, "key").Version))
	r.watch.want(r.ctx, "key", value("3"))
	// Only looking changes nothing.
	for range 2 {
		if item := r.watch.item(r.ctx, "key"); item.Version != third {
			r.Errorf("the version went from %s to %s by itself", third, item.Version)
		}
	}
	r.count("key", 3)
}

// count checks the number of versions of a secret, where the backend can tell.
func (r *run) count(name string, want int) {
	r.Helper()
	if r.Versions == nil {
		return
	}
	if n := r.Versions(name); n != want {
		r.Errorf("%q has %d versions, want %d", name, n, want)
	}
}

func testConflict(r *run) {
	// There is none, and one is expected.
	_, err := r.watch.put(r.ctx, write("key", "0", sources.NewToken()))
	r.watch.fails(err, sources.Conflict)
	r.watch.fails(r.watch.fetch(r.ctx, "key")["key"].Err, sources.NotFound)
	// There is one, and none is expected.
	first := r.watch.must(r.ctx, write("key", "1", ""))
	_, err = r.watch.put(r.ctx, write("key", "2", ""))
	r.watch.fails(err, sources.Conflict)
	r.watch.want(r.ctx, "key", value("1"))
	// Another process was quicker.
	b := r.another()
	second := b.must(r.ctx, write("key", "3", b.item(r.ctx, "key").Version))
	_, err = r.watch.put(r.ctx, write("key", "4", first))
	r.watch.fails(err, sources.Conflict)
	r.watch.want(r.ctx, "key", value("3"))
	// A person was.
	r.Seed("key", value("5"))
	_, err = r.watch.put(r.ctx, write("key", "6", second))
	r.watch.fails(err, sources.Conflict)
	r.watch.want(r.ctx, "key", value("5"))
	// Who looks again can write.
	item := r.watch.item(r.ctx, "key")
	if item.Mark == nil {
		r.Error("a new value has taken the mark away")
	}
	r.watch.must(r.ctx, write("key", "7", item.Version))
	r.watch.want(r.ctx, "key", value("7"))
}

func testForeign(r *run) {
	r.Seed("key", value("by hand"))
	item := r.watch.item(r.ctx, "key")
	if !item.Exists || item.Mark != nil || item.Version == "" {
		r.Errorf("a foreign secret is %+v, with the mark %+v", item, item.Mark)
	}
	for _, expect := range []string{item.Version, "", sources.NewToken()} {
		_, err := r.watch.put(r.ctx, write("key", "ours", expect))
		r.watch.fails(err, sources.Refused)
	}
	r.watch.want(r.ctx, "key", value("by hand"))
	// One of another gateway is foreign too.
	w := write("theirs", "theirs", "")
	w.Mark.Owner = another
	version := r.watch.must(r.ctx, w)
	for _, expect := range []string{version, ""} {
		_, err := r.watch.put(r.ctx, write("theirs", "ours", expect))
		r.watch.fails(err, sources.Refused)
		if !strings.Contains(err.Error()+sources.HintOf(err), another) {
			r.Errorf("the refusal does not name the owner: %v (%s)", err, sources.HintOf(err))
		}
	}
	r.watch.want(r.ctx, "theirs", value("theirs"))
	r.is(w, version)
}

// testRule holds what a backend decides on a change against [sources.Standing],
// which is to decide for all of them.
func testRule(r *run) {
	w := write("theirs", "theirs", "")
	w.Mark.Owner = another
	r.watch.must(r.ctx, w)
	r.watch.must(r.ctx, write("ours", "ours", ""))
	r.Seed("hand", value("by hand"))
	same := func(name, change string, err, want error) {
		r.Helper()
		switch {
		case (err == nil) != (want == nil), sources.KindOf(err) != sources.KindOf(want):
			r.Errorf("%s of %q: %v, and the rule says %v", change, name, err, want)
		case err != nil && !strings.HasSuffix(err.Error(), want.Error()):
			r.Errorf("%s of %q: %q, and the rule's words are %q", change, name, err, want)
		}
	}
	for _, name := range []string{"none", "ours", "theirs", "hand"} {
		for n, expect := range []string{sources.NewToken(), "", r.watch.item(r.ctx, name).Version} {
			item := r.watch.item(r.ctx, name)
			w := write(name, fmt.Sprint(name, n), expect) // a backend may know a write by its value
			_, want := sources.Standing{Exists: item.Exists, Version: item.Version, Mark: item.Mark}.AdmitPut(w)
			_, err := r.watch.put(r.ctx, w)
			same(name, "a write", err, want)
		}
	}
	if !r.watch.store().Traits().Recoverable {
		is := sources.Standing{Exists: true, Version: r.watch.item(r.ctx, "ours").Version, Mark: &sources.Mark{Owner: owner}}
		_, want := is.AdmitDelete(owner, sources.NewToken())
		same("ours", "an outdated deletion", r.watch.store().Delete(r.ctx, "ours", owner, sources.DeleteOptions{Expect: "0"}), want)
	}
	for _, name := range []string{"none", "ours", "theirs", "hand", "never"} {
		item := r.watch.item(r.ctx, name)
		_, want := sources.Standing{Exists: item.Exists, Version: item.Version, Mark: item.Mark}.AdmitDelete(owner, "")
		same(name, "a deletion", r.watch.store().Delete(r.ctx, name, owner, sources.DeleteOptions{Now: true}), want)
	}
}

func testMarks(r *run) {
	for i, mark := range []sources.Mark{
		{Owner: "a", Path: "b"},
		{Owner: "Prod gateway: team-ä/1 (eu) = \"x\"", Path: `mcp.client_configs[3].headers["X-Key, ü; a=b\\n"]`},
		{Owner: "o", Path: strings.Repeat("plugins[0].config.", 40) + "x"},
		{Owner: "=41=", Path: "=5B"},
	} {
		w := write(fmt.Sprintf("key-%d", i), "1", "")
		w.Mark = mark
		r.is(w, r.watch.must(r.ctx, w))
	}
	w := write("nobody", "1", "")
	w.Mark.Owner = ""
	_, err := r.watch.put(r.ctx, w)
	r.watch.fails(err, sources.Refused)
	r.watch.fails(r.watch.store().Delete(r.ctx, "nobody", "", sources.DeleteOptions{}), sources.Refused)
}

func testAgain(r *run) {
	create := write("key", "1", "")
	first := r.watch.must(r.ctx, create)
	if again := r.watch.must(r.ctx, create); again != first {
		r.Errorf("the same write again made version %s of %s", again, first)
	}
	update := write("key", "2", first)
	second := r.watch.must(r.ctx, update)
	// Also by another process, which began where the first was killed.
	for _, w := range []watched{r.watch, r.another()} {
		if again := w.must(r.ctx, update); again != second {
			r.Errorf("the same update again made version %s of %s", again, second)
		}
	}
	r.watch.want(r.ctx, "key", value("2"))
	r.count("key", 2)
}

func testSizes(r *run) {
	limits := r.watch.store().Traits().Limits
	most := limits.Max
	if most < 16<<10 || most > sources.MaxValue {
		r.Fatalf("a value may have %d bytes", most)
	}
	w := write("large", "", "")
	text := value(strings.Repeat("x", most-len(value(""))))
	w.Value = sources.NewSecret([]byte(text))
	version := r.watch.must(r.ctx, w)
	r.watch.want(r.ctx, "large", text)
	before := r.requests()
	for _, name := range []string{"large", "larger"} {
		w.Name, w.Token, w.Value = name, sources.NewToken(), sources.NewSecret([]byte(text+"x"))
		if w.Expect = version; name == "larger" {
			w.Expect = ""
		}
		_, err := r.watch.put(r.ctx, w)
		r.watch.fails(err, sources.Refused)
	}
	if n := r.requests() - before; n > 0 {
		r.Errorf("%d requests for a value that is too large", n)
	}
	r.watch.want(r.ctx, "large", text)
	r.delete(r.ctx, "large", sources.DeleteOptions{Now: true})
	// Other values that a backend may not like come back as they are, or are refused where its limits
	// say so.
	for i, text := range []string{"", "\n", " " + canary + " \r\n\n", canary + "\x00\x01\x7f", canary + "\xff\xfe", "{", canary + "\u2028\U0001f511"} {
		w := write(fmt.Sprintf("odd-%d", i), "", "")
		w.Value = sources.NewSecret([]byte(text))
		allowed := (text != "" || limits.Empty) && (utf8.ValidString(text) || limits.Binary)
		if !allowed {
			_, err := r.watch.put(r.ctx, w)
			r.watch.fails(err, sources.Refused)
			continue
		}
		r.watch.must(r.ctx, w)
		r.watch.want(r.ctx, w.Name, text)
	}
}

func testWrittenNames(r *run) {
	for _, name := range r.Names {
		w := write(name, name[:min(len(name), 20)], "")
		version := r.watch.must(r.ctx, w)
		r.watch.want(r.ctx, name, value(name[:min(len(name), 20)]))
		r.is(w, version)
		found, err := r.watch.store().List(r.ctx, name)
		r.watch.heard(err)
		if len(found) != 1 || found[0].Name != name {
			r.Errorf("a list by the name %.60q gives %v (%v)", name, found, err)
		}
		if err := r.watch.store().Delete(r.ctx, name, owner, sources.DeleteOptions{Now: true}); err != nil {
			r.Errorf("%.60q cannot be deleted: %v", name, err)
		}
	}
}

func testWrittenBadNames(r *run) {
	before := r.requests()
	for name, item := range r.watch.inspect(r.ctx, r.BadNames...) {
		r.watch.fails(item.Err, sources.BadName)
		_, err := r.watch.put(r.ctx, write(name, "1", ""))
		r.watch.fails(err, sources.BadName)
		r.watch.fails(r.watch.store().Delete(r.ctx, name, owner, sources.DeleteOptions{}), sources.BadName)
	}
	for _, name := range r.Foreign {
		_, err := r.watch.put(r.ctx, write(name, "1", ""))
		r.watch.fails(err, sources.BadName)
	}
	if n := r.requests() - before; n > 0 {
		r.Errorf("%d requests for names that cannot be", n)
	}
}

func testWriteDenied(r *run) {
	version := r.watch.must(r.ctx, write("key", "1", ""))
	r.DenyWrites()
	_, err := r.watch.put(r.ctx, write("new", "1", ""))
	r.watch.fails(err, sources.Denied)
	_, err = r.watch.put(r.ctx, write("key", "2", version))
	r.watch.fails(err, sources.Denied)
	r.watch.fails(r.watch.store().Delete(r.ctx, "key", owner, sources.DeleteOptions{}), sources.Denied)
	r.watch.want(r.ctx, "key", value("1"))
	r.watch.fails(r.watch.fetch(r.ctx, "new")["new"].Err, sources.NotFound)
}

func testRotated(r *run) {
	version := r.watch.must(r.ctx, write("key", "1", ""))
	r.Rotate("key")
	if item := r.watch.item(r.ctx, "key"); !item.Rotated {
		r.Errorf("it is rotated, and looks like %+v", item)
	}
	_, err := r.watch.put(r.ctx, write("key", "2", version))
	r.watch.fails(err, sources.Refused)
	r.watch.want(r.ctx, "key", value("1"))
}

func testInspectMany(r *run) {
	names := r.manyNames()
	var there []string
	for i := 0; i < len(names); i += 2 {
		there = append(there, names[i])
	}
	r.seedAll(there)
	before := r.requests()
	for name, item := range r.watch.inspect(r.ctx, names...) {
		if even := strings.ContainsAny(name[len(name)-1:], "02468"); item.Exists != even || item.Err != nil {
			r.Errorf("%s is %+v", name, item)
		}
	}
	if r.Requests == nil {
		return
	}
	if n := r.requests() - before; n > len(names) {
		r.Errorf("%d requests to look at %d secrets", n, len(names))
	}
	if n := r.MostAtOnce(); n > r.AtOnce {
		r.Errorf("%d requests were under way together, want %d at most", n, r.AtOnce)
	}
}
