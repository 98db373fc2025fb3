package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/sources/sealed"
)

// row is a secret as it was read.
type row struct {
	name    string
	version int64
	sealed  []byte // nil where the version is not there
}

// Fetch asks for a thousand names in one statement, and opens the values side by
// side.
func (s *source) Fetch(ctx context.Context, names []string) map[string]sources.Result {
	results := make(map[string]sources.Result, len(names))
	possible := make([]string, 0, len(names))
	for _, name := range names {
		if err := checkName(name); err != nil {
			results[name] = sources.Result{Err: err}
		} else {
			possible = append(possible, name)
		}
	}
	if len(possible) == 0 {
		return results
	}
	identities, err := s.keys.Identities()
	if err != nil {
		for _, name := range possible {
			results[name] = sources.Result{Err: of(name, err)}
		}
		return results
	}
	var mu sync.Mutex
	answer := func(name string, r sources.Result) {
		mu.Lock()
		defer mu.Unlock()
		results[name] = r
	}
	var all sync.WaitGroup
	slots := make(chan struct{}, connections)
	for chunk := range slices.Chunk(possible, batchSize) {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			s.fetchChunk(ctx, chunk, identities, answer)
		})
	}
	all.Wait()
	return results
}

// fetchChunk answers for each of names, with one statement.
func (s *source) fetchChunk(ctx context.Context, names []string, identities []age.Identity, answer func(string, sources.Result)) {
	var rows []row
	asked, have := make(map[string]bool, len(names)), make(map[string]bool, len(names))
	for _, name := range names {
		asked[name] = true
	}
	err := s.query(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		// The formats are asked for since the statement is not prepared: as text,
		// bytes would have twice the length.
		found, err := pool.Query(ctx, "SELECT s.name, s.version, v.sealed FROM "+s.table("secret")+" s LEFT JOIN "+s.table("secret_version")+
			" v USING (name, version) WHERE s.name = ANY($1)", pgx.QueryResultFormats{pgx.BinaryFormatCode, pgx.BinaryFormatCode, pgx.BinaryFormatCode}, names)
		if err != nil {
			return err
		}
		defer found.Close()
		for found.Next() {
			var one row
			if err := found.Scan(&one.name, &one.version, &one.sealed); err != nil {
				return err
			}
			if !asked[one.name] || have[one.name] {
				return netfault.Other(s.target.Address(), "")
			}
			have[one.name] = true
			rows = append(rows, one)
		}
		return found.Err()
	})
	if err != nil {
		for _, name := range names {
			answer(name, sources.Result{Err: of(name, err)})
		}
		return
	}
	s.log.Debug("read", "source", s.Describe(), "asked", len(names), "found", len(rows))
	var all sync.WaitGroup
	for _, one := range rows {
		s.opening <- struct{}{}
		all.Go(func() {
			defer func() { <-s.opening }()
			answer(one.name, s.unseal(ctx, one, identities))
		})
	}
	for _, name := range names {
		if have[name] {
			continue
		}
		answer(name, sources.Result{Err: sources.NewError(sources.NotFound, fmt.Sprintf("no secret %q in %s", name, s.Describe()), "bifrost-secrets secret list shows the names that there are").Of(name)})
	}
	all.Wait()
}

func (s *source) unseal(ctx context.Context, one row, identities []age.Identity) sources.Result {
	if ctx.Err() != nil {
		return sources.Result{Err: of(one.name, s.target.Explain(ctx.Err()))}
	}
	subject := fmt.Sprintf("%q in %s", one.name, s.Describe())
	if one.sealed == nil {
		return sources.Result{Err: sources.NewError(sources.Disabled, fmt.Sprintf("%s has lost its version %d", subject, one.version),
			"somebody else than this program changed the tables: put the value again").Of(one.name)}
	}
	version := strconv.FormatInt(one.version, 10)
	value, err := sealed.Open(one.sealed, sealed.Label{Name: one.name, Version: version}, subject, identities)
	if err != nil {
		return sources.Result{Err: of(one.name, err)}
	}
	return sources.Result{Value: value, Version: version}
}

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
	for chunk := range slices.Chunk(possible, batchSize) {
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
