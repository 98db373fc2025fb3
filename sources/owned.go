package sources

import (
	"fmt"
	"unicode/utf8"
)

// This is the one rule of who may overwrite and delete. A backend reads and
// writes marks and says how a secret stands; what follows from that is decided
// here, in this order: whether it is there, whose it is, whether the backend lets
// anybody change it, whether the same write was made before, and whether its
// version is the one that was expected.

// Mark says whose a secret is. A backend keeps it beside the secret (tags,
// labels, custom metadata), readable by everybody who may list secrets, so it
// holds nothing that would tell anything of a value.
type Mark struct {
	Owner string // the gateway that it was stored for: --gateway; never empty
	Path  string // the JSON path of the field that it was stored from; empty where a person stored it
}

// Subject is a secret as the messages of its backend name it.
type Subject struct {
	Name string // as the reference spells it
	Text string // at the beginning of a message: `secret "a/b" in eu-west-1`
}

// Refused returns the error for a change that what the secret is forbids.
func (s Subject) Refused(what, hint string) *Error {
	return NewError(Refused, s.Text+" "+what, hint).Of(s.Name)
}

// Conflict returns the error for a change that another was made before.
func (s Subject) Conflict(what string) *Error {
	return NewError(Conflict, s.Text+" "+what, "somebody else writes there too: run again, which begins with what is there now").Of(s.Name)
}

// Standing is what a backend knows of a secret that is about to be changed.
type Standing struct {
	Subject Subject
	Exists  bool
	Version string // the current one; empty where there is none
	Mark    *Mark  // nil where it is not ours
	// Bar is why nobody may make this change, whoever owns the secret: it is
	// rotated, or scheduled for deletion. Nil where nothing keeps from it.
	Bar *Error
	// Made reports whether the current version is that of the same write, made
	// before. It is called for an owned secret only, and may make a request. Nil
	// means that it is not.
	Made func() (bool, error)
}

// Limits are the values that a backend can hold.
type Limits struct {
	Max    int  // bytes
	Empty  bool // also those of no bytes
	Binary bool // also those that are not UTF-8 text
}

// Check returns an error of kind Refused for a write that no state of the backend
// could make right. It is to be called before any request.
func (l Limits) Check(w Write) *Error {
	if w.Mark.Owner == "" {
		return unowned(w.Name)
	}
	value := Subject{w.Name, fmt.Sprintf("the value of %q", Shorten(w.Name))}
	switch b := w.Value.Reveal(); {
	case len(b) > l.Max:
		return value.Refused(fmt.Sprintf("has %d bytes, and %d are allowed", len(b), l.Max), "keep what is so large in a file, or split it over several secrets")
	case len(b) == 0 && !l.Empty:
		return value.Refused("is empty, which this backend does not allow", "an empty value needs no secret")
	case !l.Binary && !utf8.Valid(b):
		return value.Refused("is not utf-8 text", "store it as base64")
	}
	return nil
}

// unowned returns the error for a change that is made for nobody.
func unowned(name string) *Error {
	return NewError(Refused, "no gateway is named", "say whose secret it is: --gateway NAME").Of(name)
}

// AdmitPut decides on a write to a secret that stands so; w passed [Limits.Check].
// It reports whether this very write was made before, and needs nothing more;
// errors are a [*Error] of kind Refused or Conflict, or that of s.Made.
func (s Standing) AdmitPut(w Write) (done bool, err error) {
	switch {
	case !s.Exists && w.Expect == "":
		return false, nil
	case !s.Exists:
		return false, s.Subject.Conflict("is not there any more")
	}
	if err := s.owned(w.Mark.Owner); err != nil {
		return false, err
	}
	if s.Made != nil {
		if done, err := s.Made(); done || err != nil {
			return done, err
		}
	}
	switch {
	case s.Version == w.Expect:
		return false, nil
	case w.Expect == "":
		return false, s.Subject.Conflict("was made meanwhile")
	}
	return false, s.Subject.Conflict("was changed meanwhile: it has version " + s.Version)
}

// CheckDelete returns an error of kind Refused for a deletion that is made for
// nobody. It is to be called before any request.
func CheckDelete(name, owner string) error {
	if owner == "" {
		return unowned(name)
	}
	return nil
}

// AdmitDelete decides on a deletion, for an owner, of a secret that stands so. It
// reports whether there is nothing to delete. expect is the version that must be
// the current one; empty means any.
func (s Standing) AdmitDelete(owner, expect string) (gone bool, err error) {
	if !s.Exists {
		return true, nil
	}
	if err := s.owned(owner); err != nil {
		return false, err
	}
	if expect != "" && s.Version != expect {
		return false, s.Subject.Conflict("was changed meanwhile: it has version " + s.Version)
	}
	return false, nil
}

// owned refuses what is not owner's, and what nobody may change.
func (s Standing) owned(owner string) error {
	switch {
	case s.Mark == nil:
		return s.Subject.Refused("was not stored by bifrost-secrets", "store under another prefix, or delete it by hand if nobody needs it")
	case s.Mark.Owner != owner:
		return s.Subject.Refused(fmt.Sprintf("belongs to the gateway %q", s.Mark.Owner), "give --gateway as that gateway does, or store under another prefix")
	case s.Bar != nil:
		return s.Bar
	}
	return nil
}
