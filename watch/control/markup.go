package control

import (
	_ "embed"
	"fmt"
	"html"
	"strconv"
	"strings"
	"time"

	"bifrost-secrets/watch"
)

// style is the only one that the policy allows.
//
//go:embed page.css
var style string

// markup is HTML with a % for each value. It is a constant of this package, and
// never made of anything.
type markup string

// writer makes a page. It stands in for html/template, which would have the linker
// keep every method of every type: five megabytes.
type writer struct{ strings.Builder }

// put writes markup with its values, each as the text that it is, be it between
// tags or in an attribute in double quotes.
func (w *writer) put(form markup, values ...string) {
	for _, value := range values {
		before, after, _ := strings.Cut(string(form), "%")
		w.WriteString(before)
		w.WriteString(html.EscapeString(shown(value)))
		form = markup(after)
	}
	w.WriteString(string(form))
}

// shown leaves out what would change how the text around it is read.
func shown(text string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '\ufffd'
		}
		return r
	}, text)
}

// head begins a page.
func (w *writer) head(title string) {
	w.put(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>%</title>
<link rel="icon" href="data:,">
<style>`, title)
	w.WriteString(style)
	w.put("</style>\n</head>\n<body>\n")
}

// at writes a time, for people and machines.
func (w *writer) at(t, now time.Time) {
	w.put(`<time datetime="%">%</time>`, t.UTC().Format(time.RFC3339), clock(t, now))
}

// clock returns the time of day, with the day where that is not today.
func clock(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04 UTC")
	}
	return t.Format("2 Jan 15:04 UTC")
}

// figure returns a number with commas, as people read it.
func figure(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return figure(n) + " " + many
}

// signIn returns the page that asks for a token. wrong says why it does so again.
func signIn(mark, wrong string) string {
	w := new(writer)
	w.head("Sign in: bifrost-secrets")
	w.put(`<main class="narrow">
<h1>bifrost-secrets</h1>
<form method="post" action="/">
`)
	if wrong != "" {
		w.put(`<p class="said bad" role="alert">%</p>`+"\n", wrong)
	}
	w.put(`<input type="hidden" name="mark" value="%">
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="off" required autofocus>
<p class="hint">One of those in the file of <code>--token-file</code>, or in <code>%</code>.</p>
<button name="do" value="sign-in">Show the status</button>
</form>
</main>
</body>
</html>
`, mark, TokenVariable)
	return w.String()
}

// timeline draws the last refreshes and starts of Bifrost, and lists them for those
// who cannot see the picture.
func (w *writer) timeline(all []watch.Attempt, now time.Time) {
	if len(all) == 0 {
		return
	}
	first, starts := all[0].At, 0
	for i := range all {
		if all[i].Trigger == watch.Restarted {
			starts++
		}
	}
	span := max(now.Sub(first), time.Minute)
	what := counted(len(all)-starts, "refresh", "refreshes") + " and " + counted(starts, "start of Bifrost", "starts of Bifrost") + " since " + clock(first, now)
	w.put(`<section aria-labelledby="h-time">
<h2 id="h-time">The last refreshes</h2>
<figure>
<svg class="time" role="img" aria-label="%">
<line class="axis" x1="0" x2="%" y1="34" y2="34"/>
`, what, "100%")
	for i := range all {
		form, class, text := drawn(&all[i])
		x := fmt.Sprintf("%.2f%%", 1+98*min(1, max(0, all[i].At.Sub(first).Seconds()/span.Seconds())))
		w.put(`<svg x="%" y="34" class="%"><title>%</title>`, x, class, clock(all[i].At, now)+": "+text)
		w.put(form)
		w.put("</svg>\n")
	}
	w.put(`</svg>
<figcaption><span>%</span><span class="key">`, clock(first, now))
	for _, one := range []watch.Attempt{{Result: watch.Unchanged}, {Result: watch.Changed}, {Result: watch.AllFailed}, {Trigger: watch.Restarted}} {
		form, class, _ := drawn(&one)
		y := map[bool]string{true: "0", false: "90%"}[one.Result == ""]
		w.put(`<span><svg class="one" aria-hidden="true"><svg class="%" x="%" y="%">`, class, "50%", y)
		w.put(form)
		w.put(`</svg></svg>%</span> `, map[string]string{"": "Bifrost started"}[one.Result]+one.Result)
	}
	w.put(`</span><span>now</span></figcaption>
</figure>
<details><summary>As a list</summary>
<ol reversed>
`)
	for i := len(all) - 1; i >= 0; i-- {
		_, _, text := drawn(&all[i])
		w.put("<li>")
		w.at(all[i].At, now)
		w.put(": %</li>\n", text)
	}
	w.put("</ol>\n</details>\n</section>\n")
}

// drawn returns how an attempt is drawn, by its shape as well as its colour, and what
// it was.
func drawn(a *watch.Attempt) (form markup, class, text string) {
	text = string(a.Trigger) + ", " + a.Result + ", " + counted(a.Calls, "call", "calls") + ", took " + a.Took.Round(time.Millisecond).String()
	switch {
	case a.Trigger == watch.Restarted:
		return `<path d="M0 6 6 16H-6Z"/>`, "start", "Bifrost started"
	case a.Result == watch.Unchanged:
		return `<path d="M0-7V0"/>`, "unchanged", text
	case a.Result == watch.Changed:
		return `<path d="M0-14V0"/><circle cy="-17" r="5"/>`, "changed", text
	}
	return `<path d="M0-12V0M-5-22 5-12M5-22-5-12"/>`, "failed", text
}
