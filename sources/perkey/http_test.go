package perkey

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What was not carried out is sent again, and what may have been only where twice
// does no harm.
func TestAttempts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int    // 0: the connection is closed
		body   string // of an answer with 200
		again  bool
		want   int // attempts
	}{
		{200, `{"a": 1}`, true, 1},
		{200, "", true, maxAttempts}, {200, "", false, 1},
		{200, `{"a": CANARY}`, true, maxAttempts}, {200, `"CANARY"`, false, 1},
		{0, "", true, maxAttempts}, {0, "", false, 1},
		{429, "", true, maxAttempts}, {429, "", false, maxAttempts},
		{500, "", true, maxAttempts}, {500, "", false, 1}, {503, "", true, maxAttempts}, {501, "", true, 1},
		{400, "", true, 1}, {401, "", true, 1}, {403, "", true, 1}, {404, "", true, 1}, {307, "", true, 1},
	} {
		var sent, signed atomic.Int32
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sent.Add(1)
			if c.status == 0 {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}))
		h := &HTTP{Client: server.Client(), Pause: time.Millisecond, Sign: func(*http.Request) error { signed.Add(1); return nil }}
		h.Client.Transport.(*http.Transport).DisableKeepAlives = true // or net/http sends what it may once more by itself
		var out struct{ A int }
		err := h.Do(t.Context(), Request{Again: c.again}, http.MethodPost, server.URL, map[string]int{"b": 2}, &out)
		server.Close()
		if n := int(sent.Load()); n != c.want || int(signed.Load()) != n {
			t.Errorf("%d %q, again %v: %d attempts, want %d", c.status, c.body, c.again, n, c.want)
		}
		var failed *Failure
		if good := c.body == `{"a": 1}`; good != (err == nil) || good != (out.A == 1) {
			t.Errorf("%d %q: %v", c.status, c.body, err)
		} else if !good && (!errors.As(err, &failed) || failed.Attempts != c.want || c.status >= 300 && failed.Status != c.status) {
			t.Errorf("%d %q: %#v", c.status, c.body, err)
		}
	}
}

// Neither a login that failed nor a caller who is gone is asked for again.
func TestAttemptsEnd(t *testing.T) {
	t.Parallel()
	sent := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sent++
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer server.Close()
	refused := errors.New("no")
	h := &HTTP{Client: server.Client(), Pause: time.Millisecond, Sign: func(*http.Request) error { return refused }}
	var signing *SignError
	err := h.Do(t.Context(), Request{Again: true}, http.MethodGet, server.URL, nil, nil)
	if !errors.As(err, &signing) || !errors.Is(err, refused) || sent > 0 {
		t.Errorf("%v, after %d requests", err, sent)
	}
	ctx, cancel := context.WithCancel(t.Context())
	h = &HTTP{Client: server.Client(), Pause: time.Hour, Sign: func(*http.Request) error { time.AfterFunc(0, cancel); return nil }}
	_ = h.Do(ctx, Request{Again: true}, http.MethodGet, server.URL, nil, nil)
	if sent > 1 {
		t.Errorf("%d requests", sent)
	}
}

// answers is a server without a network.
type answers func() *http.Response

func (a answers) RoundTrip(*http.Request) (*http.Response, error) { return a(), nil }

// Where the server says when to come again, that is done, if it is soon.
func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		status int
		after  func() string
		want   time.Duration // until the second attempt; negative: there is none
	}{
		{429, func() string { return "3" }, 3 * time.Second},
		{503, func() string { return "8" }, MaxPause},
		{503, func() string { return time.Now().Add(5 * time.Second).UTC().Format(http.TimeFormat) }, 5 * time.Second},
		{429, func() string { return "9" }, -1},
		{503, func() string { return "99999999999999999999" }, -1}, {503, func() string { return "-99999999999999999999" }, 0},
		{503, func() string { return time.Now().Add(24 * time.Hour).UTC().Format(http.TimeFormat) }, -1},
		{429, func() string { return "0" }, 0}, {429, func() string { return "-5" }, 0}, {429, func() string { return "soon" }, 0},
		{429, func() string { return time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat) }, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			var sent []time.Time
			h := &HTTP{Pause: 1, Sign: func(*http.Request) error { return nil }, Client: &http.Client{Transport: answers(func() *http.Response {
				sent = append(sent, time.Now())
				r := &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}
				if len(sent) == 1 {
					r.StatusCode = c.status
					r.Header.Set("Retry-After", c.after())
				}
				return r
			})}}
			var out struct{}
			err := h.Do(t.Context(), Request{Again: true}, http.MethodGet, "https://gcp.example", nil, &out)
			var failed *Failure
			switch {
			case c.want < 0 && (len(sent) != 1 || !errors.As(err, &failed) || failed.Status != c.status):
				t.Errorf("%d, %q: %d attempts, %v", c.status, c.after(), len(sent), err)
			case c.want >= 0 && (err != nil || len(sent) != 2 || sent[1].Sub(sent[0]) != c.want):
				t.Errorf("%d, %q: attempts at %v, %v; want %s between", c.status, c.after(), sent, err, c.want)
			}
		})
	}
}
