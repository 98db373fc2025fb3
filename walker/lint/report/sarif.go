package report

import (
	"cmp"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	pages "bifrost-secrets/docs"
	"bifrost-secrets/walker/lint"
)

// The parts of a SARIF 2.1.0 log that a linter has something to say in.
type (
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID       string            `json:"ruleId"`
		RuleIndex    *int              `json:"ruleIndex,omitempty"`
		Level        string            `json:"level"`
		Message      sarifText         `json:"message"`
		Locations    []sarifLocation   `json:"locations"`
		Fingerprints map[string]string `json:"partialFingerprints"`
		Properties   sarifProperties   `json:"properties"`
	}
	sarifLocation struct {
		Physical struct {
			Artifact struct {
				URI string `json:"uri"`
			} `json:"artifactLocation"`
			Region *sarifRegion `json:"region,omitempty"`
		} `json:"physicalLocation"`
		Logical []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn"`
		EndLine     int `json:"endLine"`
		EndColumn   int `json:"endColumn"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
		Kind string `json:"kind"`
	}
	sarifProperties struct {
		Hint    string `json:"hint,omitempty"`
		Fixable bool   `json:"fixable"`
	}
)

// fingerprint names the way in which partialFingerprints are made. Another way
// takes another name.
const fingerprint = "bifrostSecretsPlace/v2"

// docs is the address of docs/lint.md, which the linker sets for a copy of this
// program whose documentation has one.
var docs = "urn:bifrost-secrets:docs:lint"

// risks are the rules that are about security itself, with how severe it is to
// break them, from 0.1 to 10. The others are about what does not work.
var risks = map[string]string{
	"plaintext-secret": "8.5", "encryption-key": "6.0", "stdio-environment": "5.5", "database-ciphertext": "2.0", "postgres-password": "4.0",
}

// ruleText returns what docs/lint.md says of a rule: all of it, and its first
// paragraph on one line.
func ruleText(r *lint.Rule) (all, first string) {
	_, section, ok := strings.Cut(pages.Lint, "\n## "+r.ID+"\n\n")
	if !ok {
		return r.Summary, r.Summary
	}
	section, _, _ = strings.Cut(section, "\n## ")
	first, _, _ = strings.Cut(section, "\n\n")
	return strings.TrimSpace(section), strings.ReplaceAll(first, "\n", " ")
}

// sarifHead returns all that stands before the results.
func (o *Options) sarifHead() string {
	type object = map[string]any
	rules := []object{}
	for _, r := range o.Rules {
		all, first := ruleText(&r)
		rules = append(rules, object{
			"id": r.ID, "shortDescription": sarifText{r.Summary}, "fullDescription": sarifText{first},
			"help": object{"text": all, "markdown": all}, "helpUri": docs + "#" + r.ID,
			// The levels are the very words of our severities.
			"defaultConfiguration": object{"enabled": !r.Off, "level": severity(r.Severity)},
			// By these GitHub sorts alerts: from 0.1 to 10.
			"properties": object{"tags": []string{"security"}, "security-severity": cmp.Or(risks[r.ID], "3.0")},
		})
	}
	d := object{"name": "bifrost-secrets", "rules": rules}
	if o.Version != "" {
		d["version"] = o.Version
	}
	return `{"$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json", "version": "2.1.0", "runs": [{` +
		"\n" + `"tool": {"driver": ` + string(appendJSON(nil, d)) + "},\n" +
		`"columnKind": "unicodeCodePoints",` + "\n" + `"results": [` + "\n"
}

// sarifTail returns all that stands after them.
func sarifTail(failed bool) string {
	return fmt.Sprintf("\n],\n"+`"invocations": [{"executionSuccessful": %t}]`+"\n}]}\n", !failed)
}

func (o *Options) renderSARIF(found []located, prints []string) Fragment {
	index := map[string]int{}
	for i, r := range o.Rules {
		index[r.ID] = i
	}
	var out []byte
	for i := range found {
		f := &found[i]
		r := sarifResult{
			RuleID: f.Rule, Level: severity(f.Severity), Message: sarifText{Clean(f.Message)},
			Properties: sarifProperties{Clean(f.Hint), f.Fix != nil},
		}
		if i, ok := index[f.Rule]; ok {
			r.RuleIndex = &i
		}
		var l sarifLocation
		l.Physical.Artifact.URI = artifactURI(f.file)
		if f.placed() {
			l.Physical.Region = &sarifRegion{f.start.Line, f.start.Column, f.end.Line, f.end.Column}
		}
		if f.Path != "" {
			l.Logical = []sarifLogical{{Clean(f.Path), "value"}}
		}
		r.Locations = []sarifLocation{l}
		r.Fingerprints = map[string]string{fingerprint: prints[i]}
		if i > 0 {
			out = append(out, ",\n"...)
		}
		out = appendJSON(out, &r)
	}
	return out
}

// artifactURI returns a file's name as a URI, relative where the name is.
func artifactURI(name string) string {
	slashed := filepath.ToSlash(name)
	switch {
	case strings.HasPrefix(name, "postgres://"): // which is a URI already
		return name
	case strings.HasPrefix(slashed, "/"):
		return (&url.URL{Scheme: "file", Path: slashed}).String()
	case filepath.IsAbs(name):
		return (&url.URL{Scheme: "file", Path: "/" + slashed}).String()
	}
	return (&url.URL{Path: slashed}).String()
}
