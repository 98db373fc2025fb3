package embedded

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"bifrost-secrets/walker"

	"go.yaml.in/yaml/v3"
)

// InYAML returns the configs in a YAML file: every text that is a config.json
// (of a ConfigMap or a Secret, of Compose's configs), and every mapping `bifrost`
// that holds what Bifrost's Helm chart makes a config of. The error says that a
// text which was meant as a config is none, or that the file is no YAML.
func InYAML(name string, text []byte) ([]Config, error) {
	r := reader{name: name, lines: bytes.Split(text, []byte("\n"))}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return r.found, nil
		}
		if err != nil {
			return nil, &walker.DocumentError{
				Name: name, Reason: "not valid YAML: " + fault(err),
				Hint: "a template has to be rendered first: helm template … | bifrost-secrets lint --stdin-filename out.yaml -",
			}
		}
		if err := r.node(&doc, ""); err != nil {
			return nil, err
		}
	}
}

// fault returns what is wrong with YAML, without the text that stands there: a
// password that begins with * is an alias to it.
func fault(err error) string {
	what := strings.TrimPrefix(err.Error(), "yaml: ")
	before, _, quotes := strings.Cut(what, "'")
	if quotes {
		what = before + "…"
	}
	return what
}

// MayHoldConfig reports whether a YAML text is worth reading as one.
func MayHoldConfig(text []byte) bool {
	return bytes.Contains(text, []byte("bifrost")) || bytes.Contains(text, []byte("config.json")) || MayBeConfig(text)
}

// reader looks for configs in the nodes of a YAML file.
type reader struct {
	name  string
	lines [][]byte
	found []Config
}

// node looks at a node and at what is below it; key is the name of the member
// that it is the value of. Aliases are not followed: what they name is looked at
// where it stands.
func (r *reader) node(n *yaml.Node, key string) error {
	switch n.Kind {
	case yaml.DocumentNode, yaml.SequenceNode:
		for _, below := range n.Content {
			if err := r.node(below, ""); err != nil {
				return err
			}
		}
	case yaml.MappingNode:
		for name, value := range members(n) {
			if name.Value == "bifrost" && value.Kind == yaml.MappingNode && !isSchema(value) {
				if err := r.values(n, value); err != nil {
					return err
				}
			}
			if err := r.node(value, name.Value); err != nil {
				return err
			}
		}
	case yaml.ScalarNode:
		return r.text(n, key)
	}
	return nil
}

// text looks at a scalar that may be the text of a config.json.
func (r *reader) text(n *yaml.Node, key string) error {
	data, anchors := []byte(n.Value), r.anchors(n)
	if key == "config.json" && len(data) > 0 && data[0] != '{' { // as in a Secret's data
		if decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Value), "")); err == nil {
			data, anchors = decoded, []walker.Anchor{{Position: placeOf(n)}}
		}
	}
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return nil
	}
	doc, err := walker.ParseWithin(r.name, data, anchors)
	switch {
	case err == nil && IsConfig(doc):
		r.found = append(r.found, Config{Document: doc, Copied: true})
	case err != nil && MayBeConfig(data):
		return err
	}
	return nil
}

// anchors returns where the text of a scalar stands in the file: of a literal
// block every line, of any other scalar its beginning.
func (r *reader) anchors(n *yaml.Node) []walker.Anchor {
	whole := []walker.Anchor{{Position: placeOf(n)}}
	if n.Style&yaml.LiteralStyle == 0 {
		return whole
	}
	var anchors []walker.Anchor
	offset, indent := 0, -1
	for i, line := range strings.SplitAfter(n.Value, "\n") {
		line = strings.TrimSuffix(line, "\n")
		if n.Line+i >= len(r.lines) {
			break // the end of the text is the end of the file
		}
		source := r.lines[n.Line+i] // that behind the line of the indicator
		if indent < 0 && line != "" {
			indent = bytes.Index(source, []byte(line))
		}
		if line != "" && (indent < 0 || len(source) < indent || !bytes.HasPrefix(source[indent:], []byte(line))) {
			return whole
		}
		anchors = append(anchors, walker.Anchor{Offset: offset, Position: walker.Position{Line: n.Line + 1 + i, Column: max(indent, 0) + 1}, Text: true})
		offset += len(line) + 1
	}
	return anchors
}

func placeOf(n *yaml.Node) walker.Position { return walker.Position{Line: n.Line, Column: n.Column} }

// verbatim reports whether a scalar stands in the file as its value does, in one
// line, and how many characters of quotes are ahead of it.
func (r *reader) verbatim(n *yaml.Node) (quotes int, ok bool) {
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		quotes = 1
	}
	if n.Line < 1 || n.Line > len(r.lines) {
		return quotes, false
	}
	source := r.lines[n.Line-1]
	for range n.Column - 1 + quotes {
		_, size := utf8.DecodeRune(source)
		source = source[size:]
	}
	return quotes, bytes.HasPrefix(source, []byte(n.Value))
}
