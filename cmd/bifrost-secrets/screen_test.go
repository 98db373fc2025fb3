package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What is over within a second is not told of; what takes longer is, once.
func TestWaiting(t *testing.T) {
	was := tellsAfter
	defer func() { tellsAfter = was }()
	tellsAfter = "1s" // as people have it
	for took, want := range map[time.Duration]string{
		999 * time.Millisecond: "",
		time.Second + 1:        "bifrost-secrets: asking somebody (1 s)\n",
		time.Minute:            "bifrost-secrets: asking somebody (1 s)\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			var said strings.Builder
			done := newScreen(&said, nil).waiting("asking somebody")
			time.Sleep(took)
			done()
			time.Sleep(time.Hour)
			if said.String() != want {
				t.Errorf("after %v: got %q, want %q", took, said.String(), want)
			}
		})
	}
}
