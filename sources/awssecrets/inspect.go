package awssecrets

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/sources/perkey"
)

// in returns an operation where a secret is, or where plain names are.
func (s *source) in(o *operation, n perkey.Name) (*regional, *sources.Error) {
	sess := o.Session()
	region := cmp.Or(n.Project, sess.region)
	if region == "" {
		return nil, sess.noRegion.Of(n.Text)
	}
	return &regional{source: s, operation: o, region: region}, nil
}

// reach asks for one entry of the list of secrets.
func (s *source) reach(o *operation) *sources.Error {
	f, fault := s.in(o, perkey.Name{})
	if fault != nil {
		return fault
	}
	if _, err := call(f, listing, 0, (*secretsmanager.Client).ListSecrets, &secretsmanager.ListSecretsInput{MaxResults: aws.Int32(1)}); err != nil {
		return f.fault(listing, id{}, err)
	}
	return nil
}

// lookers asks for each name by itself. The list of secrets would cost fewer
// requests, but it may be five minutes old, and an outdated version would refuse
// writes that are right.
func (s *source) lookers(o *operation, _ []perkey.Name) perkey.Looker {
	return func(n perkey.Name) (sources.Item, *sources.Error) {
		f, fault := s.in(o, n)
		if fault != nil {
			return sources.Item{}, fault
		}
		d, fault := f.describe(idOf(n))
		return d.item(), fault
	}
}

// list asks for the list of secrets in the region of the settings, a hundred at
// a time, those scheduled for deletion included. AWS may leave out what was
// made in the last five minutes.
func (s *source) list(o *operation, prefix string) (names []perkey.Name, look perkey.Looker, fault *sources.Error) {
	if i, bad := parseID(prefix); prefix != "" && (bad != nil || i.isARN()) {
		return nil, nil, sources.NewError(sources.BadName, fmt.Sprintf("no name of a secret in aws begins with %q", sources.Shorten(prefix)), nameHint).Of(prefix)
	}
	f, fault := s.in(o, perkey.Name{})
	if fault != nil {
		return nil, nil, fault
	}
	in := &secretsmanager.ListSecretsInput{IncludePlannedDeletion: aws.Bool(true), MaxResults: aws.Int32(100)}
	if prefix != "" {
		in.Filters = []types.Filter{{Key: types.FilterNameStringTypeName, Values: []string{prefix}}}
	}
	items := map[string]sources.Item{}
	seen := map[string]bool{}
	for {
		out, err := call(f, listing, 0, (*secretsmanager.Client).ListSecrets, in)
		if err != nil {
			return nil, nil, f.fault(listing, id{}, err)
		}
		for n := range out.SecretList {
			d := listed(&out.SecretList[n])
			if _, twice := items[d.name]; !twice && strings.HasPrefix(d.name, prefix) {
				items[d.name] = d.item()
				names = append(names, perkey.Name{Text: d.name})
			}
		}
		token := aws.ToString(out.NextToken)
		if token == "" {
			return names, func(n perkey.Name) (sources.Item, *sources.Error) { return items[n.Text], nil }, nil
		}
		if seen[token] {
			return nil, nil, netfault.Endless(f.host())
		}
		seen[token], in.NextToken = true, out.NextToken
	}
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

func (d *described) item() sources.Item {
	return sources.Item{Exists: d.exists, Version: d.current, Mark: d.mark, Gone: d.deleted, Rotated: d.rotated}
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
func (f *regional) describe(i id) (*described, *sources.Error) {
	out, err := call(f, looking, 1, (*secretsmanager.Client).DescribeSecret, &secretsmanager.DescribeSecretInput{SecretId: &i.text})
	if err != nil {
		if fault := f.fault(looking, i, err); fault.Kind != sources.NotFound {
			return &described{}, fault
		}
		return &described{}, nil
	}
	if out.ARN == nil && out.Name == nil { // a body of no bytes
		return &described{}, system.NoAnswer(f.host(), "an answer without a secret", nil)
	}
	if !i.is(aws.ToString(out.ARN), aws.ToString(out.Name)) {
		return &described{}, netfault.Other(f.host(), i.text)
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

func (f *regional) gone(i id) *sources.Error {
	return f.Subject(i.key()).Refused("is scheduled for deletion, and its name is not free",
		fmt.Sprintf("restore it: aws secretsmanager restore-secret --secret-id %s --region %s; or wait until it is gone", i.text, f.region))
}
