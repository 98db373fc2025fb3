package awssecrets

import (
	"context"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"bifrost-secrets/sources"
)

// call makes one request, when one of the slots is free, and logs it. n is the
// number of secrets that it asks for. One whose credentials are refused is sent
// once more where there are others: it was not carried out.
func (f *regional) call(action string, n int, do func(context.Context, *secretsmanager.Client) error) error {
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-f.ctx.Done():
		return f.ctx.Err()
	}
	for {
		sess, dead := f.login.Session()
		if dead != nil {
			return dead
		}
		err := f.request(action, n, sess, do)
		if err == nil {
			return nil
		}
		fault := f.fault(id{}, err)
		if fault.Kind != sources.NoLogin {
			return err
		}
		anew := func(old *session) (*session, *sources.Error) { return f.anew(f.ctx, old, f.region, fault) }
		if !f.login.Refused(sess, fault, anew) {
			if _, dead := f.login.Session(); dead != nil {
				return dead
			}
			return err
		}
	}
}

func (f *regional) request(action string, n int, sess *session, do func(context.Context, *secretsmanager.Client) error) error {
	ctx, attempts := countAttempts(f.ctx)
	began := time.Now()
	f.Add(action == "BatchGetSecretValue")
	err := do(ctx, sess.client(f.region))
	attrs := []slog.Attr{
		slog.String("action", action),
		slog.String("region", f.region),
		slog.Int("secrets", n),
		slog.Int("retries", max(0, int(attempts.Load())-1)),
		slog.Duration("took", time.Since(began).Round(time.Millisecond)),
	}
	if err != nil {
		// Not the error itself, which may hold a part of the answer.
		fault := f.fault(id{}, err)
		attrs = append(attrs, slog.String("failed", string(fault.Kind)), slog.String("code", fault.Code))
	}
	f.log.LogAttrs(f.ctx, slog.LevelDebug, "aws request", attrs...)
	return err
}
