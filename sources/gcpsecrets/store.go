package gcpsecrets

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/perkey"
)

// store is a source that can also be written.
//
// A write is claimed in the annotations of the secret, by CreateSecret or by
// UpdateSecret with the etag that was seen, and then AddSecretVersion is made.
// Of those who write by this store only one gets to add its version, as long as
// no more than a minute passes between its claim and its version. Others (gcloud)
// know of no claim: the number of the version, which is one more than that of
// the version before, tells whether one of them came in between.
type store struct{ *source }

// put is one write.
type put struct {
	*source
	*perkey.Put[*session]
}

// Put creates a secret, or adds a version to one that is ours.
func (s *store) Put(ctx context.Context, w sources.Write) (string, error) {
	begun, fault := s.BeginPut(ctx, w)
	if fault != nil {
		return "", fault
	}
	p := &put{s.source, begun}
	if w.Expect == "" {
		if made, err := p.create(); made || err != nil {
			return p.add(0, err)
		}
	}
	return p.update()
}

// create makes the secret, without a version. made is false where there is one.
func (p *put) create() (made bool, fault *sources.Error) {
	in := secret{Replication: &replication{}}
	in.Labels, in.Annotations = (&described{}).marked(p.Texts, claim{p.Write.Token, 0, p.now()})
	fault = p.call(p.Op, creating, p.Name, http.MethodPost, "projects/"+p.Name.Project+"/secrets", url.Values{"secretId": {p.Name.ID}}, in, &struct{}{})
	if fault != nil && fault.Code == "ALREADY_EXISTS" {
		return false, nil
	}
	return fault == nil, fault
}

// update claims the secret, and adds the version that follows.
func (p *put) update() (string, error) {
	d, fault := p.look(p.Op, p.Name)
	if fault != nil {
		return "", fault
	}
	if done, err := p.admit(d); err != nil {
		return "", err
	} else if done {
		return d.version, nil
	}
	in := secret{Etag: d.Etag}
	in.Labels, in.Annotations = d.marked(p.Texts, claim{p.Write.Token, d.number(), p.now()})
	fault = p.call(p.Op, claiming, p.Name, http.MethodPatch, resource(p.Name), url.Values{"updateMask": {"annotations,labels"}}, in, &struct{}{})
	if overtaken(fault) {
		return "", p.Subject(p.Name).Conflict("was changed by somebody else at the same moment")
	}
	return p.add(d.number(), fault)
}

// overtaken reports whether an etag was not that of now.
func overtaken(fault *sources.Error) bool {
	return fault != nil && (fault.Kind == sources.Conflict || fault.Code == "FAILED_PRECONDITION" || fault.Code == "http status 412")
}

// admit decides on a write to what is there. It reports whether this very write
// was made before.
func (p *put) admit(d *described) (done bool, err error) {
	is := p.Standing(p.Name, d.item())
	if !d.exists { // and was there when it was to be created
		return false, is.Subject.Conflict("is not there any more")
	}
	if d.rotated {
		is.Bar = is.Subject.Refused("is rotated on a schedule, which would undo what is stored",
			fmt.Sprintf("let the document refer to it as vault.%s, or stop the rotation: gcloud secrets update %s --project %s --remove-rotation-schedule", p.Name.Text, p.Name.ID, p.Name.Project))
	}
	ours := d.claim.token == p.Write.Token
	is.Made = func() (bool, error) {
		if !ours || d.number() != d.claim.base+1 {
			return false, nil
		}
		return p.again(d, is.Subject)
	}
	if done, err := is.AdmitPut(p.Write); done || err != nil {
		return done, err
	}
	if !ours && d.claim.token != "" && d.claim.base == d.number() && p.now().Sub(d.claim.at).Abs() < claimFor {
		return false, is.Subject.Conflict("is being changed by somebody else")
	}
	return false, nil
}

// again finds out whether the version that followed our claim is ours: a
// version bears no token, so its value has to tell.
func (p *put) again(d *described, subject sources.Subject) (bool, error) {
	one := p.Name
	one.Version = d.version
	value, _, fault := p.access(p.Op, one)
	switch {
	case fault != nil:
		return false, fault
	case subtle.ConstantTimeCompare(value, p.Write.Value.Reveal()) != 1:
		return false, subject.Conflict(fmt.Sprintf("was changed by somebody else at the same moment: version %s is theirs", d.version))
	}
	return true, nil
}

// add adds the version that follows base, where there was no fault before.
func (p *put) add(base int, fault *sources.Error) (string, error) {
	if fault != nil {
		return "", fault
	}
	value := p.Write.Value.Reveal()
	var got version
	in := version{Payload: &payload{base64.StdEncoding.EncodeToString(value), checksum(value)}}
	if fault := p.call(p.Op, adding, p.Name, http.MethodPost, resource(p.Name)+":addVersion", nil, in, &got); fault != nil {
		return "", fault
	}
	number := numberOf(p.Name, got)
	switch n, _ := strconv.Atoi(number); {
	case n == 0:
		return "", p.Subject(p.Name).Refused("was answered for without a version", "run again, which begins with what is there now")
	case n != base+1:
		return "", p.Subject(p.Name).Conflict(fmt.Sprintf("was changed by somebody else at the same moment: version %d is theirs, and %d is ours", n-1, n))
	}
	return number, nil
}

// Delete deletes a secret at once, with all its versions: GCP has no recovery.
func (s *store) Delete(ctx context.Context, name, owner string, options sources.DeleteOptions) error {
	o, n, err := s.BeginDelete(ctx, name, owner)
	if err != nil {
		return err
	}
	d, fault := s.get(o, n)
	if fault == nil && d.exists && options.Expect != "" {
		fault = s.newest(o, n, d)
	}
	if fault != nil {
		return fault
	}
	if gone, err := s.Standing(n, d.item()).AdmitDelete(owner, options.Expect); gone || err != nil {
		return err
	}
	fault = s.call(o, deleting, n, http.MethodDelete, resource(n), url.Values{"etag": {d.Etag}}, nil, &struct{}{})
	switch {
	case fault != nil && fault.Kind == sources.NotFound:
		return nil
	case overtaken(fault):
		return s.Subject(n).Conflict("was changed by somebody else at the same moment")
	}
	return perkey.AsError(fault)
}
