package postgres

import (
	"context"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bifrost-secrets/sources"
)

// itemColumns are what an item is made of.
const itemColumns = "name, version, owner, field"

func scanItem(r pgx.CollectableRow) (sources.Item, error) {
	item := sources.Item{Exists: true}
	var version int64
	var owner, field *string
	if err := r.Scan(&item.Name, &version, &owner, &field); err != nil {
		return item, err
	}
	item.Version = strconv.FormatInt(version, 10)
	if owner != nil && field != nil {
		item.Mark = &sources.Mark{Owner: *owner, Path: *field}
	}
	return item, nil
}

// items returns the secrets for which a condition holds. Where nothing was ever
// written there are none.
func (s *source) items(ctx context.Context, condition string, args ...any) (items []sources.Item, err error) {
	err = s.query(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		found, err := pool.Query(ctx, "SELECT "+itemColumns+" FROM "+s.table("secret")+" WHERE "+condition+" ORDER BY name", args...)
		if err == nil {
			items, err = pgx.CollectRows(found, scanItem)
		}
		return err
	})
	if noTables(err) {
		return nil, nil
	}
	return items, err
}

// Inspect looks at a thousand names in one statement.
func (s *source) Inspect(ctx context.Context, names []string) map[string]sources.Item {
	items := make(map[string]sources.Item, len(names))
	var possible []string
	for _, name := range names {
		if err := checkName(name); err != nil {
			items[name] = sources.Item{Name: name, Err: err}
		} else {
			possible = append(possible, name)
			items[name] = sources.Item{Name: name}
		}
	}
	for chunk := range slices.Chunk(possible, s.batch) {
		found, err := s.items(ctx, "name = ANY($1)", chunk)
		if err != nil {
			for _, name := range chunk {
				items[name] = sources.Item{Name: name, Err: of(name, err)}
			}
		}
		for _, item := range found {
			items[item.Name] = item
		}
	}
	return items
}

// List returns the secrets whose name begins with prefix.
func (s *source) List(ctx context.Context, prefix string) ([]sources.Item, error) {
	return s.items(ctx, "starts_with(name, $1)", prefix)
}

// Identities implements [sources.Inspector].
func (*source) Identities(name string) []string { return []string{name} }
