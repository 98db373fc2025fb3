package awssecrets

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/perkey"
)

// store is a source that can also be written.
//
// A new secret costs one request, CreateSecret, which AWS makes only once: no
// other can come in between. A changed one costs three: DescribeSecret just
// before PutSecretValue, which has no condition, and DescribeSecret after it,
// which shows whether ours followed the version that was expected. Two who write
// the same secret between the two looks so both store their value, and at most
// one of them is told that all is well; the value that lost is AWSPREVIOUS.
type store struct{ *source }

// put is one write.
type put struct {
	*regional
	*perkey.Put[*session]
	id id
}

// Put creates a secret, or adds a version to one that is ours. The version is
// the token of the write.
func (s *store) Put(ctx context.Context, w sources.Write) (string, error) {
	p, fault := s.put(ctx, w)
	if fault != nil {
		return "", fault
	}
	if w.Expect == "" && !p.id.isARN() {
		return p.create()
	}
	return p.update(changing)
}

func (s *store) put(ctx context.Context, w sources.Write) (*put, *sources.Error) {
	if i, bad := parseID(w.Name); bad == nil && i.unwritable() != nil {
		return nil, i.unwritable()
	}
	begun, fault := s.BeginPut(ctx, w)
	if fault != nil {
		return nil, fault
	}
	f, fault := s.in(begun.Op, begun.Name)
	return &put{f, begun, idOf(begun.Name)}, fault
}

func (p *put) create() (string, error) {
	value := string(p.Write.Value.Reveal())
	in := &secretsmanager.CreateSecretInput{Name: &p.id.text, SecretString: &value, ClientRequestToken: &p.Write.Token, Tags: (&described{}).marked(p.Texts)}
	if p.kmsKeyID != "" {
		in.KmsKeyId = &p.kmsKeyID
	}
	out, err := call(p.regional, creating, 1, (*secretsmanager.Client).CreateSecret, in)
	switch {
	case err == nil && out.ARN == nil: // a body of no bytes
		return "", system.NoAnswer(p.host(), "an answer without a secret", nil)
	case err == nil:
		return p.Write.Token, nil
	}
	code, text, _ := reply(err)
	switch {
	case code == "ResourceExistsException":
		return p.update(creating)
	case code == "InvalidRequestException" && strings.Contains(text, "delet"):
		return "", p.gone(p.id)
	}
	return "", p.fault(creating, p.id, err)
}

// update adds a version; r is how the whole is called in a failure.
func (p *put) update(r perkey.Request) (string, error) {
	d, fault := p.describe(p.id)
	if fault != nil {
		return "", fault
	}
	w := p.Write
	if done, err := p.admit(d); done || err != nil {
		return w.Token, err
	}
	if d.mark.Path != w.Mark.Path {
		in := &secretsmanager.TagResourceInput{SecretId: &p.id.text, Tags: d.marked(p.Texts)}
		if _, err := call(p.regional, tagging, 1, (*secretsmanager.Client).TagResource, in); err != nil {
			return "", p.fault(r, p.id, err)
		}
	}
	value := string(w.Value.Reveal())
	in := &secretsmanager.PutSecretValueInput{SecretId: &p.id.text, SecretString: &value, ClientRequestToken: &w.Token}
	if _, err := call(p.regional, changing, 1, (*secretsmanager.Client).PutSecretValue, in); err != nil {
		return "", p.fault(r, p.id, err)
	}
	after, fault := p.describe(p.id)
	if fault != nil {
		return "", fault
	}
	subject := p.Subject(p.Name)
	switch {
	case after.current != w.Token:
		return "", subject.Conflict(fmt.Sprintf("was changed by somebody else right after us, to version %s", after.current))
	case after.previous != d.current && d.current != "":
		return "", subject.Conflict(fmt.Sprintf("was changed by somebody else at the same moment: theirs, version %s, is now AWSPREVIOUS", after.previous))
	}
	return w.Token, nil
}

// admit decides on a write to what is there. done says that this very write was
// made before.
func (p *put) admit(d *described) (done bool, err error) {
	is, i := p.Standing(p.Name, d.item()), p.id
	switch {
	case !d.exists && i.isARN() && p.Write.Expect == "":
		return false, is.Subject.Refused("does not exist, and aws makes the arn of a new secret", "store it under a name")
	case !d.exists: // and was there when it was to be created
		return false, is.Subject.Conflict("is not there any more")
	case !d.deleted.IsZero():
		is.Bar = p.gone(i)
	case d.rotated:
		is.Bar = is.Subject.Refused("is rotated by aws, which would undo what is stored",
			fmt.Sprintf("let the document refer to it as vault.%s, or stop the rotation: aws secretsmanager cancel-rotate-secret --secret-id %s --region %s", i.text, i.text, p.region))
	case d.primary != "" && d.primary != p.region:
		is.Bar = is.Subject.Refused("is a replica", "store in its primary region: vault_store.aws.region "+d.primary)
	}
	is.Made = func() (bool, error) { return d.current == p.Write.Token, nil }
	return is.AdmitPut(p.Write)
}

// Delete schedules a secret for deletion, in 30 days where o names no other
// number from 7 to 30, or deletes it at once.
func (s *store) Delete(ctx context.Context, name, owner string, options sources.DeleteOptions) error {
	in := &secretsmanager.DeleteSecretInput{SecretId: &name}
	switch days := int64(options.RecoveryDays); {
	case options.Now:
		in.ForceDeleteWithoutRecovery = aws.Bool(true)
	case days != 0 && (days < 7 || days > 30):
		return sources.NewError(sources.Refused, fmt.Sprintf("aws cannot keep a deleted secret for %d days", days), "say 7 to 30 days, or that it is to be deleted at once").Of(name)
	case days != 0:
		in.RecoveryWindowInDays = &days
	}
	o, n, err := s.BeginDelete(ctx, name, owner)
	if err != nil {
		return err
	}
	f, fault := s.in(o, n)
	if fault != nil {
		return fault
	}
	i := idOf(n)
	d, fault := f.describe(i)
	if fault != nil {
		return fault
	}
	none, err := s.Standing(n, d.item()).AdmitDelete(owner, "") // it can be brought back
	if err != nil || none || !d.deleted.IsZero() && !options.Now {
		return err
	}
	out, err := call(f, deleting, 1, (*secretsmanager.Client).DeleteSecret, in)
	switch {
	case err == nil && out.ARN == nil: // a body of no bytes
		return system.NoAnswer(f.host(), "an answer without a secret", nil)
	case err == nil:
		return nil
	}
	if code, text, _ := reply(err); code == "ResourceNotFoundException" || code == "InvalidRequestException" && strings.Contains(text, "marked deleted") {
		return nil
	}
	return f.fault(deleting, i, err)
}
