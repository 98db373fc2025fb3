package sourcetest

import (
	"context"
	"strings"
	"time"

	"bifrost-secrets/sources"
)

func testList(r *run) {
	for _, name := range []string{"app/b", "app/a", "app/c/d", "apple", "other"} {
		r.watch.must(r.ctx, write(name, "1", ""))
	}
	r.Seed("app/foreign", value("by hand"))
	for prefix, want := range map[string]string{
		"app/": "app/a app/b app/c/d app/foreign", "app": "app/a app/b app/c/d app/foreign apple",
		"": "app/a app/b app/c/d app/foreign apple other", "app/c/d": "app/c/d", "none/": "",
	} {
		items, err := r.watch.store().List(r.ctx, prefix)
		r.watch.heard(err)
		var names []string
		for _, item := range items {
			r.watch.silent(item)
			names = append(names, item.Name)
			if item != (sources.Item{Name: item.Name, Exists: true, Version: item.Version, Mark: item.Mark}) || item.Version == "" {
				r.Errorf("listed as %+v", item)
			}
			if foreign := item.Name == "app/foreign"; foreign != (item.Mark == nil) || !foreign && (item.Mark.Owner != owner || item.Mark.Path != path) {
				r.Errorf("%s is listed with the mark %+v", item.Name, item.Mark)
			}
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			r.Errorf("the list of %q is %q (%v), want %q", prefix, got, err, want)
		}
	}
}

// absent checks that a secret cannot be read any more.
func (r *run) absent(name string) {
	r.Helper()
	r.watch.fails(r.watch.fetch(r.ctx, name)[name].Err, sources.NotFound, sources.Disabled)
}

func (r *run) delete(ctx context.Context, name string, o sources.DeleteOptions) {
	r.Helper()
	if err := r.watch.store().Delete(ctx, name, owner, o); err != nil {
		r.watch.heard(err)
		r.Errorf("%q cannot be deleted: %v (%s)", name, err, sources.HintOf(err))
	}
}

func testDelete(r *run) {
	r.watch.must(r.ctx, write("key", "1", ""))
	kept := write("kept", "kept", "")
	version := r.watch.must(r.ctx, kept)
	r.delete(r.ctx, "key", sources.DeleteOptions{Now: true})
	r.absent("key")
	if item := r.watch.item(r.ctx, "key"); item.Exists || item.Mark != nil {
		r.Errorf("after its deletion it is %+v", item)
	}
	if items, err := r.watch.store().List(r.ctx, "key"); err != nil || len(items) > 0 {
		r.Errorf("after its deletion it is listed: %+v, %v", items, err)
	}
	// What is gone, or never was, is no error.
	for _, name := range []string{"key", "never"} {
		r.delete(r.ctx, name, sources.DeleteOptions{Now: true})
		r.delete(r.ctx, name, sources.DeleteOptions{})
	}
	r.watch.want(r.ctx, "kept", value("kept"))
	r.watch.must(r.ctx, write("kept", "kept 2", version))
	// The name is free again.
	r.is(write("key", "2", ""), r.watch.must(r.ctx, write("key", "2", "")))
	if r.watch.store().Traits().Recoverable {
		return
	}
	// What could not be brought back is not deleted by an old look at it.
	before := r.watch.item(r.ctx, "key").Version
	now := r.watch.must(r.ctx, write("key", "3", before))
	r.watch.fails(r.watch.store().Delete(r.ctx, "key", owner, sources.DeleteOptions{Expect: before, Now: true}), sources.Conflict)
	r.watch.want(r.ctx, "key", value("3"))
	r.delete(r.ctx, "key", sources.DeleteOptions{Expect: now})
	r.absent("key")
}

func testDeleteForeign(r *run) {
	r.Seed("hand", value("by hand"))
	w := write("theirs", "theirs", "")
	w.Mark.Owner = another
	r.watch.must(r.ctx, w)
	for _, name := range []string{"hand", "theirs"} {
		for _, o := range []sources.DeleteOptions{{}, {Now: true}} {
			r.watch.fails(r.watch.store().Delete(r.ctx, name, owner, o), sources.Refused)
		}
	}
	r.watch.want(r.ctx, "hand", value("by hand"))
	r.watch.want(r.ctx, "theirs", value("theirs"))
	// Not even one that was ours, and that a person has made anew.
	r.watch.must(r.ctx, write("was", "1", ""))
	r.delete(r.ctx, "was", sources.DeleteOptions{Now: true})
	r.Seed("was", value("by hand"))
	if item := r.watch.item(r.ctx, "was"); item.Mark != nil {
		r.Errorf("what a person made has the mark %+v", item.Mark)
	}
	r.watch.fails(r.watch.store().Delete(r.ctx, "was", owner, sources.DeleteOptions{}), sources.Refused)
}

func testRecovery(r *run) {
	version := r.watch.must(r.ctx, write("key", "1", ""))
	r.delete(r.ctx, "key", sources.DeleteOptions{RecoveryDays: 8})
	r.absent("key")
	item := r.watch.item(r.ctx, "key")
	if days := time.Until(item.Gone).Hours() / 24; item.Gone.IsZero() || days < -1 || days > 9 {
		r.Errorf("it is gone at %s", item.Gone)
	}
	if item.Mark == nil || *item.Mark != (sources.Mark{Owner: owner, Path: path}) {
		r.Errorf("it lost its mark: %+v", item.Mark)
	}
	for _, expect := range []string{"", version, item.Version} {
		_, err := r.watch.put(r.ctx, write("key", "2", expect))
		r.watch.fails(err, sources.Refused)
	}
	r.delete(r.ctx, "key", sources.DeleteOptions{RecoveryDays: 8})
	items, err := r.watch.store().List(r.ctx, "key")
	r.watch.heard(err)
	for _, item := range items {
		if item.Gone.IsZero() {
			r.Errorf("a deleted secret is listed as %+v", item)
		}
	}
	// Beyond recovery, also where it is on the way there already.
	r.delete(r.ctx, "key", sources.DeleteOptions{Now: true})
	if item := r.watch.item(r.ctx, "key"); item.Exists || !item.Gone.IsZero() {
		r.Errorf("it was deleted at once, and is %+v", item)
	}
}
