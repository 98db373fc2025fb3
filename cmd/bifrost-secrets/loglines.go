package main

import (
	"io"
	"sync"
	"time"
)

// logMost bounds the lines that wait to be written, in bytes.
const logMost = 1 << 20

// logPatience is how long the end of the program waits for who reads its last
// lines.
const logPatience = 250 * time.Millisecond

// logLines writes log lines for who must never wait for their reader: a pipe whose
// reader stands still would hold up a refresh, and with it a flush, a signal and
// the end. Lines go through a queue. Where it is full, or a line cannot be
// written, lines are dropped and counted, and the count is written in their place
// once something can be written again. It is safe for concurrent use.
type logLines struct {
	w io.Writer
	// notice returns the line that says how many were dropped.
	notice func(dropped int) []byte

	mu      sync.Mutex
	queue   []logLine
	size    int           // of the lines in queue, in bytes
	dropped uint64        // in all
	idle    chan struct{} // closed once nothing is being written; nil from then on

	// These are of the goroutine that writes.
	missing int  // dropped since the last line that was written
	broken  bool // the last line was written in part
}

// logLine is a line, or as many as were dropped in its place.
type logLine struct {
	text    []byte
	dropped int
}

// Write implements [io.Writer]. It takes a whole line, never waits, and never
// fails.
func (l *logLines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch last := len(l.queue) - 1; {
	case l.size+len(line) <= logMost:
		l.queue = append(l.queue, logLine{text: append([]byte(nil), line...)})
		l.size += len(line)
	case last >= 0 && l.queue[last].text == nil:
		l.queue[last].dropped++
		l.dropped++
	default:
		l.queue = append(l.queue, logLine{dropped: 1})
		l.dropped++
	}
	if l.idle == nil {
		l.idle = make(chan struct{})
		go l.drain()
	}
	return len(line), nil
}

// Dropped returns how many lines were dropped. l may be nil.
func (l *logLines) Dropped() uint64 {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

// Finish waits until all is written, or for that long. Time in which the whole program
// stands still, for want of a processor, counts little. l may be nil.
func (l *logLines) Finish(patience time.Duration) {
	if l == nil {
		return
	}
	l.mu.Lock()
	idle := l.idle
	l.mu.Unlock()
	if idle == nil {
		return
	}
	const ticks = 10
	tick := time.NewTicker(patience / ticks)
	defer tick.Stop()
	for range ticks { // of those that are missed one comes
		select {
		case <-idle:
			return
		case <-tick.C:
		}
	}
}

// drain writes what is in the queue.
func (l *logLines) drain() {
	told := true
	for {
		l.mu.Lock()
		if len(l.queue) == 0 {
			if told {
				l.queue = nil
				close(l.idle)
				l.idle = nil
				l.mu.Unlock()
				return
			}
			l.mu.Unlock()
			l.catchUp() // no other line may come for a long time
			told = true
			continue
		}
		next := l.queue[0]
		l.queue = l.queue[1:]
		l.mu.Unlock()
		failed := !l.put(next)
		l.mu.Lock()
		l.size -= len(next.text)
		if failed {
			l.dropped++
		}
		l.mu.Unlock()
		told = l.missing == 0
	}
}

func (l *logLines) put(line logLine) bool {
	l.missing += line.dropped
	if line.text == nil {
		return true
	}
	if l.catchUp() && l.write(line.text) {
		return true
	}
	l.missing++
	return false
}

func (l *logLines) catchUp() bool {
	if l.missing == 0 {
		return true
	}
	if !l.write(l.notice(l.missing)) {
		return false
	}
	l.missing = 0
	return true
}

// write begins a line of its own where the one before was written in part, as it
// is when a disk becomes full.
func (l *logLines) write(line []byte) bool {
	if l.broken {
		line = append([]byte{'\n'}, line...)
	}
	n, err := l.w.Write(line)
	l.broken = n < len(line) && (n > 0 || l.broken)
	return err == nil
}
