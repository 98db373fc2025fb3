package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"bifrost-secrets/watch/service"
)

// surviveReaders keeps a signal from ending this program where somebody who reads
// what it prints has gone (SIGPIPE), or where a log file is as large as it may be
// (SIGXFSZ): the write fails instead. The signals are caught and not ignored,
// since what is ignored is so in a child too.
func surviveReaders() (stop func()) {
	caught := make(chan os.Signal, 1) // nobody looks into it
	signal.Notify(caught, fatalToWriters...)
	return func() { signal.Stop(caught) }
}

// untilSignal returns a context that ends with the first SIGINT or SIGTERM. A
// second one ends the program at once, whatever it waits for.
func untilSignal(ctx context.Context, exit func(code int)) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	got := make(chan os.Signal, 2)
	signal.Notify(got, os.Interrupt, syscall.SIGTERM)
	go func() {
		for sig := range got {
			if ctx.Err() != nil {
				exit(signalled(sig))
			}
			cancel()
		}
	}()
	return ctx, func() {
		signal.Stop(got)
		close(got)
		cancel()
	}
}

// input returns the standard input, of which a read ends with the command: what
// is typed, or comes through a pipe, may never end.
func (p *program) input() io.Reader { return &endingReader{p.ctx, p.stdin} }

type endingReader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements [io.Reader]. What is read after ctx has ended is lost.
func (e *endingReader) Read(b []byte) (int, error) {
	type result struct {
		b   []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		own := make([]byte, len(b)) // b is the caller's again when ctx has ended
		n, err := e.r.Read(own)
		done <- result{own[:n], err}
	}()
	select {
	case got := <-done:
		copy(b, got.b)
		clear(got.b)
		return len(got.b), got.err
	case <-e.ctx.Done():
		return 0, service.ErrInterrupted
	}
}

// signalled returns the exit code of a program that a signal ends, as a shell
// has it.
func signalled(sig os.Signal) int {
	if n, ok := sig.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return exitUnresolved
}
