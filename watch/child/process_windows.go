package child

import (
	"context"
	"errors"
	"os"
)

// errUnsupported says that there is nothing here for this system.
var errUnsupported = errors.New("supervising a process is not supported on windows")

// Process is a started child. There is none on Windows.
type Process struct{}

// Start returns an error that says so: Windows has none of the signals that it
// takes to stop a process gracefully.
func Start(_ context.Context, spec Spec) (*Process, error) {
	e := &StartError{Command: `""`, Reason: errUnsupported.Error(), Hint: "run it in a container, or under WSL", Code: CodeNotExecutable, Err: errUnsupported}
	if len(spec.Args) > 0 {
		e.Command = spec.Args[0]
	}
	return nil, e
}

// PID returns 0.
func (*Process) PID() int { return 0 }

// Done is never closed.
func (*Process) Done() <-chan struct{} { return nil }

// Status says that there is none.
func (*Process) Status() Status { return Status{Code: 125, Err: errUnsupported} }

// Signal returns an error.
func (*Process) Signal(os.Signal) error { return errUnsupported }

// Stop does nothing.
func (p *Process) Stop(context.Context) Status { return p.Status() }

// Forwarder passes nothing on.
type Forwarder struct{}

// Forward does nothing.
func Forward(func(sig os.Signal)) *Forwarder { return &Forwarder{} }

// To does nothing.
func (*Forwarder) To(*Process) {}

// Close does nothing.
func (*Forwarder) Close() {}
