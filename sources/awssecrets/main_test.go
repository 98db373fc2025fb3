package awssecrets

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"go.uber.org/goleak"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/sources/internal/sourcetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testLimit is the deadline of a fetch that is to succeed or to fail at once.
const testLimit = 2 * time.Minute

// opened is a source with what it logged and warned of.
type opened struct {
	*source
	log *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// settings makes Settings of pairs of a key and a value.
func settings(pairs ...string) sources.Settings {
	set := make(sources.Settings)
	for n := 0; n < len(pairs); n += 2 {
		set[pairs[n]] = sources.NewSecret([]byte(pairs[n+1]))
	}
	return set
}

// options are those of a program, with env as its AWS variables.
func options(t testing.TB, env map[string]string, log *lockedBuffer) sources.Options {
	awstest.Setenv(t, env)
	return sources.Options{
		Getenv: os.LookupEnv,
		Warn:   func(s string) { fmt.Fprintln(log, s) },
		Log:    slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),

		CallTimeout: testLimit, // a busy machine is no service that hangs
	}
}

// open makes a source of env that does not wait between attempts.
func open(t testing.TB, env map[string]string, set sources.Settings, change ...func(*sources.Options)) opened {
	t.Helper()
	log := new(lockedBuffer)
	opts := options(t, env, log)
	for _, c := range change {
		c(&opts)
	}
	s, err := newSource(set, opts)
	if err != nil {
		t.Fatal(err)
	}
	s.retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return time.Millisecond, nil })
		})
	}
	t.Cleanup(func() { _ = s.Close() })
	return opened{s, log}
}

// fetch asks for names, and checks that there is an answer for each and no other.
func (o opened) fetch(t testing.TB, names ...string) map[string]sources.Result {
	t.Helper()
	return sourcetest.Fetch(t, o, names...)
}

// numbered returns n names, and puts a value of the same text for each.
func numbered(f *awstest.Fake, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("app/key-%04d", i)
		f.Put(names[i], "value of "+names[i])
	}
	return names
}

func wantValue(t testing.TB, r sources.Result, want string) {
	t.Helper()
	if r.Err != nil {
		t.Errorf("error %v (%s), want a value", r.Err, sources.HintOf(r.Err))
	} else if got := string(r.Value.Reveal()); got != want {
		t.Errorf("value %q, want %q", got, want)
	} else if r.Version == "" {
		t.Error("a value without a version")
	}
}

func wantKind(t testing.TB, err error, kind sources.Kind) *sources.Error {
	t.Helper()
	return sourcetest.WantKind(t, err, kind)
}
