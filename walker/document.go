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

	"bifrost-secrets/walker/regular"
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

	data    []byte
	anchors []Anchor // empty where the document is a file of its own
	found            // by the walk that checked it

	mu    sync.Mutex
	steps []Position // of every stride-th byte, as far as Position was asked for
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
	Err      error // the cause, if the system has one
}

// Error returns the place and the reason.
func (e *DocumentError) Error() string {
	if e.Position == (Position{}) {
		return fmt.Sprintf("%s: %s", e.Name, e.Reason)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.Name, e.Position.Line, e.Position.Column, e.Reason)
}

// Unwrap returns the cause.
func (e *DocumentError) Unwrap() error { return e.Err }

// Advice returns what to do about it.
func (e *DocumentError) Advice() string { return e.Hint }

// ExitCode is that of an invalid document.
func (e *DocumentError) ExitCode() int { return 2 }

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
	data, _, err := regular.ReadFile(path, MaxSize)
	if err == nil {
		return data, nil
	}
	e := &DocumentError{Name: path, Reason: "cannot be read: " + regular.Cause(err).Error(), Err: err}
	var kind regular.NotRegular
	switch {
	case errors.Is(err, regular.ErrTooLarge):
		return nil, large(path)
	case errors.As(err, &kind) && kind == regular.Directory:
		e.Reason, e.Hint = "is "+string(kind), "name the config.json in it"
	case errors.As(err, &kind):
		e.Reason, e.Hint = "is "+string(kind)+", and only regular files are read", "write - for its name and give it as the standard input"
	case errors.Is(err, fs.ErrNotExist):
		e.Reason, e.Hint = "no such file", "name the config.json with --config"
	case errors.Is(err, fs.ErrPermission):
		e.Hint = fmt.Sprintf("let user %d read it", os.Geteuid())
	}
	return nil, e
}

// Read reads and checks the document from r. Every error is a
// *DocumentError.
func Read(name string, r io.Reader) (*Document, error) {
	data, err := ReadBytes(name, r)
	if err != nil {
		return nil, err
	}
	return Parse(name, data)
}

// ReadBytes returns what r holds, which is a document or holds one. Every error
// is a *DocumentError.
func ReadBytes(name string, r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, &DocumentError{Name: name, Reason: "cannot be read: " + regular.Cause(err).Error(), Err: err}
	}
	return data, nil
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
	ok := false
	if d.found, ok = scan(d.data, compiled()); !ok {
		return nil, d.refusal()
	}
	return d, nil
}

func large(name string) *DocumentError {
	return &DocumentError{Name: name, Reason: fmt.Sprintf("is larger than %d MiB", MaxSize>>20), Hint: "is this a Bifrost config.json?"}
}

// Bytes returns the document, without a byte order mark. It must not be changed.
func (d *Document) Bytes() []byte { return d.data }

// Position returns the place of the byte at offset, in the file that holds the
// document. However often it is asked, it goes over the document once in all.
func (d *Document) Position(offset int) Position {
	p := d.position(offset)
	i := sort.Search(len(d.anchors), func(i int) bool { return d.anchors[i].Offset > offset })
	if i == 0 {
		return p
	}
	a := d.anchors[i-1]
	if !a.Text {
		return a.Position
	}
	from := d.position(a.Offset)
	if p.Line == from.Line {
		return Position{a.Line, a.Column + p.Column - from.Column}
	}
	return Position{a.Line + p.Line - from.Line, p.Column}
}

// stride is about how many bytes Position goes over where it has been before.
const stride = 512

// position returns the place of the byte at offset in the document itself.
func (d *Document) position(offset int) Position {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.steps == nil {
		d.steps = []Position{{1, 1}}
	}
	for n := len(d.steps); d.step(n) <= offset; n++ {
		d.steps = append(d.steps, d.steps[n-1].After(d.data[d.step(n-1):d.step(n)]))
	}
	n := offset / stride
	if d.step(n) > offset { // in the middle of a character
		n--
	}
	return d.steps[n].After(d.data[d.step(n):offset])
}

// step returns where the first character begins at or behind n strides.
func (d *Document) step(n int) int {
	i := n * stride
	if n == 0 {
		return 0 // whatever stands there
	}
	for most := i + utf8.UTFMax - 1; i < min(most, len(d.data)) && !utf8.RuneStart(d.data[i]); i++ {
	}
	return i
}

// After returns the place behind a text that begins at p.
func (p Position) After(text []byte) Position {
	if line := bytes.LastIndexByte(text, '\n') + 1; line > 0 {
		p = Position{p.Line + bytes.Count(text[:line], []byte{'\n'}), 1}
		text = text[line:]
	}
	p.Column += utf8.RuneCount(text)
	return p
}

// failAt makes the error for what stands at offset.
func (d *Document) failAt(offset int, reason, hint string) *DocumentError {
	return &DocumentError{Name: d.Name, Position: d.Position(offset), Reason: reason, Hint: hint}
}
