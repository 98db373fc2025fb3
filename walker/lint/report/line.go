package report

import (
	"bytes"
	"sort"
)

// The columns of a line that are shown at most, and those before the place that
// it is shown for.
const (
	window = 100
	before = 48
)

// lines shows parts of the lines of a document. Asked for rising offsets, it
// goes over each line once in all: it keeps the tokens around the last place,
// and no more of a line than that, since a line may be the whole document.
type lines struct {
	*shown
	tokens []token // of one line, in order, up to an end or as far as was needed
	whole  bool    // the first of tokens begins the line
	next   int     // where the token after the last of tokens begins
	buf    []byte
}

// keep is how many tokens before a place are kept: enough for a window, since of
// two neighbours at least one takes a column.
const keep = 2*window + 2

// seek makes tokens hold the one at offset, and gives its index.
func (l *lines) seek(offset int) int {
	b := l.doc.Bytes()
	offset = min(offset, len(b)-1)
	if len(l.tokens) == 0 || offset < l.tokens[0].Start || offset >= l.next && bytes.IndexByte(b[l.next-1:offset], '\n') >= 0 {
		start := bytes.LastIndexByte(b[:offset], '\n') + 1
		l.tokens, l.whole, l.next = l.tokens[:0], true, start
	}
	for l.next <= offset && (len(l.tokens) == 0 || l.last().kind != end) {
		l.more()
		if len(l.tokens) > 4*keep {
			l.tokens = append(l.tokens[:0], l.tokens[len(l.tokens)-keep:]...)
			l.whole = false
		}
	}
	return sort.Search(len(l.tokens), func(i int) bool { return l.tokens[i].End > offset })
}

func (l *lines) last() token { return l.tokens[len(l.tokens)-1] }

// more adds a token. The line must not have ended.
func (l *lines) more() {
	t := lex(l.doc.Bytes(), l.next)
	l.buf, t.width = l.appendShown(l.buf[:0], t)
	l.tokens, l.next = append(l.tokens, t), t.End
}

// at makes sure that there is a token of index i, unless the line ends before.
func (l *lines) at(i int) (token, bool) {
	for i >= len(l.tokens) {
		if len(l.tokens) > 0 && l.last().kind == end {
			return token{}, false
		}
		l.more()
	}
	return l.tokens[i], l.tokens[i].kind != end
}

// around gives the tokens to show for the place at offset, from and to before
// to, and the index of the one that stands there; cut tells on which sides the
// line goes on.
func (l *lines) around(offset int) (from, focus, to int, cutLeft, cutRight bool) {
	focus = l.seek(offset)
	from, to = focus, focus
	total := 0
	grow := func(limit int) (left bool) {
		if from == 0 {
			return false
		}
		w := l.tokens[from-1].width
		if total+w > limit {
			return false
		}
		from, total = from-1, total+w
		return true
	}
	for grow(before) {
	}
	for {
		t, ok := l.at(to)
		if !ok {
			break
		}
		if to > focus && total+t.width > window {
			cutRight = true
			break
		}
		to, total = to+1, total+t.width
	}
	for grow(window) {
	}
	return from, focus, to, from > 0 || !l.whole, cutRight
}
