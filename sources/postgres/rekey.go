package postgres

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/sealed"
)

// rekeyPage is how many versions are sealed anew in one transaction.
const rekeyPage = 100

const rekeyPasses = 5

// Rekey implements [sources.Rekeyer].
func (s *store) Rekey(ctx context.Context, o sources.RekeyOptions) (done sources.Rekeyed, err error) {
	identities, err := s.keys.Identities()
	if err != nil {
		return done, err
	}
	recipients, fingerprint, err := s.keys.Readers()
	if err != nil {
		return done, err
	}
	total := 0
	err = s.query(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		return pool.QueryRow(ctx, "SELECT count(*), count(*) FILTER (WHERE recipients = $1) FROM "+s.table("secret_version"), fingerprint).Scan(&total, &done.Current)
	})
	if err != nil || o.DryRun {
		done.Versions = total - done.Current
		return done, err
	}
	// What others write meanwhile may still be for the old recipients, hence
	// once more until nothing is found; but not for ever, should somebody rekey
	// for yet others.
	for range rekeyPasses {
		changed, failed, err := s.rekeyAll(ctx, recipients, fingerprint, identities)
		done.Versions += changed
		done.Failed = failed
		if err != nil || changed == 0 {
			return done, err
		}
	}
	return done, nil
}

// rekeyAll goes once through all that is sealed for others.
func (s *store) rekeyAll(ctx context.Context, recipients []age.Recipient, fingerprint string, identities []age.Identity) (changed int, failed []error, err error) {
	after := row{}
	for {
		var rows []row
		err := s.query(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
			found, err := pool.Query(ctx, "SELECT name, version, sealed FROM "+s.table("secret_version")+
				" WHERE recipients <> $1 AND (name, version) > ($2 COLLATE \"C\", $3) ORDER BY name, version LIMIT $4",
				pgx.QueryResultFormats{pgx.BinaryFormatCode, pgx.BinaryFormatCode, pgx.BinaryFormatCode}, fingerprint, after.name, after.version, rekeyPage)
			if err == nil {
				rows, err = pgx.CollectRows(found, func(r pgx.CollectableRow) (one row, err error) {
					return one, r.Scan(&one.name, &one.version, &one.sealed)
				})
			}
			return err
		})
		if err != nil || len(rows) == 0 {
			return changed, failed, err
		}
		after = rows[len(rows)-1]
		anew, broken, err := s.reseal(ctx, rows, recipients, identities)
		failed = append(failed, broken...)
		if err != nil {
			return changed, failed, err
		}
		n, err := s.replace(ctx, anew, fingerprint)
		changed += n
		if err != nil {
			return changed, failed, err
		}
	}
}

// reseal opens rows and seals them for recipients, side by side. The rows that
// cannot be opened are told of and left out.
func (s *store) reseal(ctx context.Context, rows []row, recipients []age.Recipient, identities []age.Identity) (anew []row, failed []error, err error) {
	texts, faults := make([][]byte, len(rows)), make([]error, len(rows))
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	for i, one := range rows {
		all.Go(func() error {
			if ctx.Err() != nil {
				return s.target.Explain(ctx.Err())
			}
			label := sealed.Label{Name: one.name, Version: strconv.FormatInt(one.version, 10)}
			value, err := sealed.Open(one.sealed, label, fmt.Sprintf("%q, version %d, in %s", one.name, one.version, s.Describe()), identities)
			if err != nil {
				faults[i] = of(one.name, err)
				return nil
			}
			if texts[i], err = sealed.Seal(label, value, recipients); err != nil {
				return errors.New("a value cannot be sealed")
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return nil, nil, err
	}
	for i, one := range rows {
		if faults[i] != nil {
			failed = append(failed, faults[i])
			continue
		}
		one.sealed = texts[i]
		anew = append(anew, one)
	}
	return anew, failed, nil
}

// replace writes what was sealed anew. A version that was forgotten meanwhile
// stays so.
func (s *store) replace(ctx context.Context, anew []row, fingerprint string) (changed int, err error) {
	err = s.query(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			batch := &pgx.Batch{}
			for _, one := range anew {
				batch.Queue("UPDATE "+s.table("secret_version")+" SET sealed = $3, recipients = $4 WHERE name = $1 AND version = $2", one.name, one.version, one.sealed, fingerprint)
			}
			return tx.SendBatch(ctx, batch).Close()
		})
	})
	if err != nil {
		return 0, err
	}
	return len(anew), nil
}
