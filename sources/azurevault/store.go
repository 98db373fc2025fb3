package azurevault

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"bifrost-secrets/sources"
)

// maxValue is the most bytes that a secret may have.
const maxValue = 25_600

// store is a source that can also be written.
//
// Azure has one request that writes, SetSecret, and it has no condition: it makes
// a secret or gives it a new version, whatever is there. So each write looks at
// the versions right before and right after, and a version that came in between
// and is not of this write makes it a conflict. Two who write the same secret
// between the two looks so both store their value, and at most one of them is
// told that all is well; the value that lost is a version of the secret.
type store struct{ *source }

// MaxValue is the limit of Azure.
func (*store) MaxValue() int { return maxValue }

// Put creates a secret, or gives one that is ours a new version.
func (s *store) Put(ctx context.Context, w sources.Write) (string, error) {
	i, bad := s.parse(w.Name)
	if bad != nil {
		return "", bad
	}
	tags, bad := tagsOf(w)
	if bad == nil {
		bad = refuseAlways(i, w)
	}
	if bad != nil {
		return "", named(bad, w.Name)
	}
	a, fault := s.begin(ctx, changing)
	if fault != nil {
		return "", named(fault, w.Name)
	}
	d, err := a.look(i)
	if err != nil {
		return "", err
	}
	if done, err := a.admit(i, d, w); err != nil {
		return "", err
	} else if done {
		return d.current.id, nil
	}
	for key, value := range d.kept() {
		tags[key] = value
	}
	if len(tags) > allTags {
		return "", a.refusal(i, fmt.Sprintf("has so many tags that those of bifrost-secrets do not fit: %d are allowed", allTags), "remove tags that nobody needs")
	}
	return a.set(i, d, w, tags)
}

// refuseAlways finds what no state of the backend could make right.
func refuseAlways(i id, w sources.Write) *sources.Error {
	value := w.Value.Reveal()
	e := &sources.Error{Kind: sources.Refused}
	switch {
	case i.version != "":
		e.Message = fmt.Sprintf("%q is one version of a secret, and a version does not change", w.Name)
		e.Hint = "leave out the version at the end of the id"
	case len(value) > maxValue:
		e.Message = fmt.Sprintf("the value of %q has %d bytes, and azure allows %d", w.Name, len(value), maxValue)
		e.Hint = "keep what is so large in a file, or split it over several secrets"
	case len(value) == 0:
		e.Message = fmt.Sprintf("the value of %q is empty", w.Name)
		e.Hint = "an empty value needs no secret"
	case !utf8.Valid(value):
		e.Message = fmt.Sprintf("the value of %q is not utf-8 text", w.Name)
		e.Hint = "store it as base64"
	default:
		return nil
	}
	return e
}

// admit decides on a write to what is there. done says that this very write was
// made before.
func (a *act) admit(i id, d *described, w sources.Write) (done bool, err error) {
	switch {
	case !d.exists && w.Expect == "":
		return false, nil
	case !d.exists:
		return false, a.conflict(i, "is not there any more")
	case !d.gone.IsZero():
		return false, a.refusal(i, "is deleted, and its name is not free before it is purged", a.recoverHint(i))
	case d.managed:
		return false, a.refusal(i, "belongs to a certificate, which the vault renews", "let the document refer to it, or store under another name")
	case d.mark == nil:
		return false, a.foreign(i, "")
	case d.mark.Owner != w.Mark.Owner:
		return false, a.foreign(i, d.mark.Owner)
	case text(d.current.tags[writeTag]) == w.Token:
		return true, nil
	case w.Expect == "":
		return false, a.conflict(i, "was made meanwhile")
	case d.current.id != w.Expect:
		return false, a.conflict(i, "was changed meanwhile: it has version "+d.current.id)
	}
	return false, nil
}

// set stores the value, and looks at what else was stored since d.
func (a *act) set(i id, d *described, w sources.Write, tags map[string]*string) (string, error) {
	value := string(w.Value.Reveal())
	var out azsecrets.SetSecretResponse
	err := a.call("SetSecret", func(c *azsecrets.Client) (err error) {
		out, err = c.SetSecret(a.ctx, i.secret, azsecrets.SetSecretParameters{Value: &value, Tags: tags}, nil)
		return err
	})
	switch {
	case err != nil:
		return "", a.fault(i, err)
	case out.ID == nil || out.ID.Version() == "":
		return "", a.refusal(i, "was answered for without a version", "run again, which begins with what is there now")
	}
	after, err := a.versions(i)
	if err != nil {
		return "", err
	}
	for id, v := range after.versions {
		// The SDK may have sent ours more than once.
		if d.versions[id] == nil && text(v.tags[writeTag]) != w.Token {
			return "", a.conflict(i, fmt.Sprintf("was changed by somebody else at the same moment: version %s is theirs, and %s is ours", id, out.ID.Version()))
		}
	}
	return out.ID.Version(), nil
}

// Delete deletes a secret, for as many days as the vault keeps what is deleted,
// which is set in the vault alone; o.Now purges it too.
func (s *store) Delete(ctx context.Context, name, owner string, o sources.DeleteOptions) error {
	i, bad := s.parse(name)
	switch {
	case bad != nil:
		return bad
	case owner == "":
		return &sources.Error{Kind: sources.Refused, Name: name, Message: "no gateway is named", Hint: ownerHint}
	case i.version != "":
		return &sources.Error{Kind: sources.Refused, Name: name, Message: fmt.Sprintf("%q is one version of a secret", name), Hint: "leave out the version at the end of the id"}
	}
	a, fault := s.begin(ctx, deleting)
	if fault != nil {
		return named(fault, name)
	}
	d, err := a.look(i)
	switch {
	case err != nil:
		return err
	case !d.exists:
		return nil
	case d.mark == nil:
		return a.foreign(i, "")
	case d.mark.Owner != owner:
		return a.foreign(i, d.mark.Owner)
	case d.managed:
		return a.refusal(i, "belongs to a certificate", "delete the certificate")
	case o.Now && d.keeps:
		return a.refusal(i, "cannot be deleted at once: the vault has purge protection",
			"delete it with recovery; the vault purges it by itself when its days are over")
	case d.gone.IsZero():
		err = a.call("DeleteSecret", func(c *azsecrets.Client) error {
			_, err := c.DeleteSecret(ctx, i.secret, nil)
			return err
		})
		if err != nil && a.fault(i, err).Kind != sources.NotFound {
			return a.fault(i, err)
		}
	}
	if !o.Now {
		return nil
	}
	return a.as(purging).purge(i)
}

// purge ends what is deleted. A deletion takes a while, in which the vault says
// that there is nothing, or that it is not done.
func (a *act) purge(i id) error {
	for attempt := 1; ; attempt++ {
		err := a.call("PurgeDeletedSecret", func(c *azsecrets.Client) error {
			_, err := c.PurgeDeletedSecret(a.ctx, i.secret, nil)
			return err
		})
		r := replyOf(err)
		switch fault := a.fault; {
		case err == nil:
			return nil
		case r.inner == "ObjectIsBeingDeleted":
		case a.fault(i, err).Kind == sources.NotFound:
			// Purged already, or not yet deleted: the list of versions tells.
			if d, err := a.versions(i); err != nil || !d.exists && attempt > 1 {
				return err
			}
		default:
			return fault(i, err)
		}
		if attempt == purgeAttempts {
			return a.refusal(i, "is deleted, and is not purged yet: its deletion takes long", "run again in a minute")
		}
		if err := a.pause(); err != nil {
			return a.fault(i, err)
		}
	}
}

const purgeAttempts = 20

// pause waits between two looks at a deletion.
func (a *act) pause() error {
	t := time.NewTimer(2 * a.retryDelay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-a.ctx.Done():
		return a.ctx.Err()
	}
}

// Recoverable implements [sources.Store].
func (*store) Recoverable() bool { return true }

// History implements [sources.Store].
func (*store) History() bool { return true }
