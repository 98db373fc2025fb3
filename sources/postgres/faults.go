package postgres

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"bifrost-secrets/sources"
)

// checkName refuses what cannot be the name of a secret.
func checkName(name string) error {
	if why, hint := sources.Postgres.CheckName(name); why != "" {
		return sources.NewError(sources.BadName, fmt.Sprintf("%.120q %s", name, why), hint).Of(name)
	}
	return nil
}

// noTables reports whether err says that there are no tables of ours: nothing
// was ever written, or the schema is another.
func noTables(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && (answer.Code == "42P01" || answer.Code == "3F000")
}

// explain puts an error into words.
func (s *source) explain(err error) error {
	var answer *pgconn.PgError
	switch errors.As(err, &answer); {
	case answer == nil:
	case noTables(answer):
		return &sources.Error{
			Kind: sources.NotFound, Code: answer.Code, Err: &pgconn.PgError{Code: answer.Code},
			Message: fmt.Sprintf("nothing is stored in %s: there are no tables in the schema %q", s.target.Describe(), s.schema),
			Hint:    "the first write makes them: bifrost-secrets secret put; or check db_name and schema",
		}
	case answer.Code == "42703":
		return &sources.Error{
			Kind: sources.BadSettings, Code: answer.Code, Err: &pgconn.PgError{Code: answer.Code},
			Message: fmt.Sprintf("the tables in the schema %q of %s are of another version", s.schema, s.target.Describe()),
			Hint:    "the next write brings them up to date; or the schema is not ours",
		}
	}
	return s.target.Explain(err)
}

// of returns an error the name of a secret.
func of(name string, err error) error {
	var e *sources.Error
	if errors.As(err, &e) {
		return e.Of(name)
	}
	return err
}
