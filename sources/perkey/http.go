package perkey

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// maxAttempts is how often a request is sent at the most.
const maxAttempts = 4

// MaxPause bounds the time between two attempts; where a server asks for more, there is
// no other attempt.
const MaxPause = 8 * time.Second

// HTTP makes the requests of a backend without a client library: JSON there and
// back, and attempts that are repeated where another may succeed.
type HTTP struct {
	Client *http.Client // whose timeout is that of one attempt
	// Sign puts into a request what shows who asks. Its error ends the attempts.
	Sign func(*http.Request) error
	// Pause is the most time before the second attempt, and twice as much before
	// each that follows.
	Pause time.Duration
}

// Failure is the error of a request without a usable answer. Its text says
// nothing: that of an answer may hold anything.
type Failure struct {
	Status   int    // of HTTP; 0 where no answer came
	Body     []byte // of the answer
	Attempts int
	Err      error // why no answer came

	after time.Duration // when the server wants to be asked again
}

func (f *Failure) Error() string { return "the request failed" }
func (f *Failure) Unwrap() error { return f.Err }

// SignError is the error of credentials that gave nothing to sign a request with.
// A client library returns it from any request that had to renew them.
type SignError struct{ Err error }

func (e *SignError) Error() string { return "signing in failed" }
func (e *SignError) Unwrap() error { return e.Err }

// NonRetriable tells the SDK of Azure that the credential has done its own retries.
func (e *SignError) NonRetriable() {}

// Do sends a request with in as its body, where in is not nil, and decodes the
// answer into out. Its errors are a [*Failure]. What was answered with 429 is sent
// again, since it was not carried out; what had no answer, or one of 5xx, where
// r.Again allows it. A Retry-After is heeded.
func (h *HTTP) Do(ctx context.Context, r Request, method, address string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return &Failure{Err: err}
		}
	}
	pause := h.Pause
	for attempt := 1; ; attempt++ {
		failed := h.attempt(ctx, method, address, body, out)
		if failed == nil {
			return nil
		}
		failed.Attempts = attempt
		if attempt == maxAttempts || failed.after > MaxPause || !failed.transient(r.Again) || !Wait(ctx, max(failed.after, rand.N(max(pause, 1)))) {
			return failed
		}
		pause = min(2*pause, MaxPause)
	}
}

func (h *HTTP) attempt(ctx context.Context, method, address string, body []byte, out any) *Failure {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return &Failure{Err: err}
	}
	req.Header.Set("User-Agent", "bifrost-secrets")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if err := h.Sign(req); err != nil {
		return &Failure{Err: &SignError{err}}
	}
	resp, err := h.Client.Do(req)
	if err != nil {
		return &Failure{Err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	switch {
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return &Failure{Status: resp.StatusCode, Body: got, after: RetryAfter(resp.Header)}
	case err == nil && len(got) == 0:
		err = io.ErrUnexpectedEOF
	case err == nil:
		err = json.Unmarshal(got, out)
	}
	if err != nil {
		return &Failure{Err: err}
	}
	return nil
}

// RetryAfter returns how long the header of an answer asks to wait: seconds, or a
// date. What is neither asks for nothing.
func RetryAfter(of http.Header) time.Duration {
	header := of.Get("Retry-After")
	if header == "" {
		return 0
	}
	if n, err := strconv.Atoi(header); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(max(n, 0), 1<<30)) * time.Second
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return time.Until(at)
}

// transient reports whether another attempt may succeed, and does no harm.
func (f *Failure) transient(again bool) bool {
	var signing *SignError
	switch {
	case f.Status == http.StatusTooManyRequests:
		return true
	case errors.As(f.Err, &signing), errors.Is(f.Err, context.Canceled):
		return false
	}
	return again && (f.Status == 0 || f.Status >= 500 && f.Status != http.StatusNotImplemented)
}

// Wait waits for d, and reports whether ctx lasted as long.
func Wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
