package awssecrets

import (
	"fmt"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"

	"bifrost-secrets/sources"
)

// value is what both kinds of answer hold of a secret.
type value struct {
	text    *string
	binary  []byte
	version *string
}

// result makes the result for i of an answer.
func (f *regional) result(i id, v value) sources.Result {
	b := v.binary
	switch {
	case v.text != nil:
		b = []byte(*v.text)
	case b == nil:
		return sources.Result{Err: f.noValue(i, "")}
	case !utf8.Valid(b):
		return sources.Result{Err: sources.NewError(sources.Unusable, fmt.Sprintf("%s: binary secret is not utf-8 text", f.subject(i)), "store the value as text, or as base64").Of(i.text)}
	}
	if len(b) > sources.MaxValue {
		return sources.Result{Err: sources.NewError(sources.Unusable, fmt.Sprintf("%s has a value of %d bytes, and %d are allowed", f.subject(i), len(b), sources.MaxValue), "").Of(i.text)}
	}
	return sources.Result{Value: sources.NewSecret(b), Version: aws.ToString(v.version)}
}
