package control

import (
	"cmp"
	"time"

	"bifrost-secrets/watch"
)

// begin begins a table, whose head is written next, and rows its body.
func (w *writer) begin(label string) {
	w.put(`<table role="table" aria-labelledby="%">
<thead role="rowgroup"><tr role="row">
`, label)
}

func (w *writer) rows() { w.put("</tr></thead>\n<tbody role=\"rowgroup\">\n") }

// row writes a row that needs somebody to look at it: 0 for not at all, to 2.
func (w *writer) row(attention int, cells ...string) {
	w.put(`<tr role="row" class="%">`, []string{"", "warn", "bad"}[attention])
	for i, cell := range cells {
		w.put(`<td role="%">%</td>`, map[bool]string{true: "rowheader", false: "cell"}[i == 0], cell)
	}
	w.put("</tr>\n")
}

func (w *writer) titles(all ...string) {
	for _, title := range all {
		w.put(`<th role="columnheader" scope="col">%</th>`+"\n", title)
	}
}

// cluster shows the watchers that share a database, and who has which version.
func (w *writer) cluster(v *view) {
	if len(v.peers) == 0 && v.alone == "" {
		return
	}
	behind := 0
	for i := range v.peers {
		behind += min(len(v.peers[i].Behind), 1)
	}
	text := counted(len(v.peers), "watcher", "watchers") + ", " + map[bool]string{true: "none", false: figure(behind)}[behind == 0] + " behind"
	if v.alone != "" {
		text = "It cannot be shown: " + v.alone
	}
	w.put(`<section id="cluster" aria-labelledby="h-cluster">
<h2 id="h-cluster">The cluster</h2>
<p>%</p>
`, text)
	if len(v.peers) > 0 {
		w.peers(v)
	}
	w.put("</section>\n")
}

func (w *writer) peers(v *view) {
	w.begin("h-cluster")
	w.titles("Watcher", "Bifrost", "Seen", "State")
	w.rows()
	for i := range v.peers {
		p := &v.peers[i]
		seen, state, attention := "seen now", "has the newest of all", min(len(p.Behind), 1)
		if gone := v.now.Sub(p.Seen); gone > 2*time.Minute { // two that should have come
			seen, attention = "seen "+watch.Span(gone)+" ago", 2
		}
		switch {
		case p.Unread:
			state, attention = "what it has is not known", max(attention, 1)
		case len(p.Behind) > 0:
			state = "behind with " + p.Words()
		}
		if p.Turn {
			state += "; its turn to restart"
		}
		w.row(attention, p.Host, cmp.Or(p.Bifrost, "-"), seen, state)
	}
	w.put(`</tbody>
</table>
<details><summary id="h-versions">Which version is in force since when</summary>
`)
	w.begin("h-versions")
	w.titles("Reference", "Version", "Since", "Watchers")
	w.rows()
	for _, s := range watch.SpreadOf(v.peers) {
		who := s.Words(len(v.peers))
		w.row(map[bool]int{true: 0, false: 1}[who == "all"], s.Reference, cmp.Or(s.Version, "-"), s.Span(), who)
	}
	w.put("</tbody>\n</table>\n</details>\n")
}
