package hashivault

import (
	"context"
	"strconv"

	"github.com/hashicorp/vault/api"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/perkey"
)

// valueKey is the one key of the documents that we store.
const valueKey = "value"

// marks are the custom metadata that says whose a secret is. Everybody who may read
// the metadata sees it.
var marks = sources.Tags{
	Owner: "bifrost-secrets/owner", Path: "bifrost-secrets/path", Next: ".", Max: 512, Parts: 8, // of the 64 keys that a secret may have
	Plain: func(c byte) bool { return c >= ' ' && c <= '~' },
}

// makingKey says who is about to make a secret, since its value and its mark
// cannot be stored in one request.
const makingKey = "bifrost-secrets/making"

// store is a source that can also be written, if the engine has version 2.
//
// A value and its mark cannot be stored in one request. So a new secret first
// has an entry that says who is making it, then its value, and last its mark;
// only the value has a condition, and whoever was first with it sets the mark.
// Where we are killed in between, the next one to store the same value for the
// same owner finds what is missing. A changed secret costs two requests: a look,
// and a write that has the version as its condition.
type store struct{ *source }

// put is one write.
type put struct {
	*source
	*perkey.Put[*session]
}

// Put creates a secret, or adds a version to one that is ours. The same write is
// known by its value, in the version after the one that was expected.
func (s *store) Put(ctx context.Context, w sources.Write) (string, error) {
	if bad := checkWritable(w.Name); bad != nil {
		return "", bad
	}
	begun, fault := s.BeginPut(ctx, w)
	if fault != nil {
		return "", fault
	}
	p := &put{s.source, begun}
	d, fault := s.look(p.Op, p.Name)
	if fault != nil {
		return "", fault
	}
	if done, err := p.admit(d); done || err != nil {
		return p.settled(d, err)
	}
	switch {
	case d.current == 0:
		fault = p.announce(d)
	case d.mark.Path != w.Mark.Path:
		fault = p.mark()
	}
	if fault != nil {
		return "", fault
	}
	version, taken, fault := p.write(d.current)
	switch {
	case taken: // by another, or by us: an answer that was lost makes the client ask again
		return p.overtaken()
	case fault == nil && d.current == 0:
		fault = p.mark()
	}
	return version, perkey.AsError(fault)
}

// look describes a secret, and refuses an engine that cannot be written.
func (s *store) look(o *operation, n perkey.Name) (*described, *sources.Error) {
	if s.engine.Load().version == 1 {
		return nil, &sources.Error{
			Kind: sources.Refused, Name: n.Text, Message: "the engine at " + s.mount + " is kv version 1, which has no check-and-set and no metadata: it is only read",
			Hint: "upgrade it: vault kv enable-versioning " + s.mount,
		}
	}
	return s.describe(o, n)
}

// admit decides on a write to what is there. It reports whether this very write
// was made before.
func (p *put) admit(d *described) (done bool, err error) {
	is := p.Standing(p.Name, d.item())
	if d.current > 0 && p.making(d) && p.Write.Expect == "" {
		if done, err := p.same(d); done || err != nil {
			return done, err
		}
		e := is.Subject.Conflict("is being stored by another process, or one was stopped within it")
		e.Hint = "run again, which begins with what is there now; if nobody else writes there, delete it: vault kv metadata delete -mount=" + p.mount + " " + p.Name.ID
		return false, e
	}
	if !d.deleted.IsZero() {
		is.Bar = is.Subject.Refused("is deleted, and can be brought back",
			"bring it back: "+p.undelete(p.Name, is.Version)+"; or delete it for good: vault kv metadata delete -mount="+p.mount+" "+p.Name.ID)
	}
	is.Made = func() (bool, error) { return p.same(d) }
	return is.AdmitPut(p.Write)
}

// making reports whether a secret without a mark is one that our gateway makes.
func (p *put) making(d *described) bool { return d.mark == nil && d.making == p.Texts[marks.Owner] }

// same reports whether the current version is the one that this write makes, and
// has its value.
func (p *put) same(d *described) (bool, error) {
	before, err := 0, error(nil)
	if p.Write.Expect != "" {
		before, err = strconv.Atoi(p.Write.Expect)
	}
	ours := d.mark != nil && d.mark.Owner == p.Write.Mark.Owner || p.making(d)
	if err != nil || !ours || d.current != before+1 || !d.deleted.IsZero() {
		return false, nil
	}
	got, fault := p.read(p.Op, p.Name)
	if fault != nil && fault.Kind.Retryable() {
		return false, fault
	}
	return fault == nil && got.Version == strconv.Itoa(d.current) && string(got.Value.Reveal()) == string(p.Write.Value.Reveal()), nil
}

// settled sets the mark of a write that was made before, where it is missing.
func (p *put) settled(d *described, err error) (string, error) {
	if err == nil && (d.mark == nil || *d.mark != p.Write.Mark) {
		err = perkey.AsError(p.mark())
	}
	return strconv.Itoa(d.current), err
}

// overtaken says what has come in between, which may be this very write.
func (p *put) overtaken() (string, error) {
	d, fault := p.describe(p.Op, p.Name)
	if fault != nil {
		return "", fault
	}
	if same, err := p.same(d); same || err != nil {
		return p.settled(d, err)
	}
	is := p.Standing(p.Name, d.item())
	if p.Write.Expect == "" {
		return "", is.Subject.Conflict("was made meanwhile")
	}
	return "", is.Subject.Conflict("was changed meanwhile: it has version " + is.Version)
}

// announce says who is making the secret. The entry is made without metadata, so
// that two who make it at once take nothing from each other.
func (p *put) announce(d *described) *sources.Error {
	if !d.known {
		_, fault := p.call(p.Op, making, p.Name, write(map[string]any{"max_versions": 0})) // as the mount has it
		if fault != nil {
			return fault
		}
	}
	return p.patch(map[string]any{makingKey: p.Texts[marks.Owner]})
}

// mark says whose the secret is.
func (p *put) mark() *sources.Error {
	custom := map[string]any{makingKey: nil}
	for key, text := range p.Texts {
		if custom[key] = text; text == "" {
			custom[key] = nil // no value may be empty
		}
	}
	return p.patch(custom)
}

// patch changes some of the custom metadata, and leaves the rest to others. A nil
// takes a key away.
func (p *put) patch(custom map[string]any) *sources.Error {
	_, fault := p.call(p.Op, marking, p.Name, func(c *api.Logical, ctx context.Context, path string) (*api.Secret, error) {
		return c.JSONMergePatch(ctx, path, map[string]any{"custom_metadata": custom})
	})
	return fault
}

// write stores the value if the current version is still that one. taken says
// that it is not.
func (p *put) write(current int) (version string, taken bool, fault *sources.Error) {
	r := changing
	if current == 0 {
		r = creating
	}
	got, fault := p.call(p.Op, r, p.Name, write(map[string]any{
		"options": map[string]any{"cas": current},
		"data":    map[string]any{valueKey: string(p.Write.Value.Reveal())},
	}))
	switch {
	case fault != nil && fault.Kind == sources.Conflict:
		return "", true, nil
	case fault != nil:
		return "", false, fault
	case got == nil || number(got.Data["version"]) == 0:
		fault = p.unreachable("an answer to the write without a version", nil)
		fault.Name = p.Name.Text
		return "", false, fault
	}
	return strconv.Itoa(number(got.Data["version"])), false, nil
}

// Delete deletes every version, so that each can be brought back for as long as
// Vault keeps it, or removes the secret with all that is known of it.
func (s *store) Delete(ctx context.Context, name, owner string, options sources.DeleteOptions) error {
	o, n, err := s.BeginDelete(ctx, name, owner)
	if err != nil {
		return err
	}
	d, fault := s.look(o, n)
	if fault != nil {
		return fault
	}
	gone, err := s.Standing(n, d.item()).AdmitDelete(owner, "") // it can be brought back
	switch {
	case gone || err != nil:
		return err
	case options.Now:
		_, fault = s.call(o, removing, n, (*api.Logical).DeleteWithContext)
	case len(d.live) > 0:
		_, fault = s.call(o, deleting, n, write(map[string]any{"versions": d.live}))
	}
	return perkey.AsError(fault)
}
