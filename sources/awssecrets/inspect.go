package awssecrets

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/sources/perkey"
)

// at signs in for what is done to one secret.
func (s *source) at(ctx context.Context, i id, d operation) (*regional, error) {
	f := &regional{source: s, ctx: ctx, began: time.Now(), region: i.region, operation: d}
	sess, fault := s.signIn(ctx, !i.isARN(), i.region)
	if fault == nil && !i.isARN() {
		if f.region, fault = sess.region, nil; f.region == "" {
			fault = sess.noRegion
		}
	}
	if fault != nil {
		return nil, fault.Of(i.text)
	}
	f.login = sources.NewRenewal(sess)
	return f, nil
}

// Inspect asks for each name by itself, a bounded number at a time. The list of
// secrets would cost fewer requests, but it may be five minutes old, and an
// outdated version would refuse writes that are right.
func (s *source) Inspect(ctx context.Context, names []string) map[string]sources.Item {
	var mu sync.Mutex
	items := make(map[string]sources.Item, len(names))
	perkey.Each(names, func(name string) {
		item := sources.Item{Name: name}
		d, err := s.inspect(ctx, name)
		if item.Err = err; err == nil {
			item = d.item(name)
		}
		mu.Lock()
		defer mu.Unlock()
		items[name] = item
	})
	return items
}

func (s *source) inspect(ctx context.Context, name string) (*described, error) {
	i, bad := parseID(name)
	if bad != nil {
		return nil, bad
	}
	f, err := s.at(ctx, i, looking)
	if err != nil {
		return nil, err
	}
	return f.describe(i)
}

// List asks for the list of secrets in the region of the settings, a hundred at
// a time, those scheduled for deletion included. AWS may leave out what was
// made in the last five minutes.
func (s *source) List(ctx context.Context, prefix string) ([]sources.Item, error) {
	if i, bad := parseID(prefix); prefix != "" && (bad != nil || i.isARN()) {
		return nil, sources.NewError(sources.BadName, fmt.Sprintf("no name of a secret in aws begins with %q", sources.Shorten(prefix)), nameHint).Of(prefix)
	}
	f, err := s.at(ctx, id{}, listing)
	if err != nil {
		return nil, err
	}
	in := &secretsmanager.ListSecretsInput{IncludePlannedDeletion: aws.Bool(true), MaxResults: aws.Int32(100)}
	if prefix != "" {
		in.Filters = []types.Filter{{Key: types.FilterNameStringTypeName, Values: []string{prefix}}}
	}
	var items []sources.Item
	seen := map[string]bool{}
	for {
		out, err := call(f, "ListSecrets", 0, (*secretsmanager.Client).ListSecrets, in)
		if err != nil {
			return nil, f.fault(id{}, err)
		}
		for n := range out.SecretList {
			if d := listed(&out.SecretList[n]); strings.HasPrefix(d.name, prefix) {
				items = append(items, d.item(d.name))
			}
		}
		token := aws.ToString(out.NextToken)
		if token == "" {
			break
		}
		if seen[token] {
			return nil, netfault.Endless(f.host())
		}
		seen[token], in.NextToken = true, out.NextToken
	}
	slices.SortFunc(items, func(a, b sources.Item) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(items, func(a, b sources.Item) bool { return a.Name == b.Name }), nil
}

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
