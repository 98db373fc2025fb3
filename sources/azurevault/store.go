package azurevault

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/perkey"
)

const (
	maxTags = 15 // that a version may have
)

// marks are the tags that say whose a secret is. Everybody who may list secrets
// sees them. Azure keeps tags with each version; where a person has set a value
// without them, those of the version before count.
var marks = sources.Tags{Owner: "bifrost-secrets-owner", Path: "bifrost-secrets-path", Next: "-", Max: 256, Parts: 8}

// writeTag has the token of the write that made the version.
const writeTag = "bifrost-secrets-write"

// store is a source that can also be written.
//
// Azure has one request that writes, SetSecret, and it has no condition: it makes
// a secret or a new version of it, whatever is there. So each write looks at
// the versions right before and right after, and a version that came in between
// and is not of this write makes it a conflict. Two who write the same secret
// between the two looks so both store their value, and at most one of them is
// told that all is well; the value that lost is a version of the secret.
type store struct{ *source }

// Put creates a secret, or adds a version to one that is ours.
func (s *store) Put(ctx context.Context, w sources.Write) (string, error) {
	p, fault := s.BeginPut(ctx, w)
	if fault != nil {
		return "", fault
	}
	o, n, tags := p.Op, p.Name, p.Texts
	d, fault := s.look(o, n)
	if fault != nil {
		return "", fault
	}
	is := s.standing(n, d)
	is.Made = func() (bool, error) { return d.current.tags[writeTag] == w.Token, nil }
	if !d.gone.IsZero() {
		is.Bar = is.Subject.Refused("is deleted, and its name is not free before it is purged", s.recoverHint(n))
	}
	if done, err := is.AdmitPut(w); done || err != nil {
		return d.current.id, err
	}
	tags[writeTag] = w.Token
	maps.DeleteFunc(tags, func(_, text string) bool { return text == "" })
	for key, text := range d.current.tags {
		if key != sources.ToolKey && !strings.HasPrefix(key, sources.Tool+"-") {
			tags[key] = text
		}
	}
	if len(tags) > maxTags {
		return "", is.Subject.Refused(fmt.Sprintf("has so many tags that those of bifrost-secrets do not fit: %d are allowed", maxTags), "remove tags that nobody needs")
	}
	return s.set(o, n, d, w, tags)
}

// standing returns what the rule of changes is told of a secret.
func (s *source) standing(n perkey.Name, d *described) sources.Standing {
	is := s.Standing(n, d.item())
	if d.managed {
		is.Bar = is.Subject.Refused("belongs to a certificate, which the vault renews", "let the document refer to it, or store under another name; delete the certificate where nobody needs it")
	}
	return is
}

// set stores the value, and looks at what else was stored since d.
func (s *store) set(o *operation, n perkey.Name, d *described, w sources.Write, tags map[string]string) (string, error) {
	in := azsecrets.SetSecretParameters{Tags: map[string]*string{}}
	for key, text := range tags {
		in.Tags[key] = &text
	}
	value := string(w.Value.Reveal())
	in.Value = &value
	got, fault := call(s.source, o, setting, n, func(c *azsecrets.Client) (azsecrets.SetSecretResponse, error) {
		return c.SetSecret(o.Ctx, n.ID, in, nil)
	})
	switch {
	case fault != nil:
		return "", fault
	case got.ID == nil || got.ID.Version() == "":
		return "", s.Subject(n).Refused("was answered for without a version", "run again, which begins with what is there now")
	}
	after, fault := s.versions(o, n)
	if fault != nil {
		return "", fault
	}
	for id, v := range after.versions {
		// The SDK may have sent ours more than once.
		if d.versions[id] == nil && v.tags[writeTag] != w.Token {
			return "", s.Subject(n).Conflict(fmt.Sprintf("was changed by somebody else at the same moment: version %s is theirs, and %s is ours", id, got.ID.Version()))
		}
	}
	return got.ID.Version(), nil
}

// Delete deletes a secret, for as many days as the vault keeps what is deleted,
// which is set in the vault alone; o.Now purges it too.
func (s *store) Delete(ctx context.Context, name, owner string, options sources.DeleteOptions) error {
	o, n, err := s.BeginDelete(ctx, name, owner)
	if err != nil {
		return err
	}
	d, fault := s.look(o, n)
	if fault != nil {
		return fault
	}
	is := s.standing(n, d)
	if options.Now && d.keeps && is.Bar == nil {
		is.Bar = is.Subject.Refused("cannot be deleted at once: the vault has purge protection",
			"delete it with recovery; the vault purges it by itself when its days are over")
	}
	if gone, err := is.AdmitDelete(owner, ""); gone || err != nil { // it can be brought back
		return err
	}
	if d.gone.IsZero() {
		_, fault := call(s.source, o, deleting, n, func(c *azsecrets.Client) (azsecrets.DeleteSecretResponse, error) {
			return c.DeleteSecret(ctx, n.ID, nil)
		})
		if fault != nil && fault.Kind != sources.NotFound {
			return fault
		}
	}
	if !options.Now {
		return nil
	}
	return s.purge(o, n)
}

const purgeAttempts = 20

// purge ends what is deleted. A deletion takes a while, in which the vault says
// that there is nothing, or that it is not done.
func (s *store) purge(o *operation, n perkey.Name) error {
	for attempt := 1; ; attempt++ {
		_, fault := call(s.source, o, purging, n, func(c *azsecrets.Client) (azsecrets.PurgeDeletedSecretResponse, error) {
			return c.PurgeDeletedSecret(o.Ctx, n.ID, nil)
		})
		switch {
		case fault == nil:
			return nil
		case fault.Code == "ObjectIsBeingDeleted":
		case fault.Kind == sources.NotFound:
			// Purged already, or not yet deleted: the list of versions tells.
			if d, fault := s.versions(o, n); fault != nil || !d.exists && attempt > 1 {
				return perkey.AsError(fault)
			}
		default:
			return fault
		}
		if attempt == purgeAttempts {
			return s.Subject(n).Refused("is deleted, and is not purged yet: its deletion takes long", "run again in a minute")
		}
		if !perkey.Wait(o.Ctx, 2*s.retryDelay) {
			return o.Late(n)
		}
	}
}

// texts returns tags as texts.
func texts(tags map[string]*string) map[string]string {
	all := make(map[string]string, len(tags))
	for key, value := range tags {
		all[key] = text(value)
	}
	return all
}
