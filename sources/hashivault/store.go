package hashivault

import (
	"context"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/hashicorp/vault/api"

	"bifrost-secrets/sources"
)

// maxValue is the most bytes of a value. Consul keeps entries of 512 KiB and
// integrated storage of 1 MiB, and a value may grow when it is encoded.
const maxValue = 256 << 10

// valueKey is the one key of the documents that we store.
const valueKey = "value"

// store is a source that can also be written, if the engine has version 2.
//
// A value and its mark cannot be stored in one request. So a new secret first
// gets an entry that says who is making it, then its value, and last its mark;
// only the value has a condition, and whoever was first with it sets the mark.
// Where we are killed in between, the next one to store the same value for the
// same owner finds what is missing. A changed secret costs two requests: a look,
// and a write that has the version as its condition.
type store struct{ *source }

// MaxValue is what every storage of Vault can keep.
func (*store) MaxValue() int { return maxValue }

// Put creates a secret, or gives one that is ours a new version. The same write
// is known by its value, in the version after the one that was expected.
func (s *store) Put(ctx context.Context, w sources.Write) (string, error) {
	mark, bad := markData(w.Mark)
	if nameless := checkWritable(w.Name); nameless != nil {
		bad = nameless
	}
	if bad == nil {
		bad = refuseAlways(w)
	}
	if bad != nil {
		bad.Name = w.Name
		return "", bad
	}
	p := &put{operation: s.begin(ctx, changing), w: w, mark: mark}
	version, fault := p.run()
	return version, asError(fault)
}

// refuseAlways finds what no state of the backend could make right.
func refuseAlways(w sources.Write) *sources.Error {
	e := &sources.Error{Kind: sources.Refused}
	switch {
	case w.Value.Len() > maxValue:
		e.Message = fmt.Sprintf("the value of %q has %d bytes, and %d are allowed", shorten(w.Name), w.Value.Len(), maxValue)
		e.Hint = "keep what is so large in a file, or split it over several secrets"
	case !utf8.Valid(w.Value.Reveal()):
		e.Message = fmt.Sprintf("the value of %q is not utf-8 text", shorten(w.Name))
		e.Hint = "store it as base64"
	default:
		return nil
	}
	return e
}

// put is one write.
type put struct {
	*operation
	w    sources.Write
	mark map[string]any
}

func (p *put) run() (string, *sources.Error) {
	d, fault := p.look()
	if fault != nil {
		return "", fault
	}
	done, fault := p.admit(d)
	switch {
	case fault != nil:
		return "", fault
	case done:
		return strconv.Itoa(d.current), p.settle(d)
	case d.current == 0:
		if fault := p.announce(d); fault != nil {
			return "", fault
		}
	case d.mark.Path != p.w.Mark.Path:
		if fault := p.patch(p.mark); fault != nil {
			return "", fault
		}
	}
	version, taken, fault := p.write(d.current)
	switch {
	case taken:
		// By another, or by us: an answer that was lost makes the client ask again.
		if d, fault = p.describe(p.w.Name); fault != nil {
			return "", fault
		}
		if same, fault := p.same(d); !same {
			return "", p.orConflict(fault, d)
		}
		return strconv.Itoa(d.current), p.settle(d)
	case fault == nil && d.current == 0:
		fault = p.patch(p.mark)
	}
	return version, fault
}

// look describes the secret, and refuses an engine that cannot be written.
func (p *put) look() (*described, *sources.Error) {
	_, _, mount, fault := p.signIn()
	if fault == nil && mount.version == 1 {
		fault = p.readOnly()
	}
	if fault != nil {
		own := *fault
		own.Name = p.w.Name
		return nil, &own
	}
	return p.describe(p.w.Name)
}

func (s *source) readOnly() *sources.Error {
	return &sources.Error{
		Kind: sources.Refused, Message: "the engine at " + s.mount + " is kv version 1, which has no check-and-set and no metadata: it is only read",
		Hint: "upgrade it: vault kv enable-versioning " + s.mount,
	}
}

// admit decides on a write to what is there. done says that this very write was
// made before.
func (p *put) admit(d *described) (done bool, fault *sources.Error) {
	w, version := &p.w, strconv.Itoa(d.current)
	switch {
	case d.current == 0 && w.Expect == "":
		return false, nil
	case d.current == 0:
		return false, p.conflict("is not there any more")
	case d.mark == nil && d.making == w.Mark.Owner && w.Expect == "":
		if done, fault = p.same(d); done || fault != nil {
			return done, fault
		}
		return false, p.conflict("is being stored by another process, or one was stopped within it")
	case d.mark == nil:
		return false, p.foreign(w.Name, "")
	case d.mark.Owner != w.Mark.Owner:
		return false, p.foreign(w.Name, d.mark.Owner)
	case !d.deleted.IsZero():
		return false, p.refusal(w.Name, "is deleted, and can be brought back", "bring it back: "+p.undelete(w.Name, version)+"; or delete it for good: vault kv metadata delete -mount="+p.mount+" "+w.Name)
	case version == w.Expect:
		return false, nil
	}
	if done, fault = p.same(d); done || fault != nil {
		return done, fault
	}
	return false, p.orConflict(nil, d)
}

// same reports whether the current version is the one that this write makes, and
// has its value.
func (p *put) same(d *described) (bool, *sources.Error) {
	before, err := 0, error(nil)
	if p.w.Expect != "" {
		before, err = strconv.Atoi(p.w.Expect)
	}
	ours := d.mark != nil && d.mark.Owner == p.w.Mark.Owner || d.mark == nil && d.making == p.w.Mark.Owner
	if err != nil || !ours || d.current != before+1 || !d.deleted.IsZero() {
		return false, nil
	}
	got, fault := p.doing(reading).read(p.w.Name)
	if fault != nil && fault.Kind.Down() {
		return false, fault
	}
	return fault == nil && got.Version == strconv.Itoa(d.current) && string(got.Value.Reveal()) == string(p.w.Value.Reveal()), nil
}

// settle sets the mark of a write that was made before, where it is missing.
func (p *put) settle(d *described) *sources.Error {
	if d.mark != nil && *d.mark == p.w.Mark {
		return nil
	}
	return p.patch(p.mark)
}

// announce says who is making the secret. The entry is made without metadata, so
// that two who make it at once take nothing from each other.
func (p *put) announce(d *described) *sources.Error {
	if !d.known {
		fault := p.doing(creating).call("metadata", p.w.Name, func(ctx context.Context, c *api.Client, path string) error {
			_, err := c.Logical().WriteWithContext(ctx, path, map[string]any{"max_versions": 0}) // as the mount has it
			return err
		})
		if fault != nil {
			return fault
		}
	}
	return p.patch(map[string]any{makingKey: escape(p.w.Mark.Owner)})
}

// patch changes some of the custom metadata, and leaves the rest to others.
func (p *put) patch(custom map[string]any) *sources.Error {
	return p.doing(marking).call("metadata", p.w.Name, func(ctx context.Context, c *api.Client, path string) error {
		_, err := c.Logical().JSONMergePatch(ctx, path, map[string]any{"custom_metadata": custom})
		return err
	})
}

// write stores the value if the current version is still that one. taken says
// that it is not.
func (p *put) write(current int) (version string, taken bool, fault *sources.Error) {
	d := changing
	if current == 0 {
		d = creating
	}
	fault = p.doing(d).call("data", p.w.Name, func(ctx context.Context, c *api.Client, path string) error {
		got, err := c.Logical().WriteWithContext(ctx, path, map[string]any{
			"options": map[string]any{"cas": current},
			"data":    map[string]any{valueKey: string(p.w.Value.Reveal())},
		})
		if taken = isMismatch(err); taken {
			return nil
		}
		if err == nil && got != nil {
			version = strconv.Itoa(number(got.Data["version"]))
		}
		return err
	})
	if fault == nil && !taken && (version == "" || version == "0") {
		fault = p.unreachable("an answer to the write without a version", nil)
	}
	return version, taken, fault
}

// Delete deletes every version, so that each can be brought back for as long as
// Vault keeps it, or removes the secret with all that is known of it.
func (s *store) Delete(ctx context.Context, name, owner string, o sources.DeleteOptions) error {
	if bad := checkName(name); bad != nil {
		return bad
	}
	if owner == "" {
		return &sources.Error{Kind: sources.Refused, Name: name, Message: "no gateway is named", Hint: ownerHint}
	}
	p := &put{operation: s.begin(ctx, deleting), w: sources.Write{Name: name}}
	d, fault := p.look()
	switch {
	case fault != nil:
		return fault
	case d.current == 0:
		return nil
	case d.mark == nil:
		return p.foreign(name, "")
	case d.mark.Owner != owner:
		return p.foreign(name, d.mark.Owner)
	case o.Now:
		return asError(p.doing(removing).call("metadata", name, func(ctx context.Context, c *api.Client, path string) error {
			_, err := c.Logical().DeleteWithContext(ctx, path)
			return err
		}))
	case len(d.live) == 0:
		return nil
	}
	return asError(p.call("delete", name, func(ctx context.Context, c *api.Client, path string) error {
		_, err := c.Logical().WriteWithContext(ctx, path, map[string]any{"versions": d.live})
		return err
	}))
}

func (o *operation) refusal(name, what, hint string) *sources.Error {
	return &sources.Error{Kind: sources.Refused, Name: name, Message: subject(name) + " " + what, Hint: hint}
}

func (o *operation) foreign(name, owner string) *sources.Error {
	if owner != "" {
		return o.refusal(name, fmt.Sprintf("belongs to the gateway %q", owner), "give --gateway as that gateway does, or store under another prefix")
	}
	return o.refusal(name, "was not stored by bifrost-secrets", "store under another prefix, or delete it by hand if nobody needs it")
}

func (p *put) conflict(what string) *sources.Error {
	return &sources.Error{
		Kind: sources.Conflict, Name: p.w.Name, Message: subject(p.w.Name) + " " + what,
		Hint: "run again, which begins with what is there now; if nobody else writes there, delete it: vault kv metadata delete -mount=" + p.mount + " " + p.w.Name,
	}
}

// orConflict is fault, or what is to be said where another was first.
func (p *put) orConflict(fault *sources.Error, d *described) *sources.Error {
	switch {
	case fault != nil:
		return fault
	case p.w.Expect == "":
		return p.conflict("was made meanwhile")
	}
	e := p.conflict(fmt.Sprintf("was changed meanwhile: it has version %d", d.current))
	e.Hint = "somebody else writes there too: run again, which begins with what is there now"
	return e
}

// Recoverable implements [sources.Store].
func (*store) Recoverable() bool { return true }

// History implements [sources.Store].
func (*store) History() bool { return true }
