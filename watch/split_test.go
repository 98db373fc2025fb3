package watch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// speaker is an applier with one answer, which notes the paths it gets.
type speaker struct {
	kind  string
	state State
	given []string
}

func (s *speaker) Kind() string { return s.kind }

func (s *speaker) Apply(_ context.Context, u Update) []Outcome {
	var paths []string
	for _, c := range u.Changed {
		paths = append(paths, c.Path)
	}
	s.given = append(s.given, strings.Join(paths, " "))
	return outcomesOf(u, s.state, "")
}

// all is a document with a field of each kind of change.
const all = `{"encryption_key":"vault.k","providers":{"openai":{"keys":[{"name":"a","value":"vault.live"}]}},
"governance":{"virtual_keys":[{"id":"v","name":"v","value":"vault.vk"}]}}`

func updateOf(t *testing.T, mode render.Mode, change func(*Update)) Update {
	t.Helper()
	doc, err := walker.Parse("config.json", []byte(all))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := render.NewPlan(doc, &render.VaultStore{Type: "file", Enabled: true}, render.Options{Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	r, problems := plan.Render(render.Values{"k": {Value: secret("k")}, "live": {Value: secret("sk-1")}, "vk": {Value: secret("sk-bf-1")}})
	if problems != nil {
		t.Fatal(problems)
	}
	u := Update{Trigger: Tick, Rendering: r}
	for _, c := range r.Values() {
		if c.Path != "encryption_key" {
			u.Changed = append(u.Changed, c)
		}
	}
	change(&u)
	return u
}

// What is taken live goes through the API and the rest by a restart, whatever is
// there of the two.
func TestSplit(t *testing.T) {
	const live, vk = "providers.openai.keys[0].value", "governance.virtual_keys[0].value"
	only := func(path string) func(*Update) {
		return func(u *Update) {
			u.Changed = slices.DeleteFunc(u.Changed, func(c render.Change) bool { return c.Path != path })
		}
	}
	both := func(*Update) {}
	for name, one := range map[string]struct {
		mode         render.Mode
		change       func(*Update)
		api, restart State // empty: not there
		want         string
		pushed       string
		restarted    string
	}{
		"live alone":               {render.Inline, only(live), Verified, InForce, live + " verified by api", live, "-"},
		"both":                     {render.Inline, both, Verified, InForce, live + " in force by restart, " + vk + " in force by restart", "-", vk},
		"both, restart later":      {render.Inline, both, Verified, RestartRequired, live + " verified by api, " + vk + " restart required by restart", live, vk},
		"watch":                    {render.Inline, both, Verified, "", live + " verified by api, " + vk + " restart required by none", live, "-"},
		"no api":                   {render.Inline, only(live), "", InForce, live + " in force by restart", "-", live},
		"nothing":                  {render.Inline, only(live), "", "", live + " restart required by none", "-", "-"},
		"env":                      {render.EnvMode, both, Verified, InForce, live + " in force by restart, " + vk + " in force by restart", "-", live + " " + vk},
		"env in watch":             {render.EnvMode, both, Verified, "", live + " restart required by none, " + vk + " restart required by none", "-", "-"},
		"api of unknown shape":     {render.Inline, only(live), RestartRequired, InForce, live + " in force by restart", live, live},
		"the same in watch":        {render.Inline, only(live), RestartRequired, "", live + " restart required by api", live, "-"},
		"after a restart":          {render.Inline, func(u *Update) { u.Trigger = Restarted }, Verified, InForce, live + " verified by api, " + vk + " in force by restart", live, "-"},
		"no restart after another": {render.Inline, func(u *Update) { u.Trigger = Restarted }, RestartRequired, InForce, live + " unverifiable by api, " + vk + " in force by restart", live, "-"},
		"taken back":               {render.Inline, func(u *Update) { u.Trigger, u.Rollback = Restarted, true }, Verified, InForce, live + " in force by restart, " + vk + " in force by restart", "-", live + " " + vk},
		"edited":                   {render.Inline, func(u *Update) { only(live)(u); u.Edited = true }, Verified, InForce, live + " in force by restart, (document) in force by restart", "-", ""},
		"edited in watch":          {render.Inline, func(u *Update) { only(live)(u); u.Edited = true }, Verified, "", live + " verified by api, (document) restart required by none", live, "-"},
		"start of a new site":      {render.Inline, func(u *Update) { u.Trigger, u.Wrote = Start, true }, Verified, "", live + " verified by api, " + vk + " handed over by none", live, "-"},
		"start after a change":     {render.Inline, func(u *Update) { u.Trigger, u.Wrote, u.Replaced = Start, true, true }, Verified, "", live + " verified by api, " + vk + " restart required by none", live, "-"},
		"start without one":        {render.Inline, func(u *Update) { u.Trigger = Start }, Failed, "", live + " failed by api, " + vk + " handed over by none", live, "-"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Split{Word: "auto"}
			api, restart := &speaker{kind: "api", state: one.api}, &speaker{kind: "restart", state: one.restart}
			if one.api != "" && one.mode == render.Inline {
				s.API = api
			}
			if one.restart != "" {
				s.Restart = restart
			}
			var got []string
			for _, o := range s.Apply(t.Context(), updateOf(t, one.mode, one.change)) {
				got = append(got, fmt.Sprintf("%s %s by %s", o.Path, o.State, o.By))
			}
			check(t, strings.Join(got, ", "), one.want)
			for _, side := range []struct {
				given []string
				want  string
			}{{api.given, one.pushed}, {restart.given, one.restarted}} {
				if side.want == "-" {
					check(t, len(side.given), 0)
				} else {
					check(t, strings.Join(side.given, ";"), side.want)
				}
			}
		})
	}
}

var _ sources.Source = (*store)(nil)

// What the API says of a field that it does not take is not lost behind the time
// of the restart.
func TestSplitKeepsReason(t *testing.T) {
	api := &refusing{reason: "bifrost's api has an unknown shape"}
	s := &Split{Word: "auto", API: api, Restart: &speaker{kind: "restart", state: RestartRequired}}
	out := s.Apply(t.Context(), updateOf(t, render.Inline, func(u *Update) { u.Changed = u.Changed[:1] }))
	check(t, len(out), 1)
	check(t, out[0].State, RestartRequired)
	check(t, out[0].Reason, "bifrost's api has an unknown shape")
	s.Restart = &refusing{reason: "Bifrost is restarted at 10:00:00"}
	out = s.Apply(t.Context(), updateOf(t, render.Inline, func(u *Update) { u.Changed = u.Changed[:1] }))
	check(t, out[0].Reason, "bifrost's api has an unknown shape; Bifrost is restarted at 10:00:00")
	check(t, out[0].By, "restart")
}

// refusing wants a restart for everything, for one reason.
type refusing struct{ reason string }

func (*refusing) Kind() string { return "api" }

func (r *refusing) Apply(_ context.Context, u Update) []Outcome {
	return outcomesOf(u, RestartRequired, r.reason)
}

// A field that Bifrost does not know yet, such as a key that is new in the
// document, is in force with the restart that the document waits for.
func TestSplitNewKey(t *testing.T) {
	s := &Split{Word: "auto", API: &refusing{reason: "bifrost has no key that is called b"}, Restart: &refusing{reason: "Bifrost is restarted at 10:00:00"}}
	out := s.Apply(t.Context(), updateOf(t, render.Inline, func(u *Update) { u.Changed, u.Edited = u.Changed[:1], true }))
	check(t, len(out), 2)
	check(t, out[0].State, RestartRequired)
	check(t, out[0].Reason, "bifrost has no key that is called b; Bifrost is restarted at 10:00:00")
}

// What a start does not bring in is no reason for one, and never in force.
func TestSplitNotTaken(t *testing.T) {
	const live, vk = "providers.openai.keys[0].value", "governance.virtual_keys[0].value"
	for _, c := range []struct {
		name      string
		change    func(*Update)
		notTaken  string
		api       State
		live, vk  State
		restarted string // with which paths; empty for not at all
	}{
		{"all taken", func(*Update) {}, "", Verified, InForce, InForce, vk},
		{"not worth a restart", func(*Update) {}, vk, Verified, Verified, RestartRequired, ""},
		{"edited all the same", func(u *Update) { u.Edited = true }, vk, Verified, Verified, Unverifiable, vk},
		{"live, and not by a restart", func(*Update) {}, live, Verified, Unverifiable, InForce, vk},
		{"live, refused, and not by a restart", func(*Update) {}, live, RestartRequired, Unverifiable, InForce, vk},
		{"not always", func(*Update) {}, "unsure", Verified, Verified, Unverifiable, vk},
		{"read at a start", func(u *Update) { u.Trigger = Restarted }, vk, Verified, Verified, Unverifiable, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			restart := &speaker{kind: "restart", state: InForce}
			s := &Split{Word: "auto", API: &speaker{kind: "api", state: c.api}, Restart: restart,
				Takes: func(context.Context, Update) func(*walker.Entry, string, bool) (bool, string, string) {
					return func(_ *walker.Entry, path string, _ bool) (bool, string, string) {
						switch {
						case path == c.notTaken:
							return false, "why", "what to do"
						case path == vk && c.notTaken == "unsure":
							return true, "why", "what to do"
						}
						return true, "", ""
					}
				}}
			got := map[string]Outcome{}
			for _, o := range s.Apply(t.Context(), updateOf(t, render.Inline, c.change)) {
				got[o.Path] = o
			}
			if got[live].State != c.live || got[vk].State != c.vk {
				t.Errorf("live is %s, want %s; the virtual key is %s, want %s", got[live].State, c.live, got[vk].State, c.vk)
			}
			if o := got[c.notTaken]; got[c.notTaken].Path != "" && o.State != Verified && (o.Reason == "" || o.Hint == "") {
				t.Errorf("nothing says why: %+v", o)
			}
			if given := strings.Join(restart.given, ";"); given != c.restarted {
				t.Errorf("restarted with %q, want %q", given, c.restarted)
			}
		})
	}
}
