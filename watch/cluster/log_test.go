package cluster

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// log collects what is logged, and can be waited upon.
type log struct {
	mu    sync.Mutex
	text  bytes.Buffer
	grown chan struct{}
}

func (l *log) logger() *slog.Logger {
	l.grown = make(chan struct{}, 1)
	return slog.New(slog.NewTextHandler(l, nil))
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.grown <- struct{}{}:
	default:
	}
	return l.text.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait waits until a text was logged.
func (l *log) wait(t *testing.T, text string) {
	t.Helper()
	end := time.After(limit)
	for !strings.Contains(l.String(), text) {
		select {
		case <-l.grown:
		case <-end:
			t.Fatalf("%q was not logged:\n%s", text, l.String())
		}
	}
}
