package gcpsecrets

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"strconv"
	"unicode/utf8"

	"google.golang.org/api/secretmanager/v1"

	"bifrost-secrets/sources"
)

// maxValue is the most bytes that a version may have.
const maxValue = 65_536

// store is a source that can also be written.
//
// A write is claimed in the annotations of the secret, by CreateSecret or by
// UpdateSecret with the etag that was seen, and then AddSecretVersion is made.
// Of those who write by this store only one gets to add its version, as long as
// no more than a minute passes between its claim and its version. Others (gcloud)
// know of no claim: the number of the version, which is one more than that of
// the version before, tells whether one of them came in between.
type store struct{ *source }

// MaxValue is the limit of GCP.
func (*store) MaxValue() int { return maxValue }

// Put creates a secret, or gives one that is ours a new version.
func (s *store) Put(ctx context.Context, w sources.Write) (string, error) {
	i, bad := s.parse(w.Name)
	if bad == nil {
		bad = checkMark(w.Mark)
	}
	if bad == nil {
		bad = refuseAlways(i, w)
	}
	if bad != nil {
		return "", named(bad, w.Name)
	}
	d := changing
	if w.Expect == "" {
		d = creating
	}
	a, fault := s.begin(ctx, d)
	if fault != nil {
		return "", named(fault, w.Name)
	}
	if w.Expect == "" {
		made, err := a.create(i, w)
		if err != nil {
			return "", err
		}
		if made {
			return a.as(changing).add(i, w, 0)
		}
	}
	return a.as(changing).update(i, w)
}

// refuseAlways finds what no state of the backend could make right.
func refuseAlways(i id, w sources.Write) *sources.Error {
	value := w.Value.Reveal()
	e := &sources.Error{Kind: sources.Refused}
	switch {
	case i.version != "":
		e.Message = fmt.Sprintf("%q is one version of a secret, and a version does not change", w.Name)
		e.Hint = "name the secret without /versions/"
	case len(value) > maxValue:
		e.Message = fmt.Sprintf("the value of %q has %d bytes, and gcp allows %d", w.Name, len(value), maxValue)
		e.Hint = "keep what is so large in a file, or split it over several secrets"
	case len(value) == 0:
		e.Message = fmt.Sprintf("the value of %q is empty, which gcp does not allow", w.Name)
		e.Hint = "an empty value needs no secret"
	case !utf8.Valid(value):
		e.Message = fmt.Sprintf("the value of %q is not utf-8 text", w.Name)
		e.Hint = "store it as base64"
	default:
		return nil
	}
	return e
}

// create makes the secret, without a version. made is false where there is one.
func (a *act) create(i id, w sources.Write) (made bool, err error) {
	labels, annotations := (&described{}).marked(w, claim{w.Token, 0, a.now()})
	secret := &secretmanager.Secret{
		Labels: labels, Annotations: annotations,
		Replication: &secretmanager.Replication{Automatic: &secretmanager.Automatic{}},
	}
	// Once more does no harm: a secret that is there already goes the way of an
	// update, which knows its own claim.
	err = a.call("CreateSecret", true, func(ctx context.Context, secrets *secretmanager.ProjectsSecretsService) error {
		_, err := secrets.Create("projects/"+i.project, secret).SecretId(i.secret).Context(ctx).Do()
		return err
	})
	switch {
	case err == nil:
		return true, nil
	case replyOf(err).status == "ALREADY_EXISTS":
		return false, nil
	}
	return false, a.fault(i, err)
}

func (a *act) update(i id, w sources.Write) (string, error) {
	d, err := a.look(i)
	if err != nil {
		return "", err
	}
	if done, err := a.admit(i, d, w); err != nil {
		return "", err
	} else if done {
		return strconv.Itoa(d.version), nil
	}
	labels, annotations := d.marked(w, claim{w.Token, d.version, a.now()})
	secret := &secretmanager.Secret{Etag: d.etag, Labels: labels, Annotations: annotations}
	err = a.call("UpdateSecret", false, func(ctx context.Context, secrets *secretmanager.ProjectsSecretsService) error {
		_, err := secrets.Patch(i.resource(), secret).UpdateMask("annotations,labels").Context(ctx).Do()
		return err
	})
	switch {
	case overtaken(err):
		return "", a.conflict(i, "was changed by somebody else at the same moment")
	case err != nil:
		return "", a.fault(i, err)
	}
	return a.add(i, w, d.version)
}

// admit decides on a write to what is there. done says that this very write was
// made before.
func (a *act) admit(i id, d *described, w sources.Write) (done bool, err error) {
	now := ""
	if d.version > 0 {
		now = strconv.Itoa(d.version)
	}
	mine := d.claim.token == w.Token
	switch {
	case !d.exists:
		return false, a.conflict(i, "is not there any more")
	case d.mark == nil:
		return false, a.foreign(i, "")
	case d.mark.Owner != w.Mark.Owner:
		return false, a.foreign(i, d.mark.Owner)
	case d.rotated:
		return false, a.refusal(i, "is rotated on a schedule, which would undo what is stored",
			fmt.Sprintf("let the document refer to it as vault.%s, or stop the rotation: gcloud secrets update %s --project %s --remove-rotation-schedule", i.text, i.secret, i.project))
	case mine && d.version == d.claim.base+1:
		return a.again(i, d, w)
	case now != w.Expect && w.Expect == "":
		return false, a.conflict(i, "was made meanwhile")
	case now != w.Expect:
		return false, a.conflict(i, "was changed meanwhile: it has version "+now)
	case !mine && d.claim.token != "" && d.claim.base == d.version && a.now().Sub(d.claim.at).Abs() < claimFor:
		return false, a.conflict(i, "is being changed by somebody else")
	}
	return false, nil
}

// again finds out whether the version that followed our claim is ours: a
// version bears no token, so its value has to tell.
func (a *act) again(i id, d *described, w sources.Write) (done bool, err error) {
	one := i
	one.version = strconv.Itoa(d.version)
	value, _, err := a.as(reading).access(one)
	switch {
	case err != nil:
		return false, err
	case subtle.ConstantTimeCompare(value, w.Value.Reveal()) != 1:
		return false, a.conflict(i, fmt.Sprintf("was changed by somebody else at the same moment: version %d is theirs", d.version))
	}
	return true, nil
}

// add adds the version that follows base.
func (a *act) add(i id, w sources.Write, base int) (string, error) {
	value := w.Value.Reveal()
	in := &secretmanager.AddSecretVersionRequest{Payload: &secretmanager.SecretPayload{
		Data: base64.StdEncoding.EncodeToString(value), DataCrc32c: int64(crc32.Checksum(value, castagnoli())),
		ForceSendFields: []string{"DataCrc32c"},
	}}
	var out *secretmanager.SecretVersion
	err := a.call("AddSecretVersion", false, func(ctx context.Context, secrets *secretmanager.ProjectsSecretsService) (err error) {
		out, err = secrets.AddVersion(i.resource(), in).Context(ctx).Do()
		return err
	})
	if err != nil {
		return "", a.fault(i, err)
	}
	switch n := numberOf(i, out); {
	case n == 0:
		return "", a.refusal(i, "was answered for without a version", "run again, which begins with what is there now")
	case n != base+1:
		return "", a.conflict(i, fmt.Sprintf("was changed by somebody else at the same moment: version %d is theirs, and %d is ours", n-1, n))
	default:
		return strconv.Itoa(n), nil
	}
}

// Delete deletes a secret at once, with all its versions: GCP has no recovery.
func (s *store) Delete(ctx context.Context, name, owner string, o sources.DeleteOptions) error {
	i, bad := s.parse(name)
	switch {
	case bad != nil:
		return bad
	case owner == "":
		return &sources.Error{Kind: sources.Refused, Name: name, Message: "no gateway is named", Hint: ownerHint}
	case i.version != "":
		return &sources.Error{Kind: sources.Refused, Name: name, Message: fmt.Sprintf("%q is one version of a secret", name), Hint: "name the secret without /versions/"}
	}
	a, fault := s.begin(ctx, deleting)
	if fault != nil {
		return named(fault, name)
	}
	d, err := a.get(i)
	switch {
	case err != nil:
		return err
	case !d.exists:
		return nil
	case d.mark == nil:
		return a.foreign(i, "")
	case d.mark.Owner != owner:
		return a.foreign(i, d.mark.Owner)
	}
	if o.Expect != "" {
		if err := a.newest(i, d); err != nil {
			return err
		}
		if o.Expect != strconv.Itoa(d.version) {
			return a.conflict(i, "was changed by somebody else meanwhile")
		}
	}
	err = a.call("DeleteSecret", true, func(ctx context.Context, secrets *secretmanager.ProjectsSecretsService) error {
		_, err := secrets.Delete(i.resource()).Etag(d.etag).Context(ctx).Do()
		return err
	})
	switch {
	case err == nil, missing(err):
		return nil
	case overtaken(err):
		return a.conflict(i, "was changed by somebody else at the same moment")
	}
	return a.fault(i, err)
}

// Recoverable implements [sources.Store].
func (*store) Recoverable() bool { return false }

// History implements [sources.Store].
func (*store) History() bool { return true }
