//go:build !unix

package watch

import "os/exec"

// ownGroup leaves the command as it is: there are no process groups here.
func ownGroup(*exec.Cmd) {}
