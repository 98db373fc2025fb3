package awssecrets

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	smithyhttp "github.com/aws/smithy-go/transport/http"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
)

func unreachable(host, why string, err error) *sources.Error {
	return &sources.Error{
		Kind:    sources.Unreachable,
		Message: fmt.Sprintf("no usable answer from %s: %s", host, why),
		Hint:    "check the network, the proxy settings and AWS_ENDPOINT_URL",
		Err:     netfault.Safe(err),
	}
}

// late is the error for a context that has ended. began is when the waiting did.
func late(ctx context.Context, began time.Time) *sources.Error {
	e := netfault.Late(ctx, began, "aws")
	if e.Hint != "" {
		e.Hint = "check the network, the proxy settings and AWS_ENDPOINT_URL, or allow more time"
	}
	return e
}

// hostOf returns the host that a failed request went to, or "".
func hostOf(err error) string {
	var sent *url.Error
	if errors.As(err, &sent) && !netfault.Elsewhere(err) { // whose host the answer named
		if u, err := url.Parse(sent.URL); err == nil {
			return u.Host
		}
	}
	var answered *smithyhttp.ResponseError
	if errors.As(err, &answered) && answered.Response != nil && answered.Response.Response != nil &&
		answered.Response.Request != nil {
		return answered.Response.Request.URL.Host
	}
	return ""
}
