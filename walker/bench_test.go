package walker

import (
	"encoding/json"
	"testing"
	"time"

	"bifrost-secrets/walker/walkertest"

	"github.com/tidwall/gjson"
)

// How many times what gjson takes to validate a document does it take to check
// it and to walk it, and how many times is that faster than to decode it? All are
// taken in turn, and of each the shortest counts.
func BenchmarkWalk(b *testing.B) {
	doc := walkertest.Config(walkertest.Shape{Size: 10 << 20, References: 20_000, Secrets: 1000})
	works := []func() bool{
		func() bool {
			d, err := Parse("c", doc)
			fields := 0
			d.Walk(func(*Field) bool { fields++; return true })
			return err == nil && fields >= 20_000
		},
		func() bool { return gjson.ValidBytes(doc) },
		func() bool { return json.Unmarshal(doc, new(any)) == nil },
	}
	took := []time.Duration{time.Hour, time.Hour, time.Hour}
	for b.Loop() {
		for i, work := range works {
			began := time.Now()
			if !work() {
				b.Fatal("it went wrong")
			}
			took[i] = min(took[i], time.Since(began))
		}
	}
	b.ReportMetric(float64(took[0])/float64(took[1]), "walk/valid")
	b.ReportMetric(float64(took[2])/float64(took[0]), "unmarshal/walk")
}
