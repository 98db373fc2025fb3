package sourcetest

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// testMetadata looks for the value, and for what could be compared with guesses
// of it, in all that people see who may not read the value.
func testMetadata(r *run) {
	w := write("key", "pin 4711", "")
	version := r.watch.must(r.ctx, w)
	r.watch.must(r.ctx, write("key", "pin 4712", version))
	kept := r.Metadata() + fmt.Sprintf("%+v", r.watch.item(r.ctx, "key"))
	if !strings.Contains(kept, owner) {
		r.Fatalf("the metadata does not even have the owner: %s", kept)
	}
	for _, secret := range []string{value("pin 4711"), value("pin 4712")} {
		s2, s1, m := sha256.Sum256([]byte(secret)), sha1.Sum([]byte(secret)), md5.Sum([]byte(secret))
		for _, sum := range [][]byte{s2[:], s1[:], m[:]} {
			for _, text := range []string{hex.EncodeToString(sum)[:16], base64.StdEncoding.EncodeToString(sum)[:12], base64.URLEncoding.EncodeToString(sum)[:12]} {
				if strings.Contains(strings.ToLower(kept), strings.ToLower(text)) {
					r.Errorf("the metadata has a hash of the value")
				}
			}
		}
	}
	if found := spelt(kept, canary); found != "" {
		r.Errorf("the metadata has the value, as %s", found)
	}
}
