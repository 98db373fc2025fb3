package gcpsecrets

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/api/googleapi"
	"google.golang.org/api/secretmanager/v1"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
)

// What says whose a secret is. Labels hold 63 of a-z 0-9 _ - alone, too few for
// an owner and a JSON path, so these are annotations, which hold any text. The
// label is for people who filter by it. Everybody who may list secrets sees both.
const (
	toolLabel       = "managed-by"
	tool            = "bifrost-secrets"
	ownerAnnotation = "bifrost-secrets-owner"
	pathAnnotation  = "bifrost-secrets-path"
	// The write that was begun last: see claim.
	writeAnnotation = "bifrost-secrets-write"

	maxMark = 12 << 10 // of the 16 KiB that all annotations of a secret may have
)

const ownerHint = "say whose secret it is: --gateway NAME"

func checkMark(m sources.Mark) *sources.Error {
	e := &sources.Error{Kind: sources.Refused, Hint: ownerHint}
	switch {
	case m.Owner == "":
		e.Message = "no gateway is named"
	case !utf8.ValidString(m.Owner + m.Path):
		e.Message = "the name of the gateway or the JSON path is not utf-8 text"
	case len(m.Owner)+len(m.Path) > maxMark:
		e.Message = "the name of the gateway and the JSON path of the field are too long for annotations"
		e.Hint = "store the value by hand, and write a reference to it"
	default:
		return nil
	}
	return e
}

// claim is a write that was begun: on top of the version base, at that time.
// AddSecretVersion has no condition; the claim before it has, by the etag of
// the secret, so of two who want to write only one gets to add a version.
type claim struct {
	token string
	base  int
	at    time.Time
}

// claimFor is how long others wait for the version that was claimed.
const claimFor = time.Minute

func (c claim) String() string { return fmt.Sprintf("%s %d %d", c.token, c.base, c.at.Unix()) }

func parseClaim(text string) claim {
	parts := strings.Fields(text)
	if len(parts) != 3 {
		return claim{}
	}
	base, err := strconv.Atoi(parts[1])
	seconds, err2 := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || err2 != nil {
		return claim{}
	}
	return claim{parts[0], base, time.Unix(seconds, 0)}
}

// described is what GCP tells of a secret beside its value.
type described struct {
	exists      bool
	etag        string
	labels      map[string]string
	annotations map[string]string
	mark        *sources.Mark // nil where it is not ours
	claim       claim
	rotated     bool
	version     int // of the newest version in whatever state; 0 where there is none
}

func describe(s *secretmanager.Secret) *described {
	d := &described{
		exists: true, etag: s.Etag, labels: s.Labels, annotations: s.Annotations, claim: parseClaim(s.Annotations[writeAnnotation]),
		// GCP itself only tells a topic that it is time, but whoever listens
		// will write a version of its own.
		rotated: s.Rotation != nil && (s.Rotation.NextRotationTime != "" || s.Rotation.RotationPeriod != ""),
	}
	if owner := s.Annotations[ownerAnnotation]; owner != "" && s.Labels[toolLabel] == tool {
		d.mark = &sources.Mark{Owner: owner, Path: s.Annotations[pathAnnotation]}
	}
	return d
}

func (d *described) item(name string) sources.Item {
	item := sources.Item{Name: name, Exists: d.exists, Mark: d.mark, Rotated: d.rotated}
	if d.version > 0 {
		item.Version = strconv.Itoa(d.version)
	}
	return item
}

// marked gives the labels and annotations with those of a write in them.
func (d *described) marked(w sources.Write, c claim) (labels, annotations map[string]string) {
	labels, annotations = map[string]string{}, map[string]string{}
	maps.Copy(labels, d.labels)
	maps.Copy(annotations, d.annotations)
	labels[toolLabel] = tool
	annotations[ownerAnnotation], annotations[pathAnnotation], annotations[writeAnnotation] = w.Mark.Owner, w.Mark.Path, c.String()
	return labels, annotations
}

// missing reports whether err says that there is no such thing.
func missing(err error) bool { return replyOf(err).status == "NOT_FOUND" }

// overtaken reports whether err says that an etag is not that of now.
func overtaken(err error) bool {
	var answer *googleapi.Error
	if !errors.As(err, &answer) {
		return false
	}
	return answer.Code == http.StatusConflict || answer.Code == http.StatusPreconditionFailed || replyOf(err).status == "FAILED_PRECONDITION"
}

// get looks at one secret, without its version. One that does not exist is no
// error.
func (a *act) get(i id) (*described, error) {
	var out *secretmanager.Secret
	err := a.call("GetSecret", true, func(ctx context.Context, secrets *secretmanager.ProjectsSecretsService) (err error) {
		out, err = secrets.Get(i.resource()).Context(ctx).Do()
		return err
	})
	switch {
	case missing(err):
		return &described{}, nil
	case err != nil:
		return nil, a.as(looking).fault(i, err)
	case out == nil || path.Base(out.Name) != i.secret:
		return nil, netfault.Other(host, i.text)
	}
	return describe(out), nil
}

// as gives the same act, with the words of another deed.
func (a *act) as(d deed) *act {
	other := *a
	other.deed = d
	return &other
}

// newest asks for the number of the newest version.
func (a *act) newest(i id, d *described) error {
	var out *secretmanager.SecretVersion
	err := a.call("GetSecretVersion", true, func(ctx context.Context, secrets *secretmanager.ProjectsSecretsService) (err error) {
		out, err = secrets.Versions.Get(i.resource() + "/versions/" + latest).Context(ctx).Do()
		return err
	})
	switch {
	case missing(err):
		return nil // none yet
	case err != nil:
		return a.as(deed{"secretmanager.versions.get", "looked at", false}).fault(i, err)
	}
	if d.version = numberOf(i, out); d.version == 0 {
		return netfault.Other(host, i.text)
	}
	return nil
}

// numberOf returns the number of a version of a secret, and 0 for what is no
// version of it.
func numberOf(i id, v *secretmanager.SecretVersion) int {
	if v == nil || !i.owns(v.Name) {
		return 0
	}
	n, _ := strconv.Atoi(path.Base(v.Name))
	return n
}

// look asks for all of it.
func (a *act) look(i id) (*described, error) {
	d, err := a.get(i)
	if err == nil && d.exists {
		err = a.newest(i, d)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

func (a *act) refusal(i id, what, hint string) error {
	return &sources.Error{Kind: sources.Refused, Name: i.text, Message: a.subject(i) + " " + what, Hint: hint}
}

func (a *act) conflict(i id, what string) error {
	return &sources.Error{Kind: sources.Conflict, Name: i.text, Message: a.subject(i) + " " + what, Hint: againHint}
}

func (a *act) foreign(i id, owner string) error {
	if owner != "" {
		return a.refusal(i, fmt.Sprintf("belongs to the gateway %q", owner), "give --gateway as that gateway does, or store under another prefix")
	}
	return a.refusal(i, "was not stored by bifrost-secrets", "store under another prefix, or delete it by hand if nobody needs it")
}
