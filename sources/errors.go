package sources

import (
	"errors"
	"fmt"
)

// Kind tells apart the failures of a source that a caller treats differently.
type Kind string

// The kinds of failure.
const (
	NotFound    Kind = "not found"           // the backend answered: there is no such secret
	Denied      Kind = "access denied"       // the backend answered: you may not read it
	Disabled    Kind = "not readable"        // it exists but is deleted, disabled or without a value
	Throttled   Kind = "throttled"           // the backend kept answering "too many requests"
	Unreachable Kind = "unreachable"         // no usable answer: connection, TLS, 5xx, deadline
	NoLogin     Kind = "no credentials"      // there is nothing to sign in with, or it was refused
	Unusable    Kind = "value not usable"    // an answer came, and its value cannot be used
	BadName     Kind = "name not possible"   // the backend cannot have a secret of this name
	BadSettings Kind = "settings not usable" // the vault_store block or the flags are wrong
)

// Error is a failure of a source. It never holds a value of a secret, and it
// holds only text that was made for people: what the backend itself said stands
// in Message only where that text cannot carry a value.
type Error struct {
	Kind    Kind
	Name    string // the secret, as the reference spells it; empty when the failure is not one secret's
	Code    string // the backend's own error code, if it gave one
	Message string // what went wrong, lower case, no full stop
	Hint    string // what to do about it; may be empty
	Err     error  // the cause, for errors.Is and errors.As; not printed
}

// NewError returns an error of a kind with its message and its hint, which may be
// empty.
func NewError(kind Kind, message, hint string) *Error {
	return &Error{Kind: kind, Message: message, Hint: hint}
}

// Of returns e as the error of one secret; nil stays nil.
func (e *Error) Of(name string) *Error {
	if e == nil || e.Name == name {
		return e
	}
	own := *e
	own.Name = name
	return &own
}

// Error returns the message and the backend's code.
func (e *Error) Error() string {
	if e.Code == "" {
		return e.Message
	}
	return fmt.Sprintf("%s (%s)", e.Message, e.Code)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Advice returns what to do about it.
func (e *Error) Advice() string { return e.Hint }

// ExitCode tells a backend that cannot be used from one that said no.
func (e *Error) ExitCode() int {
	if e.Kind.Retryable() {
		return 3
	}
	return 1
}

// KindOf returns the kind of the first [Error] in err's chain, and "" where there
// is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// HintOf returns what to do about err: the advice of the first error in its chain
// that can have one, of whichever package. It is "" where there is none.
func HintOf(err error) string {
	var e interface{ Advice() string }
	if errors.As(err, &e) {
		return e.Advice()
	}
	return ""
}

// Retryable reports whether trying again may mend it: the backend could not be used
// at all, as against one that answered and said no. It decides between exit codes 3
// and 1.
func (k Kind) Retryable() bool { return k == Unreachable || k == Throttled || k == NoLogin }
