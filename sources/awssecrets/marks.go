package awssecrets

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
)

// marks are the tags that say whose a secret is. Everybody who may list secrets
// sees them. Every AWS service takes these bytes in the value of a tag.
var marks = sources.Tags{
	Owner: "bifrost-secrets/owner", Path: "bifrost-secrets/path", Next: ".", Max: 256, Parts: 8, // of the 50 tags that a secret may have
	Plain: func(c byte) bool { return sources.Alphanumeric(c) || strings.IndexByte("_.:/@+-", c) >= 0 },
}

// markOf returns the mark that tags hold; nil means that the secret is not ours.
func markOf(tags []types.Tag) *sources.Mark {
	texts := map[string]string{}
	for _, t := range tags {
		texts[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return marks.Mark(texts)
}

// described is what AWS tells of a secret beside its value.
type described struct {
	exists            bool
	name              string
	current, previous string // versions
	mark              *sources.Mark
	tags              []types.Tag
	deleted           time.Time
	rotated           bool
	primary           string // the region of a replica's original, or its own
}

func (d *described) item(name string) sources.Item {
	return sources.Item{Name: name, Exists: d.exists, Version: d.current, Mark: d.mark, Gone: d.deleted, Rotated: d.rotated}
}

// marked returns the tags of a mark, and empties those that a longer path had.
func (d *described) marked(texts map[string]string) []types.Tag {
	var tags []types.Tag
	for key, text := range texts {
		had := slices.ContainsFunc(d.tags, func(t types.Tag) bool { return aws.ToString(t.Key) == key })
		if text != "" || had {
			tags = append(tags, types.Tag{Key: &key, Value: &text})
		}
	}
	return tags
}

// staged finds the versions with the labels that count.
func (d *described) staged(stages map[string][]string) {
	for version, labels := range stages {
		if slices.Contains(labels, "AWSCURRENT") {
			d.current = version
		}
		if slices.Contains(labels, "AWSPREVIOUS") {
			d.previous = version
		}
	}
}

// describe looks at one secret. One that does not exist is no error.
func (f *regional) describe(i id) (*described, error) {
	out, err := call(f, "DescribeSecret", 1, (*secretsmanager.Client).DescribeSecret, &secretsmanager.DescribeSecretInput{SecretId: &i.text})
	if err != nil {
		look := *f
		look.operation = looking
		fault := look.fault(i, err)
		if fault.Kind == sources.NotFound {
			return &described{}, nil
		}
		return nil, fault
	}
	if out.ARN == nil && out.Name == nil { // a body of no bytes
		return nil, unreachable(f.host(), "an answer without a secret", nil)
	}
	if !i.is(aws.ToString(out.ARN), aws.ToString(out.Name)) {
		return nil, netfault.Other(f.host(), i.text)
	}
	d := &described{
		exists: true, name: aws.ToString(out.Name), mark: markOf(out.Tags), tags: out.Tags,
		deleted: aws.ToTime(out.DeletedDate), rotated: aws.ToBool(out.RotationEnabled), primary: aws.ToString(out.PrimaryRegion),
	}
	d.staged(out.VersionIdsToStages)
	return d, nil
}

func listed(e *types.SecretListEntry) *described {
	d := &described{
		exists: true, name: aws.ToString(e.Name), mark: markOf(e.Tags),
		deleted: aws.ToTime(e.DeletedDate), rotated: aws.ToBool(e.RotationEnabled),
	}
	d.staged(e.SecretVersionsToStages)
	return d
}

// standing returns what the rule of changes is told of a secret, but for what
// keeps from one kind of change.
func (f *regional) standing(i id, d *described) sources.Standing {
	return sources.Standing{Subject: f.named(i), Exists: d.exists, Version: d.current, Mark: d.mark}
}

func (f *regional) named(i id) sources.Subject {
	return sources.Subject{Name: i.text, Text: f.subject(i)}
}

func (f *regional) gone(i id) *sources.Error {
	return f.named(i).Refused("is scheduled for deletion, and its name is not free",
		fmt.Sprintf("restore it: aws secretsmanager restore-secret --secret-id %s --region %s; or wait until it is gone", i.text, f.region))
}
