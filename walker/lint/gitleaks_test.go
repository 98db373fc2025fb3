package lint_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
)

// beyond says of what gitleaks finds in a config, by its rule and the pattern of
// the secret, that it is not held against lint, and why.
var beyond = map[string]struct {
	secret *regexp.Regexp
	reason string
}{
	"asana-client-id":          {any, "an identifier, digits alone"},
	"discord-client-id":        {any, "an identifier, digits alone"},
	"freemius-secret-key":      {any, "in PHP files alone"},
	"hashicorp-tf-password":    {any, "in Terraform's files alone"},
	"kubernetes-secret-yaml":   {any, "in YAML alone"},
	"nuget-config-password":    {any, "in nuget.config alone"},
	"pkcs12-file":              {any, "a file by its name"},
	"sourcegraph-access-token": {regexp.MustCompile("^[0-9A-Fa-f]{40}$"), "forty hexadecimal digits under no name that tells are a commit, too"},
}

var any = regexp.MustCompile("")

// Whatever credential gitleaks finds in a config, lint finds too: samples of
// each of its rules, as the value of a field, in a member that is not known, in
// a text, a header, an argument, an environment and a URL.
func TestGitleaks(t *testing.T) {
	if testing.Short() {
		t.Skip("it compares many documents")
	}
	binary, rules := gitleaks(t)
	dir := t.TempDir()
	documents, owner := map[string][]byte{}, map[string]string{}
	for _, r := range rules {
		random := rand.New(rand.NewPCG(1, 2))
		for n := range 2 {
			name := fmt.Sprintf("%s.%d.json", r.id, n)
			documents[name], owner[name] = r.document(random), r.id
			if err := os.WriteFile(filepath.Join(dir, name), documents[name], 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	out, err := exec.Command(binary, "dir", dir, "--no-banner", "--log-level", "error", "--exit-code", "0", "--report-format", "json", "--report-path", "-").Output()
	if err != nil {
		t.Fatalf("gitleaks: %v", err)
	}
	var found []struct {
		RuleID, File, Secret string
		StartLine            int
	}
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatal(err)
	}
	seen, warned := map[string]bool{}, map[string]map[int]bool{}
	for _, f := range found {
		name := filepath.Base(f.File)
		seen[f.RuleID] = true
		if warned[name] == nil {
			warned[name] = warnedLines(t, documents[name])
		}
		if but, ok := beyond[f.RuleID]; !warned[name][f.StartLine] && !(ok && but.secret.MatchString(f.Secret)) {
			t.Errorf("%s: line %d, found by %s, is missed: %s", name, f.StartLine, f.RuleID, strings.Split(string(documents[name]), "\n")[f.StartLine-1])
		}
	}
	for _, r := range rules {
		if _, ok := beyond[r.id]; !seen[r.id] && !ok {
			t.Errorf("gitleaks finds no sample of its rule %s", r.id)
		}
	}
	t.Logf("%d rules, %d documents in which gitleaks finds %d credentials; %d rules are set aside", len(rules), len(documents), len(found), len(beyond))
}

// warnedLines returns the lines of a document on which lint finds a secret.
func warnedLines(t *testing.T, text []byte) map[int]bool {
	doc, err := walker.Parse("config.json", text)
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	lines := map[int]bool{}
	for _, f := range lint.Check(doc, lint.Options{}) {
		if f.Rule == "plaintext-secret" && f.Severity > lint.Note {
			lines[doc.Position(f.Span.Start).Line] = true
		}
	}
	return lines
}

// leakRule is a rule of gitleaks.
type leakRule struct {
	id, keyword string
	pattern     string
	regex       *syntax.Regexp
	named       bool // it goes by a name before the secret
	group       int  // which one has the secret
}

// gitleaks returns the program and its rules.
func gitleaks(t *testing.T) (binary string, rules []leakRule) {
	t.Helper()
	home, err := filepath.Abs("../../.cache/gitleaks")
	if err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(home, "gitleaks")
	text, err := os.ReadFile(filepath.Join(home, "gitleaks.toml"))
	if err != nil {
		if os.Getenv("BIFROST_REQUIRE_BACKENDS") != "" {
			t.Fatalf("gitleaks is missing: %v; make setup puts it there", err)
		}
		t.Skip("gitleaks is missing; make setup puts it into .cache")
	}
	for _, part := range strings.Split(string(text), "\n[[rules]]\n")[1:] {
		value := func(name string) string {
			m := regexp.MustCompile(`(?m)^` + name + ` = (?:'''(.*?)'''|"(.*?)")$`).FindStringSubmatch(part)
			if m == nil {
				return ""
			}
			return m[1] + m[2]
		}
		r := leakRule{id: value("id"), group: 1}
		if strings.Contains(part, "\nsecretGroup = 2") {
			r.group = 2
		}
		if m := regexp.MustCompile(`(?s)\nkeywords = \[\s*"(.*?)"`).FindStringSubmatch(part); m != nil {
			r.keyword = m[1]
		}
		if pattern := value("regex"); pattern != "" {
			if r.regex, err = syntax.Parse(pattern, syntax.Perl); err != nil {
				t.Fatalf("%s: %v", r.id, err)
			}
			r.pattern = pattern
			if m := regexp.MustCompile(`\{0,50\}\?\(\?:(.+?)\)\(\?:\[ `).FindStringSubmatch(pattern); m != nil {
				name, err := syntax.Parse(m[1], syntax.Perl)
				if err != nil {
					t.Fatalf("%s: %v", r.id, err)
				}
				r.keyword = r.generate(name, rand.New(rand.NewPCG(3, 4)))
			}
			r.named = strings.Contains(pattern, `{0,50}?`)
		}
		rules = append(rules, r)
	}
	if len(rules) < 200 {
		t.Fatalf("gitleaks has %d rules", len(rules))
	}
	return binary, rules
}

// commands are samples of the rules whose patterns have too much in them that
// matches anything.
var commands = map[string]string{
	"curl-auth-header": `curl -H 'Authorization: Bearer aB3dE5%016x' https://api.acme.io`,
	"curl-auth-user":   `curl -u svc:Xk9vQ2%016x https://api.acme.io`,
	"private-key":      "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpAIBAAKCAQEAaB3dE5gH7jK9mN1pQ3sT5vX7zA9cE1gI3kM5oQ7sU9wY1aC3eG5iK7mO9q%016x\n-----END RSA " + "PRIVATE KEY-----",
}

// document makes a config with a credential that the rule finds, once a line, in
// each place where one may stand.
func (r *leakRule) document(random *rand.Rand) []byte {
	if r.regex == nil {
		return []byte("{}")
	}
	whole := r.regex
	if group := capture(r.regex, r.group); group != nil && (r.named || strings.HasPrefix(strings.TrimPrefix(r.pattern, "(?i)"), `\b(`)) {
		whole = group
	}
	secret := strings.Trim(r.generate(whole, random), " \n\t`'\";,<>()\\=")
	if command := commands[r.id]; command != "" {
		secret = fmt.Sprintf(command, random.Uint64())
	}
	name := "note"
	if r.named {
		name = strings.ReplaceAll(r.keyword, ".", "_") + "_token"
	}
	dashed := strings.ReplaceAll(name, "_", "-")
	text := func(s string) string {
		var text strings.Builder
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(s); err != nil {
			panic(err)
		}
		return strings.TrimSpace(text.String())
	}
	key, value := text(name), text(secret)
	url := func(rest string) string { return `{"name": "a", "connection_string": ` + text("https://"+rest) + `},` }
	return []byte(strings.Join([]string{
		`{"providers": {"own": {"keys": [{"name": ` + key + `,`,
		`  "value": ` + value + `}],`,
		`  "network_config": {"extra_headers": {` + text("X-"+dashed) + `: ` + value + `}}}},`,
		`"client": {`,
		`  ` + key + `: ` + value + `,`,
		`  "_comment": ` + text("used before the move: "+name+"="+secret+" (rotate it)") + `},`,
		`"own": [{"list": [{` + key + `:`,
		`  [` + value + `]}]}],`,
		`"plugins": [{"name": "own", "version": 2, "config": {` + key + `: ` + value + `}}],`,
		`"mcp": {"client_configs": [{"name": "a", "stdio_config": {"args": [`,
		`  ` + text("--"+dashed) + `, ` + value + `,`,
		`  ` + text("--"+dashed+"="+secret) + `,`,
		`  ` + value + `], "envs": [`,
		`  ` + text(strings.ToUpper(strings.ReplaceAll(name, "-", "_"))+"="+secret) + `,`,
		`  ` + text(`SETTINGS={"`+name+`": "`+secret+`"}`) + `]}},`,
		url("mcp.acme.io/x?a=b&" + name + "=" + secret),
		url("mcp.acme.io/x#" + name + "=" + secret),
		url("mcp.acme.io/v1/" + secret),
		url(secret + "@mcp.acme.io/v1"),
		`{"name": ` + text(r.keyword) + `}]}}`, "",
	}, "\n"))
}

// capture returns a capturing group of a pattern.
func capture(re *syntax.Regexp, n int) *syntax.Regexp {
	if re.Op == syntax.OpCapture && re.Cap == n {
		return re.Sub[0]
	}
	for _, sub := range re.Sub {
		if group := capture(sub, n); group != nil {
			return group
		}
	}
	return nil
}

// generate makes a text that a pattern matches.
func (r *leakRule) generate(re *syntax.Regexp, random *rand.Rand) string {
	var text strings.Builder
	times := func(least, most int) {
		if most < 0 || most > least+20 {
			most = least + 20
		}
		for range least + random.IntN(most-least+1) {
			text.WriteString(r.generate(re.Sub[0], random))
		}
	}
	switch re.Op {
	case syntax.OpLiteral:
		text := string(re.Rune)
		// With (?i) it is kept in one case, and not in that which it is written in.
		if re.Flags&syntax.FoldCase == 0 {
			return text
		}
		if i := strings.Index(strings.ToLower(r.pattern), strings.ToLower(text)); i >= 0 {
			text = r.pattern[i : i+len(text)]
		}
		return text
	case syntax.OpCharClass:
		return string(oneOf(re.Rune, random))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return "."
	case syntax.OpCapture, syntax.OpConcat:
		for _, sub := range re.Sub {
			text.WriteString(r.generate(sub, random))
		}
	case syntax.OpAlternate:
		return r.generate(re.Sub[random.IntN(len(re.Sub))], random)
	case syntax.OpStar:
		times(0, 3)
	case syntax.OpPlus:
		times(1, 20)
	case syntax.OpQuest:
		times(0, 1)
	case syntax.OpRepeat:
		times(re.Min, re.Max)
	}
	return text.String()
}

// oneOf draws from a class, given as pairs of the first and the last of a range:
// letters and digits where it has any.
func oneOf(ranges []rune, random *rand.Rand) rune {
	var usual, all []rune
	for i := 0; i < len(ranges); i += 2 {
		for c := ranges[i]; c <= min(ranges[i+1], 0x7e); c++ {
			if c < ' ' {
				continue
			}
			all = append(all, c)
			if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' {
				usual = append(usual, c)
			}
		}
	}
	if len(usual) > 0 {
		return usual[random.IntN(len(usual))]
	}
	if len(all) == 0 {
		return ranges[0] // a line's end
	}
	return all[random.IntN(len(all))]
}
