package awssecrets

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets/awstest"
)

func TestRoundTrips(t *testing.T) {
	f := awstest.StartFake(t)
	names := numbered(f, 200)
	s := open(t, f.Env(), settings())
	var checked sync.WaitGroup
	first, rest := make(chan struct{}), make(chan struct{})
	f.Hold("BatchGetSecretValue", first)
	checked.Go(func() { s.check(t, f, names, 10, 0) })
	wait := func(batches int) {
		t.Helper()
		for called := f.Called(); f.Calls("BatchGetSecretValue") < batches; called = f.Called() {
			select {
			case <-called:
			case <-time.After(testLimit):
				t.Fatalf("%d of %d batches are under way", f.Calls("BatchGetSecretValue"), batches)
			}
		}
	}
	wait(firstWave)
	f.Hold("BatchGetSecretValue", rest)
	close(first)
	wait(10)
	close(rest)
	checked.Wait()
	if n := f.RoundTrips(); n != 2 { // a few batches, then the rest
		t.Errorf("200 secrets took %d round trips", n)
	}
	if n := f.MostAtOnce(); n > 16 {
		t.Errorf("%d requests at once", n)
	}
}

func TestOneSlowBatchHoldsUpNoOther(t *testing.T) {
	f := awstest.StartFake(t)
	names := numbered(f, 200)
	slow := names[5]
	hold := make(chan struct{})
	f.Hold(slow, hold)
	s := open(t, f.Env(), settings())
	var got map[string]sources.Result
	var wait sync.WaitGroup
	wait.Go(func() { got = s.fetch(t, names...) })
	for called := f.Called(); f.Calls("BatchGetSecretValue") < 10; called = f.Called() {
		select {
		case <-called:
		case <-time.After(testLimit):
			t.Fatal("the rest of the batches waits for the first")
		}
	}
	close(hold)
	wait.Wait()
	for _, name := range names {
		wantValue(t, got[name], "value of "+name)
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	f := awstest.StartFake(t)
	names := numbered(f, 50)
	f.Set(awstest.Faults{Hang: true})
	s := open(t, f.Env(), settings())
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	for _, names := range [][]string{names, names[:1]} {
		got := s.Fetch(ctx, names)
		if len(got) != len(names) {
			t.Errorf("%d answers for %d names", len(got), len(names))
		}
		for _, r := range got {
			wantKind(t, r.Err, sources.Unreachable)
			if !errors.Is(r.Err, context.DeadlineExceeded) {
				t.Error("the error does not say that the time was up")
			}
		}
	}
	ctx, cancel = context.WithCancel(context.Background())
	cancel()
	e := wantKind(t, s.Fetch(ctx, names)[names[0]].Err, sources.Unreachable)
	if !errors.Is(e, context.Canceled) {
		t.Error(e)
	}
}

func TestThrottledForEver(t *testing.T) {
	f := awstest.StartFake(t)
	names := numbered(f, 5)
	f.Set(awstest.Faults{Throttle: awstest.Always})
	t.Run("the attempts run out", func(t *testing.T) {
		f.Forget()
		s := open(t, f.Env(), settings())
		for _, r := range s.fetch(t, names...) {
			e := wantKind(t, r.Err, sources.Throttled)
			if e.Code != "ThrottlingException" || !strings.Contains(e.Message, "after 3 attempts") {
				t.Error(e)
			}
		}
		if b, n := f.Calls("BatchGetSecretValue"), f.Calls("GetSecretValue"); b != 3 || n != 15 {
			t.Errorf("%d batches and %d single requests: no more than the SDK's attempts", b, n)
		}
	})
	t.Run("the time runs out", func(t *testing.T) {
		s := open(t, f.Env(), settings())
		s.retryer = nil // the SDK's own delays, of up to a second
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
		defer cancel()
		began := time.Now()
		for _, r := range s.Fetch(ctx, names) {
			if !sources.KindOf(r.Err).Retryable() {
				t.Errorf("error %v", r.Err)
			}
		}
		if took := time.Since(began); took > testLimit/2 {
			t.Errorf("a fetch of 30 ms took %s", took)
		}
	})
}

func TestConcurrentFetches(t *testing.T) {
	f := awstest.StartFake(t)
	names := numbered(f, 100)
	s := open(t, f.Env(), settings())
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			some := names[n*10 : n*10+30-n]
			for name, r := range s.fetch(t, some...) {
				wantValue(t, r, "value of "+name)
			}
			_ = s.Plan(some)
			_ = s.Describe()
		})
	}
	all.Wait()
	if n := f.MostAtOnce(); n > 16 {
		t.Errorf("%d requests at once", n)
	}
}

func TestConnectionsAreClosed(t *testing.T) {
	f := awstest.StartFake(t)
	f.PutIn("210987654321", awstest.Region, "app/a", "v")
	closed := make(chan struct{}, 10)
	server := httptest.NewUnstartedServer(f)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	env := f.Env()
	env["AWS_ENDPOINT_URL"] = server.URL
	s := open(t, env, settings("role_arn", "arn:aws:iam::210987654321:role/r"))
	wantValue(t, s.fetch(t, "app/a")["app/a"], "v")
	wait := func(what string) {
		t.Helper()
		select {
		case <-closed:
		case <-time.After(testLimit):
			t.Fatalf("the connection %s stays open", what)
		}
	}
	wait("for signing in")
	if len(closed) > 0 {
		t.Error("the connection for secrets is not kept")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wait("for secrets")
	wantValue(t, s.fetch(t, "app/a")["app/a"], "v")
}

func BenchmarkFetch(b *testing.B) {
	f := awstest.StartFake(b)
	names := numbered(f, 200)
	s := open(b, f.Env(), settings())
	f.Set(awstest.Faults{Latency: 20 * time.Millisecond})
	ctx := context.Background()
	for b.Loop() {
		if got := s.Fetch(ctx, names); len(got) != len(names) {
			b.Fatal(len(got))
		}
	}
}
