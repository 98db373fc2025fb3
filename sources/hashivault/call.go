package hashivault

import (
	"context"
	"fmt"

	"github.com/hashicorp/vault/api"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/perkey"
)

// request is one kind of request about a secret or a folder. Its permission is the
// capability that a policy has to have.
type request struct {
	perkey.Request
	part string // of a version 2 mount, that it goes to
}

func requestOf(capability, part, done, given string) request {
	return request{perkey.Request{Method: capability + " " + part, Permission: capability, Done: done, Given: given}, part}
}

var (
	reading  = requestOf("read", "data", "read", "given")
	looking  = requestOf("read", "metadata", "looked at", "shown")
	listing  = requestOf("list", "metadata", "listed", "shown")
	making   = requestOf("create", "metadata", "stored", "stored")
	creating = requestOf("create", "data", "stored", "stored")
	changing = requestOf("update", "data", "changed", "changed")
	marking  = requestOf("patch", "metadata", "marked", "marked")
	deleting = requestOf("update", "delete", "deleted", "deleted")
	removing = requestOf("delete", "metadata", "deleted", "deleted")
)

// do is what the client makes of a request to a path: one of its methods.
type do func(c *api.Logical, ctx context.Context, path string) (*api.Secret, error)

func write(data map[string]any) do {
	return func(c *api.Logical, ctx context.Context, path string) (*api.Secret, error) {
		return c.WriteWithContext(ctx, path, data)
	}
}

// call makes one request, and returns its answer.
func (s *source) call(o *operation, r request, n perkey.Name, do do) (got *api.Secret, fault *sources.Error) {
	fault = o.Call(r.Request, n, func(sess *session) *sources.Error {
		path := s.engine.Load().path(s.mount, r.part, n.ID)
		var err error
		if got, err = do(s.client.Logical(), o.Ctx, path); err == nil {
			return nil
		}
		if refused := s.refused(o, sess, err); refused != nil {
			return refused
		}
		return s.fault(o.Ctx, o.Began, r, path, n, err)
	})
	return got, fault
}

// refused returns the error for an answer that is about the token, and nil for any
// other: vault says `permission denied` both to a token that it no longer knows and
// to one that a policy keeps out. Which it is, the token itself may ask: once in an
// operation, whatever the number of requests that were refused.
func (s *source) refused(o *operation, sess *session, err error) *sources.Error {
	_, _, status := reply(err)
	if status != 401 && status != 403 {
		return nil
	}
	sess.mu.Lock()
	defer sess.mu.Unlock()
	if !sess.over.Load() {
		if sess.asked == o {
			return nil
		}
		sess.asked = o
		_, err := s.client.Auth().Token().LookupSelfWithContext(o.Ctx)
		_, text, status := reply(err)
		// One that may not even look at itself is replaced if it is ours to make,
		// and was not just made.
		if !isBadToken(text) && !(status == 403 && s.login.request != nil && sess.made.Before(o.Began)) {
			return nil
		}
		sess.end()
	}
	e := sources.NewError(sources.NoLogin, "vault does not accept "+s.login.what, s.login.hint)
	if sess.made.After(o.Began) {
		e.Message = "vault does not accept the token that it has just given to " + s.login.what
	}
	e.Code = fmt.Sprintf("http %d", status)
	return e
}

// reach looks at the token: that there is something which may be listed is not
// said, and nothing need be.
func (s *source) reach(o *operation) *sources.Error {
	_, fault := s.call(o, reading, perkey.Name{}, func(_ *api.Logical, ctx context.Context, _ string) (*api.Secret, error) {
		_, err := s.client.Auth().Token().LookupSelfWithContext(ctx)
		if _, text, status := reply(err); status == 403 && !isBadToken(text) {
			return nil, nil // it may not look at itself, and was known to get this answer
		}
		return nil, err
	})
	return fault
}
