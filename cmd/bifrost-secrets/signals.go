package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
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

// signalled returns the exit code of a program that a signal ends, as a shell
// has it.
func signalled(sig os.Signal) int {
	if n, ok := sig.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return exitUnresolved
}
