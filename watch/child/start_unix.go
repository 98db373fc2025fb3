//go:build unix

package child

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// command makes the command of a spec, or says why it cannot be found.
func command(spec Spec) (*exec.Cmd, error) {
	if len(spec.Args) == 0 || spec.Args[0] == "" {
		return nil, &StartError{Command: `""`, Reason: "no command is given", Hint: "give it after --", Code: CodeNotFound}
	}
	cmd := exec.Command(spec.Args[0], spec.Args[1:]...)
	if spec.Env != nil {
		cmd.Env = Environment(spec.Env, nil)
	}
	// A nil *os.File in an io.Reader would not be nil.
	if spec.Stdin != nil {
		cmd.Stdin = spec.Stdin
	}
	if spec.Stdout != nil {
		cmd.Stdout = spec.Stdout
	}
	if spec.Stderr != nil {
		cmd.Stderr = spec.Stderr
	}
	if cmd.Err != nil {
		return nil, explain(spec, spec.Args[0], cmd.Err)
	}
	return cmd, nil
}

// explain says why a command could not be started. path is where it was found.
func explain(spec Spec, path string, err error) *StartError {
	e := &StartError{Command: spec.Args[0], Code: CodeNotExecutable, Err: err}
	named := strings.Contains(spec.Args[0], "/")
	info, missing := os.Stat(path)
	switch {
	case errors.Is(err, exec.ErrDot):
		e.Reason, e.Code = "it is found in the current directory only, by a PATH with . or an empty entry in it", CodeNotFound
		e.Hint = "if you mean that file, write ./" + spec.Args[0]
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist) && missing != nil && named:
		e.Reason, e.Code = "not found in PATH", CodeNotFound
		e.Hint = "give the path of the program, or install it in this image"
		if named {
			e.Reason, e.Hint = "no such file", "see that the path is right, and there in this image"
		}
	case errors.Is(err, fs.ErrNotExist):
		e.Reason = "the file is there, and the interpreter or loader that it asks for is not"
		e.Hint = "see its #! line, or take a build for this image's C library (musl or glibc)"
	case missing == nil && info.IsDir():
		e.Reason = "it is a directory"
	case errors.Is(err, fs.ErrPermission):
		e.Reason = "not executable: permission denied"
		e.Hint = "see its mode, the directories above it, and that its file system is not mounted noexec"
	case errors.Is(err, syscall.ENOEXEC):
		e.Reason = "the system knows no way to run such a file"
		e.Hint = "a script needs a #! line, a program must be built for this machine"
	case errors.Is(err, syscall.E2BIG):
		e.Reason, e.Hint = tooBig(spec)
	default:
		e.Reason = err.Error()
		var path *fs.PathError
		if errors.As(err, &path) {
			e.Reason = path.Err.Error()
		}
	}
	return e
}

// longest is the most that Linux takes for one argument or variable, with the
// NUL at its end (MAX_ARG_STRLEN).
const longest = 128 << 10

// tooBig says what of the arguments and the environment is too big.
func tooBig(spec Spec) (reason, hint string) {
	env := spec.Env
	if env == nil {
		env = os.Environ()
	}
	args, vars := 0, 0
	for _, s := range spec.Args {
		args += len(s) + 1
	}
	for _, s := range env {
		vars += len(s) + 1
	}
	reason = fmt.Sprintf("its environment (%d bytes) and arguments (%d bytes) are more than the system takes", vars, args)
	hint = "hand fewer or smaller values over by the environment, or use --mode inline; a larger stack limit (ulimit -s) makes room for more"
	for i, s := range spec.Args {
		if len(s) >= longest {
			return fmt.Sprintf("argument %d is %d bytes long, and the system takes %d at most", i, len(s), longest-1), ""
		}
	}
	for _, s := range env {
		if len(s) >= longest {
			name, _, _ := strings.Cut(s, "=")
			return fmt.Sprintf("the variable %s is %d bytes long with its name, and the system takes %d at most", name, len(s), longest-1),
				"hand this value over in a file, or use --mode inline"
		}
	}
	return reason, hint
}
