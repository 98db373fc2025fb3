//go:build unix

package control

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/watch"
	"bifrost-secrets/watch/control/controltest"
)

// working is a status of n references, the last refreshes with it.
func working(n int) watch.Status {
	now := time.Now()
	st := watch.Status{
		Version: "v1.0.0", Host: "gateway-7d9f-x2x4k", Source: "aws-secrets-manager in eu-central-1", Config: "/app/data/config.source.json", Out: "/app/data/config.json", Mode: "inline", Apply: "auto",
		Ready: true, Success: now.Add(-19 * time.Minute), Next: now.Add(41 * time.Minute),
		Bifrost: &watch.BifrostStatus{PID: 17, Started: now.Add(-26 * time.Hour), Restarts: 2, Version: "1.5.21", API: "http://127.0.0.1:8080"},
	}
	providers := []string{"openai", "anthropic", "bedrock", "azure", "vertex", "mistral", "cohere", "groq"}
	for i := range n {
		p := providers[i%len(providers)]
		st.References = append(st.References, watch.ReferenceStatus{
			Path: fmt.Sprintf("providers.%s.keys[%d].value", p, i/len(providers)), Reference: fmt.Sprintf("vault.prod/%s/key-%d#api_key", p, i), Secret: fmt.Sprintf("prod/%s/key-%d", p, i),
			Version: fmt.Sprintf("%08x-7c1d-4a52-9b3e-0242ac12%04x", uint32(i)*2654435761, i), Fetched: now.Add(-19 * time.Minute), Age: 19*60 + int64(i%5),
			Fresh: true, State: watch.Verified, Since: now.Add(-26 * time.Hour).Add(time.Duration(i%24) * time.Hour), Fingerprint: "CANARY-fingerprint",
		})
	}
	st.Recent = append(st.Recent, watch.Attempt{Trigger: watch.Start, At: now.Add(-26 * time.Hour), Took: 412 * time.Millisecond, Result: watch.Changed, Calls: 3})
	for h := 26; h > 0; h-- {
		a := watch.Attempt{Trigger: watch.Tick, At: now.Add(-time.Duration(h)*time.Hour + 41*time.Minute), Took: 180 * time.Millisecond, Result: watch.Unchanged, Calls: 2}
		switch h {
		case 18, 6:
			a.Trigger, a.Result = watch.Notify, watch.Changed
			st.Recent = append(st.Recent, a, watch.Attempt{Trigger: watch.Restarted, At: a.At.Add(20 * time.Second)})
			continue
		case 12:
			a.Result = watch.AllFailed
		}
		st.Recent = append(st.Recent, a)
	}
	st.Last = &st.Recent[len(st.Recent)-1]
	return st
}

// five are watchers of which one is behind, and one has its turn.
func five() (all []watch.Peer) {
	for i := range 5 {
		now := time.Now()
		p := watch.Peer{ID: fmt.Sprint(i), Host: fmt.Sprintf("gateway-7d9f-%s", []string{"x2x4k", "b8vqm", "k5d2z", "p9wlt", "t3hcn"}[i]), Version: "v1.0.0", Bifrost: "1.5.21", Refreshed: now.Add(-time.Duration(i) * time.Minute), Seen: now, Turn: i == 2}
		for j := range 9 {
			p.References = append(p.References, watch.Held{Reference: fmt.Sprintf("vault.prod/groq/key-%d#api_key", j), Version: "8f2c41d0", Since: now.Add(-9*time.Hour - time.Duration(i)*time.Second), State: watch.InForce, Fresh: true})
		}
		if i == 2 {
			p.References[7].Version, p.References[7].Since = "31aa90b7", now.Add(-50*time.Hour)
		}
		all = append(all, p)
	}
	watch.Compare(all)
	return all
}

// failed is a status where one secret cannot be fetched.
func failed(n int) watch.Status {
	now := time.Now()
	st := working(n)
	r := &st.References[n/3]
	r.Fresh, r.State, r.Age = false, watch.LastGood, 3*3600
	r.Since, r.Reason = now.Add(-2*time.Hour), "access to the secret is denied (AccessDeniedException)"
	st.Failing = &watch.Lasting{Since: now.Add(-2 * time.Hour), Tries: 26}
	st.Problems = []string{st.Config + ": " + r.Path + ": " + r.Reference + ": access to the secret is denied (AccessDeniedException)"}
	st.Hints = []string{"grant secretsmanager:GetSecretValue for it: bifrost-secrets explain --policy prints the policy"}
	st.Next = now.Add(3 * time.Minute)
	for i := range 5 {
		st.Recent = append(st.Recent, watch.Attempt{Trigger: watch.Retry, At: now.Add(-time.Duration(60-10*i) * time.Minute / 2), Took: 90 * time.Millisecond, Result: watch.PartlyFailed, Calls: 2})
	}
	st.Last = &st.Recent[len(st.Recent)-1]
	return st
}

func enter(b *browser, url, token string) {
	b.t.Helper()
	b.visit(url)
	b.fill("#token", token)
	b.click("button")
}

// A person signs in, sees what there is, sorts, filters, flushes and signs out, and the
// browser has nothing to complain of.
func TestPageInBrowser(t *testing.T) {
	w := new(controltest.Watcher)
	w.Set(working(21), nil, true)
	r := start(t, w, func(o *Options) {
		o.Peers = func(context.Context) ([]watch.Peer, error) { return five(), nil }
	})
	b := browse(t)
	b.window(1280, 900, false)
	url := r.url(0, "/")

	enter(b, url, wrongToken)
	if text := b.text(); !strings.Contains(text, "not a right token") {
		t.Errorf("a wrong token: %s", text)
	}
	b.shoot("wrong-token")
	enter(b, url, token)
	text := b.text()
	for _, want := range []string{"All 21 references fresh; last change ", "vault.prod/openai/key-0#api_key", "verified", "1.5.21", "5 watchers, 1 behind", "behind with vault.prod/groq/key-7#api_key; its turn to restart"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not there:\n%s", want, text)
		}
	}
	if !regexp.MustCompile(`next look in (3\d|4[01]) min\.`).MatchString(text) { // 41, but for what a busy machine takes
		t.Errorf("no next look:\n%s", text)
	}
	if strings.Contains(b.eval("document.documentElement.outerHTML"), "CANARY") {
		t.Error("the page has a fingerprint, or the token")
	}
	if got := b.eval("document.cookie"); got != "" {
		t.Errorf("a script can read the cookie: %s", got)
	}
	b.shoot("calm")

	// As a screen reader has it.
	for role, want := range map[string]string{
		"table": "References", "button": "Flush", "columnheader": "Age", "searchbox": "Filter", "image": "27 refreshes and 2 starts of Bifrost since ", "checkbox": "only what needs a look",
		"heading": "The last refreshes", "rowheader": "providers.openai.keys[0].value", "status": "",
	} {
		if names := b.named(role); !slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(strings.TrimSpace(name), want) }) {
			t.Errorf("no %s is called %q: %q", role, want, names)
		}
	}
	if n := len(b.named("row")); n != 22+6 {
		t.Errorf("the tables have %d rows", n)
	}

	first := func() string { return b.eval("document.querySelector('#references tbody td').innerText") }
	b.click("#references th:nth-child(2) a")
	if got := first(); got != "providers.anthropic.keys[0].value" || !strings.Contains(b.eval("document.querySelector('[aria-sort=ascending]').innerText"), "Reference") {
		t.Errorf("by reference, the first is %s", got)
	}
	b.click("#references th:nth-child(2) a")
	if got := first(); got != "providers.vertex.keys[0].value" {
		t.Errorf("the other way round, the first is %s", got)
	}
	b.fill("#q", "bedrock")
	b.click(".filter button")
	if text := b.text(); !strings.Contains(text, "3 of 21 references") || first() != "providers.bedrock.keys[0].value" {
		t.Errorf("the filter leaves: %s", text)
	}

	w.Set(failed(21), nil, true)
	b.click("button[value=flush]")
	if flushes, _ := w.Counts(); flushes != 1 {
		t.Errorf("%d flushes", flushes)
	}
	text = b.text()
	for _, want := range []string{"Flushed: every secret was fetched again.", "1 of 21 references not fresh since ", "What is wrong", "hint: grant ", "(stale)", "last good in force since"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not there:\n%s", want, text)
		}
	}
	if got := first(); got != "providers.cohere.keys[0].value" && !strings.Contains(b.eval("document.querySelector('#references tbody tr').className"), "bad") {
		t.Errorf("what fails is not first, but %s", got)
	}
	b.click("footer a")
	if strings.Contains(b.text(), "Flushed") {
		t.Error("the page says again what it said")
	}
	b.shoot("failing")
	b.window(1000, 960, false)
	b.shoot("status-page") // that of docs
	b.window(390, 844, true)
	b.shoot("failing-phone-dark")
	b.eval("document.querySelector('#h-time').scrollIntoView()")
	b.shoot("cluster-phone-dark")
	if wide := b.eval("document.documentElement.scrollWidth"); wide != "390" {
		t.Errorf("on a phone the page is %s wide", wide)
	}

	w.Set(watch.Status{Config: "config.json", NotReady: "nothing was rendered yet"}, errors.New("nothing was rendered yet"), false)
	b.click("footer a")
	if text := b.text(); !strings.Contains(text, "Not ready: nothing was rendered yet.") || strings.Contains(text, "Flush") {
		t.Errorf("without anything: %s", text)
	}
	b.click("button[value=sign-out]")
	if b.eval("!!document.querySelector('#token')") != "true" {
		t.Error("signing out does not")
	}
	b.load(func() { b.eval("setTimeout(() => history.back())") }) // a page that is left at once has no answer
	if b.eval("!!document.querySelector('#token')") != "true" {
		t.Errorf("after signing out, going back shows: %s", b.text())
	}
	b.quiet()
}

// A thousand references, over TLS.
func TestLargePageInBrowser(t *testing.T) {
	w := new(controltest.Watcher)
	st := failed(1000)
	for i := range 3 {
		st.References[i*7].State, st.References[i*7].Reason = watch.RestartRequired, "Bifrost takes it at a restart alone"
	}
	st.RestartRequired = 3
	w.Set(st, nil, true)
	cert, key := newPair(t, "one")
	r := start(t, w, func(o *Options) { o.TLSCert, o.TLSKey = cert, key })
	b := browse(t)
	b.window(1280, 900, true)
	enter(b, r.url(0, "/"), token)
	if text := b.text(); !strings.Contains(text, "1 of 1,000 references not fresh since ") || !strings.Contains(text, "3 fields wait for a restart of Bifrost") {
		t.Errorf("%.2000s", text)
	}
	b.shoot("thousand")
	if n := b.eval("document.querySelectorAll('#references tbody tr').length"); n != "1000" {
		t.Errorf("%s rows", n)
	}
	b.window(390, 844, false)
	if wide := b.eval("document.documentElement.scrollWidth"); wide != "390" {
		t.Errorf("on a phone the page is %s wide", wide)
	}
	b.eval("document.querySelector('#references').scrollIntoView()")
	b.shoot("thousand-phone")
	b.eval("document.querySelector('[name=only]').checked = true")
	b.click(".filter button")
	if text := b.text(); !strings.Contains(text, "4 of 1,000 references") {
		t.Errorf("%.2000s", text)
	}
	b.quiet()
}

// Names that go on and on are broken, and what is written in can be seen to be a
// field.
func TestLongNamesInBrowser(t *testing.T) {
	w := new(controltest.Watcher)
	st, peers, long := failed(3), five(), strings.Repeat("abcdefghi_", 200)
	st.Host, st.Source, st.Config, st.NotReady, st.Ready, st.Bifrost.Version = long, long, long, long, false, long
	st.Problems, st.Hints = []string{long}, []string{long}
	st.References[0].Path, st.References[1].Reference, st.References[2].Version = long, long, long
	peers[0].Host, peers[1].Bifrost, peers[2].References[0].Reference = long, long, long
	w.Set(st, nil, true)
	fault := error(nil)
	r := start(t, w, func(o *Options) {
		o.Peers = func(context.Context) ([]watch.Peer, error) { return peers, fault }
	})
	b := browse(t)
	b.window(390, 844, true)
	enter(b, r.url(0, "/"), token)
	b.eval("document.querySelectorAll('details').forEach(d => { d.open = true })")
	narrow := func(what string) {
		t.Helper()
		if wide := b.eval("document.documentElement.scrollWidth"); wide != "390" {
			t.Errorf("%s: on a phone the page is %s wide", what, wide)
		}
	}
	narrow("all")
	b.shoot("long-phone")
	peers, fault = nil, errors.New(long)
	b.click("footer a")
	narrow("a fault of the cluster")
	b.window(1000, 900, false)
	if wide := b.eval("document.documentElement.scrollWidth"); wide != "1000" && wide != "985" {
		t.Errorf("the page is %s wide", wide)
	}
	for _, dark := range []bool{false, true} {
		b.window(1000, 900, dark)
		const ratio = `(() => {
			const light = c => { const [r, g, b] = c.match(/\d+/g).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b + .05 }
			const s = getComputedStyle(document.querySelector('#q'))
			const [a, b] = [light(s.borderTopColor), light(s.backgroundColor)]
			return Math.max(a, b) / Math.min(a, b)
		})() >= 3`
		if b.eval(ratio) != "true" {
			t.Errorf("dark %v: the border of the field is hard to see", dark)
		}
	}
	b.quiet()
}
