package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/watch/control"

	"github.com/spf13/cobra"
)

// client speaks to the server beside a `watch` or an `exec`: for flush, status
// and health.
type client struct {
	p *program

	address   string
	tokenFile string
	timeout   time.Duration

	withToken bool
}

// answerMax bounds what is read of an answer: the status of a large document, and 64 MiB
// of what the watchers of a cluster tell.
const answerMax = 128 << 20

func (c *client) flags(cmd *cobra.Command, timeout time.Duration) {
	f := cmd.Flags()
	f.StringVar(&c.address, "address", control.DefaultListen, "`address` where a watch or an exec listens: HOST:PORT, unix:PATH or https://HOST:PORT")
	f.DurationVar(&c.timeout, "timeout", timeout, "how long the answer may take")
	if c.withToken {
		f.StringVar(&c.tokenFile, "token-file", "", "`file` whose first token is sent; without it that of $"+control.TokenVariable)
	}
}

// noWords refuses arguments without repeating them: somebody may have taken the
// token for one.
func noWords(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError("unexpected argument", "a token is never an argument, it is read from the file of --token-file: see "+cmd.CommandPath()+" --help")
}

type response struct {
	code  int
	body  []byte
	Error string `json:"error"`
	Hint  string `json:"hint"`
}

// ask makes one request. An error is one of having no answer; what a refusal
// means is told by refusal.
func (c *client) ask(ctx context.Context, method, path string) (*response, error) {
	if c.timeout <= 0 {
		return nil, usageError("--timeout must be more than nothing", "write 30s or 2m")
	}
	base, transport, err := c.transport()
	if err != nil {
		return nil, err
	}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, base.String()+path, nil)
	if err != nil {
		return nil, c.noAddress()
	}
	if err := c.authorize(req); err != nil {
		return nil, err
	}
	// A token is for who was named, and not for whom he names.
	h := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := netfault.Settled(h.Do(req))
	if err != nil {
		return nil, c.noAnswer(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	r := &response{code: resp.StatusCode}
	if r.body, err = io.ReadAll(io.LimitReader(resp.Body, answerMax)); err != nil {
		return nil, c.noAnswer(ctx, err)
	}
	_ = json.Unmarshal(r.body, r) // the answers to probes are words
	return r, nil
}

func (c *client) transport() (*url.URL, *http.Transport, error) {
	t := netfault.Guard(&http.Transport{}) // no proxy: it is this machine, or was named exactly
	if path, ok := strings.CutPrefix(c.address, "unix:"); ok {
		if path == "" {
			return nil, nil, c.noAddress()
		}
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
		return &url.URL{Scheme: "http", Host: "localhost"}, t, nil
	}
	text := c.address
	if !strings.Contains(text, "://") {
		text = "http://" + text
		if _, port, err := net.SplitHostPort(c.address); err != nil || port == "" {
			return nil, nil, c.noAddress()
		}
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, nil, c.noAddress()
	}
	u.Path = ""
	return u, t, nil
}

func (c *client) noAddress() error {
	// It is not repeated: people put credentials into addresses.
	return usageError("--address is no address", "write HOST:PORT, such as "+control.DefaultListen+", or unix:PATH, or https://HOST:PORT")
}

func (c *client) authorize(req *http.Request) error {
	if !c.withToken {
		return nil
	}
	tokens, err := control.ParseTokens("$"+control.TokenVariable, []byte(c.p.env[control.TokenVariable]))
	if c.tokenFile != "" {
		tokens, err = control.ReadTokens(c.tokenFile)
		if err == nil && len(tokens) == 0 {
			err = usageError("--token-file "+c.tokenFile+" holds no token", "write one into it, as the server's file has it")
		}
	}
	if err != nil || len(tokens) == 0 {
		return err
	}
	if req.URL.Scheme == "http" && !strings.HasPrefix(c.address, "unix:") && !isLoopback(req.URL.Hostname()) {
		return usageError("the token would go to "+req.URL.Host+" unencrypted", "write --address https://"+req.URL.Host)
	}
	req.Header.Set("Authorization", "Bearer "+string(tokens[0].Reveal()))
	return nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

func (c *client) noAnswer(ctx context.Context, err error) error {
	f := &failure{Reason: c.address + ": no answer", Code: exitUnreachable}
	var lookup *net.DNSError
	var wrapped *url.Error
	untrusted := netfault.TLS(err)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return &failure{Reason: "interrupted", Code: exitUnresolved}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		f.Reason += fmt.Sprintf(" within %s (--timeout)", c.timeout)
	case errors.Is(err, syscall.ECONNREFUSED):
		f.Reason = c.address + ": nothing listens there"
		f.Hint = "start `bifrost-secrets watch` or `exec`, or give --address what it has as --listen"
	case errors.Is(err, fs.ErrNotExist):
		f.Reason = c.address + ": there is no such socket"
		f.Hint = "start `bifrost-secrets watch` or `exec` with this address as --listen"
	case errors.Is(err, fs.ErrPermission):
		f.Reason = c.address + ": no permission to connect"
		f.Hint = "run as the user that the server runs as, or as root"
	case errors.As(err, &lookup):
		f.Reason = c.address + ": there is no machine of that name"
	case untrusted != "":
		f.Reason = c.address + ": " + untrusted
		f.Hint = "name a file with the authority's certificate in SSL_CERT_FILE; use the name that the certificate has, and https:// only where TLS is spoken"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		f.Reason = c.address + ": the connection was closed without an answer"
		f.Hint = "see the log of the server; where it has a certificate, write --address https://..."
	case errors.As(err, &wrapped):
		f.Reason += ": " + wrapped.Err.Error()
	}
	return f
}

func (c *client) refusal(r *response) *failure {
	f := &failure{Reason: c.address + ": " + r.Error, Hint: r.Hint, Code: exitUsage}
	switch {
	case r.Error == "" && strings.Contains(string(r.body), "HTTP request to an HTTPS server"):
		f.Reason = c.address + ": it speaks TLS only"
		f.Hint = "write --address https://" + c.address
	case r.Error == "":
		f.Reason = fmt.Sprintf("%s: what answers there is not bifrost-secrets (status %d)", c.address, r.code)
		f.Hint = "see which program listens there, and name the right address with --address"
		f.Code = exitUnreachable
	case r.code == http.StatusUnauthorized:
		f.Hint = "name the server's token file with --token-file, or set $" + control.TokenVariable
	case r.code == http.StatusBadRequest, r.code == http.StatusBadGateway:
		f.Code = exitUnresolved
	case r.code == http.StatusTooManyRequests, r.code >= 500:
		f.Code = exitUnreachable
	}
	return f
}
