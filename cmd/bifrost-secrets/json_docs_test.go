package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/render/autostore"
	"bifrost-secrets/render/configstore"
	"bifrost-secrets/watch"

	"github.com/spf13/cobra"
)

// jsonTypes are the types of docs/json.md that are types here. The others have what
// the scripts see of them alone.
var jsonTypes = map[string]any{
	"Attach": attaching{}, "Deletion": deletion{}, "Detach": detaching{}, "Explain": explanation{}, "Flush": flushed{}, "Init": beginning{},
	"Item": autostore.Item{}, "Lasting": watch.Lasting{}, "Listed": listedSecret{}, "Place": render.Place{}, "Problem": render.Problem{},
	"Prune": pruning{}, "Reference": configstore.Reference{}, "Rekeyed": rekeyed{}, "Render": account{}, "Secret": got{}, "Status": watch.Status{},
	"Store": storing{}, "Stored": stored{}, "Summary": configstore.Summary{}, "Use": render.Use{}, "Watcher": watch.Peer{},
}

// TestJSONPage holds docs/json.md to the types, member by member, and to the commands
// that have --json. What they print is held to the page by the scripts: see doExits.
func TestJSONPage(t *testing.T) {
	page, err := jsonPage()
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range jsonTypes {
		if page.types[name] == nil {
			t.Errorf("the page has no type %s", name)
		} else if fault := page.types[name].unlike(page, reflect.TypeOf(value)); fault != "" {
			t.Errorf("%s%s", name, fault)
		}
	}
	for name, dir := range map[string]string{"State": "watch", "Trigger": "watch", "Kind": "sources"} {
		if got, want := slices.Sorted(slices.Values(page.types[name].words)), constants(t, dir, name); !slices.Equal(got, want) {
			t.Errorf("%s is one of %q on the page, and of %q in the program", name, got, want)
		}
	}
	var scripts strings.Builder
	files, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		scripts.Write(text)
	}
	var have []string
	var look func(*cobra.Command)
	look = func(cmd *cobra.Command) {
		if cmd.Flags().Lookup("json") != nil {
			_, name, _ := strings.Cut(cmd.CommandPath(), " ")
			have = append(have, name)
			if !regexp.MustCompile(`(?m)^exits \d bifrost-secrets ` + name + ` .*--json`).MatchString(scripts.String()) {
				t.Errorf("no script looks at what %s --json prints", name)
			}
		}
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(wholeProgram())
	slices.Sort(have)
	if !slices.Equal(have, page.commands) {
		t.Errorf("the commands with --json are %q, and the page has %q", have, page.commands)
	}
}

// constants returns the texts that are declared as of a type of a package, sorted.
func constants(t *testing.T, dir, of string) (all []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for node := range ast.Preorder(file) {
			v, ok := node.(*ast.ValueSpec)
			if !ok || len(v.Values) != 1 {
				continue
			}
			kind, named := v.Type.(*ast.Ident)
			text, literal := v.Values[0].(*ast.BasicLit)
			if named && literal && kind.Name == of {
				word, err := strconv.Unquote(text.Value)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, word)
			}
		}
	}
	slices.Sort(all)
	return all
}

// jsonFault says what a command has printed that docs/json.md does not.
func jsonFault(args []string, code int, stdout string) string {
	page, err := jsonPage()
	if err != nil {
		return err.Error()
	}
	name := args[0]
	if name == "secret" && len(args) > 1 {
		name += " " + args[1]
	}
	want := page.prints[name]
	if want == nil || name == "lint" && stdout == "" {
		return ""
	}
	var got any
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		return fmt.Sprintf("%s --json printed no JSON: %v", name, err)
	}
	fault := want.lacks(page, got)
	if fault != "" && code != 0 && page.types["Failure"].lacks(page, got) == "" {
		return ""
	}
	if fault != "" {
		return fmt.Sprintf("%s --json is not what docs/json.md says: %s", name, fault)
	}
	return ""
}

// shape is a type of the page.
type jsonShape struct {
	name    string                // of another one, or string, number, boolean, any
	words   []string              // one of these
	each    *jsonShape            // a list of these
	named   *jsonShape            // an object of these, by any names
	members map[string]jsonMember // an object
}

type jsonMember struct {
	shape    *jsonShape
	optional bool
}

type jsonTypesPage struct {
	types    map[string]*jsonShape
	prints   map[string]*jsonShape // by command
	commands []string
}

var jsonPage = sync.OnceValues(func() (*jsonTypesPage, error) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "json.md"))
	if err != nil {
		return nil, err
	}
	p := &jsonTypesPage{types: map[string]*jsonShape{}, prints: map[string]*jsonShape{}}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z ]+)` \\| `(.*)` \\|$").FindAllStringSubmatch(string(text), -1) {
		p.commands = append(p.commands, m[1])
		r := typeReader{words: typeWords.FindAllString(m[2], -1)}
		p.prints[m[1]] = r.shape()
	}
	_, code, _ := strings.Cut(string(text), "\n```ts\n")
	code, _, _ = strings.Cut(code, "\n```")
	code = regexp.MustCompile(`(?m) //.*$`).ReplaceAllString(code, "")
	r := &typeReader{words: typeWords.FindAllString(code, -1)}
	for r.next("type") {
		name := r.take()
		if !r.next("=") {
			return nil, fmt.Errorf("docs/json.md: type %s has no =", name)
		}
		p.types[name] = r.shape()
	}
	if len(r.words) > 0 || len(p.types) < 20 {
		return nil, fmt.Errorf("docs/json.md: %d types, and then %q", len(p.types), r.words)
	}
	return p, nil
})

// typeReader reads types as TypeScript writes them, as far as the page does.
type typeReader struct{ words []string }

var typeWords = regexp.MustCompile(`"[^"]*"|\w+|[^\s\w]`)

func (r *typeReader) take() (word string) {
	if len(r.words) > 0 {
		word, r.words = r.words[0], r.words[1:]
	}
	return word
}

func (r *typeReader) next(word string) bool {
	if len(r.words) == 0 || r.words[0] != word {
		return false
	}
	r.take()
	return true
}

func (r *typeReader) shape() *jsonShape {
	s := &jsonShape{}
	switch word := r.take(); {
	case strings.HasPrefix(word, `"`):
		s.words = append(s.words, strings.Trim(word, `"`))
		for r.next("|") {
			s.words = append(s.words, strings.Trim(r.take(), `"`))
		}
	case word == "{" && r.next("["):
		for r.take() != "]" && len(r.words) > 0 { // its name, and that this is a string
		}
		r.next(":")
		s.named = r.shape()
		r.next("}")
	case word == "{":
		s.members = map[string]jsonMember{}
		for !r.next("}") && len(r.words) > 0 {
			name := r.take()
			m := jsonMember{optional: r.next("?")}
			r.next(":")
			m.shape = r.shape()
			s.members[name] = m
			r.next(";")
		}
	default:
		s.name = word
	}
	for r.next("[") {
		r.next("]")
		s = &jsonShape{each: s}
	}
	return s
}

// lacks says where a value is none of the shape.
func (s *jsonShape) lacks(p *jsonTypesPage, value any) string {
	if named := p.types[s.name]; named != nil {
		return named.lacks(p, value)
	}
	ok := s.name == "any"
	switch value := value.(type) {
	case string:
		ok = ok || s.name == "string" || slices.Contains(s.words, value)
	case float64:
		ok = ok || s.name == "number"
	case bool:
		ok = ok || s.name == "boolean"
	case []any:
		for i, one := range value {
			if s.each != nil {
				if fault := s.each.lacks(p, one); fault != "" {
					return fmt.Sprintf("[%d]%s", i, fault)
				}
			}
		}
		ok = ok || s.each != nil
	case map[string]any:
		for name, one := range value {
			of := s.named
			if m, known := s.members[name]; known {
				of = m.shape
			}
			if of == nil && !ok {
				return "." + name + " is not on the page"
			}
			if of != nil {
				if fault := of.lacks(p, one); fault != "" {
					return "." + name + fault
				}
			}
		}
		for name, m := range s.members {
			if _, there := value[name]; !there && !m.optional {
				return "." + name + " is not there"
			}
		}
		ok = ok || s.named != nil || s.members != nil
	}
	if !ok {
		return fmt.Sprintf(": %v is none of its type", value)
	}
	return ""
}

// unlike says where a type is another one than the shape.
func (s *jsonShape) unlike(p *jsonTypesPage, t reflect.Type) string {
	if named := p.types[s.name]; named != nil {
		return named.unlike(p, t)
	}
	ok := false
	switch {
	case s.name == "any" && t == reflect.TypeFor[json.RawMessage](), s.name == "string" && t == reflect.TypeFor[time.Time]():
		ok = true
	case t == reflect.TypeFor[json.RawMessage]():
		ok = true // which the scripts look into
	case t.Kind() == reflect.Pointer:
		return s.unlike(p, t.Elem())
	case t.Kind() == reflect.String:
		ok = s.name == "string" || s.words != nil
	case t.Kind() == reflect.Bool:
		ok = s.name == "boolean"
	case reflect.Zero(t).CanInt(), reflect.Zero(t).CanUint():
		ok = s.name == "number"
	case t.Kind() == reflect.Slice && s.each != nil:
		return s.each.unlike(p, t.Elem())
	case t.Kind() == reflect.Map && s.named != nil:
		return s.named.unlike(p, t.Elem())
	case t.Kind() == reflect.Struct && s.members != nil:
		return s.unlikeStruct(p, t)
	}
	if !ok {
		return fmt.Sprintf(" is another type than %v", t)
	}
	return ""
}

func (s *jsonShape) unlikeStruct(p *jsonTypesPage, t reflect.Type) string {
	left := len(s.members)
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "-" || !f.IsExported() {
			continue
		}
		m, there := s.members[name]
		if !there {
			return "." + name + " is not on the page"
		}
		if optional := options == "omitempty" || options == "omitzero"; optional != m.optional {
			return fmt.Sprintf(".%s: ? is wrong: it is %q", name, options)
		}
		if fault := m.shape.unlike(p, f.Type); fault != "" {
			return "." + name + fault
		}
		left--
	}
	if left > 0 {
		return fmt.Sprintf(" has %d members that %v does not have", left, t)
	}
	return ""
}
