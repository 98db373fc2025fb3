package configstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/walker"
)

func storable(t *testing.T, s *Store) *Storable {
	t.Helper()
	p, err := s.Storable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStorable(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			s, d := newStore(t, version)
			p := storable(t, s)
			var got []string
			p.Document.Walk(func(f *walker.Field) bool {
				place, ok := p.At(f.Path)
				if ok && f.What == walker.Literal && f.Text() != "" {
					got = append(got, f.Path+" "+place.String())
				}
				return true
			})
			want := `providers.openai.keys[0].value config_keys/1/value
providers.azure.keys[0].azure_key_config.endpoint config_keys/3/azure_endpoint
mcp.client_configs[0].connection_string config_mcp_clients/1/connection_string
mcp.client_configs[0].headers.X-Plain config_mcp_clients/1/headers_json/X-Plain`
			if strings.Join(got, "\n") != want {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
			}
			if len(p.Encrypted) != 2 || len(p.Left) != 5 {
				t.Errorf("%+v\n%+v", p.Encrypted, p.Left)
			}
			ref := walker.Reference{Scheme: walker.Vault, Name: "bifrost/x", Key: "a&b", Fragment: true}
			if err := s.Refer(t.Context(), p, map[string]walker.Reference{
				"providers.openai.keys[0].value": {Scheme: walker.Vault, Name: "bifrost/y"}, "mcp.client_configs[0].headers.X-Plain": ref,
			}); err != nil {
				t.Fatal(err)
			}
			plan := mustPlan(t, s)
			if len(plan.Attached) != 2 || plan.Attached[1].Reference != "vault.bifrost/x#a&b" {
				t.Errorf("%+v", plan.Attached)
			}
			if got := d.Text(t, "SELECT config_hash FROM config_keys WHERE id = 1"); got != "hash-1" {
				t.Error(got)
			}
			if _, err := s.Detach(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			if got := d.Text(t, "SELECT headers_json FROM config_mcp_clients WHERE id = 1"); got != `{"Authorization":"vault.mcp#a\u0026b","X-Plain":"vault.bifrost/x#a&b","X-Var":"env.MCP_VAR"}` {
				t.Error(got)
			}
		})
	}
}

// An edit between the look and the write is never overwritten.
func TestReferConflict(t *testing.T) {
	s, d := newStore(t, "1.5")
	p := storable(t, s)
	d.Exec(t, "UPDATE config_keys SET value = 'sk-edited' WHERE id = 1")
	before := dump(t, d)
	var conflict *Conflict
	err := s.Refer(t.Context(), p, map[string]walker.Reference{
		"providers.openai.keys[0].value": {Scheme: walker.Vault, Name: "y"}, "mcp.client_configs[0].headers.X-Plain": {Scheme: walker.Vault, Name: "x"},
	})
	if !errors.As(err, &conflict) || conflict.Place.Table != "config_keys" || dump(t, d) != before || d.Text(t, "SELECT count(*) FROM bifrost_secrets.reference") != "0" {
		t.Errorf("%v, and\n%s", err, dump(t, d))
	}
	// A row that goes meanwhile is a conflict too.
	p = storable(t, s)
	d.Exec(t, "DELETE FROM config_keys WHERE id = 1")
	if err := s.Refer(t.Context(), p, map[string]walker.Reference{"providers.openai.keys[0].value": {Scheme: walker.Vault, Name: "y"}}); !errors.As(err, &conflict) {
		t.Error(err)
	}
}

// Edits and rewritings at once: each value is either an edit, or a variable whose
// meaning is known.
func TestReferBesideEdits(t *testing.T) {
	s, d := newStore(t, "1.4")
	conn := d.Connect(t)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := conn.Exec(t.Context(), "UPDATE config_keys SET value = $1 WHERE id = 1", fmt.Sprintf("sk-edit-%d", n)); err != nil {
				done <- err
				return
			}
			time.Sleep(time.Millisecond) // a scan takes longer, and longer still with each row that is no more
		}
	}()
	written, refused := 0, 0
	for n, late := 0, time.Now().Add(2*time.Minute); n < 40 || refused == 0 && time.Now().Before(late); n++ {
		p := storable(t, s)
		place, ok := p.At("providers.openai.keys[0].value")
		if !ok || place.Row != "1" {
			continue // the edits have not come to it again
		}
		var conflict *Conflict
		switch err := s.Refer(t.Context(), p, map[string]walker.Reference{"providers.openai.keys[0].value": {Scheme: walker.Vault, Name: "y"}}); {
		case err == nil:
			written++
		case errors.As(err, &conflict):
			refused++
		default:
			t.Fatal(err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Logf("%d written, %d refused", written, refused)
	if refused == 0 {
		t.Error("no edit came in between")
	}
	if value := d.Text(t, "SELECT value FROM config_keys WHERE id = 1"); !strings.HasPrefix(value, "sk-edit-") && len(mustPlan(t, s).Unknown) != 0 {
		t.Error(value)
	}
}

func TestTexts(t *testing.T) {
	s, d := newStore(t, "1.5")
	if err := s.Attach(t.Context(), mustPlan(t, s)); err != nil {
		t.Fatal(err)
	}
	d.Exec(t, `UPDATE config_keys SET value = 'sk-typed-over', models_json = '["vault.in-models"]' WHERE name = 'whole'; -- its reference is still remembered
CREATE TABLE of_a_later_version (a int, b jsonb); INSERT INTO of_a_later_version VALUES (1, '{"vault.as-name": ["x"]}');
CREATE TABLE logs (content text); INSERT INTO logs VALUES ('vault.in-a-log');
ALTER TABLE config_keys ADD COLUMN later text; UPDATE config_keys SET later = 'Vault.later' WHERE name = 'whole'`)
	var all strings.Builder
	rows := 0
	sum, err := s.Texts(t.Context(), func(*Row) { rows++ }, func(p Place, text string) { all.WriteString(p.String() + ": " + text + "\n") })
	for _, want := range []string{
		"vault.openai/key", "vault.azure#key", "vault.openai/other", "vault.mcp#a&b", "vault.virtual", "vault.plugin/key",
		"/models_json: [\"vault.in-models\"]", "of_a_later_version//b: {\"vault.as-name\"", "/later: Vault.later",
	} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("%s is not among the texts:\n%s", want, all.String())
		}
	}
	if err != nil || sum.Encrypted != 2 || rows != sum.Rows || strings.Contains(all.String(), "in-a-log") {
		t.Errorf("%+v %d %v", sum, rows, err)
	}
	for _, own := range []string{"sessions/", "oauth_tokens/"} {
		for line := range strings.Lines(all.String()) {
			if strings.HasPrefix(line, own) && strings.Contains(line, "/token:") {
				t.Error("a credential of Bifrost's own was read: " + line[:20])
			}
		}
	}
}
