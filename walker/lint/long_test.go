package lint

import (
	"strings"
	"testing"
)

// However much stands before and behind it, a secret is found.
func TestLongTexts(t *testing.T) {
	const key = "sk-proj-Ab12Cd34Ef56Gh78Ij90Kl12Mn34Op56"
	jwt := "eyJhbGciOiJIUzI1NiJ9.eyJ" + strings.Repeat("zdWIiOiIxMjM0NTY3", 600) + "." + strings.Repeat("aZ9", 20)
	for _, filler := range []string{"a:", "://", "sk-", "token:", "http://h/?a=b,", "http://h/a,", "x ", "eyJaaaaaaaaa.", "-----BEGIN X-----"} {
		long := strings.Repeat(filler, 20_000/len(filler))
		for _, secret := range []string{key, "https://user:hunter2hunter3@db.acme.io/x", "Bearer " + jwt, "API_TOKEN=zQ7xW2mK9pL4vT8nR3bY", "amqp://h/?x=1,https://h.acme.io/?token=zQ7xW2mK9pL4vT8nR3bY"} {
			found := partsOf(long + " " + secret + " " + long)
			if len(found) == 0 {
				t.Errorf("%.20q between %q is not found", secret, filler)
			}
		}
	}
	if found := partsOf("http://one.acme.io/?a=b,http://u:hunter2hunter3@two.acme.io;redis://:hunter2hunter4@three:6379/0"); len(found) != 2 {
		t.Errorf("found %v in a list of addresses", found)
	}
}
