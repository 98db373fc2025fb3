package bifrost_test

import (
	"net/http"
	"strings"
	"testing"

	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/bifrost/bifrosttest"
)

// adminOnly is a document with an admin and what more of it is needed.
func adminOnly(user, password, more string) string {
	return `{"auth_config": {"admin_username": "` + user + `", "admin_password": "` + password + `", "is_enabled": true}` + more + `}`
}

const keepsLogs = `, "client": {"log_retention_days": 30}`

func TestAdmin(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after string
		paths         []string
		want          watch.State
		says          string
	}{
		{"password", adminOnly("admin", "Admin-first-0001", keepsLogs), adminOnly("admin", "Admin-second-0002", ""), []string{passwordPath}, watch.Verified, ""},
		{"user", adminOnly("admin", "Admin-first-0001", keepsLogs), adminOnly("root", "Admin-first-0001", ""), []string{"auth_config.admin_username"}, watch.Verified, ""},
		{"both", adminOnly("admin", "Admin-first-0001", keepsLogs), adminOnly("root", "Admin-second-0002", ""), []string{"auth_config.admin_username", passwordPath}, watch.Verified, ""},
		{"short", adminOnly("admin", "a1", keepsLogs), adminOnly("admin", "b2", ""), []string{passwordPath}, watch.Verified, ""},
		{"in force already", adminOnly("admin", "Admin-second-0002", ""), adminOnly("admin", "Admin-second-0002", ""), []string{passwordPath}, watch.Verified, ""},
		{"no retention", adminOnly("admin", "Admin-first-0001", ""), adminOnly("admin", "Admin-second-0002", ""), []string{passwordPath}, watch.RestartRequired, "log_retention_days"},
		{"switched off there", strings.Replace(adminOnly("admin", "Admin-first-0001", keepsLogs), "true", "false", 1), adminOnly("admin", "Admin-second-0002", ""), []string{passwordPath}, watch.RestartRequired, "switched off"},
		{"switched off here", adminOnly("admin", "Admin-first-0001", keepsLogs), strings.Replace(adminOnly("admin", "Admin-second-0002", ""), "true", "false", 1), []string{passwordPath}, watch.RestartRequired, "no admin that is enabled"},
		{"none there", `{}`, adminOnly("admin", "Admin-second-0002", ""), []string{passwordPath}, watch.RestartRequired, "lacks auth_config"},
		{"under governance", adminOnly("admin", "Admin-first-0001", keepsLogs), `{"governance":` + adminOnly("admin", "Admin-second-0002", "") + `}`, []string{"governance." + passwordPath}, watch.Verified, ""},
	} {
		for _, version := range bifrosttest.Versions {
			t.Run(c.name+" "+version, func(t *testing.T) {
				s := bifrosttest.New(t, version)
				if err := s.Start([]byte(c.before)); err != nil {
					t.Fatal(err)
				}
				before, after := parse(t, c.before), parse(t, c.after)
				api := client(t, s.URL, nil)
				// It learns the credentials of the document in force.
				if _, err := api.Version(t.Context(), before); err != nil {
					t.Fatal(err)
				}
				got := api.Push(t.Context(), after, targets(t, after, c.paths...))
				wantStates(t, got, c.want)
				if !strings.Contains(got[0].Reason, c.says) {
					t.Errorf("it says %q, want %q", got[0].Reason, c.says)
				}
				// It goes on, with the old ones or the new.
				if _, err := api.Version(t.Context(), before); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		}
	}
}

// TestAdminAnswerLost has the answer to the new password get lost: it is in
// force all the same, and the client goes on with it.
func TestAdminAnswerLost(t *testing.T) {
	s, u := started(t, "1.5.0-prerelease7", func(u *bifrosttest.Upstream) *walker.Document { return first.render(t, u) })
	lossy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut {
			s.ServeHTTP(w, r)
			return
		}
		s.ServeHTTP(discard{http.Header{}}, r)
		panic(http.ErrAbortHandler)
	})
	front := serve(t, lossy)
	doc := second.render(t, u)
	c := client(t, front, func(o *bifrost.Options) { o.Login = basic(first.password) })
	wantStates(t, c.Push(t.Context(), doc, targets(t, doc, passwordPath)), watch.Verified)
	wantLogin(t, s.URL, second.password, http.StatusOK)
	if _, err := c.Version(t.Context(), nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	// A key whose answer is lost is to be tried again, and found then.
	got := c.Push(t.Context(), doc, targets(t, doc, keyPath))
	wantStates(t, got, watch.Failed)
	wantStates(t, c.Verify(t.Context(), doc, targets(t, doc, keyPath)), watch.Verified)
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}
