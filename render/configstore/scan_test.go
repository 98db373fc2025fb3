package configstore

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// shown returns a line for each field and each column with ciphertext.
func shown(t *testing.T, s *Store) ([]string, *Summary) {
	t.Helper()
	var lines []string
	sum, err := s.Scan(t.Context(), func(r *Row) {
		for i := range r.Fields {
			f := &r.Fields[i]
			line := f.Place.String() + ": " + f.State() + " (" + f.Entity + ")"
			if f.State() == "reference" {
				line += " " + f.Ref.String()
			}
			if f.Env {
				line += " env"
			}
			lines = append(lines, line)
		}
		for _, p := range r.Encrypted {
			lines = append(lines, p.String()+": encrypted ("+r.Entity+")")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines, sum
}

func TestScan(t *testing.T) {
	want := strings.Split(`config_keys/1/value: plaintext (key "plain" of openai) env
config_keys/2/value: reference (key "whole" of openai) vault.openai/key env
config_keys/3/value: reference (key "azure" of azure) vault.azure#key env
config_keys/3/azure_client_secret: reference (key "azure" of azure) vault.azure#client env
config_keys/3/azure_endpoint: plaintext (key "azure" of azure) env
config_keys/4/value: reference (key "variable" of openai) env.OPENAI_KEY env
config_keys/5/value: masked (key "masked" of openai) env
config_keys/6/value: encrypted (key "hidden" of openai)
config_keys/7/value: reference (key "hidden-reference" of openai) vault.openai/other env
config_providers/1/network_config_json/base_url: plaintext (provider "openai")
config_providers/1/network_config_json/extra_headers.x-api-key: plaintext (provider "openai")
config_providers/1/proxy_config_json/url: plaintext (provider "openai")
config_providers/1/proxy_config_json/username: plaintext (provider "openai")
config_providers/1/proxy_config_json/password: plaintext (provider "openai")
config_providers/1/proxy_config_json/ca_cert_pem: plaintext (provider "openai")
config_mcp_clients/1/connection_string: plaintext (mcp client "tools") env
config_mcp_clients/1/headers_json/Authorization: reference (mcp client "tools") vault.mcp#a&b env
config_mcp_clients/1/headers_json/X-Plain: plaintext (mcp client "tools") env
config_mcp_clients/1/headers_json/X-Var: reference (mcp client "tools") env.MCP_VAR env
config_mcp_clients/2/headers_json: encrypted (mcp client "hidden")
governance_virtual_keys/vk-1/value: plaintext (virtual key "team")
governance_virtual_keys/vk-2/value: reference (virtual key "refers") vault.virtual
config_plugins/1/config_json/api_key: reference (plugin "mine") vault.plugin/key
config_plugins/1/config_json/n.token: plaintext (plugin "mine")
governance_config/admin_username/value: plaintext (setting "admin_username")
governance_config/admin_password/value: plaintext (setting "admin_password")
oauth_configs/oauth-1/client_id: plaintext (oauth config "oauth-1")
oauth_configs/oauth-1/client_secret: plaintext (oauth config "oauth-1")`, "\n")
	slices.Sort(want)
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			s, d := newStore(t, version)
			got, sum := shown(t, s)
			slices.Sort(got)
			if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
				t.Errorf("got\n%s\nwant\n%s", g, w)
			}
			if len(sum.UnknownColumns) > 0 || len(sum.UnknownTables) > 0 || sum.Schema != "public" || sum.Encrypted != 2 {
				t.Errorf("%+v", sum)
			}
			if sum.Own["sessions.token"].Plaintext != 2 || sum.Own["oauth_configs.code_verifier"].Plaintext != 1 {
				t.Errorf("%+v", sum.Own)
			}
			// A newer version, and a logs database in the same place.
			d.Exec(t, "CREATE TABLE logs (id text, input text); ALTER TABLE config_keys ADD COLUMN new_secret text DEFAULT 'CANARY', DROP COLUMN azure_endpoint; DROP TABLE oauth_configs")
			_, sum = shown(t, s)
			if fmt.Sprint(sum.UnknownColumns, sum.UnknownTables) != "[config_keys.new_secret] [logs]" {
				t.Errorf("%+v", sum)
			}
		})
	}
}

func TestScanElsewhere(t *testing.T) {
	empty := pgtestEmpty(t)
	_, err := empty.Scan(t.Context(), func(*Row) {})
	if sources.KindOf(err) != sources.NotFound || !strings.Contains(err.Error(), "no tables of Bifrost") || sources.HintOf(err) == "" {
		t.Error(err)
	}
	// Bifrost's tables may be in another schema, by the role's search path.
	_, d := newStore(t, "1.5")
	d.Exec(t, `CREATE SCHEMA gateway; ALTER TABLE config_keys SET SCHEMA gateway; DROP TABLE config_providers, config_mcp_clients, governance_virtual_keys`)
	role := d.Role(t, "p", "ALTER ROLE %s SET search_path = gateway, public", "GRANT USAGE ON SCHEMA gateway TO %s", "GRANT SELECT ON gateway.config_keys TO %s")
	s := storeOf(t, d.As(role, "p"))
	_, sum := shown(t, s)
	if sum.Schema != "gateway" || sum.Rows != 7 {
		t.Errorf("%+v", sum)
	}
}

func TestScanManyRows(t *testing.T) {
	s, d := newStore(t, "1.5")
	heap := func(rows int) (peak uint64, took time.Duration) {
		d.Exec(t, fmt.Sprintf("DELETE FROM governance_virtual_keys; INSERT INTO governance_virtual_keys (id, name, value) SELECT 'vk-' || n, 'name ' || n, 'sk-bf-' || md5(n::text) FROM generate_series(1, %d) n", rows))
		runtime.GC()
		var before, now runtime.MemStats
		runtime.ReadMemStats(&before)
		start, n := time.Now(), 0
		_, err := s.Scan(t.Context(), func(r *Row) {
			if n++; n%(rows/10) == 0 {
				took += time.Since(start)
				runtime.GC()
				runtime.ReadMemStats(&now)
				peak = max(peak, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
				start = time.Now()
			}
		})
		if err != nil || n < rows {
			t.Fatal(n, err)
		}
		return peak, took + time.Since(start)
	}
	few, _ := heap(1000)
	many, took := heap(10_000)
	t.Logf("10,000 rows in %s; %d KiB are held over 1,000 rows and %d KiB over 10,000", took, few>>10, many>>10)
	if many > 2*few+1<<20 {
		t.Errorf("the memory grows with the rows: from %d to %d bytes", few, many)
	}
}

// State tells what stands in a field.
func (f *Field) State() string {
	switch f.What {
	case walker.Literal, walker.Other:
		return "plaintext"
	case walker.Ref:
		return "reference"
	}
	return f.What.String()
}
