package render

import (
	"fmt"
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
			for key, want := range map[string]string{
				fmt.Sprintf("key-%d", i):     fmt.Sprintf("value %d", i),
				fmt.Sprintf("/key-%d", i):    fmt.Sprintf("value %d", i),
				fmt.Sprintf("/list/%d/v", i): fmt.Sprint(i),
			} {
				if got, err := f.get(key); err != nil || string(got) != want {
					done <- fmt.Sprintf("%s is %q, %v", key, got, err)
					return
				}
			}
			for _, key := range []string{fmt.Sprintf("none-%d", i), fmt.Sprintf("/list/%d", many+1+i), fmt.Sprintf("/key-%d/x", i), fmt.Sprintf("/list/0%d/v", i)} {
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
