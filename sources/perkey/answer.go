package perkey

import (
	"cmp"
	"fmt"

	"bifrost-secrets/sources"
)

// Answer returns the error for an answer that is no success, in the words that all
// backends have. kind is what it means, and who answered; hints say what to do, by
// kind. What a write is asked to do that cannot be done is of kind Refused.
func (f *Frame[S]) Answer(kind sources.Kind, r Request, n Name, who string, hints map[sources.Kind]string) *sources.Error {
	what, given := f.calls.Subject(n), cmp.Or(r.Given, r.Done)
	if kind == sources.BadName && r.Writes {
		kind = sources.Refused
	}
	e := &sources.Error{Kind: kind, Hint: hints[kind]}
	switch kind {
	case sources.NotFound:
		e.Message = what + " does not exist"
	case sources.Denied:
		e.Message = fmt.Sprintf("%s may not be %s", what, r.Done)
	case sources.Disabled:
		e.Message = fmt.Sprintf("%s cannot be %s in its present state", what, r.Done)
	case sources.NoLogin:
		e.Message = "the credentials were not accepted by " + who
	case sources.Throttled:
		e.Message = fmt.Sprintf("%s was not %s: too many requests", what, given)
	case sources.Conflict:
		return f.Subject(n).Conflict("was changed by somebody else at the same moment")
	case sources.BadName, sources.Refused:
		e.Message = fmt.Sprintf("%s: %s does not accept the request", what, f.calls.System)
	default:
		e.Message = fmt.Sprintf("%s was not %s: the service failed", what, given)
	}
	return e
}
