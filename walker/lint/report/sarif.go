package report

import (
	"fmt"
	"hash/fnv"
	"net/url"
	"path/filepath"
	"strings"

	"bifrost-secrets/walker/lint"
)

// The parts of a SARIF 2.1.0 log that a linter has something to say in.
type (
	sarifText struct {
		Text string `json:"text"`
	}
	sarifRule struct {
		ID               string          `json:"id"`
		ShortDescription sarifText       `json:"shortDescription"`
		FullDescription  sarifText       `json:"fullDescription"`
		Help             sarifText       `json:"help"`
		Default          sarifRuleConfig `json:"defaultConfiguration"`
	}
	sarifRuleConfig struct {
		Enabled bool   `json:"enabled"`
		Level   string `json:"level"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
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
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
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
const fingerprint = "bifrostSecretsPlace/v1"

func sarifLevel(s lint.Severity) string {
	return severity(s) // SARIF has the very same words
}

// sarifHead gives all that stands before the results.
func (o *Options) sarifHead() string {
	d := sarifDriver{Name: "bifrost-secrets", Version: o.Version, Rules: []sarifRule{}}
	for _, r := range o.Rules {
		// The documentation has no address that holds for every copy of this
		// program, and SARIF wants an absolute one in helpUri; so help names it.
		d.Rules = append(d.Rules, sarifRule{
			ID: r.ID, ShortDescription: sarifText{r.Summary}, FullDescription: sarifText{r.Summary},
			Help:    sarifText{"see docs/lint.md#" + r.ID + " of bifrost-secrets"},
			Default: sarifRuleConfig{Enabled: !r.Off, Level: sarifLevel(r.Severity)},
		})
	}
	return `{"$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json", "version": "2.1.0", "runs": [{` +
		"\n" + `"tool": {"driver": ` + string(appendJSON(nil, d)) + "},\n" +
		`"columnKind": "unicodeCodePoints",` + "\n" + `"results": [` + "\n"
}

// sarifTail gives all that stands after them.
func sarifTail(failed bool) string {
	return fmt.Sprintf("\n],\n"+`"invocations": [{"executionSuccessful": %t}]`+"\n}]}\n", !failed)
}

func (o *Options) renderSARIF(found []located) Fragment {
	index := map[string]int{}
	for i, r := range o.Rules {
		index[r.ID] = i
	}
	type place struct{ rule, path string }
	nth := map[place]int{} // of findings of one rule at one path
	var out []byte
	for i := range found {
		f := &found[i]
		r := sarifResult{
			RuleID: f.Rule, Level: sarifLevel(f.Severity), Message: sarifText{Clean(f.Message)},
			Properties: sarifProperties{Clean(f.Hint), f.Fix != nil},
		}
		if i, ok := index[f.Rule]; ok {
			r.RuleIndex = &i
		}
		l := sarifLocation{Physical: sarifPhysical{Artifact: sarifArtifact{artifactURI(f.file)}}}
		if f.placed() {
			l.Physical.Region = &sarifRegion{f.start.Line, f.start.Column, f.end.Line, f.end.Column}
		}
		if f.Path != "" {
			l.Logical = []sarifLogical{{Clean(f.Path), "value"}}
		}
		r.Locations = []sarifLocation{l}
		p := place{f.Rule, f.Path}
		hash := fnv.New64a()
		_, _ = fmt.Fprintf(hash, "%s\x00%s\x00%d", p.rule, p.path, nth[p])
		nth[p]++
		r.Fingerprints = map[string]string{fingerprint: fmt.Sprintf("%016x", hash.Sum64())}
		if i > 0 {
			out = append(out, ",\n"...)
		}
		out = appendJSON(out, &r)
	}
	return out
}

// artifactURI gives a file's name as a URI, relative where the name is.
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
