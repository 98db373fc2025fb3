package sourcetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"bifrost-secrets/sources"
)

// deadline is for a backend that will not answer.
const deadline = 300 * time.Millisecond

// manyNames returns the names of as many secrets as a large document refers to.
func (r *run) manyNames() []string {
	names := make([]string, cmp.Or(r.Many, 500))
	for i := range names {
		names[i] = fmt.Sprintf("app/key-%03d", i)
	}
	return names
}

var reading = []test{
	{"read", "", testRead},
	{"missing", "", testMissing},
	{"not utf-8", Binary, testBinary},
	{"denied", Denial, testDenied},
	{"partial failure", Denial, testPartial},
	{"throttled", Throttling, func(r *run) { r.Throttle(); r.down(r.ctx, sources.Throttled) }},
	{"broken", Breaking, func(r *run) { r.Break(); r.down(r.ctx, sources.Unreachable) }},
	{"in between", Proxied, func(r *run) { r.Between(); r.down(r.ctx, sources.Unreachable) }},
	{"hanging", Hanging, testHanging},
	{"lying", Lying, testLying},
	{"another's answer", Naming, testOther},
	{"stopped", "", testStopped},
	{"credentials expire", Expiring, testExpired},
	{"credentials refused", Expiring, testRefused},
	{"versions", "", testVersions},
	{"ping", "", testPing},
	{"names at the limits", "", testNames},
	{"impossible names", "", testBadNames},
	{"many secrets", "", testMany},
	{"no names", "", func(r *run) { r.watch.fetch(r.ctx) }},
}

func testRead(r *run) {
	texts := map[string]string{
		"plain": value("plain"), "json": `{"a.b": "` + value("json") + `", "n": 1.50}`,
		"lines": value("line 1") + "\r\n\tline 2\n\n", "quotes": `"` + value(`\u0041 "x" 'y' $z <&>`) + `"`,
		"unicode": value("\u00e9\u4e16\U0001f511\u2028"), "long": value(strings.Repeat("x", 60_000)),
	}
	var names []string
	for name, text := range texts {
		r.Seed(name, text)
		names = append(names, name)
	}
	for name, result := range r.watch.fetch(r.ctx, names...) {
		r.watch.same(name, result, texts[name])
	}
	r.watch.want(r.ctx, "plain", texts["plain"])
}

func testMissing(r *run) {
	r.Seed("there", value("there"))
	r.watch.fails(r.watch.fetch(r.ctx, "none")["none"].Err, sources.NotFound)
	got := r.watch.fetch(r.ctx, "none", "there", "nothing")
	r.watch.fails(got["none"].Err, sources.NotFound)
	r.watch.fails(got["nothing"].Err, sources.NotFound)
	r.watch.same("there", got["there"], value("there"))
}

func testBinary(r *run) {
	// A source returns the bytes as they are or refuses them; it does not mend them.
	bytes := "\xff\xfe\x00" + canary
	r.SeedBinary("image", []byte(bytes))
	r.Seed("text", value("text"))
	got := r.watch.fetch(r.ctx, "image", "text")
	r.watch.same("text", got["text"], value("text"))
	if got["image"].Err != nil {
		r.watch.fails(got["image"].Err, sources.Unusable)
		return
	}
	r.watch.same("image", got["image"], bytes)
}

func testDenied(r *run) {
	r.Seed("closed", value("closed"))
	r.Deny("closed")
	r.watch.fails(r.watch.fetch(r.ctx, "closed")["closed"].Err, sources.Denied)
}

func testPartial(r *run) {
	var names []string
	for i := range 45 {
		names = append(names, fmt.Sprintf("key-%d", i))
	}
	r.seedAll(names)
	r.Deny(names[7])
	got := r.watch.fetch(r.ctx, append(names, "none")...)
	for i, name := range names {
		if i != 7 {
			r.watch.same(name, got[name], value(name))
		}
	}
	r.watch.fails(got[names[7]].Err, sources.Denied)
	r.watch.fails(got["none"].Err, sources.NotFound)
}

// down checks that no request, of whatever sort, has success or another kind.
func (r *run) down(ctx context.Context, kind sources.Kind) {
	r.Helper()
	for _, result := range r.watch.fetch(ctx, "a", "b", "c") {
		r.watch.fails(result.Err, kind)
	}
	r.watch.fails(r.watch.fetch(ctx, "a")["a"].Err, kind)
	r.watch.fails(r.Source.Ping(ctx, ""), kind)
	if _, ok := r.Source.(sources.Store); !ok {
		return
	}
	for _, item := range r.watch.inspect(ctx, "a", "b") {
		r.watch.fails(item.Err, kind)
		if item.Exists || item.Version != "" || item.Mark != nil {
			r.Errorf("an item that could not be looked at says more than that: %+v", item)
		}
	}
	_, err := r.watch.store().List(ctx, "a")
	r.watch.fails(err, kind)
	_, err = r.watch.put(ctx, write("a", "never", ""))
	r.watch.fails(err, kind)
	r.watch.fails(r.watch.store().Delete(ctx, "a", owner, sources.DeleteOptions{}), kind)
}

func testHanging(r *run) {
	r.Seed("a", value("a"))
	r.Hang()
	each := func(do func(context.Context)) {
		ctx, cancel := context.WithTimeout(r.ctx, deadline)
		defer cancel()
		do(ctx)
	}
	each(func(ctx context.Context) {
		for _, result := range r.watch.fetch(ctx, "a", "b", "c") {
			r.watch.fails(result.Err, sources.Unreachable)
		}
	})
	each(func(ctx context.Context) { r.watch.fails(r.Source.Ping(ctx, "a"), sources.Unreachable) })
	if _, ok := r.Source.(sources.Store); !ok {
		return
	}
	each(func(ctx context.Context) {
		for _, item := range r.watch.inspect(ctx, "a", "b") {
			r.watch.fails(item.Err, sources.Unreachable)
		}
	})
	each(func(ctx context.Context) {
		_, err := r.watch.put(ctx, write("c", "never", ""))
		r.watch.fails(err, sources.Unreachable)
	})
	each(func(ctx context.Context) {
		r.watch.fails(r.watch.store().Delete(ctx, "c", owner, sources.DeleteOptions{}), sources.Unreachable)
	})
}

func testStopped(r *run) {
	r.Seed("a", value("a"))
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	before := r.requests()
	r.down(ctx, sources.Unreachable)
	if n := r.requests() - before; n > 0 {
		r.Errorf("%d requests were made for nobody", n)
	}
	r.watch.want(r.ctx, "a", value("a")) // it works again with another context
}

// requests counts where the backend can count.
func (r *run) requests() int {
	if r.Requests == nil {
		return 0
	}
	return r.Requests()
}

// testExpired lets a session end half way, as one does whose file is renewed on
// the disk.
func testExpired(r *run) {
	names := r.manyNames()[:100]
	if r.Many > 0 {
		names = names[:min(len(names), r.Many)]
	}
	r.seedAll(names)
	r.watch.want(r.ctx, names[0], value(names[0]))
	r.Expire(2)
	plan, before := r.Source.Plan(names).Total(), r.requests()
	for name, result := range r.watch.fetch(r.ctx, names...) {
		if result.Err != nil && r.Stays {
			r.watch.fails(result.Err, sources.NoLogin)
			continue
		}
		r.watch.same(name, result, value(name))
	}
	// Those that were under way when it ended are sent once more, and no others.
	if n, most := r.requests()-before, plan+r.AtOnce*max(1, r.Resends); n > most {
		r.Errorf("%d requests, %d were planned, and %d can have been under way", n, plan, r.AtOnce)
	}
	last := r.watch.fetch(r.ctx, names[0])[names[0]]
	said := strings.Count(r.said.String(), "signed in anew")
	if r.Stays {
		r.watch.fails(last.Err, sources.NoLogin)
		if said > 0 {
			r.Error("it says that it signed in anew, and cannot have")
		}
		return
	}
	r.watch.same(names[0], last, value(names[0]))
	if said != 1 {
		r.Errorf("it says %d times that it signed in anew, want once", said)
	}
	// Looking and listing as well, which Expire(1) breaks off after a request.
	for what, do := range map[string]func() error{
		"ping":  func() error { return r.Source.Ping(r.ctx, names[0]) },
		"fetch": func() error { return r.watch.fetch(r.ctx, names[0])[names[0]].Err },
		"list": func() error {
			inspector, ok := r.Source.(sources.Inspector)
			if !ok {
				return nil
			}
			_, err := inspector.List(r.ctx, names[0])
			return err
		},
	} {
		r.Expire(0)
		if err := do(); err != nil {
			r.Errorf("%s after the end of the session: %v (%s)", what, err, sources.HintOf(err))
		}
	}
}

// testRefused has credentials that are no good any more, nor are others: what is
// under way is sent once more at most, and the rest not at all.
func testRefused(r *run) {
	names := r.manyNames()
	r.seedAll(names)
	r.watch.want(r.ctx, names[0], value(names[0]))
	r.Refuse()
	for range 2 {
		before := r.requests()
		for _, result := range r.watch.fetch(r.ctx, names...) {
			r.watch.fails(result.Err, sources.NoLogin)
		}
		if n, most := r.requests()-before, 2*r.AtOnce*max(1, r.Resends); n > most {
			r.Errorf("%d requests with credentials that are refused, want %d at most", n, most)
		}
	}
	if said := r.said.String(); strings.Count(said, "signed in anew") > 2 {
		r.Errorf("it goes on to sign in anew:\n%s", said)
	}
}

func testVersions(r *run) {
	r.Seed("key", value("first"))
	first := r.watch.want(r.ctx, "key", value("first"))
	if again := r.watch.want(r.ctx, "key", value("first")); again != first {
		r.Errorf("the version changed from %s to %s without a new value", first, again)
	}
	r.Seed("key", value("second"))
	if second := r.watch.want(r.ctx, "key", value("second")); second == first {
		r.Errorf("a new value has the version of the old one, %s", first)
	}
}

func testPing(r *run) {
	r.Seed("key", value("key"))
	for _, name := range []string{"", "key"} {
		if err := r.Source.Ping(r.ctx, name); err != nil {
			r.Errorf("ping %q: %v", name, err)
		}
	}
	r.watch.fails(r.Source.Ping(r.ctx, "none"), sources.NotFound)
}

func testNames(r *run) {
	names := slices.Concat(r.Names, r.Foreign)
	for _, name := range names {
		r.Seed(name, value(name[:min(len(name), 20)]))
	}
	for name, result := range r.watch.fetch(r.ctx, names...) {
		r.watch.same(name, result, value(name[:min(len(name), 20)]))
	}
}

func testBadNames(r *run) {
	r.Seed("good", value("good"))
	before := r.requests()
	for name, result := range r.watch.fetch(r.ctx, r.BadNames...) {
		r.watch.fails(result.Err, sources.BadName)
		if len(name) > 200 && strings.Contains(result.Err.Error(), name) {
			r.Errorf("a message repeats a name of %d bytes", len(name))
		}
	}
	if n := r.requests() - before; n > 0 {
		r.Errorf("%d requests for names that cannot be", n)
	}
	got := r.watch.fetch(r.ctx, r.BadNames[0], "good")
	r.watch.fails(got[r.BadNames[0]].Err, sources.BadName)
	r.watch.same("good", got["good"], value("good"))
}

func testMany(r *run) {
	names := r.manyNames()
	r.seedAll(names)
	plan, before := r.Source.Plan(names), r.requests()
	made := sources.CallsOf(r.Source, names, func() {
		for name, result := range r.watch.fetch(r.ctx, names...) {
			r.watch.same(name, result, value(name))
		}
	})
	if r.Requests == nil {
		return
	}
	if plan.IfRefused = 0; made != plan {
		r.Errorf("the source counts %+v, and %+v were planned", made, plan)
	}
	if n := r.requests() - before; n != plan.Total() {
		r.Errorf("%d requests, and %d were planned", n, plan.Total())
	}
	if n := r.MostAtOnce(); n > r.AtOnce {
		r.Errorf("%d requests were under way together, want %d at most", n, r.AtOnce)
	}
}
