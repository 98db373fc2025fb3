package configstore

import (
	"encoding/base64"
	"slices"
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

// String returns table/row/column, and the path inside of the column.
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

	row  *Row
	cell *cell
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
	cells   []*cell
}

type cell struct {
	*column
	text  string // as the database has it
	start int    // of its JSON in the document
	end   int
}

func (c *cell) holds(f *walker.Field) bool { return c.start <= f.Start && f.End <= c.end }

type node struct {
	name string
	sub  []*node // its members, or elements
	list bool
	raw  []byte
	cell *cell // that raw is of; nil for none
}

func (n *node) child(name string) *node {
	for _, s := range n.sub {
		if s.name == name {
			return s
		}
	}
	return n.add(name)
}

func (n *node) add(name string) *node {
	s := &node{name: name}
	n.sub = append(n.sub, s)
	return s
}

// append adds the JSON of the node to b, and notes where cells stand in it.
func (n *node) append(b []byte) []byte {
	if n.raw != nil {
		if n.cell != nil {
			n.cell.start, n.cell.end = len(b), len(b)+len(n.raw)
		}
		return append(b, n.raw...)
	}
	signs := "{}"
	if n.list {
		signs = "[]"
	}
	b = append(b, signs[0])
	for i, s := range n.sub {
		if i > 0 {
			b = append(b, ',')
		}
		if !n.list {
			b = append(append(b, walker.Quote(s.name)...), ':')
		}
		b = s.append(b)
	}
	return append(b, signs[1])
}

// in makes the node of the row in a document, and returns it with the members that
// tell the row, and its index where it is the element of a list.
func (r *Row) in(root *node) (at *node, index int) {
	at = root
	for _, step := range r.table.steps {
		switch step {
		case "[]":
			at.list, index = true, len(at.sub)
			at = at.add("")
		case "*":
			at = at.child(r.starred)
		default:
			at = at.child(step)
		}
	}
	for _, m := range r.table.members {
		if text := r.told[m.name]; text != "" {
			at.child(m.name).raw = []byte(walker.Quote(text))
		}
	}
	return at, index
}

// read makes the row of the values of its columns, by their names.
func (t *table) read(key, version string, values func(column string) (string, bool)) *Row {
	r := &Row{Table: t.name, Key: key, table: t, version: version, told: map[string]string{}}
	r.Status, _ = values("encryption_status")
	r.Entity = t.describe(key, values)
	if t.star != "" {
		r.starred, _ = values(t.star)
	}
	for _, m := range t.members {
		r.told[m.name], _ = values(m.column)
	}
	root := &node{}
	element, _ := r.in(root)
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
		at.raw, at.cell = raw, &cell{column: c, text: text}
		r.cells = append(r.cells, at.cell)
	}
	r.document(root)
	return r
}

func (r *Row) document(root *node) {
	doc, err := walker.Parse(r.Table+"/"+r.Key, root.append(nil))
	if err != nil { // it is nested deeper than a document may be
		for _, c := range r.cells {
			r.Unreadable = append(r.Unreadable, Place{Table: r.Table, Row: r.Key, Column: c.name})
		}
		r.cells = nil
		r.Document, _ = walker.Parse(r.Table+"/"+r.Key, []byte("{}")) // which is valid
		return
	}
	r.Document = doc
	doc.Walk(func(f *walker.Field) bool {
		i := slices.IndexFunc(r.cells, func(c *cell) bool { return c.holds(f) })
		if i < 0 {
			return true
		}
		c := r.cells[i]
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
			Field: *f, Place: place, Entity: r.Entity, row: r, cell: c,
			Env: c.env && !twice && f.Entry != nil && f.Entry.Env == walker.Supported,
		})
		return true
	})
}

// below returns the part of a field's path that lies inside of a cell.
func (r *Row) below(c *cell, path string) string {
	steps, ok := walker.SplitPath(path)
	if skip := len(r.table.steps) + len(c.place); ok && len(steps) > skip {
		return walker.JoinPath(steps[skip:])
	}
	return path
}

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
