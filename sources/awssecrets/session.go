package awssecrets

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/sources/perkey"
)

const (
	sessionName = "bifrost-secrets" // of an assumed role, as CloudTrail shows it
	// renewBefore keeps those of a role from expiring in the middle of a fetch.
	renewBefore = time.Minute
)

// session is what a source has once it knows how to sign in.
type session struct {
	cfg      aws.Config
	caller   *caller
	region   string         // for names that are not ARNs; empty where nothing names one
	noRegion *sources.Error // why region is empty, if it was looked for

	mu      sync.Mutex
	used    [sha256.Size]byte                 // of the credentials, to tell others from the same
	clients map[string]*secretsmanager.Client // by region
}

func (s *session) client(region string) *secretsmanager.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients[region] == nil {
		s.clients[region] = secretsmanager.NewFromConfig(s.cfg, func(o *secretsmanager.Options) {
			o.Region = region
			o.HTTPClient = s.caller
		})
	}
	return s.clients[region]
}

// same reports whether two sessions have the same credentials.
func same(one, other *session) bool { return one.key() == other.key() }

func (s *session) key() [sha256.Size]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// signIn returns the session with credentials that are good now. It reads
// configuration at the first use only, and again where the session of before
// gets no credentials: those of a file may be others by then.
func (s *source) signIn(ctx context.Context, began time.Time, current *session, names []perkey.Name) (*session, *sources.Error) {
	plain, arnRegion := regionsWanted(names)
	var old *sources.Error
	if current != nil && (current.region != "" || !plain) {
		switch old = s.renew(ctx, began, current); {
		case old != nil && old.Kind == sources.Unreachable:
			return nil, old // the next one reads the files of authorities anew
		case old == nil || old.Kind != sources.NoLogin:
			return current, old
		}
	}
	sess, fault := s.newSession(ctx, plain, arnRegion)
	if fault == nil {
		fault = s.renew(ctx, began, sess)
	}
	if fault != nil {
		return nil, fault
	}
	if old != nil {
		s.warn(sources.SignedInAnew("aws", old))
	}
	return sess, nil
}

// regionsWanted reports whether a name without a region is to be asked for, and
// returns the region of some ARN, for STS, where nothing else names a region.
func regionsWanted(names []perkey.Name) (plain bool, arnRegion string) {
	for _, n := range names {
		plain = plain || n.Project == ""
		arnRegion = cmp.Or(arnRegion, n.Project)
	}
	return plain || len(names) == 0, arnRegion
}

// close ends the idle connections.
func (s *source) close(sess *session) { sess.caller.client.CloseIdleConnections() }

// renew sees to it that there are credentials. They are cached; asking for them
// before the requests makes a failure to sign in one failure, and not one for
// each batch with its retries.
func (s *source) renew(ctx context.Context, began time.Time, sess *session) *sources.Error {
	c, err := sess.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return s.loginFault(ctx, began, err)
	}
	sess.mu.Lock()
	defer sess.mu.Unlock()
	sess.used = sha256.Sum256([]byte(c.AccessKeyID + "\x00" + c.SecretAccessKey + "\x00" + c.SessionToken))
	return nil
}

func (s *source) newSession(ctx context.Context, plain bool, arnRegion string) (*session, *sources.Error) {
	began := time.Now()
	cfg, err := s.load(ctx, s.region)
	if err != nil {
		return nil, s.configFault(ctx, began, err)
	}
	sess := &session{region: cfg.Region, clients: make(map[string]*secretsmanager.Client)}
	if reason, hint := regionFault(cfg.Region); reason != "" {
		sess.noRegion = sources.NewError(sources.BadSettings, s.origin(cfg.Region)+" "+reason, hint)
		sess.region, cfg.Region = "", ""
	}
	if sess.region == "" && plain && sess.noRegion == nil {
		out, err := imds.NewFromConfig(cfg).GetRegion(ctx, nil)
		switch {
		case ctx.Err() != nil:
			return nil, system.Late(ctx, began)
		case err != nil:
			sess.noRegion = s.noRegion()
		default:
			sess.region = out.Region
		}
	}
	if cfg.Region == "" {
		// STS, which the credentials may come from, wants a region as well.
		if arnRegion = cmp.Or(sess.region, arnRegion); arnRegion == "" {
			return nil, sess.noRegion
		}
		if cfg, err = s.load(ctx, arnRegion); err != nil {
			return nil, s.configFault(ctx, began, err)
		}
	}
	if s.role != "" {
		assume := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), s.role, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = sessionName
		})
		cfg.Credentials = aws.NewCredentialsCache(assume, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = renewBefore })
	}
	cfg.Credentials = login{cfg.Credentials}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = sess.region
	if s.caller == nil {
		s.caller = newCaller(cfg.HTTPClient, s.timeout, func() aws.HTTPClient {
			now, err := s.load(context.Background(), cfg.Region)
			if err != nil {
				return nil
			}
			return now.HTTPClient
		})
	}
	sess.cfg, sess.caller = cfg, s.caller
	return sess, nil
}

// origin returns what names a region that is no setting.
func (s *source) origin(region string) string {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if v, _ := s.getenv(name); v == region {
			return name
		}
	}
	return fmt.Sprintf("the region of aws profile %q", s.profile())
}

// load reads the environment and the shared config files. It makes no request.
func (s *source) load(ctx context.Context, region string) (aws.Config, error) {
	if err := s.checkFiles(); err != nil {
		return aws.Config{}, err
	}
	client := loginClient(s.timeout)
	with := []func(*config.LoadOptions) error{
		config.WithRegion(region),
		config.WithHTTPClient(client),
		config.WithEndpointCredentialOptions(func(o *endpointcreds.Options) {
			o.HTTPClient = client
			if file := o.AuthorizationTokenProvider; file != nil {
				o.AuthorizationTokenProvider = endpointcreds.TokenProviderFunc(func() (string, error) {
					token, err := file.GetToken()
					return sources.Trim(token), err
				})
			}
		}),
		config.WithWebIdentityRoleCredentialOptions(func(o *stscreds.WebIdentityRoleOptions) {
			if o.TokenRetriever != nil {
				o.TokenRetriever = trimmed{o.TokenRetriever}
			}
		}),
		config.WithRetryMode(aws.RetryModeStandard),
		// The mode "auto" of the environment would ask the instance metadata.
		config.WithDefaultsMode(aws.DefaultsModeStandard),
		config.WithAPIOptions([]func(*middleware.Stack) error{bounded}),
		// The SDK's own log goes to standard error and may hold bodies.
		config.WithLogger(logging.Nop{}),
	}
	if s.key.Len() > 0 {
		with = append(with, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(
			string(s.keyID.Reveal()), string(s.key.Reveal()), string(s.token.Reveal()))))
	}
	if s.retryer != nil {
		with = append(with, config.WithRetryer(s.retryer))
	}
	return config.LoadDefaultConfig(ctx, with...)
}

// bounded refuses answers that do not end, also of the services that sign in: the SDK
// makes their connections itself, and all who want credentials wait for one answer.
func bounded(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("bounded", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, about, err := next.HandleDeserialize(ctx, in)
		if resp, ok := out.RawResponse.(*smithyhttp.Response); ok && err == nil {
			if _, err = netfault.Settled(resp.Response, nil); err != nil {
				return out, about, &smithyhttp.RequestSendError{Err: err}
			}
			resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
		}
		return out, about, err
	}), middleware.After)
}

// trimmed leaves out what an `echo` puts behind the token of a web identity.
type trimmed struct {
	stscreds.IdentityTokenRetriever
}

func (t trimmed) GetIdentityToken() ([]byte, error) {
	token, err := t.IdentityTokenRetriever.GetIdentityToken()
	return []byte(sources.Trim(string(token))), err
}

// login marks the errors of a chain of credentials, which the SDK returns from
// any request that had to renew them.
type login struct {
	aws.CredentialsProvider
}

func (l login) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := l.CredentialsProvider.Retrieve(ctx)
	if err == nil && strings.ContainsFunc(c.AccessKeyID+c.SessionToken, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		err = errUnprintable // no header can hold it
	}
	if err != nil {
		return aws.Credentials{}, &perkey.SignError{Err: err}
	}
	return c, nil
}

var errUnprintable = errors.New("characters that no credential has")

// knownRegion returns the region for plain names as far as it is known without
// reading or asking anything.
func (s *source) knownRegion() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cmp.Or(s.region, s.found)
}

// plannedRegion returns the region for plain names as far as it is known without
// a request. Files are read only where the answer decides how names are
// grouped: where some are plain and some are ARNs.
func (s *source) plannedRegion(names []string) string {
	region := s.knownRegion()
	arns := 0
	for _, name := range names {
		if strings.HasPrefix(name, "arn:") {
			arns++
		}
	}
	if region != "" || arns == 0 || arns == len(names) {
		return region
	}
	shared, err := s.sharedProfile()
	if err != nil {
		return "" // the fetch will say so
	}
	return shared.Region
}

func (s *source) profile() string {
	for _, name := range []string{"AWS_PROFILE", "AWS_DEFAULT_PROFILE"} {
		if v, _ := s.getenv(name); v != "" {
			return v
		}
	}
	return config.DefaultSharedConfigProfile
}
