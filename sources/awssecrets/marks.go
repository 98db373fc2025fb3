package awssecrets

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
)

// The tags that say whose a secret is. Everybody who may list secrets sees them.
const (
	toolTag  = "managed-by"
	tool     = "bifrost-secrets"
	ownerTag = "bifrost-secrets/owner"
	// A path longer than a tag goes on in path.2, path.3 and so on.
	pathTag = "bifrost-secrets/path"
)

const (
	maxTag   = 256 // bytes of the value of a tag
	pathTags = 8   // of the 50 that a secret may have
)

const ownerHint = "say whose secret it is: --gateway NAME"

// tagsOf gives the tags for a mark.
func tagsOf(m sources.Mark) ([]types.Tag, *sources.Error) {
	owner, path := escape(m.Owner), escape(m.Path)
	switch {
	case owner == "":
		return nil, &sources.Error{Kind: sources.Refused, Message: "no gateway is named", Hint: ownerHint}
	case len(owner) > maxTag:
		return nil, &sources.Error{Kind: sources.Refused, Message: "the name of the gateway is too long for a tag", Hint: fmt.Sprintf("use at most %d of A-Z a-z 0-9 _ . : / @ + -", maxTag)}
	case len(path) > pathTags*maxTag:
		return nil, &sources.Error{Kind: sources.Refused, Message: "the JSON path of the field is too long for tags", Hint: "store the value by hand, and write a reference to it"}
	}
	tag := func(key, value string) types.Tag { return types.Tag{Key: aws.String(key), Value: aws.String(value)} }
	tags := []types.Tag{tag(toolTag, tool), tag(ownerTag, owner)}
	for n := 0; n == 0 || path != ""; n++ {
		part := path[:min(len(path), maxTag)]
		path = path[len(part):]
		tags = append(tags, tag(pathKey(n), part))
	}
	return tags, nil
}

func pathKey(n int) string {
	if n == 0 {
		return pathTag
	}
	return pathTag + "." + strconv.Itoa(n+1)
}

// markOf reads the tags of a secret; nil means that it is not ours.
func markOf(tags []types.Tag) *sources.Mark {
	values := map[string]string{}
	for _, t := range tags {
		values[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	owner := unescape(values[ownerTag])
	if values[toolTag] != tool || owner == "" {
		return nil
	}
	path := ""
	for n := range pathTags {
		path += values[pathKey(n)]
	}
	return &sources.Mark{Owner: owner, Path: unescape(path)}
}

// plain are the bytes that every AWS service takes in the value of a tag, but
// for the equals sign, which begins an escape.
const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:/@+-"

// escape writes every other byte as =XX.
func escape(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

// unescape undoes escape. What is no escape stays as it is.
func unescape(text string) string {
	var b strings.Builder
	for text != "" {
		before, after, found := strings.Cut(text, "=")
		b.WriteString(before)
		if !found {
			break
		}
		if len(after) >= 2 {
			if c, err := strconv.ParseUint(after[:2], 16, 8); err == nil {
				b.WriteByte(byte(c))
				text = after[2:]
				continue
			}
		}
		b.WriteByte('=')
		text = after
	}
	return b.String()
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

// retag gives tags, and empties those that a longer path had.
func (d *described) retag(tags []types.Tag) []types.Tag {
	tags = slices.Clone(tags)
	for _, old := range d.tags {
		key := aws.ToString(old.Key)
		kept := slices.ContainsFunc(tags, func(t types.Tag) bool { return *t.Key == key })
		if strings.HasPrefix(key, pathTag+".") && !kept {
			tags = append(tags, types.Tag{Key: old.Key, Value: aws.String("")})
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
	var out *secretsmanager.DescribeSecretOutput
	err := f.call("DescribeSecret", 1, func(ctx context.Context, c *secretsmanager.Client) (err error) {
		out, err = c.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &i.text})
		return err
	})
	if err != nil {
		look := *f
		look.deed = looking
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

func (f *regional) refusal(i id, what, hint string) error {
	return &sources.Error{Kind: sources.Refused, Name: i.text, Message: f.subject(i) + " " + what, Hint: hint}
}

func (f *regional) conflict(i id, what string) error {
	return &sources.Error{
		Kind: sources.Conflict, Name: i.text, Message: f.subject(i) + " " + what,
		Hint: "somebody else writes there too: run again, which begins with what is there now",
	}
}

func (f *regional) foreign(i id, owner string) error {
	if owner != "" {
		return f.refusal(i, fmt.Sprintf("belongs to the gateway %q", owner), "give --gateway as that gateway does, or store under another prefix")
	}
	return f.refusal(i, "was not stored by bifrost-secrets", "store under another prefix, or delete it by hand if nobody needs it")
}

func (f *regional) gone(i id) error {
	return f.refusal(i, "is scheduled for deletion, and its name is not free",
		fmt.Sprintf("restore it: aws secretsmanager restore-secret --secret-id %s --region %s; or wait until it is gone", i.text, f.region))
}
