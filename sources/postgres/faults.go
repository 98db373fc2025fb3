package postgres

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"bifrost-secrets/sources"
)

// nameLimit is how long a name may be, in bytes.
const nameLimit = 512

// checkName refuses what cannot be the name of a secret. It is the rule that
// walker.CheckName has for documents.
func checkName(name string) error {
	e := &sources.Error{Kind: sources.BadName, Name: name, Hint: "allowed are 1 to 512 bytes of UTF-8 text without control characters"}
	switch {
	case name == "":
		e.Message = "the name of a secret cannot be empty"
	case len(name) > nameLimit:
		e.Message = fmt.Sprintf("the name of a secret cannot have %d bytes", len(name))
	case !utf8.ValidString(name):
		e.Message = "the name of a secret is not UTF-8 text"
	case strings.ContainsFunc(name, unicode.IsControl):
		e.Message = fmt.Sprintf("the name %q has a control character", name)
	default:
		return nil
	}
	return e
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

// of gives an error the name of a secret.
func of(name string, err error) error {
	var e *sources.Error
	if !errors.As(err, &e) {
		return err
	}
	named := *e
	named.Name = name
	return &named
}
