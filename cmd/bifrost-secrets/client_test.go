package main

import (
	"testing"
	"time"
)

func TestWhen(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for ahead, want := range map[time.Duration]string{
		0:                                   "2026-03-04T05:06:07Z (0s ago)",
		-59 * time.Second:                   "2026-03-04T05:05:08Z (59s ago)",
		-time.Minute:                        "2026-03-04T05:05:07Z (1m0s ago)",
		time.Hour + time.Second:             "2026-03-04T06:06:08Z (in 1h0m)",
		-(49*time.Hour + 59*time.Minute):    "2026-03-02T03:07:07Z (2d1h ago)",
		500 * time.Millisecond:              "2026-03-04T05:06:07Z (0s ago)", // the clocks differ a little
		-time.Duration(1) * time.Nanosecond: "2026-03-04T05:06:06Z (0s ago)",
	} {
		if got := when(now.Add(ahead), now); got != want {
			t.Errorf("%v: %q, want %q", ahead, got, want)
		}
	}
	if got := when(time.Time{}, now); got != "never" {
		t.Errorf("no time at all: %q", got)
	}
}

// Whatever is written as an address is refused or leads to one place.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{"127.0.0.1:9180", "unix:/x", "https://a.example", "http://[::1]:1/", "://", "a:b:c", "https://u:p@h", "http://h?q", "https://h/path", "[::1]", "http://%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		c := &client{p: &program{}, address: address}
		u, transport, err := c.transport()
		if err != nil {
			return
		}
		defer transport.CloseIdleConnections()
		if u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "http" && u.Scheme != "https" {
			t.Errorf("%q leads to %v", address, u)
		}
	})
}
