package configstore

import (
	"encoding/base64"
	"strings"

	"bifrost-secrets/walker"

	"github.com/tidwall/gjson"
)

// Place says where in the database a value stands.
type Place struct {
	Table  string `json:"table"`
	Row    string `json:"row"` // the primary key
	Column string `json:"column"`
	Key    string `json:"key,omitempty"` // the path inside of a JSON document
}

// String gives table/row/column, and the path inside of the column.
func (p Place) String() string {
	text := p.Table + "/" + p.Row + "/" + p.Column
	if p.Key != "" {
		text += "/" + p.Key
	}
	return text
}

// Field is a value of the database that may be a secret or a reference. Its
// Path is that of [Row.Document].
type Field struct {
	walker.Field
	Place  Place
	Entity string // `key "main" of openai`
	// Env is true where Bifrost resolves env. here, and never writes the value
	// back: where a reference may be rewritten.
	Env bool

	row    *Row
	column int // index in row.cells
}

// Row is one row with secret-bearing columns.
type Row struct {
	Table  string
	Key    string // the primary key
	Entity string
	Status string // the encryption_status; empty where the table has none
	// Document is the piece of a config.json that the row stands for. What is
	// encrypted is not in it.
	Document *walker.Document
	Fields   []Field
	// Encrypted are the columns that hold ciphertext.
	Encrypted []Place
	// Unreadable are the columns whose JSON cannot be read.
	Unreadable []Place

	table   *table
	version string            // changes with every change of the row
	starred string            // what * is, in the place of the row
	told    map[string]string // the members that tell the row
	cells   []cell
}

// cell is a column's value in the row's document.
type cell struct {
	*column
	text  string // as the database has it
	start int    // of its JSON in the document
	end   int
}

// path finds the place in a cell: what of a field's path lies below the cell.
func (c *cell) holds(f *walker.Field) bool { return c.start <= f.Start && f.End <= c.end }

// node is a part of a document that is being made.
type node struct {
	name string
	sub  []*node
	raw  []byte
	cell int // index of the cell that raw is of; -1 for none
}

func (n *node) child(name string) *node {
	for _, s := range n.sub {
		if s.name == name {
			return s
		}
	}
	s := &node{name: name, cell: -1}
	n.sub = append(n.sub, s)
	return s
}

// read makes the row of the values of its columns, by their names.
func (t *table) read(key, version string, values func(column string) (string, bool)) *Row {
	r := &Row{Table: t.name, Key: key, table: t, version: version}
	r.Status, _ = values("encryption_status")
	r.Entity = t.describe(key, values)
	if t.star != "" {
		r.starred, _ = values(t.star)
	}
	element := &node{cell: -1}
	for _, m := range t.members {
		if text, ok := values(m.column); ok && text != "" {
			if r.told == nil {
				r.told = map[string]string{}
			}
			r.told[m.name] = text
			element.child(m.name).raw = []byte(walker.Quote(text))
		}
	}
	for i := range t.columns {
		c := &t.columns[i]
		if c.form != textForm && c.form != jsonForm {
			continue
		}
		text, ok := values(c.name)
		if !ok || text == "" {
			continue
		}
		if c.where.column != "" {
			if at, _ := values(c.where.column); at != c.where.name {
				continue
			}
		}
		place := Place{Table: t.name, Row: key, Column: c.name}
		if r.Status == "encrypted" && isCiphertext(text) {
			r.Encrypted = append(r.Encrypted, place)
			continue
		}
		raw := []byte(text)
		if c.form == textForm {
			raw = []byte(walker.Quote(text))
		} else if !gjson.Valid(text) {
			r.Unreadable = append(r.Unreadable, place)
			continue
		}
		at := element
		for _, step := range c.place {
			at = at.child(step)
		}
		at.raw, at.cell = raw, len(r.cells)
		r.cells = append(r.cells, cell{column: c, text: text})
	}
	r.document(element)
	return r
}

// document puts the row's document together and finds its fields.
func (r *Row) document(element *node) {
	var b []byte
	var closing string
	for _, step := range r.table.steps {
		name := step
		switch step {
		case "[]":
			b, closing = append(b, '['), "]"+closing
			continue
		case "*":
			name = r.starred
		}
		b = append(b, '{')
		b = append(append(b, walker.Quote(name)...), ':')
		closing = "}" + closing
	}
	b = r.write(b, element)
	doc, err := walker.Parse(r.Table+"/"+r.Key, append(b, closing...))
	if err != nil { // it is nested deeper than a document may be
		for i := range r.cells {
			r.Unreadable = append(r.Unreadable, Place{Table: r.Table, Row: r.Key, Column: r.cells[i].name})
		}
		r.cells = nil
		r.Document, _ = walker.Parse(r.Table+"/"+r.Key, []byte("{}")) // which is valid
		return
	}
	r.Document = doc
	doc.Walk(func(f *walker.Field) bool {
		for i := range r.cells {
			c := &r.cells[i]
			if !c.holds(f) {
				continue
			}
			place := Place{Table: r.Table, Row: r.Key, Column: c.name}
			if c.form == jsonForm {
				place.Key = r.below(c, f.Path)
			}
			// Of a name that stands twice nobody could tell later which it was.
			twice := false
			for k := range r.Fields {
				if c.env && r.Fields[k].Place == place {
					r.Fields[k].Env, twice = false, true
				}
			}
			r.Fields = append(r.Fields, Field{
				Field: *f, Place: place, Entity: r.Entity, row: r, column: i,
				Env: c.env && !twice && f.Entry != nil && f.Entry.Env == walker.Supported,
			})
			break
		}
		return true
	})
}

// write adds the JSON of a node.
func (r *Row) write(b []byte, n *node) []byte {
	if n.raw != nil {
		if n.cell >= 0 {
			r.cells[n.cell].start = len(b)
			r.cells[n.cell].end = len(b) + len(n.raw)
		}
		return append(b, n.raw...)
	}
	b = append(b, '{')
	for i, s := range n.sub {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, walker.Quote(s.name)...), ':')
		b = r.write(b, s)
	}
	return append(b, '}')
}

// below gives the part of a field's path that lies inside of a cell.
func (r *Row) below(c *cell, path string) string {
	steps, ok := walker.SplitPath(path)
	if skip := len(r.table.steps) + len(c.place); ok && len(steps) > skip {
		return walker.JoinPath(steps[skip:])
	}
	return path
}

// describe says what the row is, for people.
func (t *table) describe(key string, values func(string) (string, bool)) string {
	name := ""
	for _, column := range []string{"name", t.key} {
		if text, ok := values(column); ok && text != "" {
			name = text
			break
		}
	}
	if name == "" {
		name = key
	}
	text := t.entity + " " + walker.Quote(name)
	if t.star != "" && t.star != "name" {
		if of, ok := values(t.star); ok && of != "" {
			text += " of " + of
		}
	}
	return text
}

// isCiphertext reports whether a text has the form in which Bifrost encrypts:
// base64 of a nonce of 12 bytes, the ciphertext, and a tag of 16.
func isCiphertext(text string) bool {
	if len(text) < 40 || len(text)%4 != 0 || strings.ContainsAny(text, "{}\": .\n") {
		return false
	}
	_, err := base64.StdEncoding.DecodeString(text)
	return err == nil
}

// State tells what stands in a field, as `lint` and `database plan` call it.
func (f *Field) State() string {
	switch f.What {
	case walker.Literal, walker.Other:
		return "plaintext"
	case walker.Ref:
		return "reference"
	}
	return f.What.String()
}
