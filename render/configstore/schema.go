// Package configstore sees Bifrost's PostgreSQL config store as fields, like
// those of a file: each row becomes the piece of a config.json that it stands
// for, so that whoever takes fields takes these too. References in the database
// become variables of env mode there and back, in one transaction.
//
// Which tables and columns bear secrets is data (tables.tsv, columns.tsv); which
// of them a database has is asked of its information_schema. What is not known
// is left alone and counted.
package configstore

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"bifrost-secrets/walker"
)

//go:embed tables.tsv
var tablesText string

//go:embed columns.tsv
var columnsText string

type form uint8

const (
	noSecret form = iota
	textForm      // the value
	jsonForm      // a JSON document
	ownForm       // a credential that Bifrost makes itself
)

var forms = map[string]form{"none": noSecret, "text": textForm, "json": jsonForm, "own": ownForm}

type table struct {
	name, key string
	place     string // "" where no row has a place
	steps     []string
	star      string
	members   []member
	entity    string
	columns   []column
}

type member struct{ name, column string }

type column struct {
	name  string
	place []string // the steps below the row's place; nil where it is that place
	form  form
	env   bool
	where member // the line holds for the rows whose column has this text as its name
}

// known are all tables, in the order of tables.tsv.
var known = sync.OnceValue(func() []*table {
	all, err := parseSchema(tablesText, columnsText)
	if err != nil {
		panic(err) // the files are part of the program, and tested
	}
	return all
})

// tableOf returns the table of that name; nil where it is not known.
func tableOf(name string) *table {
	if i := slices.IndexFunc(known(), func(t *table) bool { return t.name == name }); i >= 0 {
		return known()[i]
	}
	return nil
}

// column returns a column by its name; nil where it is not known.
func (t *table) column(name string) *column {
	if i := slices.IndexFunc(t.columns, func(c column) bool { return c.name == name }); i >= 0 {
		return &t.columns[i]
	}
	return nil
}

func parseSchema(tables, columns string) ([]*table, error) {
	byName := map[string]*table{}
	all, err := walker.Rows(tables, 6, func(c []string) (*table, error) {
		unset(c)
		t := &table{name: c[0], key: c[1], place: c[2], star: c[3], entity: c[5]}
		if byName[t.name] != nil {
			return nil, fmt.Errorf("%s stands twice", t.name)
		}
		if t.place != "" && t.place != "." {
			t.steps = walker.PatternSteps(t.place)
		}
		if slices.Contains(t.steps, "*") != (t.star != "") {
			return nil, fmt.Errorf("%s: a star and its column go together", t.name)
		}
		if c[4] != "" {
			for _, one := range strings.Split(c[4], ",") {
				name, column, ok := strings.Cut(one, "=")
				if !ok {
					return nil, fmt.Errorf("%s: a member is name=column", t.name)
				}
				t.members = append(t.members, member{name, column})
			}
		}
		byName[t.name] = t
		return t, nil
	})
	if err != nil {
		return nil, err
	}
	_, err = walker.Rows(columns, 7, func(c []string) (any, error) {
		unset(c)
		t := byName[c[0]]
		f, ok := forms[c[3]]
		if t == nil || !ok || c[4] != "yes" && c[4] != "no" {
			return nil, fmt.Errorf("%s.%s: an unknown table or word", c[0], c[1])
		}
		col := column{name: c[1], form: f, env: c[4] == "yes"}
		if c[2] != "" && c[2] != "." {
			col.place = strings.Split(c[2], ".")
		}
		if (c[2] != "") != (f == textForm || f == jsonForm) || c[2] != "" && t.place == "" {
			return nil, fmt.Errorf("%s.%s: a place goes with text and json", c[0], c[1])
		}
		if c[5] != "" {
			col.where.column, col.where.name, ok = strings.Cut(c[5], "=")
			if !ok {
				return nil, fmt.Errorf("%s.%s: where is column=value", c[0], c[1])
			}
		}
		t.columns = append(t.columns, col)
		return nil, nil
	})
	return all, err
}

// unset makes empty columns of those that are written as "-".
func unset(columns []string) {
	for i := range columns {
		columns[i] = strings.TrimPrefix(columns[i], "-")
	}
}

// secrets reports whether there is anything in the table to look at.
func (t *table) secrets() bool {
	return slices.ContainsFunc(t.columns, func(c column) bool { return c.form != noSecret })
}
