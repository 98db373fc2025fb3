package embedded

import (
	"bytes"
	"unicode/utf8"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"

	"github.com/tidwall/jsonc"
)

// Commented returns the document in a text of JSON with comments: those that
// begin with // or are between /* and */, and a comma behind the last member or
// element. Its errors are those of [walker.Parse].
func Commented(name string, text []byte) (Config, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	// Each byte of JSON keeps its offset. What is added ends a comment without an end.
	plain := jsonc.ToJSON(append(bytes.Clone(text), "\n*/"...))[:len(text)]
	doc, err := walker.ParseWithin(name, plain, moved(text, plain))
	return Config{Document: doc, Copied: true, Comments: comments(text, plain)}, err
}

// comments returns what is in a text and not in plain, where there are spaces in its
// place.
func comments(text, plain []byte) (all []lint.Comment) {
	from, end := -1, 0
	for i, c := range text {
		switch {
		case c != plain[i]:
			if from < 0 {
				from = i
			}
			end = i + 1
		case from >= 0 && plain[i] > ' ':
			all = append(all, lint.Comment{Text: string(text[from:end]), Start: from})
			from = -1
		}
	}
	if from >= 0 {
		all = append(all, lint.Comment{Text: string(text[from:end]), Start: from})
	}
	return all
}

// moved returns the anchors of what stands behind characters of several bytes in
// comments, each byte of which is a space in plain; nil where there are none.
func moved(text, plain []byte) (anchors []walker.Anchor) {
	at, seen := start, 0
	for i := 0; i < len(plain); i++ {
		if text[i] < utf8.RuneSelf || plain[i] != ' ' {
			continue
		}
		for i < len(plain) && text[i] != '\n' && plain[i] == ' ' { // the rest of the comment, or of its line
			i++
		}
		at, seen = at.After(text[seen:i]), i
		anchors = append(anchors, walker.Anchor{Offset: i, Position: at, Text: true})
	}
	if anchors != nil {
		anchors = append([]walker.Anchor{{Position: start, Text: true}}, anchors...)
	}
	return anchors
}

// start is where a text begins.
var start = walker.Position{Line: 1, Column: 1}
