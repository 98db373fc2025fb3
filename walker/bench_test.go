package walker

import (
	"encoding/json"
	"testing"

	"bifrost-secrets/walker/walkertest"

	"github.com/tidwall/gjson"
)

func BenchmarkWalk(b *testing.B) {
	doc := walkertest.Config(walkertest.Shape{Size: 10 << 20, References: 2000, Secrets: 1000})
	b.Run("gjson.ValidBytes", func(b *testing.B) {
		b.SetBytes(int64(len(doc)))
		for b.Loop() {
			if !gjson.ValidBytes(doc) {
				b.Fatal("not valid")
			}
		}
	})
	b.Run("walk", func(b *testing.B) {
		b.SetBytes(int64(len(doc)))
		b.ReportAllocs()
		for b.Loop() {
			d, err := Parse("c", doc)
			if err != nil {
				b.Fatal(err)
			}
			d.Walk(func(*Field) bool { return true })
		}
	})
	b.Run("check", func(b *testing.B) {
		b.SetBytes(int64(len(doc)))
		for b.Loop() {
			if _, err := Parse("c", doc); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("depth", func(b *testing.B) {
		b.SetBytes(int64(len(doc)))
		for b.Loop() {
			tooDeep(doc)
		}
	})
	b.Run("json.Unmarshal", func(b *testing.B) {
		b.SetBytes(int64(len(doc)))
		for b.Loop() {
			var v any
			if err := json.Unmarshal(doc, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
