package gcpsecrets

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"cloud.google.com/go/auth"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/secretmanager/v1"

	"bifrost-secrets/sources"
)

// act is one use of a source: an operation on secrets, with the session for it.
type act struct {
	*source
	login *sources.Renewal[*session]
	ctx   context.Context
	began time.Time
	deed  deed
}

// begin signs in for what is to be done.
func (s *source) begin(ctx context.Context, d deed) (*act, *sources.Error) {
	began := time.Now()
	sess, err := s.signIn(ctx)
	if err != nil {
		return nil, err
	}
	return &act{source: s, login: sources.NewRenewal(sess), ctx: ctx, began: began, deed: d}, nil
}

// named gives a copy of err for one name.
func named(err *sources.Error, name string) *sources.Error {
	own := *err
	own.Name = name
	return &own
}

// call makes one request, when one of the slots is free, and logs it. again
// says that it does no harm to send it twice. One whose token is refused is sent
// once more with another: it was not carried out.
func (a *act) call(method string, again bool, do func(ctx context.Context, secrets *secretmanager.ProjectsSecretsService) error) error {
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-a.ctx.Done():
		return a.ctx.Err()
	}
	for {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		sess, dead := a.login.Session()
		if dead != nil {
			return dead
		}
		err := a.request(method, again, func(ctx context.Context) error { return do(ctx, sess.secrets) })
		if err == nil {
			return nil
		}
		if fault := a.fault(id{}, err); fault.Kind != sources.NoLogin {
			return err
		} else if !a.login.Refused(sess, fault, func(old *session) (*session, *sources.Error) { return a.anew(a.ctx, old, fault) }) {
			if _, dead := a.login.Session(); dead != nil {
				return dead
			}
			return err
		}
	}
}

func (a *act) request(method string, again bool, do func(ctx context.Context) error) error {
	r := &retryer{backoff: a.backoff, again: again}
	began := time.Now()
	a.Add(false)
	err := gax.Invoke(a.ctx, func(ctx context.Context, _ gax.CallSettings) error { return do(ctx) },
		gax.WithRetry(func() gax.Retryer { return r }))
	attrs := []slog.Attr{
		slog.String("method", method), slog.Int("retries", r.retries), slog.Duration("took", time.Since(began).Round(time.Millisecond)),
	}
	if err != nil {
		fault := a.fault(id{}, err)
		attrs = append(attrs, slog.String("failed", string(fault.Kind)), slog.String("code", fault.Code))
		err = &failure{err, r.retries + 1}
	}
	a.log.LogAttrs(a.ctx, slog.LevelDebug, "gcp request", attrs...)
	return err
}

// failure is the error of a request, with the number of attempts.
type failure struct {
	error
	attempts int
}

func (f *failure) Unwrap() error { return f.error }

// retryer says to gax what is worth another attempt: what GCP's documentation
// of the API calls transient, and, where sending twice does no harm, a
// connection that broke.
type retryer struct {
	backoff gax.Backoff
	again   bool
	retries int
}

func (r *retryer) Retry(err error) (time.Duration, bool) {
	var answer *googleapi.Error
	var login *auth.Error
	worth := false
	switch {
	case errors.As(err, &login), errors.Is(err, context.Canceled):
	case errors.As(err, &answer) && answer.Code == http.StatusTooManyRequests:
		worth = true
	case errors.As(err, &answer):
		worth = r.again && answer.Code >= 500 && answer.Code != http.StatusNotImplemented
	default:
		worth = r.again
	}
	if !worth || r.retries+1 >= maxAttempts {
		return 0, false
	}
	r.retries++
	return r.backoff.Pause(), true
}
