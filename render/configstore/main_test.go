package configstore

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
	"bifrost-secrets/sources/postgres/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.M{M: m}) }

// versions are those of which testdata has the tables.
var versions = []string{"1.4", "1.5"}

// newStore makes a database with the tables of a version and rows in them.
func newStore(t testing.TB, version string) (*Store, *pgtest.Database) {
	t.Helper()
	d := pgtest.Shared(t).Database(t)
	for _, name := range []string{version + ".sql", "rows.sql"} {
		text, err := os.ReadFile(filepath.Join("../../testdata/configstore", name))
		if err != nil {
			t.Fatal(err)
		}
		d.Exec(t, string(text))
	}
	return storeOf(t, d.URL()), d
}

func storeOf(t testing.TB, url string) *Store {
	t.Helper()
	target, err := database.New(database.Settings{URL: sources.NewSecret([]byte(url))})
	if err != nil {
		t.Fatal(err)
	}
	return &Store{Target: target}
}
