package vaulttest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// token is what the fake knows of one.
type token struct {
	text      string
	namespace string
	ends      time.Time // by its word; zero is never
	last      time.Time // it cannot be renewed beyond this; zero is for ever
	ttl       time.Duration
	renewable bool
	revoked   bool
}

// slack is how much longer a token is taken than its word says: who has it has to
// renew it before its end, and the machine may be slow.
const slack = time.Minute

func (t *token) ended(now time.Time) bool {
	return t.revoked || !t.ends.IsZero() && !now.Before(t.ends.Add(slack))
}

// Leases sets how long the tokens of logins are good for. once makes the secret
// id good for one login alone.
func (f *Fake) Leases(ttl time.Duration, once bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ttl, f.useOnce = ttl, once
}

// Token makes a token that ends after ttl, or never. One that is renewable can be
// renewed for ever, unless longest says how long.
func (f *Fake) Token(ttl time.Duration, renewable bool, longest time.Duration) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.make(ttl, renewable, longest).text
}

func (f *Fake) make(ttl time.Duration, renewable bool, longest time.Duration) *token {
	f.made++
	t := &token{text: fmt.Sprintf("hvs.token-%04d", f.made), ttl: ttl, renewable: renewable}
	if ttl > 0 {
		t.ends = time.Now().Add(ttl)
	}
	if longest > 0 {
		t.last = time.Now().Add(longest)
	}
	f.tokens[t.text] = t
	return t
}

// Revoke ends a token.
func (f *Fake) Revoke(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens[text].revoked = true
}

// Logins is the number of logins that had success.
func (f *Fake) Logins() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.logins
}

// Renewed has each token that was renewed.
func (f *Fake) Renewed() <-chan string { return f.renewals }

// NoSelf keeps tokens from looking at themselves, as those without the default
// policy, and from asking about mounts.
func (f *Fake) NoSelf() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.selfDenied, f.preflight = true, true
}

func (f *Fake) login(r *http.Request, method string) answer {
	var in map[string]string
	if json.NewDecoder(r.Body).Decode(&in) != nil {
		return fail(400, "failed to parse JSON input")
	}
	if f.closed {
		return fail(400, "invalid role or secret ID")
	}
	switch method {
	case "approle":
		if in["role_id"] != RoleID || in["secret_id"] != SecretID || f.useOnce && f.logins > 0 {
			return fail(400, "invalid role or secret ID")
		}
	case "kubernetes", "clusters/eu":
		if in["role"] != PodRole {
			return fail(400, fmt.Sprintf("invalid role name %q", in["role"]))
		}
		if in["jwt"] != PodToken {
			return denied
		}
	default:
		return fail(403, "permission denied") // no such method
	}
	f.logins++
	t := f.make(f.ttl, true, 0)
	if t.namespace = strings.Trim(r.Header.Get("X-Vault-Namespace"), "/"); t.namespace != "" {
		t.namespace += "/"
	}
	return answer{status: 200, auth: t.auth(time.Now())}
}

func (t *token) auth(now time.Time) map[string]any {
	return map[string]any{"client_token": t.text, "renewable": t.renewable, "lease_duration": t.left(now), "policies": []string{"default"}}
}

func (t *token) left(now time.Time) int {
	if t.ends.IsZero() {
		return 0
	}
	return max(1, int(t.ends.Sub(now).Round(time.Second).Seconds()))
}

func (f *Fake) token(text string, t *token, what string) answer {
	switch {
	case what == "lookup-self" && f.selfDenied && text != Root, what == "renew-self" && !t.renewable:
		return denied
	case what == "lookup-self":
		return answer{status: 200, data: map[string]any{"id": text, "renewable": t.renewable, "ttl": t.left(time.Now()), "policies": []string{"default"}}}
	case what == "renew-self":
		if t.ends = time.Now().Add(t.ttl); !t.last.IsZero() && t.ends.After(t.last) {
			t.ends = t.last
		}
		select {
		case f.renewals <- text:
		default:
		}
		return answer{status: 200, auth: t.auth(time.Now())}
	case what == "revoke-self":
		t.revoked = true
		return answer{status: 204}
	}
	return fail(404)
}

var ruleForm = regexp.MustCompile(`path "([^"]+)" \{\s*capabilities = \[([^\]]*)\]\s*\}`)

// SetPolicy says, in HCL, what every token but Root may do. It knows the form
// that bifrost-secrets prints, and no other.
func (f *Fake) SetPolicy(hcl []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.policy = map[string][]string{}
	for _, m := range ruleForm.FindAllStringSubmatch(string(hcl), -1) {
		for _, capability := range strings.Split(m[2], ",") {
			f.policy[m[1]] = append(f.policy[m[1]], strings.Trim(capability, ` "`))
		}
	}
}

// Deny forbids something to be done to a path: `read`, `secret/data/a`.
func (f *Fake) Deny(path string, capabilities ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.denied[path] = append(f.denied[path], capabilities...)
}

func (f *Fake) mountInfo(namespace, path string) answer {
	if f.preflight {
		return fail(403, fmt.Sprintf("preflight capability check returned 403, please ensure client's policies grant access to path %q", path+"/"))
	}
	for name, m := range f.mounts {
		rest, ok := strings.CutPrefix(name, namespace)
		if !ok || namespace == "" && strings.HasPrefix(name, "team-a/") || rest != path && !strings.HasPrefix(path, rest+"/") {
			continue
		}
		data := map[string]any{"path": rest + "/", "type": "kv", "options": map[string]string{"version": fmt.Sprint(m.version)}}
		if m.version == 1 {
			data["options"] = nil
		}
		if m.kind != "" {
			data["type"], data["options"] = m.kind, nil
		}
		return answer{status: 200, data: data}
	}
	return fail(403, fmt.Sprintf("preflight capability check returned 403, please ensure client's policies grant access to path %q", path+"/"))
}
