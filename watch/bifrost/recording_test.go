package bifrost_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/bifrost/bifrosttest"
)

// A recording is what one version of Bifrost answered while one of everything was
// pushed, verified and converged, with made-up values, and what became of each.
type recording struct {
	Version string          `json:"version"`
	Steps   []*recordedStep `json:"steps"`
}

type recordedStep struct {
	Name     string            `json:"name"`
	Calls    []*exchange       `json:"calls"`
	Outcomes map[string]string `json:"outcomes"`
}

// exchange is a call and its answer.
type exchange struct {
	Call   string          `json:"call"` // METHOD path
	As     string          `json:"as,omitempty"`
	Sent   json.RawMessage `json:"sent,omitempty"`
	Status int             `json:"status"`
	JSON   json.RawMessage `json:"json,omitempty"`
	Text   string          `json:"text,omitempty"` // where the answer is no JSON
}

func (e *exchange) key() string { return e.Call + " as " + e.As }

// steps are what is done, on a client that makes one call after the other.
var steps = []struct {
	name string
	do   func(c *bifrost.Client, t *testing.T, doc *walker.Document, all []bifrost.Target) []watch.Outcome
}{
	{"push", func(c *bifrost.Client, t *testing.T, doc *walker.Document, all []bifrost.Target) []watch.Outcome {
		return c.Push(t.Context(), doc, all)
	}},
	{"verify", func(c *bifrost.Client, t *testing.T, doc *walker.Document, all []bifrost.Target) []watch.Outcome {
		return c.Verify(t.Context(), doc, all)
	}},
	{"converge", func(c *bifrost.Client, t *testing.T, doc *walker.Document, all []bifrost.Target) []watch.Outcome {
		return c.Converge(t.Context(), doc, all)
	}},
}

// nowhere stands for the upstream in a recording.
var nowhere = &bifrosttest.Upstream{URL: "http://127.0.0.1:1"}

// run makes all steps over a transport, and has what comes of each told.
func run(t *testing.T, u *bifrosttest.Upstream, over http.RoundTripper, told func(step string, got []watch.Outcome)) {
	t.Helper()
	c := client(t, "http://127.0.0.1:1", func(o *bifrost.Options) {
		o.HTTPClient, o.Concurrency, o.Login = &http.Client{Transport: over}, 1, basic(first.password)
	})
	doc := second.render(t, u)
	for _, s := range steps {
		told(s.name, s.do(c, t, doc, targets(t, doc, livePaths...)))
	}
}

// TestRecordings holds reading and writing against what real versions answered.
func TestRecordings(t *testing.T) {
	files, err := filepath.Glob("testdata/recordings/*.json")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d recordings: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var r recording
			if err := json.Unmarshal(text, &r); err != nil {
				t.Fatal(err)
			}
			p := &player{t: t, steps: r.Steps}
			run(t, nowhere, p, func(step string, got []watch.Outcome) {
				want := p.next(step)
				for _, o := range got {
					if text := outcome(o); text != want[o.Path] {
						t.Errorf("%s: %s is %q, want %q", step, o.Path, text, want[o.Path])
					}
					wantNoValue(t, o)
				}
			})
		})
	}
}

func outcome(o watch.Outcome) string {
	return strings.TrimRight(fmt.Sprintf("%s: %s", o.State, o.Reason), ": ")
}

// player answers as in a recording: what is read, as it was after as many writes;
// a write has to be the next one that was made.
type player struct {
	t      *testing.T
	steps  []*recordedStep
	at     int // of the calls of the first step: what comes before was played
	answer map[string]*exchange
}

// next ends a step, and returns its outcomes.
func (p *player) next(step string) map[string]string {
	p.t.Helper()
	if len(p.steps) == 0 || p.steps[0].Name != step {
		p.t.Fatalf("the recording has no %s there", step)
	}
	for _, e := range p.steps[0].Calls[p.at:] {
		if len(e.Sent) > 0 || strings.HasPrefix(e.Call, http.MethodPost) {
			p.t.Errorf("%s was not made", e.Call)
		}
	}
	out := p.steps[0].Outcomes
	p.steps, p.at = p.steps[1:], 0
	return out
}

// RoundTrip implements [http.RoundTripper].
func (p *player) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		sent, _ = io.ReadAll(r.Body)
	}
	e := &exchange{Call: r.Method + " " + r.URL.RequestURI(), As: asWhom(r)}
	if p.answer == nil {
		p.answer = map[string]*exchange{}
	}
	found := (*exchange)(nil)
	if len(p.steps) > 0 {
		calls := p.steps[0].Calls
		for i := p.at; i < len(calls); i++ {
			c := calls[i]
			writes := !strings.HasPrefix(c.Call, http.MethodGet)
			if c.key() == e.key() && (!writes || sameJSON(c.Sent, sent)) {
				found = c
				if writes {
					p.at = i + 1
				}
				break
			}
			if writes { // what comes later is not so yet
				break
			}
			p.answer[c.key()] = c
		}
	}
	if found == nil && r.Method == http.MethodGet {
		found = p.answer[e.key()]
	}
	if found == nil {
		p.t.Errorf("%s is not in the recording there, with %s", e.key(), sent)
		return nil, io.ErrUnexpectedEOF
	}
	p.answer[e.key()] = found
	body := string(found.JSON)
	if len(found.JSON) == 0 {
		body = found.Text
	}
	return &http.Response{StatusCode: found.Status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func sameJSON(a, b []byte) bool {
	var x, y any
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func asWhom(r *http.Request) string {
	_, pair, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	text, _ := base64.StdEncoding.DecodeString(pair)
	return string(text)
}

// recorder passes calls on to a Bifrost and notes them.
type recorder struct {
	to    string
	plain func([]byte) []byte // less what differs from one run to the next
	mu    sync.Mutex
	calls []*exchange
}

// RoundTrip implements [http.RoundTripper].
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	var sent []byte
	if req.Body != nil {
		sent, _ = io.ReadAll(req.Body)
	}
	out, err := http.NewRequestWithContext(req.Context(), req.Method, r.to+req.URL.RequestURI(), bytes.NewReader(sent))
	if err != nil {
		return nil, err
	}
	out.Header = req.Header.Clone()
	resp, err := plain.Do(out)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	e := &exchange{Call: string(r.plain([]byte(req.Method + " " + req.URL.RequestURI()))), As: asWhom(req), Status: resp.StatusCode}
	if len(sent) > 0 {
		e.Sent = r.plain(sent)
	}
	switch {
	case json.Valid(body):
		e.JSON = r.plain(bytes.TrimSpace(body))
	case strings.Contains(string(body), "<html"):
		e.Text = "<html></html>"
	default: // the metrics, of which one is looked at
		for line := range strings.Lines(string(body)) {
			if strings.HasPrefix(line, "process_start_time_seconds ") {
				e.Text = "process_start_time_seconds 1.7e+09\n"
			}
		}
	}
	r.mu.Lock()
	r.calls = append(r.calls, e)
	r.mu.Unlock()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// madeUp returns what replaces what differs from one run to the next: addresses,
// ids, times and hashes.
func madeUp(u *bifrosttest.Upstream) func([]byte) []byte {
	ids := map[string]string{}
	replace := []struct {
		is   *regexp.Regexp
		with string // with the number of the text
	}{
		{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "00000000-0000-4000-8000-%012d"},
		{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "%064d"},
		{regexp.MustCompile(`20\d\d-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)`), "2026-01-01T00:00:00Z"},
	}
	return func(b []byte) []byte {
		b = bytes.ReplaceAll(b, []byte(u.URL), []byte(nowhere.URL))
		for _, r := range replace {
			b = r.is.ReplaceAllFunc(b, func(found []byte) []byte {
				if !strings.Contains(r.with, "%") {
					return []byte(r.with)
				}
				if ids[string(found)] == "" {
					ids[string(found)] = fmt.Sprintf(r.with, len(ids)+1)
				}
				return []byte(ids[string(found)])
			})
		}
		return b
	}
}

// TestRecord makes the recording of the Bifrost that BIFROST_BIN names, where
// BIFROST_RECORD is set: the diff of the file says what a new release changes.
func TestRecord(t *testing.T) {
	if os.Getenv("BIFROST_RECORD") == "" {
		t.Skip("BIFROST_RECORD is not set: this test writes what the Bifrost that BIFROST_BIN names answers into testdata/recordings")
	}
	u := bifrosttest.NewUpstream(t)
	url := newReal(t).start(t, first.render(t, u))
	version, err := client(t, url, nil).Version(t.Context(), first.render(t, u))
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{to: url, plain: madeUp(u)}
	out := recording{Version: version}
	run(t, u, r, func(step string, got []watch.Outcome) {
		s := &recordedStep{Name: step, Outcomes: map[string]string{}}
		for _, e := range r.calls {
			// What is read anew and has not changed is told once.
			if n := len(s.Calls); n > 0 && reflect.DeepEqual(s.Calls[n-1], e) {
				continue
			}
			s.Calls = append(s.Calls, e)
		}
		r.calls = nil
		for _, o := range got {
			s.Outcomes[o.Path] = string(r.plain([]byte(outcome(o))))
		}
		out.Steps = append(out.Steps, s)
	})
	text, err := json.MarshalIndent(out, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("testdata/recordings", strings.TrimPrefix(version, "v")+".json")
	if err := os.WriteFile(name, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s is written: go test -run Recordings reads it", name)
}
