package render

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A secret's document is looked through once, whatever the number of references
// into it. So many that are each looked for from the beginning would take an hour.
func TestManyFragmentsOfOneSecret(t *testing.T) {
	const many = 100_000
	var text strings.Builder
	text.WriteString(`{`)
	for i := range many {
		fmt.Fprintf(&text, `"key-%d": "value %d", `, i, i)
	}
	text.WriteString(`"list": [`)
	for i := range many {
		fmt.Fprintf(&text, `{"v": %d}, `, i)
	}
	text.WriteString(`null]}`)
	done := make(chan string, 1)
	go func() {
		f := parseFragments([]byte(text.String()))
		for i := range many {
			n := strconv.Itoa(i)
			for _, one := range [...][2]string{{"key-" + n, "value " + n}, {"/key-" + n, "value " + n}, {"/list/" + n + "/v", n}} {
				if got, err := f.get(one[0]); err != nil || string(got) != one[1] {
					done <- fmt.Sprintf("%s is %q, %v", one[0], got, err)
					return
				}
			}
			for _, key := range [...]string{"none-" + n, "/list/" + strconv.Itoa(many+1+i), "/key-" + n + "/x", "/list/0" + n + "/v"} {
				if _, err := f.get(key); err == nil || !strings.Contains(err.Hint, "and 99981 more") {
					done <- fmt.Sprintf("%s is there, or its hint is another: %v", key, err)
					return
				}
			}
		}
		done <- ""
	}()
	select {
	case problem := <-done:
		if problem != "" {
			t.Error(problem)
		}
	case <-time.After(8 * time.Minute):
		t.Error("it does not end")
	}
}
