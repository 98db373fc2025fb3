package bifrost_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/bifrost/bifrosttest"
)

// hooks is a document with n webhooks, each with a header of its own value and one
// that stays.
func hooks(t *testing.T, u *bifrosttest.Upstream, n int, value string) *walker.Document {
	t.Helper()
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`{"name": "h%d", "url": "%s/hook", "events": ["async_job.completed"], "allow_private_network": true, "include_response": true, "max_retries": 3,
			"headers": {"X-Hook-Token": "h%02d-%s", "X-Kept": "kept-value-%04d"}}`, i, u.URL, i, value, i))
	}
	return parse(t, fmt.Sprintf(`{"$schema": "https://www.getbifrost.ai/schema", "framework": %s, "webhooks": [%s]}`, bifrosttest.Framework(u.URL), strings.Join(all, ",")))
}

// TestWebhook has more webhooks than are shown at a time: each is given its new
// header live, and keeps what it has else.
func TestWebhook(t *testing.T) {
	const n = 30
	eachBifrost(t, func(t *testing.T, b installation, u *bifrosttest.Upstream) {
		url := b.start(t, hooks(t, u, n, "first-0001"))
		doc := hooks(t, u, n, "second-0002")
		var paths []string
		for i := range n {
			paths = append(paths, fmt.Sprintf("webhooks[%d].headers.X-Hook-Token", i))
		}
		all := targets(t, doc, paths...)
		c := client(t, url, nil)
		var list struct {
			Endpoints []map[string]any `json:"endpoints"`
		}
		if text := ask(t, http.MethodGet, url+"/api/webhooks?limit=100", "", ""); json.Unmarshal([]byte(text), &list) != nil || list.Endpoints == nil {
			got := c.Push(t.Context(), doc, all)
			wantStates(t, got, watch.RestartRequired)
			t.Skip("this Bifrost has no webhooks")
		}
		wantStates(t, c.Push(t.Context(), doc, all), watch.Unverifiable) // it shows nothing of them
		for _, hook := range list.Endpoints {
			number := strings.TrimPrefix(hook["name"].(string), "h")
			u.Forget()
			ask(t, http.MethodPost, url+"/api/webhooks/"+hook["id"].(string)+"/test", "", "")
			await(t, u, bifrosttest.Hook, "X-Hook-Token", fmt.Sprintf("h%02s-second-0002", number))
			await(t, u, bifrosttest.Hook, "X-Kept", fmt.Sprintf("kept-value-%04s", number))
		}
		var after struct {
			Endpoints []map[string]any `json:"endpoints"`
		}
		if err := json.Unmarshal([]byte(ask(t, http.MethodGet, url+"/api/webhooks?limit=100", "", "")), &after); err != nil || len(after.Endpoints) != n {
			t.Fatalf("%d webhooks: %v", len(after.Endpoints), err)
		}
		for _, hook := range after.Endpoints {
			if fmt.Sprint(hook["include_response"], hook["max_retries"], hook["allow_private_network"], hook["events"]) != "true 3 true [async_job.completed]" {
				t.Errorf("it has become %v", hook)
			}
		}
		// What it hides is not given again while it runs, and is after a restart.
		if s, ok := b.(*stub); ok {
			s.Called()
			wantStates(t, c.Converge(t.Context(), doc, all), watch.Unverifiable)
			if calls := strings.Join(s.Called(), " "); strings.Contains(calls, "PUT") {
				t.Errorf("written again: %s", calls)
			}
		}
	})
}

// TestOddWebhooks has lists of webhooks in which nothing may be written.
func TestOddWebhooks(t *testing.T) {
	doc := hooks(t, &bifrosttest.Upstream{URL: "http://127.0.0.1:1"}, 1, "second-0002")
	const good = `{"id":"id-1","name":"h0","url":"http://127.0.0.1:1/hook","events":["async_job.completed"],"headers":{"X-Hook-Token":{"value":"<REDACTED>","type":"plain_text"}}}`
	for _, c := range []struct{ old, with, want string }{
		{"", "", ""},
		{`"id":"id-1",`, ``, "has no id"},
		{`"name":"h0"`, `"name":"other"`, "is called"},
		{`"headers":{"X-Hook-Token":{"value":"<REDACTED>","type":"plain_text"}}`, `"other":{}`, `no "headers"`},
		{`"events":["async_job.completed"],`, ``, "no events"},
		{`"url":"http://127.0.0.1:1/hook",`, ``, "no url"},
		{`"type":"plain_text"`, `"type":"env","ref":"env.A"`, "a reference of its own"},
	} {
		s := &canned{version: "2.0.0", answers: map[string]string{"/api/webhooks": `{"endpoints":[` + strings.Replace(good, c.old, c.with, 1) + `],"total_count":1}`}}
		got := s.client(t).Push(t.Context(), doc, targets(t, doc, "webhooks[0].headers.X-Hook-Token"))
		if !strings.Contains(got[0].Reason, c.want) || (len(s.written) == 1) != (c.want == "") {
			t.Errorf("%s: %+v, and %q were written", c.with, got[0], s.written)
		}
		wantNoValue(t, got[0])
	}
}
