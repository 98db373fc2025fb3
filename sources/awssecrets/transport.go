package awssecrets

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/sources/perkey"
)

// maxAnswer bounds the body of an answer. Twenty secrets of 64 KiB, each byte
// escaped, are 8 MiB.
const maxAnswer = 12 << 20

// loginClient is the client for signing in (STS, SSO, instance metadata and the
// like). The SDK copies it for each service, and nothing can close what the
// copies have open; so they keep no connection. It is used about once an hour.
func loginClient(timeout time.Duration) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTimeout(timeout).WithTransportOptions(func(t *http.Transport) {
		t.DisableKeepAlives = true
		netfault.Brief(netfault.Guard(t), timeout)
	})
}

// caller is the client for Secrets Manager, in every region.
type caller struct {
	client http.Client
}

// newCaller makes a caller with the transport of from, which holds what the
// shared config and the environment say of certificates and proxies. again returns
// what they say now, or nil.
func newCaller(from aws.HTTPClient, timeout time.Duration, again func() aws.HTTPClient) *caller {
	return &caller{http.Client{
		Transport: netfault.NewRenewing(transportOf(from, timeout), func() *http.Transport {
			if now := again(); now != nil {
				return transportOf(now, timeout)
			}
			return nil
		}),
		Timeout: timeout,
		// A signed request is good for one host only.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func transportOf(from aws.HTTPClient, timeout time.Duration) *http.Transport {
	built, ok := from.(*awshttp.BuildableClient)
	if !ok {
		built = awshttp.NewBuildableClient()
	}
	t := netfault.Guard(built.GetTransport())
	t.DisableKeepAlives = false
	t.MaxIdleConnsPerHost = 2 * atOnce
	t.TLSHandshakeTimeout = timeout
	t.ResponseHeaderTimeout = timeout
	t.DialContext = (&net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}).DialContext
	return t
}

type attemptsKey struct{}

// countAttempts returns a context that counts the attempts made with it.
func countAttempts(ctx context.Context) (context.Context, *atomic.Int32) {
	n := new(atomic.Int32)
	return context.WithValue(ctx, attemptsKey{}, n), n
}

// Do implements aws.HTTPClient.
func (c *caller) Do(req *http.Request) (*http.Response, error) {
	if n, ok := req.Context().Value(attemptsKey{}).(*atomic.Int32); ok {
		n.Add(1)
	}
	// The SDK closes the body of a request as soon as an answer begins, and its
	// reader then fails where it should end. Where net/http has not yet looked
	// for that end, it takes this for a request that could not be written and
	// closes the connection in the middle of the answer: one request too many.
	// A copy of its own keeps net/http out of it.
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		req = req.WithContext(req.Context())
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		req.Body, _ = req.GetBody()
	}
	resp, err := netfault.Settled(c.client.Do(req))
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	return resp, nil
}

// method is one of the client's, such as (*secretsmanager.Client).GetSecretValue.
type method[In, Out any] func(*secretsmanager.Client, context.Context, *In, ...func(*secretsmanager.Options)) (*Out, error)

// call makes one request, in which n secrets are asked for. Its error is one of
// the SDK, or a *sources.Error where it was not made.
func call[In, Out any](f *regional, r perkey.Request, n int, do method[In, Out], in *In) (*Out, error) {
	var out *Out
	var err error
	var last *sources.Error
	ctx, attempts := countAttempts(f.Ctx)
	r.Detail = func() []slog.Attr {
		return []slog.Attr{
			slog.String("action", r.Method),
			slog.String("region", f.region),
			slog.Int("secrets", n),
			slog.Int("retries", max(0, int(attempts.Swap(0))-1)),
		}
	}
	fault := f.Call(r, perkey.Name{}, func(sess *session) *sources.Error {
		last = nil
		if out, err = do(sess.client(f.region), ctx, in); err != nil {
			last = f.fault(r, id{}, err)
		}
		return last
	})
	if fault != last {
		return nil, fault // there is no session of use
	}
	return out, err
}
