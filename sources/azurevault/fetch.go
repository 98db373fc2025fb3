package azurevault

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"golang.org/x/sync/errgroup"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
)

// act is one use of a source: an operation on secrets, with the session for it.
type act struct {
	*source
	login *sources.Renewal[*session]
	ctx   context.Context
	began time.Time
	deed  deed
}

// begin signs in for what is to be done.
func (s *source) begin(ctx context.Context, d deed) (*act, *sources.Error) {
	began := time.Now()
	sess, err := s.signIn(ctx)
	if err != nil {
		return nil, err
	}
	return &act{source: s, login: sources.NewRenewal(sess), ctx: ctx, began: began, deed: d}, nil
}

// as gives the same act, with the words of another deed.
func (a *act) as(d deed) *act {
	other := *a
	other.deed = d
	return &other
}

// named gives a copy of err for one name.
func named(err *sources.Error, name string) *sources.Error {
	own := *err
	own.Name = name
	return &own
}

// call makes one request, when one of the slots is free, and logs it. One whose
// token is refused is sent once more with another: it was not carried out.
func (a *act) call(method string, do func(*azsecrets.Client) error) error {
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-a.ctx.Done():
		return a.ctx.Err()
	}
	for {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		sess, dead := a.login.Session()
		if dead != nil {
			return dead
		}
		began := time.Now()
		a.Add(false)
		err := do(sess.client)
		attrs := []slog.Attr{slog.String("method", method), slog.Duration("took", time.Since(began).Round(time.Millisecond))}
		var fault *sources.Error
		if err != nil {
			fault = a.fault(id{}, err)
			attrs = append(attrs, slog.String("failed", string(fault.Kind)), slog.String("code", fault.Code))
		}
		a.log.LogAttrs(a.ctx, slog.LevelDebug, "azure request", attrs...)
		if fault == nil || fault.Kind != sources.NoLogin {
			return err
		}
		if !a.login.Refused(sess, fault, func(old *session) (*session, *sources.Error) { return a.anew(a.ctx, old, fault) }) {
			if _, dead := a.login.Session(); dead != nil {
				return dead
			}
			return err
		}
	}
}

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
	out, err := a.get(i)
	if err != nil {
		return sources.Result{Err: a.fault(i, err)}
	}
	unusable := func(format string, args ...any) sources.Result {
		return sources.Result{Err: &sources.Error{Kind: sources.Unusable, Name: i.text, Message: a.subject(i) + fmt.Sprintf(format, args...)}}
	}
	if out.ID == nil || out.Value == nil {
		return unusable(": the answer has no value")
	}
	if !i.owns(out.ID) {
		return sources.Result{Err: netfault.Other(a.host, i.text)}
	}
	if e := a.outOfDate(i, out.Attributes); e != nil {
		return sources.Result{Err: e}
	}
	value := []byte(*out.Value)
	if len(value) > sources.MaxValue {
		return unusable(" has a value of %d bytes, and %d are allowed", len(value), sources.MaxValue)
	}
	return sources.Result{Value: sources.NewSecret(value), Version: out.ID.Version()}
}

// get asks for one version of a secret, or the current one.
func (a *act) get(i id) (*azsecrets.Secret, error) {
	var out azsecrets.GetSecretResponse
	err := a.call("GetSecret", func(c *azsecrets.Client) (err error) {
		out, err = c.GetSecret(a.ctx, i.secret, i.version, nil)
		return err
	})
	return &out.Secret, err
}

// outOfDate finds a secret that is not to be used now. The vault gives its
// value all the same, for people to recover.
func (a *act) outOfDate(i id, attributes *azsecrets.SecretAttributes) *sources.Error {
	if attributes == nil {
		return nil
	}
	const day = "2006-01-02 15:04 MST"
	e := &sources.Error{Kind: sources.Disabled, Name: i.text, Hint: "set a new value: az keyvault secret set --vault-name " + a.shortName() + " --name " + i.secret + " --file FILE; or change the dates of this one"}
	switch exp, nbf := attributes.Expires, attributes.NotBefore; {
	case exp != nil && !a.now().Before(*exp):
		e.Message = fmt.Sprintf("%s expired on %s", a.subject(i), exp.UTC().Format(day))
	case nbf != nil && a.now().Before(*nbf):
		e.Message = fmt.Sprintf("%s is not valid before %s", a.subject(i), nbf.UTC().Format(day))
	default:
		return nil
	}
	return e
}

// listOne asks for the first page of the list of secrets.
func (s *source) listOne(ctx context.Context) error {
	a, fault := s.begin(ctx, listing)
	if fault != nil {
		return fault
	}
	err := a.call("ListSecretProperties", func(c *azsecrets.Client) error {
		_, err := c.NewListSecretPropertiesPager(nil).NextPage(ctx)
		return err
	})
	if err != nil {
		return a.fault(id{}, err)
	}
	return nil
}
