package azurevault

import (
	"fmt"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/sources/perkey"
)

const readMetadata = "secrets/readMetadata/action"

// The requests of the API that we make.
var (
	reading        = perkey.Request{Method: "GetSecret", Permission: "secrets/getSecret/action", Done: "read"}
	looking        = perkey.Request{Method: "ListSecretPropertiesVersions", Permission: readMetadata, Done: "looked at"}
	asking         = perkey.Request{Method: "GetDeletedSecret", Permission: readMetadata, Done: "looked at"}
	listing        = perkey.Request{Method: "ListSecretProperties", Permission: readMetadata, Done: "listed"}
	listingDeleted = perkey.Request{Method: "ListDeletedSecretProperties", Permission: readMetadata, Done: "listed"}
	setting        = perkey.Request{Method: "SetSecret", Permission: "secrets/setSecret/action", Done: "changed", Writes: true}
	deleting       = perkey.Request{Method: "DeleteSecret", Permission: "secrets/delete", Done: "deleted", Writes: true}
	purging        = perkey.Request{Method: "PurgeDeletedSecret", Permission: "secrets/purge/action", Done: "purged", Writes: true}
)

// call makes one request about a secret, or about the vault, and returns its answer.
func call[T any](s *source, o *operation, r perkey.Request, n perkey.Name, do func(*azsecrets.Client) (T, error)) (got T, fault *sources.Error) {
	fault = o.Call(r, n, func(sess *session) *sources.Error {
		var err error
		if got, err = do(sess.client); err != nil {
			return s.fault(o, r, n, err)
		}
		return nil
	})
	return got, fault
}

// read returns the value of a secret.
func (s *source) read(o *operation, n perkey.Name) (sources.Result, *sources.Error) {
	var none sources.Result
	got, fault := s.get(o, reading, n)
	switch {
	case fault != nil:
		return none, fault
	case got.ID == nil || got.Value == nil:
		return none, &sources.Error{Kind: sources.Unusable, Message: s.subject(n) + ": the answer has no value"}
	case !owns(n, got.ID):
		return none, netfault.Other(s.host, n.Text)
	}
	return sources.Result{Value: sources.NewSecret([]byte(*got.Value)), Version: got.ID.Version()}, s.outOfDate(n, got.Attributes)
}

// get asks for one version of a secret, or the current one.
func (s *source) get(o *operation, r perkey.Request, n perkey.Name) (azsecrets.GetSecretResponse, *sources.Error) {
	return call(s, o, r, n, func(c *azsecrets.Client) (azsecrets.GetSecretResponse, error) {
		return c.GetSecret(o.Ctx, n.ID, n.Version, nil)
	})
}

// outOfDate finds a secret that is not to be used now. The vault shows its value
// all the same, for people to recover.
func (s *source) outOfDate(n perkey.Name, attributes *azsecrets.SecretAttributes) *sources.Error {
	if attributes == nil {
		return nil
	}
	const day = "2006-01-02 15:04 MST"
	e := &sources.Error{Kind: sources.Disabled, Hint: "set a new value: az keyvault secret set --vault-name " + s.shortName() + " --name " + n.ID + " --file FILE; or change the dates of this one"}
	switch exp, nbf := attributes.Expires, attributes.NotBefore; {
	case exp != nil && !s.now().Before(*exp):
		e.Message = fmt.Sprintf("%s expired on %s", s.subject(n), exp.UTC().Format(day))
	case nbf != nil && s.now().Before(*nbf):
		e.Message = fmt.Sprintf("%s is not valid before %s", s.subject(n), nbf.UTC().Format(day))
	default:
		return nil
	}
	return e
}

// reach asks for the first page of the list of secrets.
func (s *source) reach(o *operation) *sources.Error {
	_, fault := call(s, o, listing, perkey.Name{}, func(c *azsecrets.Client) (azsecrets.ListSecretPropertiesResponse, error) {
		return c.NewListSecretPropertiesPager(nil).NextPage(o.Ctx)
	})
	return fault
}

// pages asks for the pages of a list. The pager is that of the session which its
// first page came from. of returns what a page has and the link to the next: one
// that leads back would go round for ever. each reports whether an entry is one of
// that list.
func pages[T, P any](s *source, o *operation, r perkey.Request, n perkey.Name, pager func(*azsecrets.Client) *runtime.Pager[T],
	of func(T) ([]*P, *string), each func(*P) bool) *sources.Error {
	seen := map[string]bool{}
	var p *runtime.Pager[T]
	for more := true; more; more = p.More() {
		first := p == nil
		page, fault := call(s, o, r, n, func(c *azsecrets.Client) (T, error) {
			if first {
				p = pager(c)
			}
			return p.NextPage(o.Ctx)
		})
		if fault != nil {
			return fault
		}
		entries, next := of(page)
		if entries == nil || slices.ContainsFunc(entries, func(e *P) bool { return e == nil || !each(e) }) {
			return netfault.Other(s.host, n.Text)
		}
		if next != nil && seen[*next] {
			return netfault.Endless(s.host)
		}
		seen[text(next)] = true
	}
	return nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
