package awssecrets

import (
	"context"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"bifrost-secrets/sources"
)

// method is one of the client's, such as (*secretsmanager.Client).GetSecretValue.
type method[In, Out any] func(*secretsmanager.Client, context.Context, *In, ...func(*secretsmanager.Options)) (*Out, error)

// call makes one request, when one of the slots is free, and logs it. n is the
// number of secrets that it asks for. One whose credentials are refused is sent
// once more where there are others: it was not carried out.
func call[In, Out any](f *regional, action string, n int, do method[In, Out], in *In) (*Out, error) {
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-f.ctx.Done():
		return nil, f.ctx.Err()
	}
	for {
		sess, dead := f.login.Session()
		if dead != nil {
			return nil, dead
		}
		out, err := request(f, action, n, sess, do, in)
		if err == nil {
			return out, nil
		}
		fault := f.fault(id{}, err)
		if fault.Kind != sources.NoLogin {
			return nil, err
		}
		anew := func(old *session) (*session, *sources.Error) { return f.anew(f.ctx, old, f.region, fault) }
		if !f.login.Refused(sess, fault, anew) {
			if _, dead := f.login.Session(); dead != nil {
				return nil, dead
			}
			return nil, err
		}
	}
}

func request[In, Out any](f *regional, action string, n int, sess *session, do method[In, Out], in *In) (*Out, error) {
	ctx, attempts := countAttempts(f.ctx)
	began := time.Now()
	f.Add(action == "BatchGetSecretValue")
	out, err := do(sess.client(f.region), ctx, in)
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
	return out, err
}
