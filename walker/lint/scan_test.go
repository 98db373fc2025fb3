package lint

import (
	"strings"
	"testing"
)

// FuzzParts scans whatever comes: parts that lie in the text, one behind the
// other, and none in a text that the quick test turns away.
func FuzzParts(f *testing.F) {
	f.Add("old key was " + openAI + " (rotate), password=Xk9vQ2mLp7")
	f.Add(`{"Authorization": "Bearer 9c1f04be77d24a6f8e2b5d3310aa94c7"} https://u:Xk9vQ2mLp7@h/x?token=a1b2c3d4#key=e5f6`)
	f.Add("curl -u svc:Xk9vQ2mLp7 --token Xk9vQ2mLp7 svc:Xk9vQ2mLp7@tcp(db)/x")
	f.Add("eyJhbGciOiJ9.eyJzdWIiOiJ9. " + awsKey + " -----BEGIN " + "PRIVATE KEY-----\n" + strings.Repeat("aB3d", 20) + "\n-----END")
	f.Add("123456789:AAaB3daB3daB3daB3daB3daB3daB3daB3daB3d a1b8Q~" + strings.Repeat("aB3d", 8))
	f.Add("-----BEGIN " + "PRIVATE KEY-----")
	f.Fuzz(func(t *testing.T, text string) {
		parts := partsOf(text)
		end := 0
		for _, p := range parts {
			if p.start < end || p.end <= p.start || p.end > len(text) {
				t.Errorf("%q: a part from %d to %d, behind %d", text, p.start, p.end, end)
			}
			end = p.end
		}
		if len(parts) > 0 && !mayHold([]byte(text)) {
			t.Errorf("%q is turned away, and has %d parts", text, len(parts))
		}
		for _, l := range openLeaks(text, "x") {
			if l.text == "" || l.within < 0 || l.within > len(text) {
				t.Errorf("%q: a leak of %d bytes at %d", text, len(l.text), l.within)
			}
		}
	})
}
