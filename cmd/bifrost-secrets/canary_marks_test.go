package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// marks finds values in a text, however the text spells them, and parts of them
// too: whoever prints a piece of a secret has printed it.
type marks struct {
	pieces map[int]map[string]bool // by length: what must not occur
}

// piece is how many characters of a value make a mark. All of a shorter value
// makes one.
const piece = 6

// made has the marks of the values that were asked for: one test has the same ones
// in each of its situations, and it takes a while to spell them.
var made sync.Map // of the values, quoted, a marks that nobody changes

// marked returns the marks for values. Each should begin with a word that is
// nowhere else.
func marked(values ...string) marks {
	key := fmt.Sprintf("%q", values)
	if m, ok := made.Load(key); ok {
		return m.(marks)
	}
	m := marks{pieces: map[int]map[string]bool{}}
	for _, v := range values {
		m.windows(v, piece)
		for _, chars := range windows(v, piece) {
			m.add(spellings(chars)...)
		}
		// Base64 depends on what stands before: all three alignments, less the
		// characters at both ends that mix with what is around.
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			for lead := range 3 {
				text := enc.EncodeToString([]byte(strings.Repeat("\x00", lead) + v))
				skip := []int{0, 2, 3}[lead]
				m.windows(text[skip:len(text)-1], piece*4/3-1)
			}
		}
	}
	made.Store(key, m)
	return m
}

// spellings returns the ways in which printers and encoders spell a text.
func spellings(text string) []string {
	b := []byte(text)
	each := func(format, between string) string {
		var parts []string
		for _, c := range b {
			parts = append(parts, fmt.Sprintf(format, c))
		}
		return strings.Join(parts, between)
	}
	quoted, _ := json.Marshal(text) // a string always encodes
	out := []string{
		strings.Trim(string(quoted), `"`),
		strings.Trim(strconv.QuoteToASCII(text), `"`),
		url.QueryEscape(text), url.PathEscape(text),
		hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)),
		each("%d", " "), each("%d", ","), each("%d", ", "),
		each("%02x", " "), each("0x%x", ", "), each("0x%02x", ", "), each(`\x%02x`, ""), each("%%%02X", ""), each("%%%02x", ""),
		each(`\%03o`, ""), each(`\u%04x`, ""), each(`\u%04X`, ""),
		each("&#%d;", ""),
	}
	return out
}

// windows returns every run of n characters of a text, or all of a shorter one.
func windows(text string, n int) []string {
	runes := []rune(text)
	if len(runes) <= n {
		return []string{text}
	}
	var out []string
	for i := range len(runes) - n + 1 {
		out = append(out, string(runes[i:i+n]))
	}
	return out
}

func (m marks) windows(text string, n int) { m.add(windows(text, n)...) }

func (m marks) add(pieces ...string) {
	for _, p := range pieces {
		if m.pieces[len(p)] == nil {
			m.pieces[len(p)] = map[string]bool{}
		}
		m.pieces[len(p)][p] = true
	}
}

// in returns the first mark that occurs in a text, with a little of what stands
// around it, and "" if none does.
func (m marks) in(text []byte) string {
	for n, pieces := range m.pieces {
		for i := 0; i+n <= len(text); i++ {
			if pieces[string(text[i:i+n])] {
				return string(text[max(0, i-40):min(len(text), i+n+40)])
			}
		}
	}
	return ""
}

// A search that finds nothing must be one that would find something.
func TestMarks(t *testing.T) {
	const secret = "CANARY\"é/x y&zQ9w8e7r6t5"
	m := marked(secret)
	inside := secret[3:19]
	if !utf8.ValidString(inside) {
		t.Fatal("the test cuts a character in two")
	}
	b := []byte("ab" + inside)
	for name, text := range map[string]string{
		"text":            "x" + inside + "x",
		"quoted":          strconv.Quote(inside),
		"ascii":           strconv.QuoteToASCII(inside),
		"%v of bytes":     fmt.Sprint([]byte(inside)),
		"%#v of bytes":    fmt.Sprintf("%#v", []byte(inside)),
		"%x":              fmt.Sprintf("%x", inside),
		"% X":             strings.ToLower(fmt.Sprintf("% X", inside)),
		"%X":              fmt.Sprintf("%X", inside),
		"base64":          base64.StdEncoding.EncodeToString([]byte(inside)),
		"base64 after 1":  base64.StdEncoding.EncodeToString(b[1:]),
		"base64 after 2":  base64.StdEncoding.EncodeToString(b),
		"base64 for urls": base64.URLEncoding.EncodeToString(b),
		"query":           url.QueryEscape(inside),
		"path":            url.PathEscape(inside),
		"json":            string(must(json.Marshal(inside))),
	} {
		if m.in([]byte("before "+text+" after")) == "" {
			t.Errorf("%s: nothing found in %s", name, text)
		}
	}
	if found := m.in([]byte("nothing of the kind: canary, Canary, x y&")); found != "" {
		t.Errorf("found %q", found)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
