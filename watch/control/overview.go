package control

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"

	"bifrost-secrets/watch"
)

// view is what a page shows, and how.
type view struct {
	status  watch.Status
	now     time.Time
	enabled bool // there is something to flush
	peers   []watch.Peer
	alone   string     // why they cannot be shown
	mark    string     // of its forms
	said    string     // what came of the form before
	query   url.Values // q, only and sort
}

// sentence returns the state in one sentence, and how bad it is: ok, warn or bad.
func (v *view) sentence() (text, class string) {
	st, now := &v.status, v.now
	stale := 0
	var changed time.Time
	for i := range st.References {
		r := &st.References[i]
		if !r.Fresh {
			stale++
		}
		if r.Since.After(changed) {
			changed = r.Since
		}
	}
	var parts []string
	class = "ok"
	say := func(how, part string) {
		parts = append(parts, part)
		if class == "ok" || how == "bad" {
			class = how
		}
	}
	if !st.Ready {
		say("bad", "Not ready: "+oneLine(st.NotReady))
	}
	if !st.LastGood.IsZero() {
		say("warn", "Bifrost runs with the last good values of "+clock(st.LastGood, now))
	}
	since := ""
	if st.Failing != nil {
		since = " since " + clock(st.Failing.Since, now)
	}
	switch n := len(st.References); {
	case stale > 0:
		say("bad", figure(stale)+" of "+counted(n, "reference", "references")+" not fresh"+since)
	case st.Failing != nil:
		say("bad", "Refreshes fail"+since)
	case n == 0 && st.Ready && st.LastGood.IsZero():
		say("ok", "Nothing to resolve")
	case n > 0:
		say("ok", map[bool]string{true: "The one reference", false: "All " + figure(n) + " references"}[n == 1]+" fresh")
	}
	if n := st.RestartRequired; n > 0 {
		say("warn", counted(n, "field waits", "fields wait")+" for a restart of Bifrost")
	}
	if n := st.NotApplied; n > 0 {
		say("bad", counted(n, "field", "fields")+" not applied yet")
	}
	if st.Unusable != "" {
		say("bad", "the config as it stands is not used")
	}
	if !changed.IsZero() {
		parts = append(parts, "last change "+clock(changed, now))
	}
	if ahead := st.Next.Sub(now); ahead > 0 {
		parts = append(parts, "next look in "+soon(ahead))
	}
	return strings.Join(parts, "; ") + ".", class
}

// soon returns a time span as it is said.
func soon(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return counted(int(d.Round(24*time.Hour)/(24*time.Hour)), "day", "days")
	case d >= 100*time.Minute:
		return counted(int(d.Round(time.Hour)/time.Hour), "hour", "hours")
	case d >= 100*time.Second:
		return counted(int(d.Round(time.Minute)/time.Minute), "min", "min")
	}
	return counted(int(d.Round(time.Second)/time.Second), "s", "s")
}

// overview returns the page.
func overview(v view) string {
	w, st, now := new(writer), &v.status, v.now
	text, class := v.sentence()
	name := "bifrost-secrets"
	if st.Host != "" {
		name += " on " + st.Host
	}
	w.head(text + " " + name)
	w.put(`<a class="skip" href="#references">To the references</a>
<header>
<h1>%</h1>
<form method="post" action="/"><input type="hidden" name="mark" value="%">`, name, v.mark)
	if v.enabled {
		w.put(`<button name="do" value="flush" title="Fetch every secret again">Flush</button> `)
	}
	w.put(`<button class="plain" name="do" value="sign-out">Sign out</button></form>
</header>
<main>
<p class="state %" role="status">%</p>
`, class, text)
	if v.said != "" {
		w.put(`<p class="said" role="status">%</p>`+"\n", v.said)
	}
	w.problems(st)
	w.facts(st, now)
	w.timeline(st.Recent, now)
	w.cluster(&v)
	w.references(&v)
	w.put(`</main>
<footer>As of `)
	w.put(`<time datetime="%">%</time>. <a href="/?%">Load again</a>. No value of a secret is shown here.</footer>
</body>
</html>
`, now.UTC().Format(time.RFC3339), now.UTC().Format("15:04:05 UTC"), v.query.Encode())
	return w.String()
}

func (w *writer) problems(st *watch.Status) {
	if len(st.Problems) == 0 && len(st.Hints) == 0 {
		return
	}
	w.put("<section class=\"problems\" aria-labelledby=\"h-problems\">\n<h2 id=\"h-problems\">What is wrong</h2>\n<ul>\n")
	for _, line := range st.Problems {
		w.put("<li>%</li>\n", line)
	}
	for _, hint := range st.Hints {
		w.put("<li class=\"hint\"><b>hint:</b> %</li>\n", hint)
	}
	w.put("</ul>\n</section>\n")
}

func (w *writer) facts(st *watch.Status, now time.Time) {
	fact := func(name, text string) {
		if text != "" {
			w.put("<div><dt>%</dt><dd>%</dd></div>\n", name, text)
		}
	}
	w.put("<dl>\n")
	fact("Config", st.Config)
	fact("Published as", st.Out)
	fact("Source", st.Source)
	fact("Mode", st.Mode+", applied by "+st.Apply)
	if b := st.Bifrost; b != nil {
		var parts []string
		if b.Version != "" {
			parts = append(parts, b.Version)
		}
		if !b.Started.IsZero() {
			parts = append(parts, "started "+clock(b.Started, now), counted(b.Restarts, "restart", "restarts"))
		}
		if b.API != "" {
			parts = append(parts, "API at "+b.API)
		}
		fact("Bifrost", strings.Join(parts, ", "))
	}
	if a := st.Last; a != nil {
		_, _, text := drawn(a)
		fact("Last refresh", clock(a.At, now)+": "+text)
	}
	fact("Version", st.Version)
	w.put("</dl>\n")
}

// column is one of the references' table: its word for sort, its title and its order.
type column struct {
	name, title string
	compare     func(a, b *watch.ReferenceStatus) int
}

var columns = []column{
	{"field", "Field", func(a, b *watch.ReferenceStatus) int { return cmp.Compare(a.Path, b.Path) }},
	{"reference", "Reference", func(a, b *watch.ReferenceStatus) int { return cmp.Compare(a.Reference, b.Reference) }},
	{"version", "Version", func(a, b *watch.ReferenceStatus) int { return cmp.Compare(a.Version, b.Version) }},
	{"age", "Age", func(a, b *watch.ReferenceStatus) int { return cmp.Compare(a.Age, b.Age) }},
	{"state", "State", func(a, b *watch.ReferenceStatus) int {
		return cmp.Or(cmp.Compare(attention(b), attention(a)), cmp.Compare(a.State, b.State))
	}},
}

// attention says how much a reference needs somebody to look.
func attention(r *watch.ReferenceStatus) int {
	switch {
	case !r.Fresh || r.State == watch.Failed || r.State == watch.Refused || r.State == watch.LastGood:
		return 2
	case r.State == watch.RestartRequired:
		return 1
	}
	return 0
}

// chosen returns the references that are asked for, in the order that is.
func (v *view) chosen() (all []*watch.ReferenceStatus, order string, down bool) {
	q := strings.ToLower(strings.TrimSpace(v.query.Get("q")))
	for i := range v.status.References {
		r := &v.status.References[i]
		_, state := r.Words()
		if (v.query.Get("only") == "" || attention(r) > 0) && strings.Contains(strings.ToLower(r.Path+"\n"+r.Reference+"\n"+r.Version+"\n"+state), q) {
			all = append(all, r)
		}
	}
	order, down = strings.CutPrefix(v.query.Get("sort"), "-")
	i := slices.IndexFunc(columns, func(c column) bool { return c.name == order })
	if i < 0 { // what needs somebody to look, and then the order of the document
		i, order, down = len(columns)-1, "state", false
	}
	slices.SortStableFunc(all, func(a, b *watch.ReferenceStatus) int {
		if down {
			a, b = b, a
		}
		return columns[i].compare(a, b)
	})
	return all, order, down
}

func (w *writer) references(v *view) {
	all, order, down := v.chosen()
	total := len(v.status.References)
	w.put(`<section id="references" aria-labelledby="h-references">
<h2 id="h-references">References</h2>
<form class="filter" method="get" action="/#references" role="search">
<label for="q">Filter</label>
<input id="q" name="q" type="search" value="%">
<input type="hidden" name="sort" value="%">
<label><input type="checkbox" name="only" value="1"`, v.query.Get("q"), v.query.Get("sort"))
	if v.query.Get("only") != "" {
		w.put(" checked")
	}
	w.put(`> only what needs a look</label>
<button class="plain">Show</button>
<span role="status">%</span>
</form>
`, map[bool]string{true: counted(total, "reference", "references"), false: figure(len(all)) + " of " + counted(total, "reference", "references")}[len(all) == total])
	if len(all) > 0 {
		w.table(v, all, order, down)
	}
	w.put("</section>\n")
}

func (w *writer) table(v *view, all []*watch.ReferenceStatus, order string, down bool) {
	w.begin("h-references")
	for _, c := range columns {
		next, sorted, arrow := c.name, "none", ""
		if c.name == order {
			sorted, arrow = "ascending", " ▲"
			if down {
				sorted, arrow = "descending", " ▼"
			} else {
				next = "-" + next
			}
		}
		q := url.Values{"q": v.query["q"], "only": v.query["only"], "sort": {next}}
		w.put(`<th role="columnheader" scope="col" aria-sort="%"><a href="/?%#references">%<span aria-hidden="true">%</span></a></th>`+"\n", sorted, q.Encode(), c.title, arrow)
	}
	w.rows()
	for _, r := range all {
		age, state := r.Words()
		w.row(attention(r), r.Path, r.Reference, cmp.Or(r.Version, "-"), age, state)
	}
	w.put("</tbody>\n</table>\n")
}
