package sources

import (
	"cmp"
	"fmt"
	"sync"
)

// Renewal is the session of one operation, which is made anew at most once
// where the backend refuses it as expired or unknown: what a file on the disk
// says of a login, or what a service answers for it, may be another by then. It is
// safe for concurrent use, and for requests that are under way together.
type Renewal[S comparable] struct {
	mu      sync.Mutex
	session S
	renewed bool
	refused *Error // of the session that was made anew, or why there is none
}

// NewRenewal returns the renewal of an operation that begins with a session.
func NewRenewal[S comparable](session S) *Renewal[S] { return &Renewal[S]{session: session} }

// Session returns the session to use now, or the error where none is of use any
// more: then nothing is asked for.
func (r *Renewal[S]) Session() (S, *Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.session, r.refused
}

// Do makes a request with the session of now. One that is refused, which send says
// with an error of kind NoLogin, was not carried out: it is made once more, with the
// session that anew makes the first time; anew returns the session that it is given
// where there is no other to be had. The error is that of send, or says why there is
// no session of use.
func (r *Renewal[S]) Do(send func(S) *Error, anew func(old S, why *Error) (S, *Error)) *Error {
	for {
		session, dead := r.Session()
		if dead != nil {
			return dead
		}
		fault := send(session)
		if fault == nil || fault.Kind != NoLogin {
			return fault
		}
		if !r.again(session, fault, anew) {
			_, dead = r.Session()
			return cmp.Or(dead, fault)
		}
	}
}

// again reports whether a request that was refused with session is worth sending
// again.
func (r *Renewal[S]) again(session S, fault *Error, anew func(S, *Error) (S, *Error)) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.refused != nil:
		return false
	case session != r.session:
		return true // somebody has made another meanwhile
	case r.renewed:
		r.refused = fault
		return false
	}
	r.renewed = true
	next, failed := anew(session, fault)
	switch {
	case failed != nil:
		r.refused = failed
	case next == session:
		r.refused = fault
	}
	r.session = next
	return r.refused == nil
}

// SignedInAnew is the warning for a session of system that was made anew after
// it was refused as why says.
func SignedInAnew(system string, why *Error) string {
	return fmt.Sprintf("%s refused the session (%s): signed in anew with the credentials that there are now", system, cmp.Or(why.Code, string(why.Kind)))
}
