// Package awssecrets makes AWS Secrets Manager a source of secrets.
//
// Secrets are asked for in batches of twenty, region by region. Where the
// policy or the load does not let a batch through, the same secrets are asked
// for one by one, a bounded number at a time. Retries are those of the AWS SDK;
// there is no second loop around them.
package awssecrets

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/perkey"
)

// Backend is the entry for the list of backends. docs/backends/aws-secrets-manager.md has
// its settings, its names and the variables that are in force.
var Backend = sources.Backend{
	Facts: sources.AWS,
	Open:  perkey.Open(newSource, func(s *source) sources.Store { return &store{s} }),
}

const (
	batchSize = 20            // what BatchGetSecretValue accepts
	atOnce    = perkey.AtOnce // requests under way at a time
	// firstWave is the number of batches sent before one of them has shown
	// that batches are allowed: the most refused requests a region can cost.
	firstWave = 3
)

var (
	regionForm = perkey.Pattern(`^[a-z0-9-]{1,64}$`)
	roleForm   = perkey.Pattern(`^arn:aws[a-z-]*:iam::([0-9]{12}):role/[A-Za-z0-9/_+=.,@-]{1,512}$`)
)

// source implements sources.Inspector.
type source struct {
	*perkey.Frame[*session]

	region   string // from the settings or the environment; may be empty
	role     string
	kmsKeyID string // the key for new secrets
	keyID    sources.Secret
	key      sources.Secret
	token    sources.Secret

	getenv  func(string) (string, bool)
	warn    func(string)
	timeout time.Duration
	retryer func() aws.Retryer // nil but in tests, which cannot wait for the SDK's delays

	mu      sync.Mutex // guards what follows
	found   string     // the region that files or the instance metadata name, once it is known
	caller  *caller
	refused map[string]bool // regions where batches are not allowed
	account string          // that of the credentials, once an answer has shown it
}

type operation = perkey.Operation[*session]

func newSource(set sources.Settings, opts sources.Options) (*source, error) {
	if err := sources.AWS.CheckKeys(set); err != nil {
		return nil, err
	}
	s := &source{
		region: set.Text("region"), role: set.Text("role_arn"), kmsKeyID: set.Text("kms_key_id"),
		keyID: set["access_key_id"], key: set["secret_access_key"], token: set["session_token"],
		getenv: opts.Getenv, warn: opts.Warn, timeout: perkey.Timeout(opts),
		refused: make(map[string]bool),
	}
	s.Frame = perkey.New(perkey.Calls[*session]{
		Facts: sources.AWS, Marks: marks, System: "aws", Parse: parse, Subject: s.subject,
		SignIn: s.signIn, Same: same, End: s.close, Late: system.Late,
		Reach: s.reach, Look: s.lookers, List: s.list,
	}, opts)
	switch {
	case (s.keyID.Len() > 0) != (s.key.Len() > 0):
		return nil, sources.NewError(sources.BadSettings, "access_key_id and secret_access_key must be set together: one of them is absent or empty",
			"set both, or neither to use the credentials of the environment")
	case s.token.Len() > 0 && s.key.Len() == 0:
		return nil, sources.NewError(sources.BadSettings, "session_token is set without access_key_id and secret_access_key",
			"set all three, or none to use the credentials of the environment")
	}
	if reason, hint := regionFault(s.region); reason != "" {
		return nil, sources.NewError(sources.BadSettings, "region "+reason, hint)
	}
	if e := s.endpointFault(); e != nil {
		return nil, e
	}
	if m := roleForm().FindStringSubmatch(s.role); m != nil {
		s.account = m[1]
	} else if s.role != "" {
		return nil, sources.NewError(sources.BadSettings, "role_arn is not the arn of a role", "it looks like arn:aws:iam::123456789012:role/NAME")
	}
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if v, _ := s.getenv(name); s.region == "" {
			if reason, _ := regionFault(v); reason == "" {
				s.region = v
			}
		}
	}
	return s, nil
}

// regionFault returns why a text is no code of a region, as the end of a sentence;
// both results are empty for one that may be, and for none.
func regionFault(region string) (reason, hint string) {
	n := len(region) - 1
	switch {
	case region == "":
	case !regionForm().MatchString(region):
		return "is not the code of a region", "a region looks like eu-west-1"
	case n > 2 && region[n-2] == '-' && '0' <= region[n-1] && region[n-1] <= '9' && 'a' <= region[n] && region[n] <= 'z':
		return "is an availability zone, and not a region", "write " + region[:n]
	}
	return "", ""
}

// endpointFault returns the error for a variable that is to be the address of the
// service and is none.
func (s *source) endpointFault() *sources.Error {
	if v, _ := s.getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"); strings.EqualFold(v, "true") {
		return nil
	}
	for _, name := range []string{"AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL"} { // the first wins
		v, _ := s.getenv(name)
		if v == "" {
			continue
		}
		if u, err := url.Parse(v); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return sources.NewError(sources.BadSettings, name+" is not the address of a service", "it looks like https://host:443")
		}
		break
	}
	return nil
}

// Plan foretells the requests of a Fetch. It is exact but for what only answers
// show: a batch that is throttled or that leaves out a name, and, before the
// first fetch, whether the region that the instance metadata will name is that
// of an ARN.
func (s *source) Plan(names []string) sources.Calls {
	var c sources.Calls
	for _, g := range group(possible(names, nil), s.plannedRegion(names)) {
		if n := len(g.ids); !s.batches(g) {
			c.Single += n
		} else {
			c.Batch += (n + batchSize - 1) / batchSize
			c.IfRefused += n
		}
	}
	return c
}

// batches reports whether the secrets of a group are asked for in batches.
func (s *source) batches(g idGroup) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(g.ids) > 1 && !s.refused[g.region]
}

// Ping reads name, or lists one secret where name is empty.
func (s *source) Ping(ctx context.Context, name string) error {
	if name != "" {
		return s.Fetch(ctx, []string{name})[name].Err
	}
	return s.Frame.Ping(ctx, name)
}

// Describe names the backend and, where it is known, the region.
func (s *source) Describe() string {
	if region := s.knownRegion(); region != "" {
		return fmt.Sprintf("%s in %s", sources.AWS.Type, region)
	}
	return sources.AWS.Type
}
