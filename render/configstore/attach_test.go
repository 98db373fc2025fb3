package configstore

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"bifrost-secrets/sources/postgres/pgtest"
)

func pgtestEmpty(t *testing.T) *Store {
	t.Helper()
	return storeOf(t, pgtest.Shared(t).Database(t).URL())
}

// dump returns everything that Bifrost's tables hold.
func dump(t *testing.T, d *pgtest.Database) string {
	t.Helper()
	var all strings.Builder
	for _, name := range []string{"config_keys", "config_providers", "config_mcp_clients", "governance_virtual_keys", "config_plugins", "governance_config", "oauth_configs", "sessions"} {
		all.WriteString(d.Text(t, "SELECT string_agg(r::text, E'\n' ORDER BY r::text) FROM "+name+" r") + "\n")
	}
	return all.String()
}

func mustPlan(t *testing.T, s *Store) *Plan {
	t.Helper()
	p, err := s.Plan(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAttachDetach(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			s, d := newStore(t, version)
			before := dump(t, d)
			p := mustPlan(t, s)
			if len(p.Attach) != 5 || len(p.Attached) != 0 || len(p.Left) != 2 || len(p.Unknown) != 0 || len(p.Beside()) != 5 {
				t.Fatalf("%+v", p)
			}
			if dump(t, d) != before || d.Text(t, "SELECT count(*) FROM pg_namespace WHERE nspname = 'bifrost_secrets'") != "0" {
				t.Error("looking has changed the database")
			}
			if err := s.Attach(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			after := dump(t, d)
			if n := strings.Count(after, "env.BIFROST_SECRET_"); n != 5 || strings.Count(after, "vault.") != 2 {
				t.Errorf("%d variables in\n%s", n, after)
			}
			if got := d.Text(t, "SELECT string_agg(in_table || '/' || in_row || '/' || in_column || '/' || in_key || '=' || reference, ' ' ORDER BY reference) FROM bifrost_secrets.reference"); got !=
				"config_keys/3/azure_client_secret/=vault.azure#client config_keys/3/value/=vault.azure#key config_mcp_clients/1/headers_json/Authorization=vault.mcp#a&b config_keys/2/value/=vault.openai/key config_keys/7/value/=vault.openai/other" {
				t.Error(got)
			}
			// A later start finds their meaning, and has nothing to do.
			p = mustPlan(t, s)
			if len(p.Attach) != 0 || len(p.Attached) != 5 || len(p.Beside()) != 5 || p.Attached[0].Reference != "vault.openai/key" || p.Attached[0].Since.IsZero() {
				t.Fatalf("%+v", p)
			}
			if err := s.Attach(t.Context(), p); err != nil || dump(t, d) != after {
				t.Error(err)
			}
			// What is typed in meanwhile joins them.
			d.Exec(t, "INSERT INTO config_keys (name, provider, provider_id, key_id, value) VALUES ('late', 'openai', 1, 'late', 'vault.late')")
			p = mustPlan(t, s)
			if len(p.Attach) != 1 || len(p.Attached) != 5 {
				t.Fatalf("%+v", p)
			}
			if err := s.Attach(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			d.Exec(t, "DELETE FROM config_keys WHERE name = 'late'")
			dry, err := s.Detach(t.Context(), true)
			if err != nil || len(dry.Restored) != 5 || len(dry.Edited) != 1 || dump(t, d) != after {
				t.Errorf("%+v %v", dry, err)
			}
			done, err := s.Detach(t.Context(), false)
			if err != nil || len(done.Restored) != 5 || len(done.Edited) != 1 || len(done.Left) != 0 {
				t.Fatalf("%+v %v", done, err)
			}
			if got := dump(t, d); got != before {
				t.Errorf("not as before:\n%s\nbut\n%s", before, got)
			}
			if got := d.Text(t, "SELECT count(*) FROM bifrost_secrets.reference"); got != "0" {
				t.Error(got)
			}
			if done, err = s.Detach(t.Context(), false); err != nil || len(done.Restored)+len(done.Edited)+len(done.Left) != 0 {
				t.Error(done, err)
			}
		})
	}
}

func TestAttachConflict(t *testing.T) {
	s, d := newStore(t, "1.5")
	p := mustPlan(t, s)
	d.Exec(t, "UPDATE config_keys SET value = 'vault.edited' WHERE name = 'azure'")
	before := dump(t, d)
	var conflict *Conflict
	if err := s.Attach(t.Context(), p); !errors.As(err, &conflict) || conflict.Place.Row != "3" {
		t.Fatal(err)
	}
	if dump(t, d) != before || d.Text(t, "SELECT count(*) FROM bifrost_secrets.reference") != "0" {
		t.Error("a part of it was written")
	}
	// A detach meets an edit by leaving it.
	if err := s.Attach(t.Context(), mustPlan(t, s)); err != nil {
		t.Fatal(err)
	}
	d.Exec(t, "UPDATE config_keys SET value = 'sk-typed-in' WHERE name = 'whole'; UPDATE config_keys SET encryption_status = 'encrypted' WHERE name = 'azure'; DELETE FROM config_mcp_clients")
	done, err := s.Detach(t.Context(), false)
	if err != nil || len(done.Restored) != 1 || len(done.Edited) != 2 || len(done.Left) != 2 {
		t.Fatalf("%+v %v", done, err)
	}
	if got := d.Text(t, "SELECT string_agg(value, ' ' ORDER BY id) FROM config_keys WHERE name IN ('whole', 'azure')"); !strings.HasPrefix(got, "sk-typed-in env.BIFROST_SECRET_") {
		t.Error(got)
	}
	// What stays keeps its meaning.
	if p := mustPlan(t, s); len(p.Attached) != 2 || len(p.Unknown) != 0 {
		t.Errorf("%+v", p)
	}
}

// The meaning of a variable is kept while it may stand anywhere.
func TestDetachKeepsMeanings(t *testing.T) {
	s, d := newStore(t, "1.5")
	if err := s.Attach(t.Context(), mustPlan(t, s)); err != nil {
		t.Fatal(err)
	}
	meanings := func() string {
		return d.Text(t, "SELECT coalesce(string_agg(reference, ' ' ORDER BY reference), '') FROM bifrost_secrets.reference")
	}
	d.Exec(t, `-- copies of a row, as the dashboard makes them, the first of which is then another key
INSERT INTO config_keys (name, provider, provider_id, key_id, value) SELECT 'copy', provider, provider_id, 'copy', value FROM config_keys WHERE name = 'whole';
UPDATE config_keys SET value = 'vault.new' WHERE name = 'whole'`)
	if p := mustPlan(t, s); len(p.Unknown) != 0 || len(p.Attach) != 1 {
		t.Fatalf("%+v", p)
	}
	if err := s.Attach(t.Context(), mustPlan(t, s)); err != nil {
		t.Fatal(err)
	}
	if p := mustPlan(t, s); len(p.Unknown) != 0 || !strings.Contains(meanings(), "vault.openai/key") {
		t.Fatalf("attach forgot %+v", p.Unknown)
	}
	d.Exec(t, `INSERT INTO config_keys (name, provider, provider_id, key_id, value) SELECT 'second copy', provider, provider_id, 'copy 2', value FROM config_keys WHERE name = 'copy';
-- what cannot be read
UPDATE config_mcp_clients SET headers_json = '{"Authorization": "' || (SELECT variable FROM bifrost_secrets.reference WHERE reference = 'vault.mcp#a&b')`+"\n"+`WHERE id = 1;
-- encrypted by Bifrost meanwhile
UPDATE config_keys SET encryption_status = 'encrypted', value = encode(decode(repeat('00', 40), 'hex'), 'base64') WHERE name = 'azure'`)
	for _, dry := range []bool{true, false, false} {
		done, err := s.Detach(t.Context(), dry)
		if err != nil {
			t.Fatal(err)
		}
		left := map[string]bool{}
		for _, one := range done.Left {
			left[one.Reference] = one.Reason != ""
		}
		for _, want := range []string{"vault.mcp#a&b", "vault.azure#key"} {
			if !left[want] {
				t.Errorf("dry %v: %s is forgotten: %+v", dry, want, done)
			}
		}
	}
	if got := meanings(); got != "vault.azure#client vault.azure#key vault.mcp#a&b" {
		t.Errorf("remembered are %s", got)
	}
	if got := d.Text(t, "SELECT string_agg(value, ' ' ORDER BY name) FROM config_keys WHERE name IN ('copy', 'second copy', 'whole')"); got != "vault.openai/key vault.openai/key vault.new" {
		t.Errorf("put back are %s", got)
	}
	if p := mustPlan(t, s); len(p.Unknown) != 0 {
		t.Errorf("nobody knows %+v", p.Unknown)
	}
}

func TestAttachAtOnce(t *testing.T) {
	s, d := newStore(t, "1.4")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for {
				p, err := s.Plan(t.Context(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				var conflict *Conflict
				if err := s.Attach(t.Context(), p); err == nil {
					return
				} else if !errors.As(err, &conflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if p := mustPlan(t, s); len(p.Attach) != 0 || len(p.Attached) != 5 || d.Text(t, "SELECT count(*) FROM bifrost_secrets.reference") != "5" {
		t.Errorf("%+v", p)
	}
}

func TestAttachUnknownAndEnterprise(t *testing.T) {
	s, d := newStore(t, "1.5")
	const nobodys = "BIFROST_SECRET_0123456789ABCDEF01234567"
	d.Exec(t, "UPDATE config_keys SET value = 'env."+nobodys+"' WHERE name = 'plain'")
	p := mustPlan(t, s)
	if len(p.Unknown) != 1 || p.Unknown[0].Variable != nobodys {
		t.Errorf("%+v", p.Unknown)
	}
	p, err := s.Plan(t.Context(), func(name string) bool { return name == nobodys })
	if err != nil || len(p.Unknown) != 0 {
		t.Errorf("%+v %v", p.Unknown, err)
	}
	d.Exec(t, "UPDATE config_keys SET encryption_status = 'vault' WHERE name = 'plain'")
	before := dump(t, d)
	if err := s.Attach(t.Context(), mustPlan(t, s)); err == nil || !strings.Contains(err.Error(), "Enterprise") || dump(t, d) != before {
		t.Error(err)
	}
}
