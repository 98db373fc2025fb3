package awssecrets

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"bifrost-secrets/sources"
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

// Put creates a secret, or adds a version to one that is ours. The version is
// the token of the write.
func (s *store) Put(ctx context.Context, w sources.Write) (string, error) {
	i, bad := parseID(w.Name)
	if bad == nil {
		bad = i.unwritable()
	}
	if bad != nil {
		return "", bad
	}
	texts, bad := marks.Of(w.Mark)
	if bad == nil {
		bad = s.Traits().Limits.Check(w)
	}
	if bad != nil {
		bad.Name = w.Name
		return "", bad
	}
	d := changing
	if w.Expect == "" {
		d = creating
	}
	f, err := s.at(ctx, i, d)
	if err != nil {
		return "", err
	}
	if w.Expect == "" && !i.isARN() {
		return f.create(i, w, texts)
	}
	return f.update(i, w, texts)
}

func (f *regional) create(i id, w sources.Write, texts map[string]string) (string, error) {
	value := string(w.Value.Reveal())
	in := &secretsmanager.CreateSecretInput{Name: &i.text, SecretString: &value, ClientRequestToken: &w.Token, Tags: (&described{}).marked(texts)}
	if f.kmsKeyID != "" {
		in.KmsKeyId = &f.kmsKeyID
	}
	out, err := call(f, "CreateSecret", 1, (*secretsmanager.Client).CreateSecret, in)
	switch {
	case err == nil && out.ARN == nil: // a body of no bytes
		return "", unreachable(f.host(), "an answer without a secret", nil)
	case err == nil:
		return w.Token, nil
	}
	code, text, _ := reply(err)
	switch {
	case code == "ResourceExistsException":
		return f.update(i, w, texts)
	case code == "InvalidRequestException" && strings.Contains(text, "delet"):
		return "", f.gone(i)
	}
	return "", f.fault(i, err)
}

func (f *regional) update(i id, w sources.Write, texts map[string]string) (string, error) {
	d, err := f.describe(i)
	if err != nil {
		return "", err
	}
	if done, err := f.admit(i, d, w); done || err != nil {
		return w.Token, err
	}
	if d.mark.Path != w.Mark.Path {
		in := &secretsmanager.TagResourceInput{SecretId: &i.text, Tags: d.marked(texts)}
		if _, err := call(f, "TagResource", 1, (*secretsmanager.Client).TagResource, in); err != nil {
			return "", f.fault(i, err)
		}
	}
	value := string(w.Value.Reveal())
	in := &secretsmanager.PutSecretValueInput{SecretId: &i.text, SecretString: &value, ClientRequestToken: &w.Token}
	if _, err := call(f, "PutSecretValue", 1, (*secretsmanager.Client).PutSecretValue, in); err != nil {
		return "", f.fault(i, err)
	}
	after, err := f.describe(i)
	if err != nil {
		return "", err
	}
	switch {
	case after.current != w.Token:
		return "", f.named(i).Conflict(fmt.Sprintf("was changed by somebody else right after us, to version %s", after.current))
	case after.previous != d.current && d.current != "":
		return "", f.named(i).Conflict(fmt.Sprintf("was changed by somebody else at the same moment: theirs, version %s, is now AWSPREVIOUS", after.previous))
	}
	return w.Token, nil
}

// admit decides on a write to what is there. done says that this very write was
// made before.
func (f *regional) admit(i id, d *described, w sources.Write) (done bool, err error) {
	is := f.standing(i, d)
	switch {
	case !d.exists && i.isARN() && w.Expect == "":
		return false, is.Subject.Refused("does not exist, and aws makes the arn of a new secret", "store it under a name")
	case !d.exists: // and was there when it was to be created
		return false, is.Subject.Conflict("is not there any more")
	case !d.deleted.IsZero():
		is.Bar = f.gone(i)
	case d.rotated:
		is.Bar = is.Subject.Refused("is rotated by aws, which would undo what is stored",
			fmt.Sprintf("let the document refer to it as vault.%s, or stop the rotation: aws secretsmanager cancel-rotate-secret --secret-id %s --region %s", i.text, i.text, f.region))
	case d.primary != "" && d.primary != f.region:
		is.Bar = is.Subject.Refused("is a replica", "store in its primary region: vault_store.aws.region "+d.primary)
	}
	is.Made = func() (bool, error) { return d.current == w.Token, nil }
	return is.AdmitPut(w)
}

// Delete schedules a secret for deletion, in 30 days where o names no other
// number from 7 to 30, or deletes it at once.
func (s *store) Delete(ctx context.Context, name, owner string, o sources.DeleteOptions) error {
	i, bad := parseID(name)
	if bad != nil {
		return bad
	}
	if err := sources.CheckDelete(name, owner); err != nil {
		return err
	}
	in := &secretsmanager.DeleteSecretInput{SecretId: &i.text}
	switch days := int64(o.RecoveryDays); {
	case o.Now:
		in.ForceDeleteWithoutRecovery = aws.Bool(true)
	case days != 0 && (days < 7 || days > 30):
		return sources.NewError(sources.Refused, fmt.Sprintf("aws cannot keep a deleted secret for %d days", days), "say 7 to 30 days, or that it is to be deleted at once").Of(name)
	case days != 0:
		in.RecoveryWindowInDays = &days
	}
	f, err := s.at(ctx, i, deleting)
	if err != nil {
		return err
	}
	d, err := f.describe(i)
	if err != nil {
		return err
	}
	none, err := f.standing(i, d).AdmitDelete(owner, "") // it can be brought back
	if err != nil || none || !d.deleted.IsZero() && !o.Now {
		return err
	}
	out, err := call(f, "DeleteSecret", 1, (*secretsmanager.Client).DeleteSecret, in)
	switch {
	case err == nil && out.ARN == nil: // a body of no bytes
		return unreachable(f.host(), "an answer without a secret", nil)
	case err == nil:
		return nil
	}
	if code, text, _ := reply(err); code == "ResourceNotFoundException" || code == "InvalidRequestException" && strings.Contains(text, "marked deleted") {
		return nil
	}
	return f.fault(i, err)
}

// Traits implements [sources.Store].
func (*store) Traits() sources.Traits { return sources.AWS.Traits }
