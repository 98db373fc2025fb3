package postgres

import (
	"context"
	"fmt"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/postgres/pgtest"
)

func TestRekey(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	old, next := newIdentity(t), newIdentity(t)
	before := openStore(t, settings(d, "identity", old.String()))
	for i := range 130 {
		before.put(t, fmt.Sprintf("key-%03d", i), fmt.Sprint(canary, i))
	}
	for i := range 3 {
		before.put(t, "key-000", fmt.Sprint(canary, "v", i))
	}
	versions := d.Text(t, "SELECT string_agg(name || version, ' ' ORDER BY name, version) FROM bifrost_secrets.secret_version")
	after := openStore(t, settings(d, "identity", next.String()))
	wantError(t, after.Fetch(t.Context(), []string{"key-000"})["key-000"].Err, sources.Denied)

	// While both keys are known, everything is sealed for the new one.
	both := openStore(t, settings(d, "identity", old.String()+"\n"+next.String(), "recipients", next.Recipient().String()))
	rekey := func(o sources.RekeyOptions, versions, current, failed int) sources.Rekeyed {
		t.Helper()
		done, err := both.Rekey(t.Context(), o)
		if err != nil || done.Versions != versions || done.Current != current || len(done.Failed) != failed {
			t.Errorf("%+v %v, want %d, %d and %d", done, err, versions, current, failed)
		}
		return done
	}
	rekey(sources.RekeyOptions{DryRun: true}, 133, 0, 0)
	before.want(t, "key-000", canary+"v2")
	d.Exec(t, "UPDATE bifrost_secrets.secret_version SET sealed = 'age-encryption.org/v1' WHERE name = 'key-077'")
	done := rekey(sources.RekeyOptions{}, 132, 0, 1)
	wantError(t, done.Failed[0], sources.Unusable, `"key-077", version`, "damaged")
	rekey(sources.RekeyOptions{}, 0, 132, 1)
	both.put(t, "key-077", "mended")
	for i, want := range map[string]string{"key-000": canary + "v2", "key-129": canary + "129", "key-077": "mended"} {
		after.want(t, i, want)
	}
	// A stolen old key opens nothing any more, of no version.
	if got := before.Fetch(t.Context(), []string{"key-001"})["key-001"]; got.Err == nil {
		t.Error("the old key still opens")
	} else {
		wantError(t, got.Err, sources.Denied)
	}
	for _, version := range []string{"0", "1", "2"} {
		d.Exec(t, "UPDATE bifrost_secrets.secret SET version = (SELECT version FROM bifrost_secrets.secret_version WHERE name = 'key-000' ORDER BY version OFFSET "+version+" LIMIT 1) WHERE name = 'key-000'")
		wantError(t, before.Fetch(t.Context(), []string{"key-000"})["key-000"].Err, sources.Denied)
		if r := after.Fetch(t.Context(), []string{"key-000"})["key-000"]; r.Err != nil {
			t.Error(r.Err)
		}
	}
	// Versions stay: it is no rotation.
	d.Exec(t, "DELETE FROM bifrost_secrets.secret_version v USING bifrost_secrets.secret s WHERE v.name = 'key-077' AND v.name = s.name AND v.version = s.version")
	if got := d.Text(t, "SELECT string_agg(name || version, ' ' ORDER BY name, version) FROM bifrost_secrets.secret_version"); got != versions {
		t.Error("the versions changed")
	}

	blind := openStore(t, settings(d, "recipients", next.Recipient().String()))
	_, err := blind.Rekey(t.Context(), sources.RekeyOptions{})
	wantError(t, err, sources.NoLogin, "identity is not set")
	lost := openStore(t, settings(d, "identity", old.String(), "recipients", next.Recipient().String()))
	_, err = lost.Rekey(t.Context(), sources.RekeyOptions{})
	wantError(t, err, sources.BadSettings, "could not be read back")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = both.Rekey(ctx, sources.RekeyOptions{})
	wantError(t, err, sources.Unreachable)
}
