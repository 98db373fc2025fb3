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
