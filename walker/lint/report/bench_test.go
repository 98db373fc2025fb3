package report

import (
	"bytes"
	"encoding/json"
	"testing"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
	"bifrost-secrets/walker/walkertest"
)

// The documents have 10 MB and about 35,000 findings: one with a line for each
// member, one that is a single line.
func documents(b *testing.B, size int) map[string]*walker.Document {
	text := walkertest.Config(walkertest.Shape{Size: size})
	var flat bytes.Buffer
	if err := json.Compact(&flat, text); err != nil {
		b.Fatal(err)
	}
	out := map[string]*walker.Document{}
	for name, text := range map[string][]byte{"lines": text, "one line": flat.Bytes()} {
		doc, err := walker.Parse("c", text)
		if err != nil {
			b.Fatal(err)
		}
		out[name] = doc
	}
	return out
}

func BenchmarkRender(b *testing.B) {
	for name, doc := range documents(b, 10<<20) {
		findings := lint.Check(doc, lint.Options{})
		for _, format := range Formats {
			b.Run(name+"/"+format, func(b *testing.B) {
				o := Options{Format: format, Rules: lint.Rules()}
				b.SetBytes(int64(len(doc.Bytes())))
				for b.Loop() {
					o.Render(doc, findings)
				}
				b.ReportMetric(float64(len(findings)), "findings")
			})
		}
	}
}

// The cost for each finding must not grow with the document.
func BenchmarkRenderGrowth(b *testing.B) {
	for _, size := range []int{1 << 20, 4 << 20, 16 << 20} {
		for name, doc := range documents(b, size) {
			findings := lint.Check(doc, lint.Options{})
			b.Run(name, func(b *testing.B) {
				o := Options{Format: Text}
				for b.Loop() {
					o.Render(doc, findings)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(findings)), "ns/finding")
			})
		}
	}
}

func BenchmarkDiff(b *testing.B) {
	for name, doc := range documents(b, 10<<20) {
		text := bytes.ReplaceAll(doc.Bytes(), []byte(`"sk-`), []byte(`" env.`))
		doc, err := walker.Parse("c", text)
		if err != nil {
			b.Fatal(err)
		}
		r := lint.Repair(doc, lint.Options{})
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Diff(doc, r.Document, false)
			}
			b.ReportMetric(float64(r.Repaired), "repaired")
		})
	}
}
