package awssecrets

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"golang.org/x/sync/errgroup"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/sources/perkey"
)

// Fetch asks for each of names once and answers for every one of them.
func (s *source) Fetch(ctx context.Context, names []string) map[string]sources.Result {
	a := &answers{byName: make(map[string]sources.Result, len(names))}
	all := possible(names, func(name string, err *sources.Error) { a.fail(id{text: name}, err) })
	if len(all) == 0 {
		return a.byName
	}
	o, err := s.Begin(ctx, "", all...)
	if err != nil {
		for _, n := range all {
			a.fail(id{text: n.Text}, err)
		}
		return a.byName
	}
	var regions sync.WaitGroup
	for _, g := range group(all, o.Session().region) {
		if g.region == "" {
			for _, i := range g.ids {
				a.fail(i, o.Session().noRegion)
			}
			continue
		}
		regions.Go(func() {
			f := &regional{source: s, operation: o, answers: a, region: g.region}
			f.fetch(g)
		})
	}
	regions.Wait()
	return a.byName
}

// answers collects results from many goroutines.
type answers struct {
	mu     sync.Mutex
	byName map[string]sources.Result
}

func (a *answers) put(i id, r sources.Result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.byName[i.text] = r
}

func (a *answers) fail(i id, err *sources.Error) {
	a.put(i, sources.Result{Err: err.Of(i.text)})
}

// regional is an operation in one region.
type regional struct {
	*source
	*operation
	answers *answers // of a fetch
	region  string
}

// verdict is what an answer says of batches in general.
type verdict int

const (
	allowed verdict = iota
	refused         // no batch will pass, now or later
	unclear         // this one was not answered; its secrets may be, singly
	failed          // nothing would have been answered
)

func (f *regional) fetch(g idGroup) {
	if !f.batches(g) {
		f.singly(g.ids)
		return
	}
	chunks := slices.Collect(slices.Chunk(g.ids, batchSize))
	wave := min(len(chunks), firstWave)
	verdicts := make(chan verdict, wave)
	var first sync.WaitGroup
	for _, ids := range chunks[:wave] {
		first.Go(func() { f.batch(ids, func(v verdict) { verdicts <- v }) })
	}
	// One that passed or one that was refused settles the matter; a slow one
	// must not hold up the rest.
	for range wave {
		if v := <-verdicts; v == allowed || v == refused {
			break
		}
	}
	var rest errgroup.Group
	rest.SetLimit(atOnce)
	for _, ids := range chunks[wave:] {
		rest.Go(func() error {
			if f.batches(g) {
				f.batch(ids, func(verdict) {})
			} else {
				f.singly(ids)
			}
			return nil
		})
	}
	_ = rest.Wait()
	first.Wait()
}

// batch answers for ids with one batch, and singly where that does not. It
// calls told once, as soon as the verdict is known.
func (f *regional) batch(ids []id, told func(verdict)) {
	left, v, err := f.ask(ids)
	if v == refused {
		f.refuse()
	}
	told(v)
	if v == failed {
		for _, i := range left {
			f.answers.fail(i, f.fault(reading, i, err))
		}
		return
	}
	f.singly(left)
}

func (f *regional) refuse() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused[f.region] = true
}

// ask sends a batch and follows its pages. It returns the ids that are without an
// answer, and why the request failed, if it did.
func (f *regional) ask(ids []id) (left []id, v verdict, err error) {
	texts := make([]string, len(ids))
	for n, i := range ids {
		texts[n] = i.text
	}
	left = slices.Clone(ids)
	in := &secretsmanager.BatchGetSecretValueInput{SecretIdList: texts}
	seen := make(map[string]bool)
	for len(left) > 0 {
		out, err := call(f, batching, len(ids), (*secretsmanager.Client).BatchGetSecretValue, in)
		if err != nil {
			return left, f.judge(err), err
		}
		left = f.take(ids, left, out)
		// Each page of a batch of twenty answers for one id at least, or it is
		// of no use; a token seen before would go round for ever.
		in.NextToken = out.NextToken
		token := aws.ToString(out.NextToken)
		if token == "" || seen[token] || len(seen) >= batchSize {
			break
		}
		seen[token] = true
	}
	return left, allowed, nil
}

// take puts the answers of one page and returns the ids it did not answer.
func (f *regional) take(asked, left []id, out *secretsmanager.BatchGetSecretValueOutput) []id {
	for _, e := range out.SecretValues {
		arn, name := aws.ToString(e.ARN), aws.ToString(e.Name)
		for _, i := range asked {
			if i.is(arn, name) && f.meant(i, arn, name, asked) {
				f.answered(i, f.result(i, value{e.SecretString, e.SecretBinary, e.VersionId}))
				left = lessOne(left, i)
			}
		}
	}
	for _, e := range out.Errors {
		code := aws.ToString(e.ErrorCode)
		if kindOf(code, 0).Retryable() {
			continue // it is asked for singly, which the SDK repeats
		}
		for _, i := range asked {
			if aws.ToString(e.SecretId) == i.text {
				f.answered(i, sources.Result{Err: f.apiFault(reading, i, code, aws.ToString(e.Message), 0)})
				left = lessOne(left, i)
			}
		}
	}
	return left
}

func lessOne(ids []id, i id) []id { return slices.DeleteFunc(ids, func(j id) bool { return i == j }) }

// answered puts an answer of a batch. One that differs from an answer that was
// there is of use no more than the other: nobody can say which is right.
func (f *regional) answered(i id, r sources.Result) {
	f.answers.mu.Lock()
	before, twice := f.answers.byName[i.text]
	f.answers.mu.Unlock()
	same := (before.Err == nil) == (r.Err == nil) && before.Version == r.Version && bytes.Equal(before.Value.Reveal(), r.Value.Reveal())
	switch {
	case twice && !same:
		f.answers.fail(i, sources.NewError(sources.Unreachable, f.subject(i.key())+" was answered twice in one batch, with different answers", "run again; without secretsmanager:BatchGetSecretValue in the policy each secret is fetched by itself"))
	case r.Err != nil:
		f.answers.fail(i, r.Err.(*sources.Error))
	default:
		f.answers.put(i, r)
	}
}

// meant reports whether the secret with this ARN is the one that a plain name
// means: that of the own account. An ARN in the same batch may have brought in
// a secret of the same name from another account. Where the own account is not
// known and there is such an ARN, the name is left to be asked for singly.
func (f *regional) meant(i id, arn, name string, asked []id) bool {
	if i.isARN() {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	account := accountOf(arn)
	if f.account != "" {
		return account == "" || account == f.account
	}
	if slices.ContainsFunc(asked, func(j id) bool { return j.isARN() && j.is(arn, name) }) {
		return false
	}
	f.account = account
	return true
}

// singly answers for ids with one request each.
func (f *regional) singly(ids []id) {
	perkey.Each(ids, f.single)
}

func (f *regional) single(i id) {
	out, err := call(f, reading, 1, (*secretsmanager.Client).GetSecretValue, &secretsmanager.GetSecretValueInput{SecretId: &i.text})
	switch {
	case err != nil:
		f.answers.fail(i, f.fault(reading, i, err))
	case out.ARN == nil && out.Name == nil:
		// The SDK takes a body of no bytes for an answer.
		f.answers.fail(i, system.NoAnswer(f.host(), "an answer without a secret", nil))
	case !i.is(aws.ToString(out.ARN), aws.ToString(out.Name)):
		f.answers.fail(i, netfault.Other(f.host(), i.text))
	default:
		if !i.isARN() {
			f.learn(accountOf(aws.ToString(out.ARN)))
		}
		f.answers.put(i, f.result(i, value{out.SecretString, out.SecretBinary, out.VersionId}))
	}
}

func (f *regional) learn(account string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.account == "" {
		f.account = account
	}
}

// value is what both kinds of answer hold of a secret.
type value struct {
	text    *string
	binary  []byte
	version *string
}

// result makes the result for i of an answer.
func (f *regional) result(i id, v value) sources.Result {
	b := v.binary
	if v.text != nil {
		b = []byte(*v.text)
	} else if b == nil {
		return sources.Result{Err: f.noValue(i, "")}
	}
	r := sources.Result{Value: sources.NewSecret(b), Version: aws.ToString(v.version)}
	if bad := f.Check(i.key(), r); bad != nil {
		return sources.Result{Err: bad.Of(i.text)}
	}
	return r
}
