// Package walker knows Bifrost's config.json: which fields bear secrets, where
// they stand in a document, and how references are written. It reads; it
// changes nothing and asks nobody.
package walker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"
	"sync"
	"unicode/utf8"
)

// The limits of a document.
const (
	MaxSize  = 256 << 20 // bytes
	MaxDepth = 512       // objects and arrays inside each other
)

// Document is a config.json that is known to be a valid JSON object. It is safe
// for concurrent use.
type Document struct {
	// Name is how messages call the document: its file name, or "-".
	Name string
	// Notes are remarks about what was accepted all the same.
	Notes []string

	data     []byte
	sections []Span   // the objects and arrays that are members of the top
	anchors  []Anchor // empty where the document is a file of its own

	mu   sync.Mutex
	last mark // the place that Position was last asked for
}

type mark struct {
	offset int
	Position
}

// Position is a place in a document as people count: lines and columns from 1,
// a column being one character and not one byte.
type Position struct{ Line, Column int }

// Anchor says where a part of a document stands in the file that holds it: the
// byte at Offset is at Position there. What follows, up to the next anchor,
// stands in the file as it does in the document if Text is set; otherwise it all
// belongs to that one place.
type Anchor struct {
	Offset int
	Position
	Text bool
}

// DocumentError says why a document cannot be read.
type DocumentError struct {
	Name     string   // the document
	Position Position // zero where the failure has no place
	Reason   string
	Hint     string
	Err      error // the cause, if the system gave one
}

// Error gives the place and the reason.
func (e *DocumentError) Error() string {
	if e.Position == (Position{}) {
		return fmt.Sprintf("%s: %s", e.Name, e.Reason)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.Name, e.Position.Line, e.Position.Column, e.Reason)
}

// Unwrap gives the cause.
func (e *DocumentError) Unwrap() error { return e.Err }

// ReadFile reads and checks the document in a file. Every error is a
// *DocumentError.
func ReadFile(path string) (*Document, error) {
	data, err := ReadFileBytes(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// ReadFileBytes returns what stands in a regular file that is a document or holds
// one. Every error is a *DocumentError.
func ReadFileBytes(path string) ([]byte, error) {
	fail := func(err error) error {
		e := &DocumentError{Name: path, Reason: "cannot be read: " + reason(err), Err: err}
		if errors.Is(err, fs.ErrNotExist) {
			e.Reason, e.Hint = "no such file", "name the config.json with --config"
		}
		if errors.Is(err, fs.ErrPermission) {
			e.Hint = fmt.Sprintf("let user %d read it", os.Geteuid())
		}
		return e
	}
	data, err := ReadRegular(path, MaxSize)
	var kind kindError
	switch {
	case errors.Is(err, tooLarge(MaxSize)):
		return nil, large(path)
	case errors.As(err, &kind) && kind == directory:
		return nil, &DocumentError{Name: path, Reason: "is " + string(kind), Hint: "name the config.json in it"}
	case errors.As(err, &kind):
		return nil, &DocumentError{Name: path, Reason: "is " + string(kind) + ", and only regular files are read", Hint: "write - for its name and give it as the standard input"}
	case err != nil:
		return nil, fail(err)
	}
	return data, nil
}

// Read reads and checks the document that r gives. Every error is a
// *DocumentError.
func Read(name string, r io.Reader) (*Document, error) {
	data, err := ReadBytes(name, r)
	if err != nil {
		return nil, err
	}
	return Parse(name, data)
}

// ReadBytes returns what r gives, which is a document or holds one. Every error
// is a *DocumentError.
func ReadBytes(name string, r io.Reader) ([]byte, error) {
	data, err := readAll(r, 0)
	if err != nil {
		return nil, &DocumentError{Name: name, Reason: "cannot be read: " + reason(err), Err: err}
	}
	return data, nil
}

// readAll reads r into one allocation where size is right, and never more than
// one byte beyond the limit.
func readAll(r io.Reader, size int64) ([]byte, error) {
	var buf bytes.Buffer
	buf.Grow(int(min(size, MaxSize)) + bytes.MinRead)
	_, err := buf.ReadFrom(io.LimitReader(r, MaxSize+1))
	return buf.Bytes(), err
}

// reason gives what the system said, without the path that every caller names.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return err.Error()
}

// Parse checks data and makes a document of it, which keeps data and relies on
// nobody changing it. Every error is a *DocumentError with its place.
func Parse(name string, data []byte) (*Document, error) { return ParseWithin(name, data, nil) }

// ParseWithin is Parse for a document that another file holds: places are those
// in that file, as anchors say, which are in the order of their offsets.
func ParseWithin(name string, data []byte, anchors []Anchor) (*Document, error) {
	d := &Document{Name: name, data: data, anchors: anchors}
	if len(data) > MaxSize {
		return nil, large(name)
	}
	if bom := []byte("\xef\xbb\xbf"); bytes.HasPrefix(data, bom) {
		d.data = data[len(bom):]
		d.Notes = append(d.Notes, "a byte order mark at its start was dropped")
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	return d, nil
}

func large(name string) *DocumentError {
	return &DocumentError{Name: name, Reason: fmt.Sprintf("is larger than %d MiB", MaxSize>>20), Hint: "is this a Bifrost config.json?"}
}

// Bytes gives the document, without a byte order mark. It must not be changed.
func (d *Document) Bytes() []byte { return d.data }

// Position returns the place of the byte at offset, in the file that holds the
// document. Asked for rising offsets, as
// the fields come, it goes over the document once in all.
func (d *Document) Position(offset int) Position {
	d.mu.Lock()
	defer d.mu.Unlock()
	begin := Anchor{Position: Position{Line: 1, Column: 1}, Text: true}
	if i := sort.Search(len(d.anchors), func(i int) bool { return d.anchors[i].Offset > offset }); i > 0 {
		begin = d.anchors[i-1]
	}
	if !begin.Text {
		return begin.Position
	}
	m := d.last
	if m.Line == 0 || offset < m.offset || m.offset < begin.Offset {
		m = mark{offset: begin.Offset, Position: begin.Position}
	}
	for {
		n := bytes.IndexByte(d.data[m.offset:offset], '\n')
		if n < 0 {
			break
		}
		m.offset += n + 1
		m.Line, m.Column = m.Line+1, 1
	}
	m.Column += utf8.RuneCount(d.data[m.offset:offset])
	m.offset = offset
	d.last = m
	return m.Position
}

// failAt makes the error for what stands at offset.
func (d *Document) failAt(offset int, reason, hint string) *DocumentError {
	return &DocumentError{Name: d.Name, Position: d.Position(offset), Reason: reason, Hint: hint}
}
