package lint

import (
	"strings"
	"testing"

	"bifrost-secrets/walker"
)

// A key in a longer text is found where it stands, whatever escapes are before it.
func TestPlaceInText(t *testing.T) {
	const key = "sk-proj-Ab12Cd34Ef56Gh78Ij90Kl12Mn34Op56"
	for _, before := range []string{
		`a `, `é `, `\n`, `a\n`, `\t`, `\"`, `\/`, `a\/`, `\\ `, `\u00e9`, `\u00e9 `, `a\u00e9\u0020`, `\ud83d\ude00`, `a \ud83d\ude00 `, `\u00e9\uD83D\uDE00\u00e9 `, `😀\ud83d\ude00é\u00e9 \n`,
		`\ud83d `, `\ude00\ud83d `, `\ud83d\u0020`, `a\u000a`,
	} {
		doc, err := walker.Parse("config.json", []byte(`{"my": {"x": "`+before+key+`"}, "plugins": [{"name": "p", "config": {"x": "`+before+key+`"}}]}`))
		if err != nil {
			continue // half a pair is refused
		}
		n := 0
		for _, f := range Check(doc, Options{}) {
			if f.Rule != PlaintextSecret {
				continue
			}
			n++
			if got := string(doc.Bytes()[f.Span.Start:f.Span.End]); got != key && !(strings.TrimLeft(before, `\nt`) == "" && got == `"`+before+key+`"`) { // white space alone is a part of the value
				t.Errorf("%s: found at %q", before, strings.ReplaceAll(got, key, "KEY"))
			}
		}
		if n != 2 {
			t.Errorf("%s: %d findings", before, n)
		}
	}
}
