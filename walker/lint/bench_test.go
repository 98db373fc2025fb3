package lint

import (
	"testing"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/walkertest"
)

// Check should take less than twice what it takes to read the document and walk
// it, also where it finds something in most of the fields, as it does here.
func BenchmarkCheck(b *testing.B) {
	text := walkertest.Config(walkertest.Shape{Size: 10 << 20, References: 5000, Secrets: 1000})
	parse := func() *walker.Document {
		doc, err := walker.Parse("config.json", text)
		if err != nil {
			b.Fatal(err)
		}
		return doc
	}
	b.Run("read and walk", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			parse().Walk(func(*walker.Field) bool { return true })
		}
	})
	b.Run("read and check", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			Check(parse(), Options{})
		}
	})
}
