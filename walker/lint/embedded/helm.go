package embedded

import (
	"bytes"
	"cmp"
	"encoding/json"
	"iter"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"bifrost-secrets/walker"

	"go.yaml.in/yaml/v3"
)

// The limits of what is written out of a file whose aliases may name each other's
// mappings many times.
const (
	maxValues = 16 << 20 // bytes
	maxDepth  = 64
)

// values takes the values of Bifrost's Helm chart as a config: those of the
// mapping `bifrost`, and beside them what the chart has for the stores and as the
// environment of Bifrost. Names in camelCase become the config's own, as the chart makes them.
func (r *reader) values(around, bifrost *yaml.Node) error {
	w := valuesWriter{r: r, naming: configName}
	w.out.WriteString("{")
	w.members(bifrost, 0)
	for name, value := range members(around) {
		switch name.Value {
		case "storage": // its stores are members of the config
			w.members(value, 0)
		case "vectorStore", "postgresql", "env", "extraEnv":
			w.member(name, value, 0)
		}
	}
	w.out.WriteString("}")
	if w.failed {
		return &walker.DocumentError{Name: r.name, Position: placeOf(bifrost), Reason: "the values of bifrost are too many or too deep to look at", Hint: "are its aliases right?"}
	}
	doc, err := walker.ParseWithin(r.name, w.out.Bytes(), w.anchors)
	if err != nil {
		return err
	}
	if IsConfig(doc) {
		r.found = append(r.found, Config{Document: doc, Part: true, Copied: true})
	}
	return nil
}

// isSchema reports whether a mapping says of what kind the values are, as in the
// chart's values.schema.json.
func isSchema(n *yaml.Node) bool {
	for name, value := range members(n) {
		if name.Value == "properties" && value.Kind == yaml.MappingNode {
			return true
		}
	}
	return false
}

// members yields the names and the values of a mapping; of any other node, nothing.
func members(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(_, _ *yaml.Node) bool) {
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content) && yield(n.Content[i], n.Content[i+1]); i += 2 {
		}
	}
}

// valuesWriter writes YAML as JSON, and keeps where each part of it came from.
type valuesWriter struct {
	r       *reader
	out     bytes.Buffer
	anchors []walker.Anchor
	naming  func(string) string // of the members that are written now
	failed  bool
}

// members writes the members of a mapping behind those that were written.
func (w *valuesWriter) members(n *yaml.Node, depth int) {
	n = named(n)
	own := map[string]bool{}
	for name := range members(n) {
		own[name.Value] = true
	}
	for name, value := range members(n) {
		switch {
		case name.Tag == "!!merge":
			w.merge(value, own, depth+1)
		case !ofKubernetes(name.Value, own):
			w.member(name, value, depth)
		}
	}
}

// merge writes what `<<` brings into a mapping that has members of its own.
func (w *valuesWriter) merge(from *yaml.Node, own map[string]bool, depth int) {
	if w.failed = w.failed || depth > maxDepth; w.failed { // a list may be merged into itself
		return
	}
	from = named(from)
	if from.Kind == yaml.SequenceNode {
		for _, one := range from.Content {
			w.merge(one, own, depth+1)
		}
		return
	}
	for name, value := range members(from) {
		if !own[name.Value] {
			own[name.Value] = true
			w.member(name, value, depth)
		}
	}
}

func (w *valuesWriter) member(name, value *yaml.Node, depth int) {
	w.comma()
	w.out.WriteByte('\n')
	w.place(name)
	own := w.naming(name.Value)
	if depth == 0 {
		own = cmp.Or(chartSections[name.Value], own)
	}
	w.string(own)
	w.out.WriteString(": ")
	before := w.naming
	switch own {
	case "scim_config", "extraEnv": // which the chart passes on as they are
		w.naming = func(name string) string { return name }
	case "vault_store":
		w.naming = snakeCase
	case "guardrails_config":
		w.naming = func(name string) string { return cmp.Or(guardrailLists[name], configName(name)) }
	}
	if own == "plugins" && depth == 0 && byName(named(value)) {
		w.plugins(named(value))
	} else {
		w.value(value, depth+1)
	}
	w.naming = before
}

// chartSections are the sections that the chart has under a name of its own.
var chartSections = map[string]string{
	"cluster": "cluster_config", "guardrails": "guardrails_config", "loadBalancer": "load_balancer_config", "scim": "scim_config",
}

var guardrailLists = map[string]string{"providers": "guardrail_providers", "rules": "guardrail_rules"}

// comma parts what is written next from what stands before it.
func (w *valuesWriter) comma() {
	if b := w.out.Bytes(); b[len(b)-1] != '{' && b[len(b)-1] != '[' {
		w.out.WriteByte(',')
	}
}

// byName reports whether plugins are written as the chart has them, a mapping of
// their names.
func byName(plugins *yaml.Node) bool {
	for name := range members(plugins) {
		if name.Tag == "!!merge" {
			return false
		}
	}
	return plugins.Kind == yaml.MappingNode
}

// plugins writes the chart's mapping of plugins as the list that a config has.
func (w *valuesWriter) plugins(n *yaml.Node) {
	w.out.WriteByte('[')
	for name, value := range members(n) {
		plugin := named(value)
		switch {
		case plugin.Kind == yaml.MappingNode:
			w.comma()
			w.place(name)
			w.out.WriteString(`{"name": `)
			w.string(snakeCase(name.Value))
			w.members(plugin, 2)
			w.out.WriteByte('}')
		case plugin.Kind == yaml.SequenceNode: // those that are not Bifrost's own
			for _, one := range plugin.Content {
				w.comma()
				w.value(one, 2)
			}
		}
	}
	w.out.WriteByte(']')
}

func (w *valuesWriter) value(n *yaml.Node, depth int) {
	if w.failed = w.failed || depth > maxDepth || w.out.Len() > maxValues; w.failed {
		w.out.WriteString("null")
		return
	}
	n = named(n)
	w.place(n)
	switch n.Kind {
	case yaml.MappingNode:
		w.out.WriteByte('{')
		w.members(n, depth)
		w.out.WriteByte('}')
	case yaml.SequenceNode:
		w.out.WriteByte('[')
		for i, one := range n.Content {
			if i > 0 {
				w.out.WriteByte(',')
			}
			w.value(one, depth+1)
		}
		w.out.WriteByte(']')
	default:
		w.scalar(n)
	}
}

// scalar writes a scalar, which is a string to us unless it is null or a boolean.
func (w *valuesWriter) scalar(n *yaml.Node) {
	switch n.Tag {
	case "!!null":
		w.out.WriteString(`""`) // the chart leaves it out
	case "!!bool":
		var is bool
		_ = n.Decode(&is) // what it cannot read as one is false
		w.out.WriteString(strconv.FormatBool(is))
	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			w.out.WriteString(n.Value)
			break
		}
		fallthrough
	default:
		begin := w.out.Len()
		w.string(n.Value)
		if quotes, ok := w.r.verbatim(n); ok && w.out.Len() == begin+len(n.Value)+2 {
			at := placeOf(n)
			at.Column += quotes
			w.anchors = append(w.anchors, walker.Anchor{Offset: begin + 1, Position: at, Text: true})
			if quotes == 0 {
				at.Column += utf8.RuneCountInString(n.Value)
				w.anchors = append(w.anchors, walker.Anchor{Offset: w.out.Len(), Position: at})
			}
		}
	}
}

func (w *valuesWriter) string(text string) { w.out.WriteString(walker.Quote(text)) }

// place notes that what is written next stands at a node.
func (w *valuesWriter) place(n *yaml.Node) {
	w.anchors = append(w.anchors, walker.Anchor{Offset: w.out.Len(), Position: placeOf(n)})
}

// named returns the node that an alias names.
func named(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// ofKubernetes reports whether a member names a Secret of Kubernetes, or a key in
// one that is named beside it: that is no secret.
func ofKubernetes(name string, beside map[string]bool) bool {
	switch {
	case name == "existingSecret", name == "providerSecrets", name == "encryptionKeySecret", strings.HasSuffix(name, "ecretRef"), strings.HasSuffix(name, "ecretKeyRef"):
		return true
	}
	return beside["existingSecret"] && strings.HasSuffix(name, "Key") && beside[strings.TrimSuffix(name, "Key")] || name == "usernameKey" || name == "passwordKey"
}

// configNames are the names of the catalogue's members.
var configNames = sync.OnceValue(func() map[string]bool {
	out := map[string]bool{}
	for _, e := range walker.Catalogue() {
		for _, step := range walker.PatternSteps(e.Pattern) {
			out[step] = true
		}
	}
	return out
})

// configName returns the config's name for one of the chart's: encryptionKey is
// encryption_key. A name that the config has in no other way stays.
func configName(name string) string {
	if snake := snakeCase(name); configNames()[snake] {
		return snake
	}
	return name
}

func snakeCase(name string) string {
	var snake strings.Builder
	for i, c := range name {
		if unicode.IsUpper(c) && i > 0 {
			snake.WriteByte('_')
		}
		snake.WriteRune(unicode.ToLower(c))
	}
	return snake.String()
}
