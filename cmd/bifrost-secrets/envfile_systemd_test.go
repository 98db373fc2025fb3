package main

import (
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// systemdReads reads an env file by the rules of EnvironmentFile=, state for
// state as systemd's parser has them, and then refuses what systemd refuses as
// a variable.
func systemdReads(t *testing.T, path string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := systemdParser{t: t, out: map[string]string{}}
	for i := range len(data) {
		p.take(data[i])
	}
	p.end()
	return p.out
}

type systemdState int

const (
	beforeKey systemdState = iota
	inKey
	beforeValue
	inValue
	inValueEscape
	inSingle
	inDouble
	inDoubleEscape
	inComment
	inCommentEscape
)

const (
	systemdNewline = "\n\r"
	systemdSpace   = " \t\n\r"
	systemdEscaped = "\"\\`$" // what a backslash protects in double quotes
)

type systemdParser struct {
	t     *testing.T
	state systemdState
	key   []byte
	value []byte
	kept  int // how much of the value the end of an unquoted one may not cut off
	out   map[string]string
}

func isOneOf(c byte, set string) bool { return strings.IndexByte(set, c) >= 0 }

func (p *systemdParser) add(c ...byte) { p.value = append(p.value, c...) }

func (p *systemdParser) take(c byte) {
	switch p.state {
	case beforeKey:
		switch {
		case isOneOf(c, "#;"):
			p.state = inComment
		case !isOneOf(c, systemdSpace):
			p.state, p.key = inKey, []byte{c}
		}
	case inKey:
		switch {
		case isOneOf(c, systemdNewline):
			p.state = beforeKey
		case c == '=':
			p.state, p.value, p.kept = beforeValue, nil, 0
		default:
			p.key = append(p.key, c)
		}
	case beforeValue:
		p.takeBeforeValue(c)
	case inValue:
		switch {
		case isOneOf(c, systemdNewline):
			p.push(true)
		case c == '\\':
			p.state, p.kept = inValueEscape, len(p.value)
		default:
			if p.add(c); !isOneOf(c, systemdSpace) {
				p.kept = len(p.value)
			}
		}
	case inValueEscape:
		p.state = inValue
		if !isOneOf(c, systemdNewline) {
			p.add(c)
			p.kept = len(p.value)
		}
	case inSingle:
		if c == '\'' {
			p.state = beforeValue
		} else {
			p.add(c)
		}
	case inDouble:
		switch c {
		case '"':
			p.state = beforeValue
		case '\\':
			p.state = inDoubleEscape
		default:
			p.add(c)
		}
	case inDoubleEscape:
		p.state = inDouble
		switch {
		case isOneOf(c, systemdEscaped):
			p.add(c)
		case c != '\n':
			p.add('\\', c)
		}
	case inComment:
		switch {
		case c == '\\':
			p.state = inCommentEscape
		case isOneOf(c, systemdNewline):
			p.state = beforeKey
		}
	case inCommentEscape:
		p.state = inComment
	}
}

func (p *systemdParser) takeBeforeValue(c byte) {
	switch {
	case isOneOf(c, systemdNewline):
		p.push(false)
	case c == '\'':
		p.state = inSingle
	case c == '"':
		p.state = inDouble
	case c == '\\':
		p.state = inValueEscape
	case !isOneOf(c, systemdSpace):
		p.state = inValue
		p.add(c)
		p.kept = len(p.value)
	}
}

// push ends a variable. bare is true where the value does not end in quotes.
func (p *systemdParser) push(bare bool) {
	p.state = beforeKey
	key, value := strings.TrimRight(string(p.key), systemdSpace), string(p.value)
	if bare {
		value = value[:p.kept]
	}
	for _, c := range value {
		if c < ' ' && c != '\t' && c != '\n' || c == 0x7f {
			p.t.Errorf("systemd would drop %s for the character %q", key, c)
			return
		}
	}
	if !utf8.ValidString(value) {
		p.t.Errorf("systemd would drop %s, which is not UTF-8", key)
		return
	}
	p.out[key] = value
}

func (p *systemdParser) end() {
	switch p.state {
	case beforeValue:
		p.push(false)
	case inValue:
		p.push(true)
	case inValueEscape, inSingle, inDouble, inDoubleEscape:
		p.t.Error("the file ends inside a value")
	}
}
