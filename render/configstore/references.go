package configstore

import (
	"context"

	"bifrost-secrets/database"
	"bifrost-secrets/walker"

	"github.com/jackc/pgx/v5"
)

// References gives every vault. reference that the database holds, or that a
// variable in it ever stood for: what they name is in use. It changes nothing.
func (s *Store) References(ctx context.Context) ([]walker.Reference, *Summary, error) {
	conn, err := s.Target.Connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer database.Close(conn)
	var refs []walker.Reference
	add := func(text string) {
		if ref, err := walker.ParseReference(text); err == nil && ref.Scheme == walker.Vault {
			refs = append(refs, ref)
		}
	}
	var sum *Summary
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		remembered, err := s.meanings(ctx, tx)
		if err != nil {
			return err
		}
		for _, m := range remembered {
			add(m.reference)
		}
		sum, err = scan(ctx, tx, func(r *Row) error {
			for i := range r.Fields {
				if f := &r.Fields[i]; f.What == walker.Ref {
					add(f.Ref.String())
				}
			}
			return nil
		})
		return err
	})
	if err != nil {
		return nil, nil, s.Target.Explain(err)
	}
	return refs, sum, nil
}
