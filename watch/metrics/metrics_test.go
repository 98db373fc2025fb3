package metrics_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/metrics"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ watch.Observer = (*metrics.Metrics)(nil)

var began = time.Date(2026, 3, 4, 5, 6, 7, 500e6, time.UTC)

// used returns the metrics of a loop that has done some of everything.
func used(t *testing.T) *metrics.Metrics {
	t.Helper()
	m := metrics.New("v1.2.3")
	m.Follow(func() watch.Status {
		return watch.Status{
			Ready: true, Success: began, Next: began.Add(time.Hour),
			References: []watch.ReferenceStatus{
				{Fetched: began, Age: 30, Fresh: true, State: watch.Verified},
				{Fetched: began.Add(-time.Hour), Age: 3630, State: watch.RestartRequired},
				{Age: 1 << 40, State: watch.Failed}, // one that was never fetched has no age
			},
		}
	})
	m.Refreshed(watch.Attempt{Trigger: watch.Flush, Took: 30 * time.Millisecond, Result: "partly failed", Calls: 2},
		map[sources.Kind]int{sources.NotFound: 3, "": 1}, 21, "aws-secrets-manager in eu-west-1")
	m.Refreshed(watch.Attempt{Trigger: watch.Tick, Result: "unchanged"}, nil, 0, "")
	m.Applied("api", []watch.Outcome{{State: watch.Verified}, {State: watch.RestartRequired}, {State: watch.Verified}})
	m.Restarted()
	m.Turned(watch.TurnKept)
	return m
}

func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	rec := httptest.NewRecorder()
	m.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("status %d: %s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

func TestValues(t *testing.T) {
	got := scrape(t, used(t))
	for _, want := range []string{
		`bifrost_secrets_refreshes_total{result="partly_failed",trigger="flush"} 1`,
		`bifrost_secrets_refreshes_total{result="unchanged",trigger="tick"} 1`,
		`bifrost_secrets_refreshes_total{result="failed",trigger="start"} 0`, // there before its first event
		`bifrost_secrets_refresh_duration_seconds_count 2`,
		`bifrost_secrets_refresh_duration_seconds_sum 0.03`,
		`bifrost_secrets_fetches_total{source="aws-secrets-manager in eu-west-1"} 21`,
		`bifrost_secrets_backend_calls_total{source="aws-secrets-manager in eu-west-1"} 2`,
		`bifrost_secrets_failures_total{kind="not_found"} 3`,
		`bifrost_secrets_failures_total{kind="other"} 1`,
		`bifrost_secrets_applies_total{kind="api",state="verified"} 2`,
		`bifrost_secrets_applies_total{kind="api",state="restart_required"} 1`,
		`bifrost_secrets_restarts_total 1`,
		`bifrost_secrets_restart_turns_total{result="last_good"} 1`,
		`bifrost_secrets_restart_turns_total{result="taken"} 0`,
		`bifrost_secrets_restart_turn_waiting 0`,
		`bifrost_secrets_ready 1`,
		`bifrost_secrets_oldest_value_age_seconds 3630`,
		`bifrost_secrets_last_success_timestamp_seconds 1.7726007675e+09`,
		`bifrost_secrets_next_refresh_timestamp_seconds 1.7726043675e+09`,
		`bifrost_secrets_references 3`,
		`bifrost_secrets_stale_references 2`,
		`bifrost_secrets_restart_required_fields 1`,
	} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("the page has no line %s", want)
		}
	}
	if !regexp.MustCompile(`\nbifrost_secrets_build_info\{go_version="go[^"]+",version="v1.2.3"\} 1\n`).MatchString(got) {
		t.Error("no build_info")
	}
	if t.Failed() {
		t.Log(got)
	}
}

// A time that has not come yet is 0, and no date of long ago.
func TestBeforeTheFirstRefresh(t *testing.T) {
	m := metrics.New("v1")
	m.Follow(func() watch.Status { return watch.Status{} })
	got := scrape(t, m)
	for _, name := range []string{"last_success_timestamp_seconds", "next_refresh_timestamp_seconds", "oldest_value_age_seconds", "ready", "references"} {
		if !strings.Contains(got, "\nbifrost_secrets_"+name+" 0\n") {
			t.Errorf("%s is not 0", name)
		}
	}
}

// The page says just what there is: names, types, labels, label values, meanings.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	families, err := used(t).Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	values := map[string]map[string]bool{} // by metric and label
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "bifrost_secrets_") {
			continue
		}
		var labels []string
		for _, one := range f.GetMetric() {
			for _, l := range one.GetLabel() {
				if !slices.Contains(labels, l.GetName()) {
					labels = append(labels, l.GetName())
				}
				key := f.GetName() + " " + l.GetName()
				if values[key] == nil {
					values[key] = map[string]bool{}
				}
				values[key][l.GetValue()] = true
			}
		}
		slices.Sort(labels)
		want = append(want, fmt.Sprintf("%s %s %v %s", f.GetName(), strings.ToLower(f.GetType().String()), labels, f.GetHelp()))
	}
	quoted := regexp.MustCompile("`([^`]+)`")
	words := func(cell string) []string {
		var out []string
		for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
			out = append(out, m[1])
		}
		slices.Sort(out)
		return out
	}
	var got []string
	listed := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		switch {
		case !strings.HasPrefix(line, "| `"), strings.HasPrefix(line, "| `BifrostSecrets"): // an alert
		case len(cells) == 4:
			got = append(got, fmt.Sprintf("%s %s %v %s", words(cells[0])[0], strings.TrimSpace(cells[1]), words(cells[2]), strings.TrimSpace(cells[3])))
		case len(cells) == 3:
			listed++
			key := words(cells[0])[0] + " " + words(cells[1])[0]
			for _, value := range words(cells[2]) {
				if !values[key][value] {
					t.Errorf("the page lists %q for %s, which is not there", value, key)
				}
				delete(values[key], value)
			}
			for value := range values[key] {
				t.Errorf("the page does not list %q for %s", value, key)
			}
		default:
			t.Errorf("a row of %d cells: %s", len(cells), line)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the page says\n%s\nthere is\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if listed != 6 {
		t.Errorf("the page has %d lists of label values, want 6", listed)
	}
}

// promtool agrees with the page that is scraped, and with the alerts that deploy/ has.
func TestPromtool(t *testing.T) {
	tool := promtool(t)
	check := exec.Command(tool, "check", "metrics")
	check.Stdin = strings.NewReader(scrape(t, used(t)))
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	const file = "../../deploy/monitoring/alerts.yaml"
	rules, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "check", "rules", file).CombinedOutput(); err != nil || !bytes.Contains(out, []byte(" rules found")) {
		t.Errorf("promtool check rules: %v\n%s", err, out)
	}
	for _, m := range regexp.MustCompile(`bifrost_secrets_\w+`).FindAllString(string(rules), -1) {
		if !strings.Contains(string(page), "| `"+m+"` |") {
			t.Errorf("an alert is on %s, which there is not", m)
		}
	}
}

// TestDashboard has promtool parse each query of the dashboard, which may be on our
// metrics alone, and looks for panels that cover each other.
func TestDashboard(t *testing.T) {
	tool := promtool(t)
	content, err := os.ReadFile("../../deploy/monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	type target struct {
		RefID      string `json:"refId"`
		Datasource any    `json:"datasource"`
		Expr       string `json:"expr"`
	}
	var board struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []target
		}
		Templating struct{ List []struct{ Name string } }
	}
	if err := json.Unmarshal(content, &board); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	values := strings.NewReplacer("$instance", ".*", "$__rate_interval", "5m")
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	taken, ids, queries := map[[2]int]string{}, map[int]bool{}, 0
	for _, p := range board.Panels {
		if ids[p.ID] {
			t.Errorf("there are two panels %d", p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s covers %q, or does not fit", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		for _, q := range p.Targets {
			queries++
			fmt.Fprintf(&rules, "      - record: query_%d\n        expr: %q\n", queries, values.Replace(q.Expr))
			for _, name := range regexp.MustCompile(`bifrost_secrets_\w+`).FindAllString(q.Expr, -1) {
				if !bytes.Contains(page, []byte("| `"+strings.TrimSuffix(name, "_bucket")+"` |")) {
					t.Errorf("%s is on %s, which there is not", p.Title, name)
				}
			}
			if !strings.Contains(q.Expr, `{instance=~"$instance"}`) || fmt.Sprint(q.Datasource) != "map[type:prometheus uid:${datasource}]" {
				t.Errorf("%s: a query does not go by the choices at the top: %s", p.Title, q.Expr)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "check", "rules", file).CombinedOutput(); err != nil || !bytes.Contains(out, fmt.Appendf(nil, "%d rules found", queries)) {
		t.Errorf("promtool check rules: %v\n%s", err, out)
	}
	if queries < 15 || len(board.Templating.List) != 2 {
		t.Errorf("there are only %d queries", queries)
	}
}

// promtool finds Prometheus' own tool: on the PATH, or where testdata/setup.sh
// puts it.
func promtool(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("promtool"); err == nil {
		return path
	}
	path, err := filepath.Abs("../../.cache/prometheus/usr/bin/promtool")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	const missing = "promtool NOT FOUND: the metrics are not checked by Prometheus' own tool; install Debian's prometheus, or run make setup"
	if os.Getenv("BIFROST_REQUIRE_BACKENDS") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// A status that cannot be had does not make a scrape hang or fail for good:
// too many scrapes at once are refused, and the next is answered.
func TestScrapesAreBounded(t *testing.T) {
	m := metrics.New("v1")
	asked, answer := make(chan struct{}), make(chan struct{})
	m.Follow(func() watch.Status {
		asked <- struct{}{}
		<-answer
		return watch.Status{}
	})
	srv := httptest.NewServer(m.Handler(slog.New(slog.DiscardHandler)))
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	codes := make(chan int, 5)
	get := func() {
		resp, err := client.Get(srv.URL)
		if err != nil {
			t.Error(err)
			codes <- 0
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		codes <- resp.StatusCode
	}
	for range 4 {
		go get()
		<-asked
	}
	get()
	if code := <-codes; code != http.StatusServiceUnavailable {
		t.Errorf("the fifth scrape got %d", code)
	}
	close(answer)
	for range 4 {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("a scrape got %d", code)
		}
	}
}
