package vaulttest

import (
	"bufio"
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// startLimit is how long a server may take to listen, on a busy machine.
const startLimit = 3 * time.Minute

// Server is a real Vault or OpenBao in development mode: all in memory.
type Server struct {
	URL    string
	Client *api.Client // with a token that may do everything
	Bao    bool        // it is OpenBao, whose free edition has namespaces
	Binary string      // its path, which is that of its command line too

	made atomic.Int32
}

// StartServer starts the binary that VAULT_BIN or BAO_BIN names, until the end of
// the test. Where there is none the test is skipped.
func StartServer(t *testing.T) *Server {
	path := cmp.Or(os.Getenv("VAULT_BIN"), os.Getenv("BAO_BIN"))
	if path == "" {
		t.Skip("NOT TESTED AGAINST A REAL VAULT: neither VAULT_BIN nor BAO_BIN names a binary of HashiCorp Vault or OpenBao")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	cmd := exec.Command(path, "server", "-dev", "-dev-no-store-token", "-dev-root-token-id="+Root, "-dev-listen-address="+address)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started := make(chan string, 1)
	var reading sync.WaitGroup
	reading.Go(func() {
		var said strings.Builder
		ready := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if ready {
				continue // its log, which must be read for it to go on
			}
			fmt.Fprintln(&said, lines.Text())
			if ready = strings.Contains(lines.Text(), "Root Token: "); ready {
				started <- ""
			}
		}
		if !ready {
			started <- said.String()
		}
	})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		reading.Wait()
		_ = cmd.Wait()
	})
	select {
	case said := <-started:
		if said != "" {
			t.Fatalf("%s did not start:\n%s", path, said)
		}
	case <-time.After(startLimit):
		t.Fatalf("%s did not listen within %s", path, startLimit)
	}
	cfg := api.DefaultConfig()
	cfg.Address, cfg.AgentAddress = "http://"+address, ""
	client, err := api.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	client.ClearNamespace()
	client.SetToken(Root)
	t.Cleanup(cfg.HttpClient.CloseIdleConnections)
	s := &Server{URL: cfg.Address, Client: client, Bao: strings.Contains(path, "bao"), Binary: path}
	s.write(t, client, "sys/auth/approle", map[string]any{"type": "approle"})
	return s
}

func (s *Server) write(t testing.TB, c *api.Client, path string, data map[string]any) *api.Secret {
	t.Helper()
	got, err := c.Logical().WriteWithContext(t.Context(), path, data)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Write makes a request with all rights, in a namespace or, where it is empty, in
// none.
func (s *Server) Write(t testing.TB, namespace, path string, data map[string]any) *api.Secret {
	t.Helper()
	return s.write(t, s.in(namespace), path, data)
}

func (s *Server) in(namespace string) *api.Client {
	if namespace == "" {
		return s.Client
	}
	return s.Client.WithNamespace(namespace)
}

// Mount makes a mount of its own for a test.
func (s *Server) Mount(t testing.TB, namespace string, version int) string {
	t.Helper()
	path := fmt.Sprintf("kv-%d", s.made.Add(1))
	s.Write(t, namespace, "sys/mounts/"+path, map[string]any{"type": "kv", "options": map[string]any{"version": fmt.Sprint(version)}})
	// A new mount of version 2 is upgraded from version 1, and says so for a moment.
	for {
		_, err := s.in(namespace).Logical().ReadWithContext(t.Context(), path+"/data/none")
		if err == nil {
			return path
		}
		if !strings.Contains(err.Error(), "Upgrading from non-versioned") {
			t.Fatal(err)
		}
	}
}

// Role makes an AppRole of its own, whose tokens have a policy of that name, and
// returns its role id and secret id.
func (s *Server) Role(t testing.TB, namespace, name, policy string, settings map[string]any) (roleID, secretID string) {
	t.Helper()
	s.SetPolicy(t, namespace, name, policy)
	role := map[string]any{"token_policies": name, "token_ttl": "1h"}
	for key, value := range settings {
		role[key] = value
	}
	s.Write(t, namespace, "auth/approle/role/"+name, role)
	return s.Credentials(t, namespace, name)
}

// Credentials returns the role id of an AppRole and a new secret id.
func (s *Server) Credentials(t testing.TB, namespace, name string) (roleID, secretID string) {
	t.Helper()
	path := "auth/approle/role/" + name
	got, err := s.in(namespace).Logical().ReadWithContext(t.Context(), path+"/role-id")
	if err != nil {
		t.Fatal(err)
	}
	secret := s.Write(t, namespace, path+"/secret-id", nil)
	return got.Data["role_id"].(string), secret.Data["secret_id"].(string)
}

// SetPolicy replaces a policy, in HCL.
func (s *Server) SetPolicy(t testing.TB, namespace, name, policy string) {
	t.Helper()
	s.Write(t, namespace, "sys/policies/acl/"+name, map[string]any{"policy": policy})
}
