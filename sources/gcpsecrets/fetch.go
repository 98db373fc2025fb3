package gcpsecrets

import (
	"context"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"path"
	"sync"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
	"google.golang.org/api/secretmanager/v1"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
)

// Fetch asks for each of names once and answers for every one of them.
func (s *source) Fetch(ctx context.Context, names []string) map[string]sources.Result {
	var mu sync.Mutex
	answers := make(map[string]sources.Result, len(names))
	put := func(name string, r sources.Result) {
		mu.Lock()
		defer mu.Unlock()
		answers[name] = r
	}
	var ids []id
	for _, name := range names {
		i, bad := s.parse(name)
		if bad != nil {
			put(name, sources.Result{Err: bad})
			continue
		}
		ids = append(ids, i)
	}
	if len(ids) == 0 {
		return answers
	}
	a, fault := s.begin(ctx, reading)
	if fault != nil {
		for _, i := range ids {
			put(i.text, sources.Result{Err: named(fault, i.text)})
		}
		return answers
	}
	var all errgroup.Group
	all.SetLimit(atOnce)
	for _, i := range ids {
		all.Go(func() error {
			put(i.text, a.read(i))
			return nil
		})
	}
	_ = all.Wait()
	return answers
}

func (a *act) read(i id) sources.Result {
	b, version, err := a.access(i)
	switch {
	case err != nil:
		return sources.Result{Err: err}
	case !utf8.Valid(b):
		return sources.Result{Err: &sources.Error{
			Kind: sources.Unusable, Name: i.text, Message: a.subject(i) + ": binary secret is not utf-8 text", Hint: "store the value as text, or as base64",
		}}
	}
	return sources.Result{Value: sources.NewSecret(b), Version: version}
}

var castagnoli = sync.OnceValue(func() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) })

// access reads one version of a secret.
func (a *act) access(i id) (value []byte, version string, failed error) {
	var out *secretmanager.AccessSecretVersionResponse
	err := a.call("AccessSecretVersion", true, func(ctx context.Context, secrets *secretmanager.ProjectsSecretsService) (err error) {
		out, err = secrets.Versions.Access(i.versioned()).Context(ctx).Do()
		return err
	})
	if err != nil {
		return nil, "", a.fault(i, err)
	}
	torn := func(what string) error {
		return &sources.Error{Kind: sources.Unusable, Name: i.text, Message: a.subject(i) + " did not arrive whole: " + what, Hint: "run again"}
	}
	if out == nil || out.Payload == nil || out.Name == "" {
		return nil, "", torn("the answer has no payload")
	}
	if !i.owns(out.Name) {
		return nil, "", netfault.Other(host, i.text)
	}
	b, err := base64.StdEncoding.DecodeString(out.Payload.Data)
	if err != nil { // its text quotes nothing, and says nothing either
		return nil, "", torn("the payload is not base64")
	}
	// GCP keeps a checksum of every version; 0 is what is absent.
	if sum := out.Payload.DataCrc32c; sum != 0 && sum != int64(crc32.Checksum(b, castagnoli())) {
		return nil, "", torn("its CRC32C checksum is another")
	}
	if len(b) > sources.MaxValue {
		return nil, "", &sources.Error{Kind: sources.Unusable, Name: i.text, Message: fmt.Sprintf("%s has a value of %d bytes, and %d are allowed", a.subject(i), len(b), sources.MaxValue)}
	}
	return b, path.Base(out.Name), nil
}

// listOne asks for one entry of the list of secrets.
func (s *source) listOne(ctx context.Context) error {
	a, fault := s.begin(ctx, listing)
	if fault != nil {
		return fault
	}
	err := a.call("ListSecrets", true, func(ctx context.Context, secrets *secretmanager.ProjectsSecretsService) error {
		_, err := secrets.List("projects/" + s.project).PageSize(1).Context(ctx).Do()
		return err
	})
	if err != nil {
		return a.fault(id{}, err)
	}
	return nil
}
