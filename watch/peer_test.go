package watch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// What is told of a watcher: each reference once, with the worst of its fields, and
// nothing of what comes from elsewhere or of values.
func TestPeer(t *testing.T) {
	at := time.Unix(1e9, 0)
	st := Status{
		Version: "v1", Host: "h", Source: "aws-secrets-manager in us-east-1", Last: &Attempt{At: at}, Bifrost: &BifrostStatus{Version: "1.5.21"},
		References: []ReferenceStatus{
			{Reference: "vault.a", Secret: "a", Version: "2", State: Verified, Fresh: true, Since: at, Fingerprint: "CANARY", Reason: "CANARY"},
			{Reference: "vault.a", Secret: "a", Version: "2", State: RestartRequired, Fresh: true, Since: at.Add(-time.Hour)},
			{Reference: "vault.a", Secret: "a", Version: "2", State: InForce, Fresh: true, Since: at.Add(time.Hour)},
			{Reference: "env.X", Fresh: true},
			{Reference: "vault.b", Secret: "b", Version: "1", State: LastGood, Since: at},
		},
	}
	p := st.Peer()
	got := fmt.Sprintf("%+v", p)
	if len(p.References) != 2 || p.References[0].State != RestartRequired || p.References[1].Fresh || p.Host != "h" || p.Bifrost != "1.5.21" || !p.Refreshed.Equal(at) || strings.Contains(got, "CANARY") {
		t.Error(got)
	}
	st.Source = "file /run/secrets"
	if p := st.Peer(); p.References[0].Version != "" || p.References[1].Version != "" {
		t.Errorf("times of this host's own are told as versions: %+v", p)
	}
}

func TestCompare(t *testing.T) {
	now := time.Unix(1e9, 0)
	peer := func(host, source string, ago time.Duration, fresh bool, versions ...string) Peer {
		p := Peer{Host: host, Source: source, Refreshed: now.Add(-ago)}
		for i, v := range versions {
			version, state, _ := strings.Cut(v, " ")
			p.References = append(p.References, Held{Reference: fmt.Sprint("vault.", i), Version: version, State: State(state), Fresh: fresh, Since: now.Add(-ago)})
		}
		return p
	}
	for name, c := range map[string]struct {
		all  []Peer
		want string
	}{
		"all have it":                    {[]Peer{peer("a", "s", 0, true, "2"), peer("b", "s", time.Hour, true, "2")}, "a: b:"},
		"one has not looked yet":         {[]Peer{peer("b", "s", time.Hour, true, "1", "1"), peer("a", "s", 0, true, "2", "1")}, "a: b:vault.0"},
		"one cannot look":                {[]Peer{peer("a", "s", time.Minute, true, "2"), peer("b", "s", 0, false, "1")}, "a: b:vault.0"},
		"nobody can":                     {[]Peer{peer("a", "s", 0, false, "2"), peer("b", "s", 0, false, "1")}, "a: b:"},
		"other sources":                  {[]Peer{peer("a", "s", 0, true, "2"), peer("b", "t", time.Hour, true, "1")}, "a: b:"},
		"its Bifrost does not have it":   {[]Peer{peer("a", "s", 0, true, "2 restart required"), peer("b", "s", 1, true, "2 in force")}, "a:vault.0 b:"},
		"rolled back by who looked last": {[]Peer{peer("a", "s", 0, true, "1"), peer("b", "s", time.Hour, true, "2")}, "a: b:vault.0"},
		"versions are not told":          {[]Peer{peer("a", "s", 0, true, ""), peer("b", "s", time.Hour, true, "")}, "a: b:"},
	} {
		Compare(c.all)
		var got []string
		for _, p := range c.all {
			got = append(got, p.Host+":"+strings.Join(p.Behind, ","))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, want %s", name, s, c.want)
		}
	}
	all := []Peer{peer("a", "s", 0, true, "2", "1"), peer("b", "s", time.Minute, true, "2", "1"), peer("c", "s", time.Hour, true, "1", "1")}
	var lines []string
	for _, s := range SpreadOf(all) {
		lines = append(lines, s.Reference+" "+s.Version+" "+s.Words(len(all))+" "+s.Span())
	}
	want := []string{
		"vault.0 2 a, b 2001-09-09T01:45:40Z to 2001-09-09T01:46:40Z", "vault.0 1 c 2001-09-09T00:46:40Z",
		"vault.1 1 all 2001-09-09T00:46:40Z to 2001-09-09T01:46:40Z",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("%q", lines)
	}
	if got := some([]string{"a", "b", "c", "d", "e"}); got != "a, b, c and 2 more" {
		t.Error(got)
	}
}
