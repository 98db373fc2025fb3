package azurevault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/log"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/sources/perkey"
	"bifrost-secrets/walker/regular"
)

// AZURE_SDK_GO_LOGGING would make the SDK print what vaults and Entra ID answer to
// standard error.
func init() { log.SetListener(nil) }

// session is what a source has once it has signed in.
type session struct {
	client     *azsecrets.Client
	transports []*http.Transport
}

func (s *session) close() {
	for _, t := range s.transports {
		t.CloseIdleConnections()
	}
}

// signIn returns the session. The first time it asks for a token, so that a
// failure to sign in is one failure, and not one for each secret.
func (s *source) signIn(ctx context.Context, began time.Time, current *session, _ []perkey.Name) (*session, *sources.Error) {
	if current != nil {
		return current, nil
	}
	transport := netfault.Transport(s.timeout, perkey.AtOnce)
	if s.route != nil {
		s.route(transport)
	}
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	options := func(t http.RoundTripper) azcore.ClientOptions {
		return azcore.ClientOptions{
			Transport: &http.Client{Transport: t, CheckRedirect: refuse},
			Retry:     policy.RetryOptions{MaxRetries: maxRetries, TryTimeout: s.timeout, RetryDelay: s.retryDelay, MaxRetryDelay: 8 * time.Second},
			Telemetry: policy.TelemetryOptions{ApplicationID: "bifrost-secrets"},
		}
	}
	// On Service Fabric the SDK wants to see the transport itself, so that what is
	// left to bound is the connection.
	signing := netfault.Brief(transport.Clone(), s.timeout)
	sess := &session{transports: []*http.Transport{transport, signing}}
	signIn := options(netfault.Limited(signing, maxAnswer))
	if os.Getenv("IDENTITY_SERVER_THUMBPRINT") != "" {
		signIn = options(signing)
	}
	signIn.PerCallPolicies = []policy.Policy{trimmed{}}
	domain, authority := s.cloud()
	if os.Getenv("AZURE_AUTHORITY_HOST") == "" { // which the SDK reads where it is told of no cloud
		signIn.Cloud = authority
	}
	credential, err := s.credential(signIn)
	if err != nil {
		return nil, s.loginFault(ctx, began, err)
	}
	if domain != "" {
		if _, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://" + domain + "/.default"}, TenantID: s.tenant}); err != nil {
			sess.close()
			return nil, s.loginFault(ctx, began, err)
		}
	}
	sess.client, err = azsecrets.NewClient(s.vault, login{credential}, &azsecrets.ClientOptions{ClientOptions: options(netfault.Only(s.host, netfault.Limited(transport, maxAnswer)))})
	if err != nil {
		return nil, s.loginFault(ctx, began, err)
	}
	return sess, nil
}

// fileMost is more than any file of a token or a certificate has, in bytes.
const fileMost = 1 << 20

func (s *source) credential(o azcore.ClientOptions) (azcore.TokenCredential, error) {
	// The SDK reads these by itself, whatever they are.
	for _, name := range []string{"AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_CERTIFICATE_PATH"} {
		var at *fs.PathError
		if path := os.Getenv(name); path != "" && s.secret.Len() == 0 && errors.As(regular.CheckFile(path, fileMost), &at) {
			return nil, sources.NewError(sources.NoLogin, fmt.Sprintf("file %s, which %s names, cannot be read: %v", path, name, at.Err), "check the path")
		}
	}
	switch {
	case s.secret.Len() > 0:
		return azidentity.NewClientSecretCredential(s.tenant, s.clientID, string(s.secret.Reveal()), &azidentity.ClientSecretCredentialOptions{ClientOptions: o})
	case s.clientID != "":
		// The default chain takes the identity from AZURE_CLIENT_ID alone.
		var chain []azcore.TokenCredential
		if workload, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{ClientOptions: o, ClientID: s.clientID, TenantID: s.tenant}); err == nil {
			chain = append(chain, workload)
		}
		managed, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ClientOptions: o, ID: azidentity.ClientID(s.clientID)})
		if err != nil {
			return nil, err
		}
		return azidentity.NewChainedTokenCredential(append(chain, managed), nil)
	}
	return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: o, TenantID: s.tenant})
}

// trimmed leaves out of a login what an editor or an `echo` puts around the token
// that a platform signs: the SDK sends the file as it is.
type trimmed struct{}

func (trimmed) Do(req *policy.Request) (*http.Response, error) {
	const member = "client_assertion"
	kind := req.Raw().Header.Get("Content-Type")
	if body := req.Body(); body != nil && strings.HasPrefix(kind, "application/x-www-form-urlencoded") {
		text, err := io.ReadAll(body)
		if err == nil {
			err = req.RewindBody()
		}
		form, bad := url.ParseQuery(string(text))
		if token := sources.Trim(form.Get(member)); err == nil && bad == nil && token != form.Get(member) {
			form.Set(member, token)
			err = req.SetBody(streaming.NopCloser(strings.NewReader(form.Encode())), kind)
		}
		if err != nil {
			return nil, err
		}
	}
	return req.Next()
}

// clouds are those of Azure, by the domain of their vaults.
var clouds = map[string]cloud.Configuration{
	"vault.azure.net": cloud.AzurePublic, "vault.azure.cn": cloud.AzureChina, "vault.usgovcloudapi.net": cloud.AzureGovernment,
}

// cloud returns the domain of the vault and who hands out its tokens; both are zero
// in another domain, where the vault says in its challenge what it wants.
func (s *source) cloud() (domain string, authority cloud.Configuration) {
	for domain, authority := range clouds {
		if strings.HasSuffix(s.host, "."+domain) {
			return domain, authority
		}
	}
	return "", cloud.Configuration{}
}

// login marks the errors of a credential, which the SDK returns from any
// request that had to renew its token.
type login struct{ azcore.TokenCredential }

func (l login) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	t, err := l.TokenCredential.GetToken(ctx, o)
	if err != nil {
		return t, &perkey.SignError{Err: err}
	}
	return t, nil
}
