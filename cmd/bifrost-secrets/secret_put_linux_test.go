package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// kept keeps terminals from being closed when nothing leads to them any more.
var kept []*os.File

// newTerminal returns both ends of a terminal: that of the person and that of the
// program.
func newTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	// Neither is closed: a question that was interrupted sets the terminal back a
	// little later, by its number, which no other terminal must have by then.
	kept = append(kept, person, program)
	return person, program
}

func shows(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// awaitQuestion waits until the terminal does not show what is typed.
func awaitQuestion(t *testing.T, terminal *os.File) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for shows(t, terminal) {
		if ctx.Err() != nil {
			t.Fatal("nobody asked")
		}
		runtime.Gosched()
	}
}

// Whoever ends the question with ctrl-c has a terminal that shows what is typed.
func TestAskInterrupted(t *testing.T) {
	person, terminal := newTerminal(t)
	var said bytes.Buffer
	p := &program{screen: newScreen(&said, nil)}
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan error, 1)
	go func() {
		_, err := p.ask(ctx, terminal, "value: ")
		asked <- err
	}()
	awaitQuestion(t, terminal)
	cancel()
	if err := <-asked; err == nil || err.Error() != "interrupted; nothing was written" {
		t.Error(err)
	}
	if !shows(t, terminal) {
		t.Error("the terminal does not show what is typed")
	}
	// What waits for the answer ends with the terminal.
	if _, err := person.Write([]byte("\n")); err != nil {
		t.Error(err)
	}
}

// What is typed is taken, and not shown.
func TestAsk(t *testing.T) {
	person, terminal := newTerminal(t)
	var said bytes.Buffer
	p := &program{screen: newScreen(&said, nil)}
	type answer struct {
		text []byte
		err  error
	}
	asked := make(chan answer, 1)
	go func() {
		text, err := p.ask(t.Context(), terminal, "value: ")
		asked <- answer{text, err}
	}()
	awaitQuestion(t, terminal)
	if _, err := person.Write([]byte(" CANARY typed\n")); err != nil {
		t.Fatal(err)
	}
	got := <-asked
	if string(got.text) != " CANARY typed" || got.err != nil {
		t.Errorf("%d bytes, %v", len(got.text), got.err)
	}
	if !shows(t, terminal) {
		t.Error("the terminal does not show what is typed afterwards")
	}
	if want := prefix + "value: \n"; said.String() != want {
		t.Errorf("it said %q, want %q", said.String(), want)
	}
}
