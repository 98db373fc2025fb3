package hashivault

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"

	"github.com/hashicorp/vault/api"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/sources/perkey"
	"bifrost-secrets/walker/regular"
)

// maxAnswer bounds the body of an answer: a document of the largest size, each
// byte escaped.
const maxAnswer = 8 << 20

// newClient makes the client of Vault from its environment and the settings. It
// makes no request.
func (s *source) newClient() (*api.Client, func(), *sources.Error) {
	if s.address == "" {
		return nil, nil, sources.NewError(sources.BadSettings, "the address of the vault is not set", "set address in vault_store.hashicorp, or VAULT_ADDR"+unread(s.getenv, "BAO_ADDR"))
	}
	if fault := checkFiles(); fault != nil {
		return nil, nil, fault
	}
	cfg := api.DefaultConfig()
	if cfg.Error != nil {
		return nil, nil, badEnvironment
	}
	cfg.Address, cfg.AgentAddress = s.address, ""
	if s.timeout <= 0 {
		s.timeout = perkey.CallTimeout
		if v, _ := s.getenv(api.EnvVaultClientTimeout); v != "" {
			s.timeout = cfg.Timeout
		}
	}
	// The client's own deadline is for all attempts together, and would leave
	// nothing to the second where the first hangs.
	cfg.Timeout = 0
	cfg.HttpClient.Timeout = s.timeout
	if s.wait > 0 {
		cfg.MinRetryWait, cfg.MaxRetryWait = s.wait/2, s.wait
	}
	// It would wait for as long as an answer asks, and what that said of the load be
	// lost with the deadline.
	cfg.CheckRetry = func(ctx context.Context, resp *http.Response, err error) (bool, error) {
		if resp != nil && perkey.RetryAfter(resp.Header) > perkey.MaxPause {
			return false, nil
		}
		return api.DefaultRetryPolicy(ctx, resp, err)
	}
	if !cfg.DisableRedirects {
		// One, as Vault's client does by itself: a standby sends to the active
		// node. But it would go to any host, with the token.
		cfg.DisableRedirects = true
		cfg.HttpClient.CheckRedirect = func(_ *http.Request, via []*http.Request) error {
			if len(via) > 1 {
				return http.ErrUseLastResponse
			}
			return nil
		}
	}
	c, err := api.NewClient(cfg)
	if err != nil {
		return nil, nil, badEnvironment
	}
	transport := netfault.NewRenewing(s.transport(cfg), func() *http.Transport {
		if cfg := api.DefaultConfig(); cfg.Error == nil && checkFiles() == nil {
			return s.transport(cfg)
		}
		return nil
	})
	cfg.HttpClient.Transport = full{netfault.Limited(transport, maxAnswer)}
	// VAULT_WRAP_TTL is for people: an answer that is wrapped has no value.
	c.SetWrappingLookupFunc(func(string, string) string { return "" })
	// The client has read the process's environment by itself; what counts is
	// the settings and the environment that we were given.
	c.SetToken("")
	if c.ClearNamespace(); s.namespace != "" {
		c.SetNamespace(s.namespace)
	}
	return c, transport.CloseIdleConnections, nil
}

// transport returns that of a client's config, made fit for us.
func (s *source) transport(cfg *api.Config) *http.Transport {
	transport := netfault.Guard(cfg.HttpClient.Transport.(*http.Transport))
	transport.MaxIdleConnsPerHost = perkey.AtOnce
	s.renewCertificate(transport.TLSClientConfig)
	return transport
}

// renewCertificate makes each connection read the certificate that shows who we
// are again: it is renewed on the disk more often than this program is started.
// Where it cannot be read just now, it stays as it was.
func (s *source) renewCertificate(config *tls.Config) {
	certificate, _ := s.getenv(api.EnvVaultClientCert)
	key, _ := s.getenv(api.EnvVaultClientKey)
	if config == nil || config.GetClientCertificate == nil || certificate == "" || key == "" {
		return
	}
	before := config.GetClientCertificate
	config.GetClientCertificate = func(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		certificatePEM, _, err1 := regular.ReadFile(certificate, certificatesMost)
		keyPEM, _, err2 := regular.ReadFile(key, certificatesMost)
		now, err3 := tls.X509KeyPair(certificatePEM, keyPEM)
		if errors.Join(err1, err2, err3) != nil {
			return before(asked)
		}
		return &now, nil
	}
}

// The errors of the client are not shown, since they may quote a variable.
var badEnvironment = sources.NewError(sources.BadSettings, "the environment of the vault client cannot be used",
	"check VAULT_ADDR, VAULT_CACERT, VAULT_CAPATH, VAULT_CLIENT_CERT, VAULT_CLIENT_KEY, VAULT_SKIP_VERIFY, VAULT_PROXY_ADDR, VAULT_RATE_LIMIT, VAULT_CLIENT_TIMEOUT and VAULT_MAX_RETRIES")

// full refuses an answer without a body to who reads: the client would take it for
// the answer that there is nothing. So it would a 404 of anybody else: vault's own has
// a list of errors, or is an answer about a version that is deleted.
type full struct{ http.RoundTripper }

func (f full) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := f.RoundTripper.RoundTrip(req)
	switch {
	case err != nil || req.Method != http.MethodGet && req.Method != "LIST":
		return resp, err
	case resp.StatusCode == http.StatusNotFound:
		return ownNotFound(resp)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return resp, nil
	}
	body := bufio.NewReader(resp.Body)
	if _, err := body.Peek(1); err != nil {
		_ = resp.Body.Close()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{body, resp.Body}
	return resp, nil
}

// errNotVault is the error for a 404 that is not vault's.
var errNotVault = errors.New("not found, as somebody in between says")

func ownNotFound(resp *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err == nil && !bytes.Contains(body, []byte(`"errors"`)) && !bytes.Contains(body, []byte(`"request_id"`)) {
		err = errNotVault
	}
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}
