package walker

import (
	"fmt"
	"strings"
	"testing"
)

// grower makes documents out of the catalogue, so that the fuzzer, which would
// hardly find a pattern of five steps by itself, spends its time below them.
// Each byte of its food is one choice.
type grower struct {
	food []byte
	out  strings.Builder
}

func (g *grower) pick(n int) int {
	if len(g.food) == 0 {
		return 0
	}
	c := int(g.food[0])
	g.food = g.food[1:]
	return c % n
}

// tree is a member or element on its way into the document.
type tree struct {
	step     string
	children []*tree
	selector string // `name=otel`: also write this member
}

func (t *tree) child(step string) *tree {
	for _, c := range t.children {
		if c.step == step {
			return c
		}
	}
	c := &tree{step: step}
	t.children = append(t.children, c)
	return c
}

func (g *grower) document() string {
	root := &tree{}
	entries := Catalogue()
	for range 1 + g.pick(6) {
		e := entries[(g.pick(256)<<8|g.pick(256))%len(entries)]
		at := root
		var sel []string
		where, value, _ := strings.Cut(e.Selector, "=")
		if e.Selector != "" {
			sel = PatternSteps(where)
		}
		for i, step := range PatternSteps(e.Pattern) {
			if len(sel) == i+1 && g.pick(8) > 0 {
				at.selector = sel[i] + "=" + []string{value, "unknown", "OTEL"}[min(g.pick(8), 2)]
			}
			switch step {
			case "*":
				step = []string{"a", "b.c", "Keys", "é"}[g.pick(4)]
			case "**":
				step = []string{"x", "[]", "value", "headers"}[g.pick(4)]
			}
			at = at.child(step)
		}
	}
	g.write(root)
	return g.out.String()
}

var leaves = []string{
	`"vault.a#b"`, `"env.A"`, `"x"`, `""`, `null`, `12`, `true`, `"****"`, `"v\/"`, `"\u0076ault.c"`, `"\ud83d\ude00"`, `{}`, `[]`,
	`{"value":"x"}`, `{"ref":"vault.a","type":"vault"}`, `{"value":"env.A","env_var":"env.A"}`, `["vault.q",{"k":"env.B"}]`, `{"type":"service_account"}`, `"vault."`, `"env. "`,
}

func (g *grower) write(t *tree) {
	if len(t.children) == 0 {
		g.out.WriteString(leaves[g.pick(len(leaves))])
		return
	}
	if t.children[0].step == "[]" {
		g.out.WriteString("[ ")
		for range 1 + g.pick(2) {
			g.write(t.children[0])
			g.out.WriteString(" ,\n")
		}
		g.write(t.children[0])
		g.out.WriteString("]")
		return
	}
	var members []string
	at := func(name string, value func()) {
		outer := g.out
		g.out = strings.Builder{}
		g.out.WriteString(g.name(name) + ": ")
		value()
		members = append(members, g.out.String())
		g.out = outer
	}
	if name, value, ok := strings.Cut(t.selector, "="); ok {
		at(name, func() { fmt.Fprintf(&g.out, "%q", value) })
	}
	for _, c := range t.children {
		if c.step != "[]" {
			at(c.step, func() { g.write(c) })
		}
	}
	if g.pick(4) == 0 {
		at("other", func() { g.out.WriteString(`{"k":["vault.z",1]}`) })
	}
	if g.pick(2) == 0 && len(members) > 1 {
		members[0], members[len(members)-1] = members[len(members)-1], members[0]
	}
	g.out.WriteString("{" + strings.Join(members, ", ") + " }")
}

// name spells a member's name in one of the ways that mean the same.
func (g *grower) name(name string) string {
	switch g.pick(10) {
	case 0:
		return `"` + strings.ToUpper(name) + `"`
	case 1:
		return fmt.Sprintf(`"\u%04x%s"`, []rune(name)[0], string([]rune(name)[1:]))
	case 2:
		return `"` + strings.ReplaceAll(name, "s", "ſ") + `"`
	}
	return `"` + name + `"`
}

// FuzzCatalogue holds the scanner against the naive matcher on documents that
// are made of the catalogue's own patterns.
func FuzzCatalogue(f *testing.F) {
	for i := range 64 {
		f.Add([]byte{byte(i), byte(i * 7), byte(i * 13), byte(i * 29), 3, 1, 4, 1, 5, 9, 2, 6, byte(i)})
	}
	f.Fuzz(func(t *testing.T, food []byte) {
		g := grower{food: food}
		agree(t, []byte(g.document()))
	})
}
